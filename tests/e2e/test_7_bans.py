"""Who attacks is banned, from everything the host offers, and nobody else is.

One host with the real edge; the attackers are other hosts of its network, each with addresses of its own.
LANDFALL_BANS_IMAGE=landfall-lab/host:bookworm runs it on Debian 12.
"""

from __future__ import annotations

import ast
import os
import re
import shlex

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import Limit, Route, StackRoutes, to_json
from lab import images
from lab.lab import Lab
from lab.publish import stand_ins
from lab.shell import docker, wait_for
from lab.site import Run, Site

DOMAIN = "shop.test"
EVERYTHING = {"ssh", "edge", "published"}
#: Failures that lead to a ban, by jail.
TRIES = {"sshd": 3, "landfall-auth": 4, "landfall-scan": 6, "landfall-limit": 8}
#: The attackers, by the last part of their addresses.
HOSTS = {
    "bystander": 50, "sshd": 51, "landfall-auth": 52, "landfall-scan": 53, "landfall-limit": 54, "six": 55,
    "proxy": 60, "behind": 61, "liar": 62, "operator": 200, "operator6": 70,
}  # fmt: skip
#: A service with an answer of each kind, and beside it a container that publishes a port past the edge.
APP = (
    "pid /tmp/nginx.pid; error_log /dev/stderr; events {} http { access_log off; client_body_temp_path /tmp/a; "
    "proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e; "
    "server { listen 8000; location / { return 404; } location = /ok { return 200 ok; } location = /in { return 401; } "
    "location = /busy { return 200 ok; } } }"
)
IMAGE = "nginxinc/nginx-unprivileged:1.30"
SHOP = f"""
docker network create --label landfall.edge=true landfall-edge-shop
docker run -d --name shop-web-1 --restart always --network landfall-edge-shop -p 9090:8000 --entrypoint sh {IMAGE} \\
  -c {shlex.quote(f"echo {shlex.quote(APP)} > /tmp/app.conf; exec nginx -c /tmp/app.conf -g 'daemon off;'")}
"""
#: Prints what answers at an address ($1, in a URL $2), three ways side by side.
KNOCK = f"""
(timeout 3 bash -c 'exec 3<>/dev/tcp/'"$1"'/22 && read -r line <&3 && case $line in SSH-*) echo ssh;; esac') &
(curl -sfk -m 3 -o /dev/null --resolve {DOMAIN}:443:"$2" https://{DOMAIN}/ok && echo edge) &
(curl -sf -m 3 -o /dev/null "http://$2:9090/ok" && echo published) &
wait
"""


