"""The whole move without services: load, follow, cut over, back, and again; and each of it killed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import move
from ansible_collections.landfall.stack.plugins.module_utils.migration.problems import Stopped
from ansible_collections.landfall.stack.plugins.modules import database_move

from .move_driver import request

TALK = """
CREATE TABLE agents (id TEXT PRIMARY KEY, name TEXT NOT NULL, seen TIMESTAMP, on_duty BOOLEAN);
CREATE TABLE sessions (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE turns (session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, position INTEGER NOT NULL,
    answer TEXT, score REAL, PRIMARY KEY (session_id, position));
CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT UNIQUE, price DECIMAL(8,2), raw BLOB);
"""
USERS = "CREATE TABLE users (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
ORDER = {"agents": "id", "sessions": "id", "turns": "session_id, position", "notes": "id"}


def talk(where: Path) -> dict[str, Any]:
    """Two files of an application, a registry in JSON; what a request of a move is made of."""
    where.mkdir(exist_ok=True)
    db = sqlite3.connect(where / "talk.db")
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(TALK)
    db.executemany(
        "INSERT INTO agents VALUES (?,?,?,?)",
        ((f"agent-{n}", f"Agent {n}", f"2024-03-0{n}T10:00:00.500", n % 2) for n in range(1, 6)),
    )
    for n in range(40):
        db.execute("INSERT INTO sessions VALUES (?,?,?)", (f"s{n}", f"u{n % 5}", "2024-01-01T00:00:00+00:00"))
        db.executemany("INSERT INTO turns VALUES (?,?,?,?)", ((f"s{n}", at, "é" * at, at / 3) for at in range(1, 6)))
    db.executemany(
        "INSERT INTO notes (body, price, raw) VALUES (?,?,?)", ((f"note {n}", n + 0.25, bytes([n])) for n in range(20))
    )
    db.commit()
    db.close()
    db = sqlite3.connect(where / "users.db")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(USERS)
    db.executemany("INSERT INTO users VALUES (?,?)", ((f"u{n}", f"user {n}") for n in range(30)))
    db.commit()
    db.close()
    (where / "registry.json").write_text(json.dumps({"agents": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]}))
    return {
        "directory": str(where / "move"),
        "sources": [str(where / "talk.db"), str(where / "users.db")],
        "registries": [
            {
                "src": str(where / "registry.json"),
                "records": "/agents",
                "schema": "public",
                "table": "registry",
                "key": ["id"],
                "key_column": "id",
                "document": "",
                "columns": {},
            }
        ],
    }


@pytest.fixture
def told(tmp_path: Path, dsn: str) -> dict[str, Any]:
    return {**talk(tmp_path / "data"), "dsn": dsn}


def step(told: dict[str, Any], name: str, kill: list[Any] | None = None, **more: Any) -> dict[str, Any] | None:
    """A step in a process of its own; None when it was killed."""
    asked = json.dumps({"request": {**told, **more}, "step": name, "kill": kill})
    done = subprocess.run(
        [sys.executable, "-m", "integration.migration.move_driver", asked],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if kill:
        assert done.returncode == -9, f"it was not killed: {done.stderr[-2000:]}"
        return None
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def here(told: dict[str, Any], sql: str, *values: Any) -> list[tuple]:
    """A question to, or a change of, talk.db."""
    db = sqlite3.connect(told["sources"][0], isolation_level=None, timeout=10)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def there(told: dict[str, Any], sql: str, *values: Any) -> list[tuple]:
    with psycopg.connect(told["dsn"], autocommit=True) as connection:
        cursor = connection.execute(sql, values or None)
        return cursor.fetchall() if cursor.description else []


def same(told: dict[str, Any]) -> None:
    """Both sides have the same, by questions of the test's own."""
    for table, order in ORDER.items():
        columns = {"agents": "id, name", "notes": "id, body, raw"}.get(table, "*")
        sql = f"SELECT {columns} FROM {table} ORDER BY {order}"
        left = here(told, sql)
        right = [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in there(told, sql)]
        assert sorted(left) == sorted(right), table
    prices = {key: float(value) for key, value in there(told, "SELECT id, price FROM notes WHERE price IS NOT NULL")}
    assert dict(here(told, "SELECT id, price FROM notes WHERE price IS NOT NULL")) == prices


