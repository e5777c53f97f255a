# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of host and network as tables: facts in, levels and telling words out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.preflight import Facts, Policy, host, network, run_checks
from ansible_collections.landfall.stack.plugins.module_utils.preflight.facts import (
    Apt,
    Daemon,
    Disk,
    Image,
    Kernel,
    Listener,
    Mirror,
    Name,
)

GOOD = Facts(
    os_id="debian",
    os_version="13",
    os_name="Debian GNU/Linux 13 (trixie)",
    machine="x86_64",
    memory_mb=4000,
    init="systemd",
    clock_skew=0.4,
    disks=(Disk("/", 20000, 900000, 1000000),),
    addresses=("127.0.0.1", "::1", "198.51.100.4", "8.8.4.4"),
    names=(Name("shop.example.com", ("8.8.4.4",)), Name("shop.localhost", error="unknown")),
    mirrors=(Mirror("http://deb.debian.org/debian/dists/trixie"),),
    images=(Image("shop", "web", "nginx:1.30", "registry-1.docker.io"),),
    kernel=Kernel("6.12"),
)
POLICY = Policy()
TAKEN = Listener(80, 712, "apache2", "apache2.service")
PRIVATE = replace(GOOD, addresses=("127.0.0.1", "10.0.0.5"))
BOOKWORM = replace(GOOD, os_version="12")


def image(reason: str, **more: object) -> Facts:
    return replace(GOOD, images=(replace(GOOD.images[0], reason=reason, detail="HTTP 404", **more),))


def names(*found: Name) -> Facts:
    return replace(GOOD, names=found)


def test_a_good_host_has_only_ok_and_every_check_speaks() -> None:
    found = run_checks(GOOD, POLICY)
    assert {f.level for f in found} == {"ok"}
    assert len(found) == 14
    assert not any(f.remedy for f in found)