class Ground:
    """The host, its inventory and the attackers."""

    def __init__(self, lab: Lab, bookworm: bool) -> None:
        self.lab, self.site, self.bookworm = lab, Site(lab), bookworm
        self.site.write_inventory()

    def play(self, *args: str, **extra) -> Run:
        variables = {
            "landfall_stacks": [],
            # Debian 12 has no Compose v2 of its own; see the fixture.
            "docker_compose_required": not self.bookworm,
            "docker_published_ports": [{"port": "80"}, {"port": "443"}, {"port": "9090"}],
            # Over IPv6 Docker's proxy answers, a program on the host.
            "hardening_firewall_allow": [{"port": "9090", "protocol": "tcp"}],
            # OpenSSH 9.8 and later turns such clients away by itself for a while, ban or no ban.
            "hardening_ssh_options": {} if self.bookworm else {"PerSourcePenalties": "no"},
            "hardening_fail2ban_max_retry": TRIES["sshd"],
            "hardening_fail2ban_edge_enabled": True,
            **{f"hardening_fail2ban_edge_{n}_max_retry": TRIES[f"landfall-{n}"] for n in ("auth", "scan", "limit")},
            "hardening_fail2ban_ignore_ips": [f"{self.lab.net.ip(192)}/26", self.lab.net.ip6(HOSTS["operator6"])],
            "edge_trusted_proxies": [self.ip("proxy")],
            **extra,
        }
        return self.site.play("site.yml", *args, extra=variables)

    def ip(self, who: str) -> str:
        return self.lab.net.ip(HOSTS[who])

    def ip6(self, who: str) -> str:
        return self.lab.net.ip6(HOSTS[who])

    def on(self, who: str, script: str, *args: str) -> str:
        return docker("exec", self.lab.container(who), "bash", "-c", script, "bash", *args, check=False)

    def reaches(self, who: str, v6: bool = False) -> set[str]:
        """What of the host answers to `who`."""
        address = self.lab.net.ip6(10) if v6 else self.lab.net.ip(10)
        return set(self.on(who, KNOCK, address, f"[{address}]" if v6 else address).split())

    def log_in(self, who: str, times: int, v6: bool = False) -> None:
        """Fail to log in over SSH."""
        address = self.lab.net.ip6(10) if v6 else self.lab.net.ip(10)
        options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5"
        self.on(who, f"for _ in $(seq {times}); do ssh {options} intruder@{address} true; done 2>/dev/null")

    def ask(self, who: str, path: str, times: int, *args: str) -> list[str]:
        """Requests at the edge; gives back their statuses."""
        argv = ["curl", "-sk", "-m", "10", "--resolve", f"{DOMAIN}:443:{self.lab.net.ip(10)}", *args]
        argv += ["-o", "/dev/null", "-w", "%{http_code} ", f"https://{DOMAIN}{path}?[1-{times}]"]
        return self.on(who, shlex.join(argv)).split()

    def attack(self, jail: str, who: str, times: int, *args: str) -> None:
        """`times` failures that the jail counts."""
        if jail == "sshd":
            self.log_in(who, times)
        elif jail == "landfall-limit":
            answers = self.ask(who, "/busy", times + 2, *args)
            assert answers.count("429") >= times, answers
        else:
            path, status = {"landfall-auth": ("/in", "401"), "landfall-scan": ("/gone", "404")}[jail]
            assert self.ask(who, path, times, *args) == [status] * times

    def banned(self) -> dict[str, list[str]]:
        """The banned addresses, by jail."""
        listing = ast.literal_eval(self.site.sh("fail2ban-client banned").strip())
        return {jail: addresses for one in listing for jail, addresses in one.items() if addresses}

    def wait_for_ban(self, jail: str, address: str) -> None:
        wait_for(f"{address} to be banned by {jail}", lambda: address in self.banned().get(jail, []), 30)

    def dropped(self) -> str:
        return self.site.sh("nft list table inet landfall-bans", check=False)

    def log(self) -> str:
        return self.site.sh("cat /var/log/fail2ban.log")

    def lift(self, address: str) -> None:
        self.site.sh(f"fail2ban-client unban {address}")


@pytest.fixture(scope="module")
def ground():
    lab = Lab(os.environ.get("LANDFALL_BANS_LAB", "bans"))
    image = os.environ.get("LANDFALL_BANS_IMAGE", "landfall-lab/host:trixie")
    bookworm = image.endswith("bookworm")
    images.ensure("landfall-lab/services:trixie", "landfall-lab/nginx-unprivileged:1.30", image)
    lab.services()
    stand_ins(lab)
    lab.remove_host("host")
    lab.host(image=image)
    if bookworm:
        compose_of_trixie(lab)
    for name, last in HOSTS.items():
        lab.start(name, last, image, command=["sleep", "infinity"])
    yield Ground(lab, bookworm)
    if not os.environ.get("LANDFALL_KEEP"):
        lab.down()


def compose_of_trixie(lab: Lab) -> None:
    """Debian 12's packages have Compose v1 only: the host gets Debian 13's, with the libraries it is linked with."""
    source = "landfall-lab/host-docker:trixie"
    images.ensure(source)
    plugin = "/usr/libexec/docker/cli-plugins/docker-compose"
    take = f"mkdir /t && cp {plugin} /t && ldd {plugin} | grep -o '/[^ ]*' | xargs -I@ cp -L @ /t && tar -C /t -c ."
    script = """
mkdir -p /opt/compose /usr/local/lib/docker/cli-plugins
base64 -d | tar -C /opt/compose -x
cat > /usr/local/lib/docker/cli-plugins/docker-compose <<'END'
#!/bin/sh
exec /opt/compose/ld-linux-x86-64.so.2 --library-path /opt/compose /opt/compose/docker-compose "$@"
END
chmod 755 /usr/local/lib/docker/cli-plugins/docker-compose
"""
    archive = docker("run", "--rm", "--entrypoint", "sh", source, "-c", f"({take}) | base64")
    docker("exec", "-i", lab.container("host"), "sh", "-c", script, stdin=archive)


def test_the_bare_host_in_check_mode(ground):
    run = ground.play("--check", "--diff")
    assert run.rc == 0, run.output[-6000:]
    assert "landfall-scan" in run.output and "nftables" in run.output
    assert ground.site.sh("ls /etc/fail2ban 2>/dev/null", check=False).strip() == ""


