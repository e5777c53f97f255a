"""Days that pass and clocks that are wrong: the program with another ``time.time``, into a local store.

That is a stand-in for a host's clock: libfaketime does not know how Python waits. A store that speaks S3 refuses a
clock that is wrong: test_backup_faults.py.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from lab.lab import PROJECT

from .ground import MAIN, Done, Ground

WRONG = "import os, time; now = time.time; time.time = lambda: now() + 86400 * int(os.environ['DAYS']); "


class Clock:
    """A stack with one SQLite file. :ivar ground: its configuration and what can be seen of it"""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        ground.sources = [{"kind": "sqlite", "name": "notes", "where": str(ground.sqlite)}]
        ground.configure(stores=[{"name": "main", "path": str(ground.root / "store")}], project=False, max_age="26h")
        (ground.root / "store").mkdir()

    def do(self, days: int, verb: str, *args: str) -> Done:
        """One verb, so many days from now."""
        env = {**os.environ, "PYTHONPATH": str(PROJECT / ".build" / "collections"), "DAYS": str(days)}
        argv = [WRONG + MAIN if word == MAIN else word for word in self.ground.argv(verb, *args)]
        done = subprocess.run(argv, env=env, text=True, capture_output=True, timeout=60, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def good(self, days: int, verb: str, *args: str) -> str:
        done = self.do(days, verb, *args)
        assert done.rc == 0, done.said
        return done.said

    def taken(self) -> list[tuple[str, str]]:
        """(day, state) of the sets."""
        return [(one["id"][:8], one["state"]) for one in self.ground.sets()]


@pytest.fixture
def clock(ground: Ground) -> Clock:
    return Clock(ground)


def rows(path: Path) -> int:
    with sqlite3.connect(path) as db:
        found = int(db.execute("SELECT count(*) FROM note").fetchone()[0])
    db.close()
    return found


def test_thirty_days_of_failures_leave_the_last_good_set(clock: Clock):
    ground = clock.ground
    clock.good(0, "run")
    before = clock.taken()
    assert [state for _day, state in before] == ["verified"]
    lost = ground.sqlite.rename(ground.root / "lost.sqlite3")
    for day in range(1, 31):
        failed = clock.do(day, "run")
        assert failed.rc == 1 and "app.sqlite3" in failed.err, failed.said
        assert ground.metric("last_run_success") == 0
        if day % 10 == 0:
            clock.good(day, "prune")
            assert clock.taken() == before
    # The alarm by age, which `list` and the status say; the set is as good as on its first day.
    assert "the newest verified backup is 720 hours old (26 are allowed)" in clock.do(30, "list").err
    clock.good(30, "restore", "--item", "sqlite-notes", "--in-place")
    assert rows(ground.sqlite) == rows(lost) == 500


def test_a_clock_that_goes_a_year_forward_and_comes_back(clock: Clock):
    """Retention keeps three days: what was taken before the clock went wrong must not go because it looks old."""
    for day in range(3):
        clock.good(day, "run")
    before = clock.taken()
    clock.good(365, "run")
    clock.good(365, "prune")
    left = clock.taken()
    assert set(before) & set(left), "all that is true is gone"
    clock.good(3, "run")
    clock.good(3, "prune")
    assert len(clock.taken()) >= 3 and all(state == "verified" for _day, state in clock.taken())
    clock.good(3, "verify", "--all")
    # What the wrong clock left is named, as long as it hides the age of the newest set.
    assert "the newest verified backup is from the future: look at the clock" in clock.do(3, "list").err
