"""Bad input: each has its message with the remedy, and nothing was changed.

The first part runs against the host that test_1_site.py has brought to production, the second against a bare one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.lab import HOST
from lab.site import Site

STATE = "dpkg-query -W | sha256sum; find /etc /usr/local /opt -type f | sort | xargs sha256sum | sha256sum"
REGISTRY = "registry.landfall.test:5000"
GOOD = """
x-landfall:
  domains: [toy.site.test]
services:
  web:
    image: python:3.13-slim
    command: [python3, -m, http.server, "8000"]
    healthcheck: {test: [CMD, python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8000), 2)"],
                  interval: 1s, retries: 3, start_period: 5s}
    restart: unless-stopped
    x-landfall:
      route: {path: /, port: 8000}
"""


def stack(tmp_path: Path, compose: str, **more: Any) -> dict[str, Any]:
    (tmp_path / "compose.yaml").write_text(compose)
    return {"name": "toy", "src": str(tmp_path), **more}


# What is refused before anything is touched: (id, compose file, words of the message, words of the remedy).
REFUSED = [
    (
        "broken-yaml",
        GOOD.replace("    restart:", "  restart:", 1).replace("route: {path", "route: {{path"),
        ["compose.yaml:"],
    ),
    (
        "unknown-key",
        GOOD.replace("port: 8000}", "port: 8000, protocl: http}"),
        ["compose.yaml:12", "web", "protocl", "did you mean 'protocol'"],
    ),
    (
        "unknown-top-key",
        GOOD.replace("domains:", "domain:"),
        ["compose.yaml:3", "x-landfall.domain: unknown key", "'domains'"],
    ),
    (
        "two-services-one-route",
        GOOD + GOOD[GOOD.index("  web:") :].replace("  web:", "  shop:", 1),
        ["web", "shop", "toy.site.test/"],
    ),
    ("missing-variable", GOOD.replace("python:3.13-slim", "python:${PYTHON_TAG}"), ["PYTHON_TAG", "env"]),
    (
        "missing-variable-with-words",
        GOOD.replace("python:3.13-slim", "python:${PYTHON_TAG:?name the tag}"),
        ["PYTHON_TAG", "name the tag"],
    ),
    (
        "dns-elsewhere",
        GOOD.replace("toy.site.test", "toy.elsewhere.test"),
        ["toy.elsewhere.test", "172.30.98.200", "172.30.98.10"],
    ),
    (
        "no-such-image",
        GOOD.replace("python:3.13-slim", f"{REGISTRY}/nobody/has-this:9.9.9"),
        ["nobody/has-this:9.9.9", "web"],
    ),
    ("weak-secret", GOOD, ["JWT_SECRET_KEY"]),
]


@pytest.mark.parametrize(("case", "compose", "words"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused_before_anything_was_touched(site, tmp_path, case, compose, words):
    more = {"secrets": [{"name": "JWT_SECRET_KEY", "value": "changeme", "env": True}]} if case == "weak-secret" else {}
    before = site.fingerprint()
    run = site.play("site.yml", extra={"landfall_stacks": [stack(tmp_path, compose, **more)]})
    assert run.rc != 0, run.output[-4000:]
    text = " ".join(run.output.split())
    for word in words:
        assert word in text, f"{word!r} is not in the message:\n{run.output[-4000:]}"
    assert "Traceback" not in run.output
    assert "changeme" not in run.output
    assert site.fingerprint() == before


@pytest.fixture(scope="module")
def toy(site, tmp_path_factory):
    """A sound little stack, deployed; what fails later must leave it as it is."""
    directory = tmp_path_factory.mktemp("toy")
    run = site.play(
        "site.yml",
        extra={
            "landfall_stacks": [stack(directory, GOOD)],
            "landfall_certificates": [
                {"name": "jarvis", "domains": ["jarvis.localhost"]},
                {"name": "toy", "domains": ["toy.site.test"]},
            ],
        },
    )
    assert run.rc == 0, run.output[-6000:]
    yield
    site.sh(
        "cd /opt/landfall/toy && docker ps -aq --filter label=com.docker.compose.project=toy | xargs docker rm -f; "
        "rm -rf /opt/landfall/toy /etc/landfall/edge/stacks/toy.json",
        check=False,
    )


def current(site) -> tuple[str, str]:
    return (
        site.sh("readlink /opt/landfall/toy/current").strip(),
        site.sh(
            "docker exec landfall-edge true; docker ps --filter name=toy-web --format '{{.Names}} {{.Status}}' "
            "| grep -c healthy",
            check=False,
        ).strip(),
    )


BAD_RELEASES = [
    (
        "never-healthy",
        GOOD.replace(
            "import socket; socket.create_connection(('127.0.0.1', 8000), 2)",
            "print('the database is away'); raise SystemExit(1)",
        ),
        ["web", "its healthcheck fails", "the database is away", "Rolled back to release"],
    ),
    ("nobody-listens", GOOD.replace("port: 8000}", "port: 8001}"), ["web", "8001", "8000", "Rolled back to release"]),
    (
        "dies-at-once",
        GOOD.replace('[python3, -m, http.server, "8000"]', "[python3, -c, \"raise SystemExit('no config')\"]"),
        ["web", "no config"],
    ),
]


@pytest.mark.parametrize(("case", "compose", "words"), BAD_RELEASES, ids=[row[0] for row in BAD_RELEASES])
def test_a_bad_release_goes_back_to_the_good_one(site, toy, tmp_path, case, compose, words):
    before = current(site)
    assert before[1] == "1"
    run = site.play("site.yml", extra={"landfall_stacks": [stack(tmp_path, compose)]})
    assert run.rc != 0, run.output[-4000:]
    text = " ".join(run.output.split())
    for word in words:
        assert word in text, f"{word!r} is not in the message:\n{run.output[-6000:]}"
    assert "Traceback" not in run.output
    after = current(site)
    if after[1] != "1":
        import time

        time.sleep(6)
        after = current(site)
    assert after == before, run.output[-3000:]


# -- a bare host that is not fit -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(lab):
    lab.remove_host("unfit")
    lab.host("unfit", last=HOST + 10, tmpfs=["/opt:size=64m"])
    unfit = Site(lab, "unfit", "inventory-unfit")
    unfit.write_inventory("unfit")
    yield unfit
    lab.remove_host("unfit")


def refused(bare: Site, words: list[str], **extra: Any) -> None:
    before = bare.sh(STATE)
    run = bare.play("site.yml", extra={"preflight_dns": "skip", **extra})
    assert run.rc != 0
    text = " ".join(run.output.split())
    for word in words:
        assert word in text, f"{word!r} is not in the message:\n{run.output[-5000:]}"
    assert "Traceback" not in run.output
    assert bare.sh(STATE) == before


def test_a_full_disk(bare):
    refused(bare, ["/opt has", "MB free", "Free space on /opt"])


def test_port_80_taken_by_another_program(bare):
    bare.sh("nohup python3 -m http.server 80 >/dev/null 2>&1 & sleep 1")
    try:
        refused(bare, ["80", "python3"])
    finally:
        bare.sh("kill $(ss -Hltnp 'sport = :80' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p')")


def test_dns_points_elsewhere(bare):
    refused(bare, ["172.30.98.10", "172.30.98.20"], preflight_dns="fail")


def test_an_unsupported_os(bare):
    bare.sh(
        "cp /etc/os-release /root/os-release; sed -i 's/^ID=.*/ID=fedora/; s/^VERSION_ID=.*/VERSION_ID=43/; "
        's/^PRETTY_NAME=.*/PRETTY_NAME="Fedora 43"/\' /usr/lib/os-release'
    )
    try:
        refused(bare, ["Fedora", "not supported", "Debian 12"])
    finally:
        bare.sh("cp /root/os-release /usr/lib/os-release")


def test_no_sudo(bare, lab):
    bare.sh(
        "id nobody-special >/dev/null 2>&1 || useradd -m -s /bin/bash nobody-special; "
        "mkdir -p ~nobody-special/.ssh; "
        "cp /root/.ssh/authorized_keys ~nobody-special/.ssh/; chown -R nobody-special: ~nobody-special/.ssh"
    )
    refused(bare, ["sudo", "nobody-special"], ansible_user="nobody-special")


def test_all_problems_come_at_once(bare):
    """Several things wrong: one run names them all."""
    bare.sh("cp /etc/os-release /root/os-release; sed -i 's/^ID=.*/ID=fedora/' /usr/lib/os-release")
    try:
        refused(bare, ["/opt has", "not supported", "172.30.98.10"], preflight_dns="fail")
    finally:
        bare.sh("cp /root/os-release /usr/lib/os-release")