def test_fail2ban_starts_before_docker_and_edge_are_there(ground):
    run = ground.play()
    assert run.rc == 0, run.output[-6000:]
    assert "Restart fail2ban" in run.output
    jails = ground.site.sh("fail2ban-client status")
    assert all(jail in jails for jail in TRIES), jails


def test_a_second_run_changes_nothing(ground):
    route = {"service": "web", "port": 8000, "upstreams": ("shop-web-1",)}
    routes = StackRoutes(
        "shop",
        (DOMAIN,),
        "landfall-edge-shop",
        (
            Route(DOMAIN, "/", **route),
            Route(DOMAIN, "/busy", limit=Limit("1r/m", 1), **route),
        ),
    )
    ground.site.sh(f"echo {shlex.quote(to_json(routes))} > /etc/landfall/edge/stacks/shop.json\n{SHOP}")
    joined = ground.play()
    assert joined.rc == 0, joined.output[-6000:]
    run = ground.play()
    assert run.rc == 0 and run.total("changed") == 0, run.output[-6000:]
    wait_for("the host to answer to all", lambda: ground.reaches("bystander") == EVERYTHING, 30)
    assert ground.banned() == {}


@pytest.mark.parametrize("jail", TRIES)
def test_a_ban_and_its_end(ground, jail):
    address, times = ground.ip(jail), TRIES[jail]
    assert ground.reaches(jail) == EVERYTHING
    # One too few.
    ground.attack(jail, jail, times - 1)
    wait_for("fail2ban to have counted them", lambda: f"[{jail}] Found {address}" in ground.log(), 30)
    assert ground.banned() == {} and ground.reaches(jail) == EVERYTHING
    ground.attack(jail, jail, 1)
    ground.wait_for_ban(jail, address)
    assert ground.banned() == {jail: [address]}
    wait_for("the ban to hold", lambda: address in ground.dropped(), 10)
    assert ground.reaches(jail) == set()
    assert ground.reaches("bystander") == EVERYTHING
    ground.lift(address)
    wait_for("the ban to end", lambda: ground.reaches(jail) == EVERYTHING, 20)
    assert address not in ground.dropped()


def test_a_ban_over_ipv6(ground):
    address = ground.ip6("six")
    assert ground.reaches("six", v6=True) == EVERYTHING
    ground.log_in("six", TRIES["sshd"], v6=True)
    ground.wait_for_ban("sshd", address)
    wait_for("the ban to hold", lambda: address in ground.dropped(), 10)
    assert ground.reaches("six", v6=True) == set()
    assert ground.reaches("bystander", v6=True) == EVERYTHING
    ground.lift(address)
    wait_for("the ban to end", lambda: ground.reaches("six", v6=True) == EVERYTHING, 20)


def test_an_open_connection_of_a_banned_address_is_cut(ground):
    talk = "exec 3<>/dev/tcp/{0}/9090; printf 'GET /ok HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3; read -r -t 5 line <&3; "
    talk += "echo ${{line%% *}}; touch /tmp/open; while [ ! -e /tmp/go ]; do sleep 0.1; done; "
    talk += "while read -r -t 0.2 line <&3; do :; done; "
    talk += "printf 'GET /ok HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3; "
    talk += "read -r -t 4 line <&3 && echo ${{line%% *}}; echo end"
    address = ground.ip("landfall-scan")
    seen = []
    for ban in (False, True):
        ground.on("landfall-scan", "rm -f /tmp/open /tmp/go")
        ground.on("landfall-scan", f"bash -c {shlex.quote(talk.format(ground.lab.net.ip(10)))} > /tmp/said 2>&1 &")
        wait_for("the connection", lambda: "yes" in ground.on("landfall-scan", "test -e /tmp/open && echo yes"), 20)
        if ban:
            ground.site.sh(f"fail2ban-client set landfall-scan banip {address}")
            wait_for("the ban to hold", lambda: address in ground.dropped(), 10)
        ground.on("landfall-scan", "touch /tmp/go")
        wait_for("its end", lambda: "end" in ground.on("landfall-scan", "cat /tmp/said"), 30)
        seen.append(ground.on("landfall-scan", "cat /tmp/said").split())
    ground.lift(address)
    assert seen == [["HTTP/1.1", "HTTP/1.1", "end"], ["HTTP/1.1", "end"]]


def test_who_is_on_the_allow_list_is_never_banned(ground):
    for jail, times in TRIES.items():
        ground.attack(jail, "operator", times + 2)
    ground.log_in("operator6", TRIES["sshd"] + 2, v6=True)
    expected = [f"[{jail}] Ignore {ground.ip('operator')} by ip" for jail in TRIES]
    expected.append(f"[sshd] Ignore {ground.ip6('operator6')} by ip")
    for line in expected:
        wait_for(line, lambda line=line: line in ground.log(), 30)
    assert ground.banned() == {}
    assert ground.reaches("operator") == EVERYTHING and ground.reaches("operator6", v6=True) == EVERYTHING


