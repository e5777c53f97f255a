"""A source that is written to during load, catch-up and cutover: what the writer's own log says is what is there."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import changelog
from ansible_collections.landfall.stack.plugins.module_utils.clients.pg_target import Target
from ansible_collections.landfall.stack.plugins.module_utils.migration.problems import Stopped

from . import ground

KEPT = {"include": ["users", "events", "empty"]}


def expected(log: Path, events: int = 6000) -> dict[int, int]:
    """id → n of events, by the log of what was taken."""
    state = {2 * n + 1: (1 << 40) + n for n in range(events)}
    for line in log.read_text().splitlines():
        kind, *words = line.split()
        if kind == "delete":
            state.pop(int(words[0]))
        elif kind != "refused":
            state[int(words[0])] = int(words[1])
    return state


@pytest.mark.parametrize("wal", [True, False])
def test_no_write_is_lost_or_doubled(tmp_path: Path, dsn: str, library: str, wal: bool) -> None:
    path = ground.shop(tmp_path / "shop.db", wal=wal)
    plan = ground.plan(path, library, KEPT)
    changelog.install(str(path), plan, library)
    log = tmp_path / "log"
    writer = subprocess.Popen([sys.executable, str(Path(__file__).parent / "writer.py"), str(path), str(log), "500"])
    try:
        time.sleep(0.5)
        ground.run(plan, dsn, library, caught_up=True, work_dir=str(tmp_path / "work"), lock_timeout=20)
        follower = changelog.Follower(plan, Target(dsn, plan), str(path), "public", library)
        time.sleep(0.5)
        follower.drain()
        done = follower.cutover()
        follower.close()
        writer.wait(20)
    finally:
        writer.kill()
        writer.wait()
    lines = log.read_text().splitlines()
    assert lines[-1].startswith("refused") and "has moved" in lines[-1]
    assert len(lines) > 300 and any(line.startswith("delete") for line in lines)
    state = dict(ground.query(dsn, "SELECT id, n FROM events"))
    wanted = expected(log)
    assert {key for key in wanted if key not in state} == set(), "lost"
    assert {key for key in state if key not in wanted} == set(), "too many"
    assert state == wanted
    assert done["seconds"] < 2
    assert (
        ground.query(dsn, "SELECT nextval(pg_get_serial_sequence('events', 'id'))")[0][0]
        == max(max(wanted), 2 * 6000) + 1
        or ground.query(dsn, "SELECT max(id) FROM events")[0][0] < max(wanted) + 1
    )
    assert ground.query(dsn, "SELECT count(*) FROM pg_constraint WHERE condeferrable AND contype = 'f'") == [(0,)]
    changelog.remove(str(path), library)
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'landfall%'").fetchone() == (0,)
    db.execute("INSERT INTO empty VALUES (1, 'open again')")
    db.close()


def test_awkward_changes(tmp_path: Path, dsn: str, library: str) -> None:
    """Keys that change, unique values that are swapped, rows that are replaced, parents and children in any order."""
    path = ground.shop(tmp_path / "shop.db", users=20, events=100)
    plan = ground.plan(path, library, KEPT)
    changelog.install(str(path), plan, library)
    ground.run(plan, dsn, library, caught_up=True)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("UPDATE users SET id = 900 WHERE id = 20")
    db.execute("UPDATE events SET user_id = 900 WHERE user_id = 20")
    db.execute("UPDATE users SET email = 'x' WHERE id = 1")
    db.execute("UPDATE users SET email = 'user1@exämple.org' WHERE id = 2")
    db.execute("UPDATE users SET email = 'user2@exämple.org' WHERE id = 1")
    db.execute("INSERT OR REPLACE INTO users (id, email) VALUES (901, 'user3@exämple.org')")
    db.execute("UPDATE events SET user_id = 901 WHERE user_id = 3")
    db.execute("INSERT INTO events VALUES (5000, 902, 'child first', 1)")
    db.execute("INSERT INTO users (id, email) VALUES (902, 'later@x')")
    follower = changelog.Follower(plan, Target(dsn, plan), str(path), "public", library)
    while follower.apply(2):
        pass
    assert follower.cutover()["applied"] == 0
    follower.close()
    for table, columns in (("users", "id, email"), ("events", "id, user_id, kind, n")):
        sql = f"SELECT {columns} FROM {table} ORDER BY id"
        assert ground.query(dsn, sql) == db.execute(sql).fetchall()
    with pytest.raises(sqlite3.OperationalError, match="has moved"):
        db.execute("UPDATE users SET email = 'y'")
    db.close()


def test_a_switch_that_fails_leaves_the_source(tmp_path: Path, dsn: str, library: str) -> None:
    path = ground.shop(tmp_path / "shop.db", users=20, events=100)
    plan = ground.plan(path, library, KEPT)
    changelog.install(str(path), plan, library)
    ground.run(plan, dsn, library, caught_up=True)
    follower = changelog.Follower(plan, Target(dsn, plan), str(path), "public", library)

    def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        follower.cutover(fail)
    follower.close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("UPDATE users SET email = 'still open' WHERE id = 1")
    db.close()
    follower = changelog.Follower(plan, Target(dsn, plan), str(path), "public", library)
    assert follower.cutover()["applied"] >= 1
    follower.close()
    assert ground.query(dsn, "SELECT email FROM users WHERE id = 1") == [("still open",)]


def test_tables_that_cannot_be_followed_are_refused(tmp_path: Path, library: str) -> None:
    path = ground.shop(tmp_path / "shop.db", users=20, events=100)
    with pytest.raises(Stopped, match=r"kv.*bag|bag.*kv"):
        changelog.install(str(path), ground.plan(path, library), library)
