"""A bare host becomes the Jarvis stack behind TLS; a user goes through it; the host reboots; nothing is left to do."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from audit import docker_bench
from audit.findings import unexplained
from audit.reasons import REASONS

from lab.leaks import leaks, secrets_of
from lab.shell import docker, wait_for

from .journey import run as journey

DOMAIN = "jarvis.localhost"


def https(lab, path: str = "/", method: str = "GET", timeout: float = 10) -> tuple[int, dict[str, str], bytes]:
    """One request through TLS, trusting only the lab's CA, to the port that this machine publishes.

    The connection goes to 127.0.0.1 whatever this machine's resolver makes of names under .localhost.
    """
    context = ssl.create_default_context(cafile=str(lab.state / "ca.pem"))
    with socket.create_connection(("127.0.0.1", lab.port("https")), timeout) as raw:
        connection = http.client.HTTPConnection(DOMAIN, lab.port("https"), timeout=timeout)
        connection.sock = context.wrap_socket(raw, server_hostname=DOMAIN)
        connection.request(method, path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


def containers(site) -> list[str]:
    return sorted(site.sh("docker ps --no-trunc --format '{{.ID}} {{.Names}}'").splitlines())


def test_check_mode_on_a_bare_host_predicts_and_changes_nothing(site):
    state = "dpkg-query -W | sha256sum; find /etc /opt /usr/local -type f | sort | xargs sha256sum | sha256sum"
    before = site.sh(state)
    run = site.play("site.yml", "--check", "--diff")
    assert run.rc == 0, run.output[-6000:]
    assert run.total("changed") > 5, "a bare host, and check mode predicts hardly a change:\n" + run.output[-3000:]
    assert site.sh("command -v docker || echo none").strip() == "none"
    assert site.sh(state) == before, "check mode changed a file or a package"


def test_first_run_takes_the_bare_host_to_the_stack(site, lab):
    run = site.play("site.yml")
    assert run.rc == 0, run.output[-8000:]
    print(f"first run: {run.seconds:.0f} s, {run.total('ok')} tasks, {run.total('changed')} changed")
    services = site.sh("docker ps --filter health=healthy --format '{{.Label \"com.docker.compose.service\"}}'").split()
    assert {"auth-service", "registry-service", "tickets-agent", "finops-agent", "oxygen-agent", "web-ui"} <= set(
        services
    )
    status, headers, body = https(lab)
    assert status == 200 and b"<html" in body.lower()
    assert headers["strict-transport-security"].startswith("max-age=63072000")


def test_second_run_changes_nothing(site):
    before = containers(site)
    run = site.play("site.yml")
    assert run.rc == 0, run.output[-6000:]
    changed = re.findall(r"^changed: .*$", run.output, re.MULTILINE)
    assert run.total("changed") == 0, f"{changed}\n{run.output[-6000:]}"
    assert containers(site) == before
    print(f"second run: {run.seconds:.1f} s, {run.total('ok')} tasks")


def test_check_mode_after_it_predicts_nothing(site):
    run = site.play("site.yml", "--check", "--diff")
    assert run.rc == 0 and run.total("changed") == 0, run.output[-6000:]


def test_the_other_ansible_core_agrees(site, project):
    other = project / ".venv-other"
    if not other.is_dir():
        pytest.skip("this machine has one Python for ansible-core only")
    run = site.play("site.yml", venv=str(other))
    assert run.rc == 0 and run.total("changed") == 0, run.output[-6000:]


def test_the_built_collection_installs_and_runs_by_name(site, project, tmp_path):
    galaxy = [str(Path(sys.executable).parent / "ansible-galaxy"), "collection"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    for argv in (
        [*galaxy, "build", "--output-path", str(tmp_path), str(project)],
        [*galaxy, "install", "--no-deps", "-p", str(tmp_path), str(tmp_path / "landfall-stack-0.1.0.tar.gz")],
    ):
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    run = site.play("landfall.stack.status", collections=str(tmp_path))
    assert run.rc == 0 and "All well" in run.output, run.output[-3000:]


def test_a_user_goes_through_it_in_a_browser(site, lab, project):
    shot = project / "report" / "journey.png"
    shot.parent.mkdir(exist_ok=True)
    seen = journey(
        f"https://{DOMAIN}:{lab.port('https')}", ca_file=str(lab.state / "ca.pem"), screenshot_path=str(shot)
    )
    assert shot.stat().st_size > 20_000
    print(seen)


def test_plain_http_goes_to_https(lab):
    with socket.create_connection(("127.0.0.1", lab.port("http")), 5) as raw:
        raw.sendall(f"GET /some/page?x=1 HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(4096), b"")).decode()
    assert " 301 " in answer.splitlines()[0]
    assert f"https://{DOMAIN}:{lab.port('https')}/some/page?x=1" in answer


@pytest.mark.parametrize("path", ["/", "/auth/health", "/api/health", "/nothing-here", "/health"])
def test_security_headers_on_every_answer(lab, path):
    _, headers, _ = https(lab, path)
    assert headers.get("x-content-type-options") == "nosniff"
    assert "strict-transport-security" in headers and "x-xss-protection" not in headers
    assert "/" not in headers.get("server", "nginx"), "the version of the server is told"


def test_prefixes_with_and_without_stripping(lab):
    assert https(lab, "/auth/health")[0] == 200
    assert https(lab, "/api/health")[0] == 200
    status, _, card = https(lab, "/agents/tickets/.well-known/agent-card.json")
    assert status == 200 and json.loads(card)["name"]


def test_rate_limit_answers_429(lab):
    codes = [https(lab, "/auth/health")[0] for _ in range(60)]
    assert 429 in codes and 503 not in codes
    assert codes[0] == 200


def test_an_unknown_host_is_not_served(lab):
    context = ssl._create_unverified_context()
    with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
        with socket.create_connection(("127.0.0.1", lab.port("https")), 5) as raw:
            with context.wrap_socket(raw, server_hostname="someone.else.test") as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: someone.else.test\r\n\r\n")
                assert tls.recv(100) == b"", "an unknown host got an answer"
                raise ConnectionError


def test_tls_is_new_enough_and_http2(lab):
    out = subprocess.run(
        [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{lab.port('https')}",
            "-servername",
            DOMAIN,
            "-CAfile",
            str(lab.state / "ca.pem"),
            "-alpn",
            "h2",
            "-verify_return_error",
        ],
        input=b"",
        capture_output=True,
        timeout=20,
        check=False,
    )
    text = out.stdout.decode(errors="replace")
    assert "ALPN protocol: h2" in text and "TLSv1.3" in text, text[-1500:]
    old = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{lab.port('https')}", "-servername", DOMAIN, "-tls1_1"],
        input=b"",
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert old.returncode != 0


def scan(lab, address: str, six: bool = False) -> set[int]:
    """The open TCP ports that another machine of the network sees."""
    out = docker(
        "run",
        "--rm",
        "--network",
        lab.network,
        "--cap-add",
        "NET_RAW",
        "--label",
        f"landfall.lab={lab.name}",
        "landfall-lab/services:trixie",
        "nmap",
        *(["-6"] if six else []),
        "-Pn",
        "-n",
        "-T4",
        "--max-retries",
        "1",
        "-sT",
        "-p",
        "1-1024,2375-2377,5000,5432,6379,8000-8999,9990-9999",
        address,
        timeout=300,
    )
    return {int(port) for port in re.findall(r"^(\d+)/tcp\s+open", out, re.MULTILINE)}


def test_published_ports_do_not_walk_past_the_firewall(site, lab):
    image = site.sh("docker inspect -f '{{.Config.Image}}' landfall-edge").strip()
    site.sh(
        f"docker run -d --name publisher -p 8088:8080 -p 9990:8080 --entrypoint sleep {image} 600; "
        "nohup python3 -m http.server 8999 >/dev/null 2>&1 & sleep 1"
    )
    try:
        seen4, seen6 = scan(lab, lab.address()), scan(lab, lab.net.ip6(10), six=True)
    finally:
        site.sh(
            "docker rm -f publisher; kill $(ss -Hltnp 'sport = :8999' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p')",
            check=False,
        )
    assert seen4 == {22, 80, 443}, seen4
    assert seen6 <= {22, 80, 443}, seen6
    assert 22 in seen6, "IPv6 was not scanned at all"


def test_containers_are_as_the_cis_benchmark_wants_them(site):
    """Every container, the edge's and the relay's too; what differs has a reason in docs/audit.md (`make audit`)."""
    inspected = json.loads(site.sh("docker ps -q | xargs docker inspect"))
    assert {"landfall-edge", "landfall-relay-jarvis-default"} <= {one["Name"].lstrip("/") for one in inspected}
    found = [finding for one in inspected for finding in docker_bench.container(one)]
    assert not [finding.key for finding in unexplained(found, REASONS)]


def test_renewal_under_way_drops_nothing(site, lab):
    """A certificate with a lifetime of two minutes is renewed by the timer's own program while requests flow."""
    lab.short_lived_acme()
    config = "/etc/landfall/certificates.json"
    site.sh(
        f"cp {config} /root/certificates.before && "
        f"sed -i 's#acme.landfall.test:14000#acme-short.landfall.test:14000#' {config}"
    )
    try:
        site.sh("landfall certificates renew --force", check=True)
        ca = lab.state / "ca-short.pem"
        ca.write_text(lab.acme_root("acme-short") or "")

        def served() -> tuple[str, float]:
            context = ssl.create_default_context(cafile=str(ca))
            with socket.create_connection(("127.0.0.1", lab.port("https")), 5) as raw:
                with context.wrap_socket(raw, server_hostname=DOMAIN) as tls:
                    peer = tls.getpeercert()
                    tls.sendall(f"GET /health HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
                    first = tls.recv(200)
                    assert b" 200 " in first, first
                    return peer["serialNumber"], ssl.cert_time_to_seconds(peer["notAfter"])

        wait_for("the short-lived certificate", lambda: _served(served), 15)
        serial, ends = served()
        assert ends - time.time() < 125
        assert "keep" in site.sh("landfall certificates list"), "a fresh certificate is not due"
        site.sh("systemctl start landfall-certificates.service")
        assert served()[0] == serial, "renewed before it was due"
        # The timer's program in a bounded loop of 4 s, requests beside it, until a third of the lifetime is left.
        failures, requests, renewed = [], 0, None
        deadline = time.time() + 110
        looked = 0.0
        while time.time() < deadline and renewed is None:
            if time.time() - looked > 4:
                looked = time.time()
                site.sh("systemctl start --no-block landfall-certificates.service")
            requests += 1
            try:
                now_serial, now_ends = served()
                if now_serial != serial:
                    renewed = now_ends
            except Exception as problem:
                failures.append(repr(problem))
            time.sleep(0.05)
        assert renewed and renewed > ends, "no renewal was seen"
        assert time.time() < ends, "renewed only after it had expired"
        for _ in range(40):
            requests += 1
            try:
                served()
            except Exception as problem:
                failures.append(repr(problem))
            time.sleep(0.05)
        assert not failures, f"{len(failures)} of {requests}: {failures[:3]}"
        print(f"renewal: {requests} requests, 0 failed, {ends - time.time():.0f} s before the old one's end")
    finally:
        site.sh(f"mv /root/certificates.before {config}; landfall certificates renew --force", check=False)
    wait_for("the long-lived certificate again", lambda: _served(lambda: https(lab, "/health")[0] == 200), 20)


def _served(probe) -> bool:
    try:
        return bool(probe())
    except Exception:
        return False


def test_a_failed_issuance_leaves_the_site_up_and_says_why(site, lab):
    run = site.play(
        "site.yml",
        extra={
            "certificates_acme_directory": "https://nobody.landfall.test:14000/dir",
            "certificates_renew_share": 1.0,
        },
    )
    assert run.rc != 0
    assert "the ACME directory cannot be reached" in run.output, run.output[-3000:]
    assert https(lab, "/health")[0] == 200
    again = site.play("site.yml")
    assert again.rc == 0, again.output[-3000:]


def test_maintenance_page_on_and_off(site, lab):
    assert site.play("playbooks/maintenance.yml", extra={"stack": "jarvis", "state": "on"}).rc == 0
    status, headers, _ = https(lab)
    assert status == 503 and int(headers["retry-after"]) > 0
    assert site.play("playbooks/maintenance.yml", extra={"stack": "jarvis", "state": "off"}).rc == 0
    assert https(lab)[0] == 200


def test_reboot_brings_everything_back_by_itself(site, lab):
    before = site.sh(
        "docker inspect -f '{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' $(docker ps -q) | sort"
    )
    lab.reboot()
    wait_for(
        "the site after the reboot",
        lambda: _served(lambda: https(lab, "/auth/health")[0] == 200 and https(lab)[0] == 200),
        120,
        1,
    )
    ufw = site.sh("ufw status", check=False)
    assert "Status: active" in ufw
    after = site.sh(
        "docker inspect -f '{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' $(docker ps -q) | sort"
    )
    print("addresses the same:", before == after)


def test_it_finds_containers_whose_addresses_have_changed(site, lab):
    """Two services change places, as a reboot may have it; the edge sends each request to the right one."""
    site.sh(
        "docker stop -t 2 jarvis-auth-service-1 jarvis-registry-service-1 >/dev/null && "
        "docker start jarvis-registry-service-1 >/dev/null && docker start jarvis-auth-service-1 >/dev/null"
    )
    wait_for(
        "both services at new addresses",
        lambda: _served(lambda: https(lab, "/auth/health")[0] == 200 and https(lab, "/api/health")[0] == 200),
        60,
        1,
    )
    assert b"auth" in https(lab, "/auth/health")[2]
    assert b"registry" in https(lab, "/api/health")[2]


# -- a reboot for upgrades: nothing is cut short, and nothing stays behind

DUE = "echo linux-image-amd64 > /run/reboot-required.pkgs && touch /run/reboot-required"
STARTED = "docker inspect -f '{{.Name}} {{.State.StartedAt}}' $(docker ps -q) | sort"
WELL = "landfall status >/dev/null 2>&1 && echo well"


@pytest.fixture(scope="module", name="worker")
def _worker(site):
    """A Compose project's container that takes 8 s to end, and says so when it did."""
    image = site.sh("docker inspect -f '{{.Config.Image}}' landfall-edge").strip()
    site.sh(
        "mkdir -p /root/worker && docker run -d --name worker --restart unless-stopped "
        "--stop-timeout 60 --stop-signal TERM --user 0 --label com.docker.compose.project=jobs "
        f"--label com.docker.compose.service=worker -v /root/worker:/out --entrypoint sh {image} "
        "-c 'trap \"sleep 8; date >> /out/ended; exit 0\" TERM; while :; do sleep 0.2; done'"
    )
    yield
    site.sh("docker rm -f worker; rm -rf /root/worker /run/reboot-required*")


def upload(lab, seconds: float, answer: list[bytes], begun: threading.Event) -> None:
    """A request whose body arrives slowly: in flight for that long, from ``begun`` on."""
    context = ssl.create_default_context(cafile=str(lab.state / "ca.pem"))
    with socket.create_connection(("127.0.0.1", lab.port("https")), 10) as raw:
        with context.wrap_socket(raw, server_hostname=DOMAIN) as tls:
            head = f"POST /auth/login HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n"
            tls.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 20\r\n\r\n".encode())
            for _ in range(20):
                time.sleep(seconds / 20)
                tls.sendall(b" ")
                begun.set()
            answer.append(b"".join(iter(lambda: tls.recv(4096), b"")))


def test_no_reboot_when_none_is_due_or_somebody_works(site, worker):
    before = site.sh(STARTED)
    site.sh("systemctl start landfall-reboot.service")
    assert "no reboot is due" in site.sh("journalctl -u landfall-reboot -o cat")
    site.sh(DUE)
    plan = site.sh("landfall reboot --check").splitlines()
    most = int(plan[-1].split()[0])
    names = ("-edge:", "web-ui", "auth-", "relay", "edge: stop")
    order = [next(at for at, line in enumerate(plan) if name in line) for name in names]
    assert order == sorted(set(order)), plan
    said = site.sh(
        "flock -o /opt/landfall/jarvis/lock sleep 60 & holder=$!; sleep 1; "
        f"landfall reboot --if-required --within {most + 1}s 2>&1; echo ended with $?; kill $holder"
    )
    assert "stack jarvis is being worked on" in said and "ended with 1" in said, said
    told = site.sh("landfall status", check=False)
    assert "a reboot is due (linux-image-amd64) and was not done" in told and "jarvis is being worked on" in told, told
    assert site.sh(STARTED) == before


def test_a_drain_that_is_killed_is_undone(site, lab, worker):
    """With kill -9 in the middle: the unit's own end starts what was stopped, and the worker that was told to end."""
    boot = site.sh("cat /proc/sys/kernel/random/boot_id")
    site.sh("systemctl start --no-block landfall-reboot.service")
    wait_for("the drain", lambda: site.sh("docker ps -q -f name=web-ui") == "", 60, 0.3)
    site.sh("kill -9 $(systemctl show -P MainPID landfall-reboot.service)")
    wait_for("everything again", lambda: _served(lambda: https(lab)[0] == 200), 60, 0.5)
    wait_for(
        "the unit's end", lambda: site.sh("systemctl is-active landfall-reboot", check=False) != "deactivating\n", 60
    )
    assert site.sh("docker ps -q -f name=worker") and site.sh("cat /proc/sys/kernel/random/boot_id") == boot
    assert "not brought back" not in site.sh("landfall status", check=False)


def test_a_reboot_for_upgrades_cuts_nothing_short(site, lab, worker):
    site.sh(f"rm -f /root/worker/ended; {DUE}")
    before = lab.started()
    answer: list[bytes] = []
    begun = threading.Event()
    request = threading.Thread(target=upload, args=(lab, 6.0, answer, begun))
    request.start()
    assert begun.wait(30)
    site.sh("systemctl start --no-block landfall-reboot.service")
    wait_for("the maintenance page", lambda: _served(lambda: https(lab)[0] == 503), 30, 0.2)
    assert not answer, "the request had ended before the drain began"
    request.join(30)
    assert answer and re.match(rb"HTTP/1.1 [24]\d\d ", answer[0]) and b"\r\nserver: " in answer[0].lower(), answer
    lab.booted(before)
    wait_for("the site", lambda: _served(lambda: https(lab, "/auth/health")[0] == 200 and https(lab)[0] == 200), 120, 1)
    assert site.sh("cat /root/worker/ended"), "the worker was killed before it was done"
    ends = site.sh(
        "docker inspect -f '{{.State.FinishedAt}}' jarvis-web-ui-1 jarvis-tickets-agent-1 jarvis-auth-service-1 "
        "landfall-relay-jarvis-default landfall-edge"
    ).split()
    assert ends == sorted(ends), ends
    wait_for("all well", lambda: site.sh(WELL, check=False), 60, 1)
    assert site.sh("docker ps -q -f name=worker"), "a container that was stopped stays away after the reboot"


def test_nothing_to_do_after_the_reboot(site, worker):
    run = site.play("site.yml")
    assert run.rc == 0 and run.total("changed") == 0, "\n".join(
        re.findall(r"^(?:TASK.*|changed: .*)$", run.output, re.MULTILINE)[-60:]
    )


def test_what_is_in_the_images(site, tmp_path):
    """By syft itself: packages of Debian and of Python, of each image once, and nothing the second time."""
    foretold = site.play("playbooks/sbom.yml", "--check", extra={"report": str(tmp_path)})
    assert foretold.rc == 0 and not list(tmp_path.rglob("*.json")), foretold.output[-3000:]
    run = site.play("playbooks/sbom.yml", extra={"report": str(tmp_path)})
    assert run.rc == 0, run.output[-3000:]
    bills = [json.loads(path.read_text()) for path in tmp_path.rglob("*.cdx.json")]
    assert len(bills) == 6
    for bill in bills:
        purls = [one.get("purl", "") for one in bill["components"]]
        assert any(one.startswith("pkg:deb/debian/") for one in purls)
        assert any(one.startswith("pkg:pypi/") for one in purls)
    again = site.play("playbooks/sbom.yml", extra={"report": str(tmp_path)})
    assert again.rc == 0 and again.total("changed") == 0, again.output[-3000:]


def test_status_shows_what_runs(site):
    run = site.play("playbooks/status.yml")
    assert run.rc == 0
    for word in ("jarvis", "auth-service", "web-ui", "HEALTHY", "All well"):
        assert word in run.output, run.output[-2000:]


def test_no_secret_came_out(site, processes):
    """The generated JWT key: in files that only their owner and group may read, and nowhere else, in all runs above."""
    secrets = secrets_of(site)
    assert any(len(one) >= 32 for one in secrets)
    assert leaks(site, secrets, processes) == []