def write_here(told: dict[str, Any], mark: str) -> None:
    """What a service may do to SQLite."""
    here(told, "INSERT INTO sessions VALUES (?, 'u1', '2024-02-02T00:00:00+00:00')", f"live-{mark}")
    here(told, "INSERT INTO turns VALUES (?, 1, 'hello', 0.5)", f"live-{mark}")
    here(told, "UPDATE turns SET answer = ? WHERE session_id = 's1' AND position = 2", mark)
    here(told, "UPDATE sessions SET id = ? WHERE id = (SELECT max(id) FROM sessions WHERE id GLOB 's*')", f"r-{mark}")
    here(told, "DELETE FROM turns WHERE session_id NOT IN (SELECT id FROM sessions)")
    here(told, "INSERT INTO notes (body, price) VALUES (?, 1.5)", f"gone {mark}")
    here(told, "DELETE FROM notes WHERE body = ?", f"gone {mark}")
    here(told, "UPDATE agents SET on_duty = 1 - on_duty")


def write_there(told: dict[str, Any], mark: str) -> None:
    """The same to PostgreSQL."""
    # The last row of SQLite, and one that sorts before it: its place there must not be taken.
    there(told, "UPDATE sessions SET user_id = %s WHERE id NOT IN ('s0', 's3')", mark)
    there(told, "INSERT INTO sessions VALUES (%s, 'u1', '2024-02-02T00:00:00+00:00')", f"a-{mark}")
    there(told, "INSERT INTO sessions VALUES (%s, 'u1', '2024-02-02T00:00:00+00:00')", f"pg-{mark}")
    there(told, "INSERT INTO turns VALUES (%s, 1, 'hello from there', 0.25)", f"pg-{mark}")
    there(told, "DELETE FROM sessions WHERE id = 's3'")
    there(told, "UPDATE agents SET seen = '2024-05-05 12:00:00.25', on_duty = NOT on_duty WHERE id = 'agent-1'")
    there(told, "INSERT INTO agents VALUES (%s, 'new', '2025-01-02 03:04:05', true)", f"agent-{mark}")
    there(told, "INSERT INTO notes (body, price, raw) VALUES (%s, 12.50, '\\x00ff')", f"there {mark}")
    there(
        told,
        "UPDATE notes SET body = CASE id WHEN 1 THEN 'tmp' || body ELSE body END; "
        "UPDATE notes SET body = 'note 0' WHERE id = 2; UPDATE notes SET body = 'note 1' WHERE id = 1",
    )


def test_there_and_back_and_there_again(told: dict[str, Any]) -> None:
    one = move.Move(request(told))
    done = one.load()
    assert done["changed"] and done["result"]["rows"] == 5 + 40 + 200 + 20 + 30
    assert one.state()["state"] == "following"
    backup = Path(one.state()["backup"])
    sums = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=backup, check=False)
    assert sums.returncode == 0 and len(list(backup.iterdir())) == 4
    db = sqlite3.connect(backup / "0-talk.db")
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name GLOB 'landfall*'").fetchone() == (0,)
    db.close()
    assert there(told, "SELECT id, name FROM registry ORDER BY id") == [("a", "A"), ("b", "B")]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="work on SQLite"):
        there(told, "UPDATE agents SET name = 'too early'")

    write_here(told, "one")
    assert one.load()["applied"] > 0
    assert not one.load()["changed"]
    same(told)

    write_here(told, "two")
    done = one.cut_over()
    assert done["changed"] and done["applied"] == 0 and done["seconds"] < 5
    same(told)
    with pytest.raises(sqlite3.OperationalError, match="has moved to PostgreSQL"):
        here(told, "INSERT OR IGNORE INTO sessions VALUES ('x', 'x', 'x')")
    assert len(here(told, "SELECT * FROM sessions")) == 42
    # A key that SQLite has given to a row that is gone is not given again.
    assert there(told, "INSERT INTO notes (body) VALUES ('next') RETURNING id") == [(23,)]
    assert one.seal()["changed"] and one.state()["state"] == "moved"
    assert not one.cut_over()["changed"] and not one.load()["changed"] and not one.seal()["changed"]

    write_there(told, "three")
    done = one.bring_back()
    assert done["changed"] and done["left"] == [], done
    assert done["written"] >= 8 and done["deleted"] == 6
    same(told)
    assert here(told, "SELECT seen, on_duty FROM agents WHERE id = 'agent-1'") == [("2024-05-05T12:00:00.250", 0)]
    assert here(told, "SELECT seen, on_duty FROM agents WHERE id = 'agent-three'") == [("2025-01-02T03:04:05.000", 1)]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        there(told, "DELETE FROM agents")
    one.seal()
    assert not one.bring_back()["changed"]

    # Again: nothing has to be loaded.
    write_here(told, "four")
    assert one.load()["applied"] > 0
    assert one.cut_over()["changed"]
    same(told)
    write_there(told, "five")
    there(told, "TRUNCATE turns")
    assert one.bring_back()["left"] == []
    same(told)
    assert here(told, "SELECT count(*) FROM turns") == [(0,)]


