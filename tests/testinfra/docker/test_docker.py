# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host must be after the role docker. The scan from another host is an end-to-end test of its own."""

from __future__ import annotations

import json

import pytest

FIREWALL = "landfall-docker-firewall"


@pytest.fixture(scope="module")
def info(host) -> dict:
    return json.loads(host.check_output("docker info --format '{{json .}}'"))


@pytest.fixture(scope="module")
def major(info) -> int:
    return int(info["ServerVersion"].split(".")[0])


def test_engine_runs_and_starts_at_boot(host):
    assert host.service("docker").is_running
    assert host.service("docker").is_enabled


def test_compose_v2(host):
    if host.system_info.release == "12":
        pytest.skip("Debian 12 has no Compose v2 of its own")
    assert host.check_output("docker compose version --short").lstrip("v").startswith(("2.", "5."))


def test_daemon_runs_on_its_file(host, info):
    config = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert info["LiveRestoreEnabled"] is config["live-restore"] is True
    assert info["LoggingDriver"] == config["log-driver"]
    assert info["DefaultAddressPools"] == [{"Base": "172.16.0.0/12", "Size": 24}]
    assert config["log-opts"] == {"max-file": "3", "max-size": "10m"}


def test_daemon_file_is_valid(host, major):
    if major < 23:
        pytest.skip("dockerd before 23 cannot validate")
    assert host.run("dockerd --validate --config-file /etc/docker/daemon.json").rc == 0


def test_new_networks_come_from_the_pool(host):
    host.check_output("docker network create landfall-testinfra")
    try:
        subnet = host.check_output("docker network inspect -f '{{(index .IPAM.Config 0).Subnet}}' landfall-testinfra")
    finally:
        host.check_output("docker network rm landfall-testinfra")
    assert subnet.endswith("/24")


def test_firewall_is_loaded_and_comes_back(host):
    assert host.service(FIREWALL).is_running
    assert host.service(FIREWALL).is_enabled
    assert host.run(FIREWALL + " check").stdout == ""


def test_firewall_comes_before_docker(host):
    assert "docker.service" in host.check_output("systemctl show %s --property=Before", FIREWALL)
    assert "docker.service" in host.check_output("systemctl show %s --property=PartOf", FIREWALL)


@pytest.mark.parametrize("iptables", ["iptables", "ip6tables"])
def test_firewall_hook(host, iptables):
    """Whatever accepts a container's traffic comes after the guard."""
    forward = host.check_output("%s -S FORWARD", iptables).splitlines()
    accepting = [number for number, rule in enumerate(forward) if rule.endswith(("-j ACCEPT", "-j DOCKER"))]
    assert forward.index("-A FORWARD -j DOCKER-USER") < min(accepting, default=len(forward))
    chain = host.check_output("%s -S DOCKER-USER", iptables).splitlines()
    assert chain[1] == "-A DOCKER-USER -j LANDFALL-DOCKER"
    rules = host.check_output("%s -S LANDFALL-DOCKER", iptables).splitlines()
    assert rules[-3:] == [
        f"-A LANDFALL-DOCKER -o {bridge} -j DROP" for bridge in ("docker0", "br-+", "docker_gwbridge")
    ]


def test_python_packages_of_the_host_program(host):
    assert host.run("/usr/bin/python3 -c 'import yaml, jsonschema'").rc == 0
