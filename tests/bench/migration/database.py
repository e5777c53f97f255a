"""The database that is moved: users, sessions with JSON and timestamps, events; foreign keys and indexes."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

USERS, SESSIONS = 50_000, 200_000

PLAIN = """
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT, score DOUBLE, visits INTEGER);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), data TEXT,
    started TEXT, ended TEXT, agent TEXT);
CREATE TABLE events (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL{user}, session_id INTEGER NOT NULL{session},
    kind TEXT NOT NULL, path TEXT, at BIGINT NOT NULL, value DOUBLE, size INTEGER, note TEXT, extra TEXT);
"""
INDEXES = """
CREATE INDEX users_name ON users (name);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_started ON sessions (started);
CREATE INDEX events_user ON events (user_id);
CREATE INDEX events_session ON events (session_id);
CREATE INDEX events_kind_at ON events (kind, at);
CREATE INDEX events_at ON events (at);
"""
TYPED = """
CREATE TABLE typed (id INTEGER PRIMARY KEY, uid UUID, at TIMESTAMP NOT NULL, seen TIMESTAMP, good BOOLEAN, data JSON,
    user_id INTEGER, value DOUBLE, kind TEXT, note TEXT);
"""


def make(path: Path, events: int, form: str) -> Path:
    """Write a database. :param form: ``events`` (no keys but the primary, no indexes), ``whole`` or ``typed``"""
    if path.exists():
        return path
    dice = random.Random(42)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    db = sqlite3.connect(partial, isolation_level=None)
    db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")
    if form == "typed":
        db.executescript(TYPED)
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO typed VALUES (?,?,?,?,?,?,?,?,?,?)", (_typed(n, dice) for n in range(1, events + 1))
        )
    else:
        links = {"user": " REFERENCES users (id)", "session": " REFERENCES sessions (id)"}
        db.executescript(PLAIN.format(**(links if form == "whole" else dict.fromkeys(links, ""))))
        if form == "whole":
            db.executescript(INDEXES)
        db.execute("BEGIN")
        if form == "whole":
            db.executemany("INSERT INTO users VALUES (?,?,?,?,?)", (_user(n, dice) for n in range(1, USERS + 1)))
            db.executemany(
                "INSERT INTO sessions VALUES (?,?,?,?,?,?)", (_session(n, dice) for n in range(1, SESSIONS + 1))
            )
        db.executemany(
            "INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?)", (_event(n, dice) for n in range(1, events + 1))
        )
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    partial.rename(path)
    return path


def _user(n: int, dice: random.Random) -> tuple:
    return n, f"user{n}@example.org", f"Name {dice.randrange(9999)} Müller", dice.random() * 100, dice.randrange(500)


def _session(n: int, dice: random.Random) -> tuple:
    data = (
        f'{{"theme": "dark", "steps": [1, 2, {n}], "locale": "de", "cart": {{"items": {n % 9}, "sum": {n % 100}.25}}}}'
    )
    return n, n % USERS + 1, data, _moment(n), _moment(n + 900), "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"


def _moment(n: int) -> str:
    return f"2024-{n % 12 + 1:02}-{n % 28 + 1:02} {n % 24:02}:{n % 60:02}:{n // 60 % 60:02}"


def _event(n: int, dice: random.Random) -> tuple:
    return (
        n, n % USERS + 1, n % SESSIONS + 1, f"kind-{n % 17}", f"/api/v1/items/{n % 5000}/details",
        1_700_000_000_000 + n * 37,
        dice.random() * 1000, n * 7919 % 65536, "a note that says what has happened, in some words" if n % 3 else None,
        f"ref-{n * 2654435761 % 4294967296:08x}-{n:010}",
    )  # fmt: skip


def _typed(n: int, dice: random.Random) -> tuple:
    word = f"{n * 2654435761 % (1 << 32):08x}"
    return (
        n, f"{word}-1234-4567-89ab-{n:012x}", f"{_moment(n)}.{n % 1_000_000:06}", _moment(n + 5), n % 2,
        f'{{"n": {n}, "tags": ["a", "b"]}}', n % USERS + 1, dice.random(), f"kind-{n % 17}",
        "a note that says what has happened, in some words",
    )  # fmt: skip