def test_behind_a_trusted_proxy_the_client_is_judged(ground):
    jail, times = "landfall-scan", TRIES["landfall-scan"]
    ground.attack(jail, "proxy", times, "-H", f"X-Forwarded-For: {ground.ip('behind')}")
    ground.wait_for_ban(jail, ground.ip("behind"))
    assert ground.banned() == {jail: [ground.ip("behind")]}
    wait_for("the ban to hold", lambda: ground.reaches("behind") == set(), 10)
    ground.lift(ground.ip("behind"))
    # What the proxy asks for in its own name.
    ground.attack(jail, "proxy", times)
    wait_for("the proxy to be spared", lambda: f"[{jail}] Ignore {ground.ip('proxy')} by ip" in ground.log(), 30)
    assert ground.banned() == {} and ground.reaches("proxy") == EVERYTHING


def test_nobody_has_another_banned(ground):
    """An untrusted client names somebody else, in the header and in what ends up in the log."""
    claim = ("-H", f"X-Forwarded-For: {ground.ip('bystander')}", "-A", f"{ground.ip('bystander')} 404 GET x /")
    ground.attack("landfall-scan", "liar", TRIES["landfall-scan"], *claim)
    ground.wait_for_ban("landfall-scan", ground.ip("liar"))
    assert ground.banned() == {"landfall-scan": [ground.ip("liar")]}
    ground.lift(ground.ip("liar"))


def test_a_container_of_the_host_is_never_banned(ground):
    """It asks for the host's public name, as stacks do of one another."""
    times = TRIES["landfall-scan"] + 2
    url = f"https://{DOMAIN}/gone?[1-{times}]"
    resolve = f"{DOMAIN}:443:{ground.lab.net.ip(10)}"
    ground.site.sh(
        "pid=$(docker inspect -f '{{.State.Pid}}' shop-web-1); "
        f"nsenter -t $pid -n curl -sk -o /dev/null --resolve {resolve} '{url}'"
    )
    own = ground.site.sh("docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' shop-web-1")
    spared = re.compile(r"\[landfall-scan\] Ignore (\S+) by (command|ignoreself rule)")
    wait_for("it to be spared", lambda: spared.search(ground.log()), 30)
    assert ground.banned() == {} and "200" in ground.ask("bystander", "/ok", 1)
    # It came from the bridge's own address. Whoever comes from a container's is known by the way back to it.
    command = "/etc/fail2ban/filter.d/ignorecommands/landfall-own {} && echo own || echo foreign"
    own += ground.site.sh("docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' bridge landfall-edge-shop")
    addresses = [*own.split(), ground.ip("liar"), ground.ip6("six"), ground.lab.net.ip(10)]
    said = [ground.site.sh(command.format(address)).strip() for address in addresses]
    assert said == [*["own"] * len(own.split()), "foreign", "foreign", "own"], addresses


def test_a_ban_outlives_restarts_of_docker_firewall_and_host(ground):
    address = ground.ip("landfall-auth")
    ground.attack("landfall-auth", "landfall-auth", TRIES["landfall-auth"])
    ground.wait_for_ban("landfall-auth", address)
    firewall = ("ufw reload", "ufw disable && ufw --force enable")
    for command in (*firewall, "systemctl restart docker", "fail2ban-client reload", "systemctl restart fail2ban"):
        ground.site.sh(command)
        wait_for(f"the host to answer after {command}", lambda: ground.reaches("bystander") == EVERYTHING, 60)
        wait_for(f"the ban to hold after {command}", lambda: address in ground.dropped(), 10)
        assert ground.reaches("landfall-auth") == set(), command
    ground.lab.reboot()
    wait_for("the host to answer", lambda: ground.reaches("bystander") == EVERYTHING, 90)
    wait_for("the ban to hold", lambda: address in ground.dropped(), 30)
    assert ground.reaches("landfall-auth") == set()
    # The edge tells the journal again, too.
    ground.attack("landfall-scan", "landfall-scan", TRIES["landfall-scan"])
    ground.wait_for_ban("landfall-scan", ground.ip("landfall-scan"))
    ground.lift(ground.ip("landfall-scan"))
    ground.lift(address)
    wait_for("the ban to end", lambda: ground.reaches("landfall-auth") == EVERYTHING, 20)
