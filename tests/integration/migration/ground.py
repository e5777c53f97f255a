"""What the migration's tests stand on: source files, plans, runs, and what is in PostgreSQL then."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

from ansible_collections.landfall.stack.plugins.module_utils.clients import migrate, sqlite
from ansible_collections.landfall.stack.plugins.module_utils.migration import options, planner, schema, survey
from ansible_collections.landfall.stack.plugins.module_utils.migration.plan import Plan

SHOP = """
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, active BOOLEAN, uid UUID,
    born DATE, created TIMESTAMP, seen TIMESTAMP, prefs JSON, price DECIMAL(10,2), score REAL, photo BLOB);
CREATE TABLE events (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id), kind TEXT, n INTEGER);
CREATE INDEX events_user ON events (user_id);
CREATE INDEX events_kind ON events (kind, n);
CREATE TABLE kv (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;
CREATE TABLE bag (a, b TEXT);
CREATE TABLE empty (id INTEGER PRIMARY KEY, x TEXT);
"""


def shop(path: Path, users: int = 300, events: int = 6000, wal: bool = True) -> Path:
    """A small database with most of what a plain application has."""
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
    db.executescript(SHOP)
    db.executemany(
        "INSERT INTO users VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (
            (
                number,
                f"user{number}@exämple.org",
                number % 2 if number % 7 else None,
                f"{number:08x}-1234-5678-9abc-{number:012x}",
                f"19{number % 90 + 10}-0{number % 9 + 1}-{number % 28 + 1:02}",
                f"2024-02-{number % 29 + 1:02} 10:{number % 60:02}:59.{number:06}",
                f"2024-03-{number % 31 + 1:02}T23:59:59+00:00",
                f'{{"b": {number}, "a": [1, 2.50, null, "\\u00e9"]}}',
                number / 100,
                number / 7,
                bytes(range(number % 40)),
            )
            for number in range(1, users + 1)
        ),
    )
    db.executemany(
        "INSERT INTO events VALUES (?,?,?,?)",
        ((2 * n + 1, n % users + 1, f"kind{n % 7}", (1 << 40) + n) for n in range(events)),
    )
    db.executemany("INSERT INTO kv VALUES (?,?)", ((f"key{n}", "v" * n) for n in range(100)))
    db.executemany("INSERT INTO bag VALUES (?,?)", ((n % 10, "twice") for n in range(50)))
    db.commit()
    db.close()
    return path


def source(path: Path, ddl: str, table: str, rows: Iterable[tuple]) -> Path:
    """A database with one table."""
    db = sqlite3.connect(path)
    db.execute(ddl)
    for row in rows:
        db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    db.commit()
    db.close()
    return path


def plan(path: Path, library: str = "auto", chosen: dict[str, Any] | None = None, mode: str = "create") -> Plan:
    """The plan of a file, as the module makes it."""
    wanted = options.options(chosen or {})
    with sqlite.connect(str(path), library) as db:
        seen = survey.survey(db, schema.read(db), wanted)
    return planner.plan([planner.Input(str(path), os.path.getsize(path), library, seen)], wanted, mode)


def run(made: Plan, dsn: str, library: str = "auto", **settings: Any) -> dict[str, Any]:
    """Carry a plan out, in two processes and small chunks."""
    settings = {"processes": 2, "chunk_rows": 500, **settings}
    return migrate.migrate(made, dsn, migrate.Settings(library=library, **settings))


def query(dsn: str, sql: str, *values: Any) -> list[tuple]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(sql, values or None).fetchall()


def tables(dsn: str, schema: str = "public") -> set[str]:
    rows = query(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = %s", schema)
    return {row[0] for row in rows}


def shop_is_there(dsn: str, users: int = 300, events: int = 6000) -> None:
    """All of shop(), by questions of the tests' own."""
    assert query(dsn, "SELECT count(*), count(DISTINCT id), min(id), max(id), sum(n) FROM events") == [
        (events, events, 1, 2 * events - 1, sum((1 << 40) + n for n in range(events)))
    ]
    assert query(dsn, "SELECT count(*), sum(price), count(active) FROM users")[0][0] == users
    assert query(dsn, "SELECT count(*) FROM bag") == [(50,)]
    assert query(dsn, "SELECT sum(length(v)) FROM kv") == [(sum(range(100)),)]
