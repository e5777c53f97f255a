"""What pip installs is what was locked: each package at one version, each file by its hash."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def lines(name: str) -> list[str]:
    text = (PROJECT / name).read_text().replace("\\\n", " ")
    return [found for line in text.splitlines() if (found := line.partition("#")[0].strip())]


def pin(line: str) -> str:
    """A requirement as "name==version", without extras and markers."""
    name, _equal, version = line.partition("==")
    return re.sub(r"[-_.]+", "-", name.partition("[")[0]).lower() + "==" + re.split(r"[ ;]", version)[0]


def locked(name: str) -> dict[str, list[str]]:
    """Requirement → its hashes."""
    return {pin(line): re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line) for line in lines(name)}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_all_that_is_asked_for_is_locked_with_hashes(name: str):
    lock = locked(f"{name}.txt")
    assert all(re.search(r"==\d", one) and hashes for one, hashes in lock.items()), lock
    assert {pin(line) for line in lines(f"{name}.in") if not line.startswith("-r ")} <= set(lock)


def test_the_suite_runs_on_what_users_install():
    assert locked("requirements.txt").items() <= locked("requirements-dev.txt").items()
