"""The role's calendar, as systemd understands it on a host in Berlin."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from datetime import datetime, timedelta

import pytest
import yaml

from lab.lab import PROJECT

SCHEDULES = {
    name: value
    for name, value in yaml.safe_load((PROJECT / "roles" / "backup" / "defaults" / "main.yml").read_text()).items()
    if name.endswith("schedule")
}


def moments(calendar: str, since: str, count: int) -> list[datetime]:
    """When it elapses, in UTC."""
    done = subprocess.run(
        ["systemd-analyze", "calendar", f"--base-time={since} UTC", f"--iterations={count}", calendar],
        env={**os.environ, "TZ": "Europe/Berlin", "LC_ALL": "C.UTF-8"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.findall(r"\(in UTC\): \w+ ([0-9-]+ [0-9:]+) UTC", done.stdout)
    return [datetime.strptime(one, "%Y-%m-%d %H:%M:%S") for one in found]


@pytest.mark.parametrize("eve", ["2026-03-27 12:00:00", "2026-10-23 12:00:00"])
def test_the_days_on_which_the_clocks_change(eve: str):
    """Each moment comes once, as far from the others as on any other day."""
    assert len(SCHEDULES) == 4
    for name, calendar in SCHEDULES.items():
        found = moments(calendar, eve, 8)
        apart = {after - before for before, after in itertools.pairwise(found)}
        assert len(found) == 8 and len(apart) == 1, (name, found)


def test_a_local_hour_would_be_skipped():
    """Why preflight asks for UTC."""
    found = moments("*-*-* 02:30:00", "2026-03-28 12:00:00", 2)
    assert found[0].day == 30 and found[1] - found[0] == timedelta(days=1)