def test_what_cannot_go_back_is_said(told: dict[str, Any]) -> None:
    one = move.Move(request(told))
    one.load()
    one.cut_over()
    one.seal()
    there(
        told, "ALTER TABLE agents ALTER seen TYPE timestamp; INSERT INTO agents VALUES ('inf', 'x', 'infinity', true)"
    )
    there(told, "CREATE TABLE later (id int)")
    there(told, "INSERT INTO later VALUES (1)")
    there(told, "INSERT INTO sessions VALUES ('fine', 'u', 'now')")
    with pytest.raises(Stopped, match=r"2 things cannot be brought back") as said:
        one.bring_back()
    assert "inf" in str(said.value) and "later" in str(said.value)
    assert one.state()["state"] == "moved"
    there(told, "INSERT INTO sessions VALUES ('goes on', 'u', 'now')")
    with pytest.raises(sqlite3.OperationalError, match="has moved"):
        here(told, "DELETE FROM agents")

    other = move.Move(request({**told, "incomplete": True}))
    done = other.bring_back()
    assert {entry["table"] for entry in done["left"]} == {"agents", "later"}
    assert here(told, "SELECT id FROM sessions WHERE id IN ('fine', 'goes on') ORDER BY 1") == [("fine",), ("goes on",)]
    kept = there(told, "SELECT table_name, record->>'id' FROM landfall_migration.left_behind ORDER BY 1")
    assert kept == [("agents", "inf"), ("later", None)]
    # What stayed behind is no part of the next move: it loads anew.
    one.seal()
    assert one.load()["result"]["rows"] > 0
    assert there(told, "SELECT count(*) FROM agents WHERE id = 'inf'") == [(0,)]


def test_replaced_rows_are_found_at_the_cutover(told: dict[str, Any]) -> None:
    """INSERT OR REPLACE fires no DELETE trigger for the row that it takes away."""
    one = move.Move(request(told))
    one.load()
    here(told, "INSERT OR REPLACE INTO notes (id, body) VALUES (500, 'note 3')")
    here(told, "UPDATE notes SET body = 'other' WHERE id = 500")
    one.cut_over()
    same(told)


def test_changed_tables_are_refused(told: dict[str, Any]) -> None:
    one = move.Move(request(told))
    one.load()
    here(told, "ALTER TABLE sessions ADD COLUMN colour TEXT")
    with pytest.raises(Stopped, match=r"sessions.*restart: true"):
        one.cut_over()
    here(told, "UPDATE sessions SET colour = 'red'")
    again = move.Move(request({**told, "restart": True}))
    again.load()
    again.cut_over()
    assert there(told, "SELECT DISTINCT colour FROM sessions") == [("red",)]


def test_a_full_target_is_refused_before_anything(told: dict[str, Any]) -> None:
    there(told, "CREATE TABLE sessions (id int)")
    one = move.Move(request(told))
    with pytest.raises(Stopped, match="sessions already"):
        one.load()
    assert here(told, "SELECT count(*) FROM sqlite_master WHERE name GLOB 'landfall*'") == [(0,)]
    assert one.state()["state"] == "none"


