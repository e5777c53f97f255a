# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker from an apt repository like Docker's own. What every engine must be stands in ../docker."""

from __future__ import annotations

import pytest

SOURCES = "/etc/apt/sources.list.d/landfall-docker.sources"
KEY = "/etc/apt/keyrings/landfall-docker.asc"
CE = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin")
DISTRIBUTION = ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "containerd", "runc")


@pytest.fixture
def fresh(host):
    """A host that came bare."""
    if host.backend.get_hostname() == "docker-ce-kept":
        pytest.skip("has the distribution's engine")
    return host


@pytest.fixture
def kept(host):
    """The host that had an engine before the role came."""
    if host.backend.get_hostname() != "docker-ce-kept":
        pytest.skip("came bare")
    return host


@pytest.fixture
def image(host):
    """An image made of one of the host's own programs and its libraries."""
    libraries = host.check_output("ldd /bin/echo | grep -o '/[^ ]*'").split()
    host.check_output(f"tar -chP /bin/echo {' '.join(libraries)} | docker import - landfall/tiny")
    yield "landfall/tiny"
    host.check_output("docker image rm landfall/tiny")


def test_the_packages_are_dockers(fresh):
    assert [name for name in CE if not fresh.package(name).is_installed] == []
    assert [name for name in DISTRIBUTION if fresh.package(name).is_installed] == []


def test_the_packages_come_from_the_repository(fresh):
    policy = fresh.check_output("apt-cache policy docker-ce")
    codename = fresh.system_info.codename
    assert f"https://apt.landfall.test/linux/debian {codename}/stable amd64 Packages" in policy


def test_the_engine_is_the_newest_or_the_pinned_one(fresh):
    installed = fresh.package("docker-ce").version
    assert fresh.package("docker-ce-cli").version == installed
    known = fresh.check_output("apt-cache madison docker-ce | cut -d'|' -f2 | tr -d ' '").split()
    assert len(known) == 2
    assert installed == (max(known) if fresh.backend.get_hostname() == "docker-ce-trixie" else min(known))


def test_the_source_file(fresh):
    lines = fresh.file(SOURCES).content_string.splitlines()
    assert lines[0].startswith("#")
    assert lines[1:] == [
        "Types: deb",
        "URIs: https://apt.landfall.test/linux/debian",
        f"Suites: {fresh.system_info.codename}",
        "Components: stable",
        "Architectures: amd64",
        f"Signed-By: {KEY}",
    ]
    assert (fresh.file(SOURCES).user, fresh.file(SOURCES).mode) == ("root", 0o644)


def test_the_key_is_trusted_for_this_repository_alone(fresh):
    served = fresh.check_output("curl -fsS https://apt.landfall.test/linux/debian/gpg")
    assert fresh.file(KEY).content_string.strip() == served.strip()
    assert (fresh.file(KEY).user, fresh.file(KEY).mode) == ("root", 0o644)
    assert fresh.run("grep -rl Landfall.tests /etc/apt/trusted.gpg.d").stdout == ""


def test_a_container_runs(host, image):
    assert host.check_output(f"docker run --rm {image} /bin/echo hello") == "hello"


def test_a_compose_project_runs(host, image):
    compose = f'{{"name": "tiny", "services": {{"tiny": {{"image": "{image}", "command": ["/bin/echo", "hello"]}}}}}}'
    assert "hello" in host.check_output("echo %s | docker compose -f - up --no-log-prefix", compose)
    host.check_output("echo %s | docker compose -f - down", compose)


def test_buildx(fresh):
    assert fresh.run("docker buildx version").rc == 0


def test_an_engine_that_was_there_is_kept(kept):
    assert kept.package("docker.io").is_installed
    assert [name for name in CE if kept.package(name).is_installed] == []
    assert not kept.file(SOURCES).exists
    assert not kept.file(KEY).exists
