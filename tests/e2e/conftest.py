"""One lab and one host for the whole suite; the tests of a file run in the order they stand in."""

from __future__ import annotations

import os

import pytest

from lab import images
from lab.lab import PROJECT, Lab
from lab.leaks import Processes
from lab.publish import jarvis, stand_ins
from lab.site import Site


def open_lab(name: str):
    """A lab with its services and Jarvis's images; taken away again, unless LANDFALL_KEEP says otherwise."""
    lab = Lab(name)
    images.ensure(*images.recipes())
    lab.services()
    (lab.state / "ca.pem").write_text(lab.acme_root() or "")
    stand_ins(lab)
    jarvis(lab)
    yield lab
    if not os.environ.get("LANDFALL_KEEP"):
        lab.down()


@pytest.fixture(scope="session", autouse=True)
def processes():
    """The command lines of the whole session."""
    watched = Processes().start()
    yield watched
    watched.stop()


@pytest.fixture(scope="session")
def lab():
    yield from open_lab(os.environ.get("LANDFALL_E2E_LAB", "test"))


@pytest.fixture(scope="session")
def project():
    return PROJECT


@pytest.fixture(scope="session")
def site(lab):
    lab.remove_host("host")
    lab.host(publish=True)
    site = Site(lab)
    site.write_inventory(hardening_unattended_upgrades_reboot=True)
    return site