LOAD = [
    ["clients.changelog.install", "after", 1],
    ["clients.changelog.remove", "before", 3],
    ["clients.move.Move.save", "after", 2],
    ["clients.pg_swap.set_sequence", "before", 2],
    ["clients.migrate.migrate", "after", 1],
    ["clients.changelog.Follower._transaction", "after", 1],
]
CUTOVER = [
    ["clients.changelog.Follower.bring", "before", 2],
    ["clients.pg_changes.note", "after", 1],
    ["clients.changelog.guard", "after", 1],
    ["clients.changelog.cutover", "after", 1],
    ["clients.move.Move.save", "after", 1],
]
BACK = [
    ["clients.move.Move.save", "after", 1],
    ["clients.pg_changes.guard", "after", 1],
    ["clients.bring_back._source", "after", 1],
    ["clients.move.bring_back", "after", 1],
    ["clients.pg_changes.leave", "after", 1],
]


@pytest.mark.parametrize("kill", LOAD, ids=lambda kill: f"{kill[0].rpartition('.')[2]}-{kill[1]}")
def test_killed_load(told: dict[str, Any], kill: list[Any]) -> None:
    if "_transaction" in kill[0]:
        step(told, "load")
        write_here(told, "caught")
    step(told, "load", kill)
    write_here(told, "meanwhile")
    step(told, "load")
    step(told, "cut_over")
    same(told)


@pytest.mark.parametrize("kill", CUTOVER, ids=lambda kill: f"{kill[0].rpartition('.')[2]}-{kill[1]}")
def test_killed_cutover(told: dict[str, Any], kill: list[Any]) -> None:
    step(told, "load")
    write_here(told, "before")
    step(told, "cut_over", kill)
    refused = bool(here(told, "SELECT 1 FROM sqlite_master WHERE name GLOB 'landfall_moved_*'"))
    if not refused:
        write_here(told, "still open")
    step(told, "cut_over")
    same(told)
    write_there(told, "after")
    step(told, "bring_back")
    same(told)


@pytest.mark.parametrize("kill", BACK, ids=lambda kill: f"{kill[0].rpartition('.')[2]}-{kill[1]}")
def test_killed_rollback(told: dict[str, Any], kill: list[Any]) -> None:
    step(told, "load")
    step(told, "cut_over")
    step(told, "seal")
    write_there(told, "to bring")
    step(told, "bring_back", kill)
    open_again = not here(told, "SELECT 1 FROM sqlite_master WHERE name GLOB 'landfall_moved_*'")
    if open_again:
        # SQLite's own writes after it must not be undone by the second run.
        here(told, "UPDATE agents SET name = 'later' WHERE id = 'agent-to bring'")
    step(told, "bring_back")
    if open_again:
        assert here(told, "SELECT name FROM agents WHERE id = 'agent-to bring'") == [("later",)]
    step(told, "seal")
    step(told, "load")
    step(told, "cut_over")
    same(told)


def test_the_options_of_a_stack_reach_the_load(told: dict[str, Any]) -> None:
    defaults = {name: said.get("default") for name, said in database_move.ARGUMENTS.items()}
    sources = [{"path": path, "volume": ""} for path in told["sources"]]
    params = {**defaults, "directory": told["directory"], "sources": sources, "dsn": told["dsn"]}
    for said, meant in (("no", False), (True, True)):
        asked = database_move.request_of({**params, "options": {"analyze": said, "exclude": ["notes"]}})
        assert asked.settings == {"analyze": meant} and asked.options == {"exclude": ["notes"]}
    with pytest.raises(Stopped, match=r"options: analyze: .*perhaps"):
        database_move.request_of({**params, "options": {"analyze": "perhaps"}})
    result = move.Move(database_move.request_of({**params, "options": {"analyze": "no"}})).load()["result"]
    assert result["analyzed"] is False
    named = "tablename IN ('agents', 'sessions', 'turns', 'notes', 'users')"
    assert there(told, f"SELECT count(*) FROM pg_tables WHERE {named}") == [(5,)]
    assert there(told, f"SELECT count(*) FROM pg_stats WHERE {named}") == [(0,)]
