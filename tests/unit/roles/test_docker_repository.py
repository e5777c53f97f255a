# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role docker writes and installs on the distributions that no lab has a host of. Its variables are rendered
by Ansible itself; what the probe says of the host is put in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[3] / "roles" / "docker"
BARE = {"container": "", "engine": "", "installed": "", "foreign_repositories": "", "ce_version": ""}
HOSTS = [
    ("debian", "12", "bookworm"),
    ("debian", "13", "trixie"),
    ("ubuntu", "22", "jammy"),
    ("ubuntu", "24", "noble"),
]


def rendered(what: str, said: dict[str, str], **inventory: Any) -> Any:
    """The role's variable or template `what`, on a host of which the probe says `said`."""
    loader = DataLoader()
    loader.set_basedir(str(ROLE))
    variables = {
        **loader.load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True),
        **loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True),
        "__docker_probe": {"stdout_lines": [f"{key}={value}" for key, value in said.items()]},
        "ansible_managed": "managed",
        **inventory,
    }
    template = ROLE / "templates" / what
    text = trust_as_template(template.read_text()) if template.is_file() else variables[what]
    return Templar(loader=loader, variables=variables).template(text)


def said(distribution: str, release: str, codename: str, **more: str) -> dict[str, str]:
    return {
        **BARE,
        "distribution": distribution,
        "release": release,
        "codename": codename,
        "architecture": "arm64",
        **more,
    }


@pytest.mark.parametrize(("distribution", "release", "codename"), HOSTS)
def test_the_source_file_names_the_distribution_and_its_release(distribution, release, codename):
    host = said(distribution, release, codename)
    text = rendered("docker.sources.j2", host, docker_repository_url="https://apt.example.test/linux")
    assert text.splitlines() == [
        "# managed",
        "Types: deb",
        f"URIs: https://apt.example.test/linux/{distribution}",
        f"Suites: {codename}",
        "Components: stable",
        "Architectures: arm64",
        "Signed-By: /etc/apt/keyrings/landfall-docker.asc",
    ]


def test_another_channel():
    assert "\nComponents: test\n" in rendered(
        "docker.sources.j2", said("ubuntu", "24", "noble"), docker_repository_channel="test"
    )


@pytest.mark.parametrize(
    ("host", "source", "expected"),
    [
        (("ubuntu", "24", "noble"), "distribution", ["docker.io", "docker-compose-v2", "docker-buildx"]),
        (("debian", "13", "trixie"), "distribution", ["docker.io", "docker-cli", "docker-compose", "docker-buildx"]),
        (("debian", "12", "bookworm"), "distribution", ["docker.io"]),
        (
            ("ubuntu", "22", "jammy"),
            "docker",
            ["docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"],
        ),
    ],
)
def test_the_packages_are_the_sources(host, source, expected):
    to_install = rendered("__docker_to_install", said(*host), docker_source=source)
    assert sorted(to_install) == sorted([*expected, "iptables", "python3-yaml", "python3-jsonschema", "apparmor"])


@pytest.mark.parametrize(
    ("version", "installed", "expected"),
    [
        ("", "5:28.5.1-1~ubuntu.24.04~noble", []),
        ("28.5.1", "5:28.5.1-1~ubuntu.24.04~noble", []),
        ("28.5", "5:28.5.1-1~ubuntu.24.04~noble", []),
        ("28.5.2", "5:28.5.1-1~ubuntu.24.04~noble", ["docker-ce-cli=5:28.5.2*", "docker-ce=5:28.5.2*"]),
        ("28.5.1", "5:28.5.10-1~ubuntu.24.04~noble", ["docker-ce-cli=5:28.5.1*", "docker-ce=5:28.5.1*"]),
    ],
)
def test_a_pin_that_the_engine_does_not_have_is_installed(version, installed, expected):
    packages = "docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin iptables apparmor"
    host = said("ubuntu", "24", "noble", installed=f"{packages} python3-yaml python3-jsonschema", ce_version=installed)
    assert sorted(rendered("__docker_to_install", host, docker_version=version)) == sorted(expected)