@pytest.mark.parametrize(
    ("check", "facts", "policy", "level", "words"),
    [
        (host.check_os, replace(GOOD, os_version="11", os_name="Debian 11"), POLICY, "error", "Debian 11 is not supp"),
        (host.check_os, replace(GOOD, os_id="ubuntu", os_version="24.04"), POLICY, "ok", ""),
        (host.check_os, replace(GOOD, os_version="11"), Policy(allow_unsupported_os=True), "warning", "not supported"),
        (host.check_os, Facts(), POLICY, "error", "An unknown operating system"),
        (host.check_architecture, replace(GOOD, machine="armv7l"), POLICY, "error", "armv7l"),
        (host.check_architecture, replace(GOOD, machine="aarch64"), POLICY, "ok", "arm64"),
        (host.check_memory, replace(GOOD, memory_mb=899), POLICY, "error", "899 MB of RAM; 900 MB"),
        (host.check_memory, replace(GOOD, memory_mb=1799), POLICY, "warning", "1800"),
        (host.check_disk, replace(GOOD, disks=(Disk("/opt", 12),)), POLICY, "error", "/opt has 12 MB free; 4096 MB"),
        (host.check_disk, replace(GOOD, disks=(Disk("/", 9999, 5, 10),)), POLICY, "error", "5 inodes"),
        (host.check_disk, replace(GOOD, disks=(Disk("/", 9999, 0, 0),)), POLICY, "ok", "9999"),
        (host.check_disk, replace(GOOD, disks=(Disk("/", 9999, read_only=True),)), POLICY, "error", "read-only"),
        (host.check_clock, replace(GOOD, clock_skew=-312.0), POLICY, "error", "312 s behind"),
        (host.check_clock, replace(GOOD, clock_skew=31.0), POLICY, "error", "ahead of"),
        (host.check_clock, replace(GOOD, clock_skew=30.0), POLICY, "ok", ""),
        (host.check_init, replace(GOOD, init="sh"), POLICY, "error", "sh, not systemd"),
        (host.check_apt, replace(GOOD, apt=Apt(False)), POLICY, "error", "apt-get"),
        (host.check_apt, replace(GOOD, apt=Apt(broken=("a", "b"))), POLICY, "error", "a, b"),
        (host.check_apt, replace(GOOD, apt=Apt(lock_pid=7, lock_program="apt-get")), POLICY, "warning", "pid 7"),
        (host.check_kernel, replace(GOOD, kernel=Kernel("6", missing=("bridge",))), POLICY, "error", "br_netfilter"),
        (host.check_kernel, replace(GOOD, kernel=Kernel("6", ("overlay",), (), True)), POLICY, "error", "no longer on"),
        (host.check_kernel, replace(GOOD, kernel=Kernel("6", unknown=("overlay",))), POLICY, "ok", "can't be told"),
        (host.check_docker, BOOKWORM, Policy(docker_source="distribution"), "error", "no Docker Compose v2"),
        (host.check_docker, BOOKWORM, Policy(docker_source="distribution", compose_required=False), "ok", ""),
        (host.check_docker, BOOKWORM, POLICY, "ok", ""),
        (host.check_docker, replace(BOOKWORM, daemon=Daemon(packages=("docker.io",))), POLICY, "error", "own Docker"),
        (host.check_docker, replace(BOOKWORM, daemon=Daemon(True, packages=("docker.io",))), POLICY, "ok", "already"),
        (host.check_conflicts, replace(GOOD, daemon=Daemon(snap=True)), POLICY, "warning", "snap"),
        (host.check_conflicts, replace(GOOD, daemon=Daemon(iptables_off=True)), POLICY, "warning", "iptables"),
        (host.check_conflicts, replace(GOOD, daemon=Daemon(config_error="line 1")), POLICY, "warning", "line 1"),
        (host.check_conflicts, replace(GOOD, daemon=Daemon(packages=("docker.io",))), POLICY, "warning", "is kept"),
        (host.check_conflicts, replace(GOOD, daemon=Daemon(packages=("podman-docker",))), POLICY, "warning", "Podman"),
        (network.check_ports, replace(GOOD, listeners=(TAKEN,)), POLICY, "error", "Port 80 is taken by apache2 (pid 7"),
        (network.check_ports, replace(GOOD, listeners=(Listener(443),)), POLICY, "error", "by another program"),
        (network.check_ports, replace(GOOD, listeners=(Listener(8080, 3, "x"),)), POLICY, "ok", "free"),
        (
            network.check_ports,
            replace(GOOD, listeners=(Listener(80, 9, "docker-proxy", containers=("shop-web-1",)),)),
            POLICY,
            "error",
            "container shop-web-1",
        ),
        (
            network.check_ports,
            replace(GOOD, listeners=(Listener(80, 9, "docker-proxy", containers=("landfall-edge",)),)),
            POLICY,
            "ok",
            "our edge",
        ),
        (
            network.check_ports,
            replace(GOOD, listeners=(Listener(80, containers=("landfall-edger",)),)),
            POLICY,
            "error",
            "landfall-edger",
        ),
        (network.check_dns, names(Name("a.com", ("203.0.113.9",))), POLICY, "error", "points to 203.0.113.9"),
        (network.check_dns, names(Name("a.com", ("203.0.113.9",))), Policy(dns="warn"), "warning", "203.0.113.9"),
        (network.check_dns, names(Name("a.com", ("8.8.4.4", "2001:4860::1"))), POLICY, "error", "2001:4860::1"),
        (network.check_dns, names(Name("a.com", error="not known")), POLICY, "error", "no address (not known)"),
        (network.check_dns, names(Name("a.com", ("127.0.1.1",))), POLICY, "warning", "/etc/hosts"),
        (network.check_dns, names(Name("a.localhost", ("127.0.0.1", "::1"))), POLICY, "ok", ""),
        (network.check_dns, names(Name("a.com", ("9.9.9.9",))), Policy(public_addresses=("9.9.9.9",)), "ok", "a.com"),
        (network.check_dns, replace(PRIVATE, names=(Name("a.com", ("9.9.9.9",)),)), POLICY, "warning", "can't be told"),
        (network.check_mirrors, replace(GOOD, mirrors=()), POLICY, "warning", "no package sources"),
        (network.check_mirrors, replace(GOOD, mirrors=(Mirror("u", "missing"),)), POLICY, "error", "does not exist"),
        (network.check_mirrors, replace(GOOD, mirrors=(Mirror("u", "unreachable"),)), POLICY, "error", "can't be reac"),
        (network.check_mirrors, replace(GOOD, mirrors=(Mirror("u", "tls"),)), POLICY, "error", "not trusted"),
        (network.check_mirrors, replace(GOOD, mirrors=(Mirror("u", "refused", "HTTP 403"),)), POLICY, "warning", "403"),
        (network.check_registry, image("not-found"), POLICY, "error", "nginx:1.30 of service web in stack shop does"),
        (network.check_registry, image("not-found", on_host=True), POLICY, "warning", "is on the host"),
        (network.check_registry, image("unauthorized"), POLICY, "error", "or is private"),
        (network.check_registry, image("invalid"), POLICY, "error", "not a valid image name"),
        (network.check_registry, image("unreachable"), POLICY, "error", "can't be reached"),
        (network.check_registry, image("unreachable", on_host=True), POLICY, "warning", "can't be reached"),
        (network.check_registry, image("tls"), POLICY, "error", "TLS"),
        (network.check_registry, image("limited"), POLICY, "warning", "limits"),
    ],
)
def test_one_fault(check, facts, policy, level, words) -> None:
    found = check(facts, policy)
    assert [f.level for f in found] == [level]
    assert words in found[0].message
    assert bool(found[0].remedy) is (level != "ok")


def test_one_silent_registry_is_one_finding() -> None:
    facts = replace(
        GOOD, images=tuple(Image("s", f"w{n}", f"r:5000/w{n}", "r:5000", "unreachable", "refused") for n in range(3))
    )
    (found,) = network.check_registry(facts, POLICY)
    assert "r:5000/w0, r:5000/w1, r:5000/w2" in found.message


def test_all_problems_at_once_and_skipped_ones_left_out() -> None:
    facts = replace(GOOD, memory_mb=100, init="sh", listeners=(TAKEN,))
    assert [f.check for f in run_checks(facts, POLICY) if f.level == "error"] == ["init", "memory", "ports"]
    assert "ports" not in {f.check for f in run_checks(facts, Policy(skip=("ports",)))}
    assert not network.check_dns(names(Name("a.com")), Policy(dns="skip"))


def test_remedies_name_the_command() -> None:
    assert (
        "systemctl disable --now apache2.service"
        in network.check_ports(replace(GOOD, listeners=(TAKEN,)), POLICY)[0].remedy
    )
    python = replace(GOOD, listeners=(Listener(80, 81, "python3"),))
    assert "kill 81" in network.check_ports(python, POLICY)[0].remedy
    wrong = names(Name("a.com", ("203.0.113.9",)))
    assert "Set the A record of a.com to 8.8.4.4" in network.check_dns(wrong, POLICY)[0].remedy
