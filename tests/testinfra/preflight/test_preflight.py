"""The look before anything changes leaves the host as bare as it was."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("path", ["/opt/landfall", "/etc/landfall", "/usr/local/bin/landfall", "/etc/docker"])
def test_nothing_was_written(host, path):
    assert not host.file(path).exists


def test_nothing_was_installed(host):
    assert not host.package("docker.io").is_installed
    assert not host.package("ufw").is_installed
