"""The database that is moved: users, sessions with JSON and timestamps, events; foreign keys and indexes."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

USERS, SESSIONS = 50_000, 200_000
TABLES = ("users", "sessions", "events")

PLAIN = """
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT, score DOUBLE, visits INTEGER);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), data TEXT,
    started TEXT, ended TEXT, agent TEXT);
CREATE TABLE events (id INTEGER {key}, user_id INTEGER NOT NULL{user}, session_id INTEGER NOT NULL{session},
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
#: What pgloader drops rows over, or whole tables.
AWKWARD = """
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT COLLATE NOCASE NOT NULL UNIQUE, name TEXT,
    score REAL, visits INTEGER, active BOOLEAN DEFAULT 1, born DATE, joined DATETIME DEFAULT (datetime('now')));
CREATE TABLE sessions (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id),
    data JSON CHECK (data <> ''), started DATETIME, ended DATETIME, agent TEXT);
CREATE TABLE events (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id),
    session_id INTEGER NOT NULL REFERENCES sessions (id), kind TEXT NOT NULL, path TEXT, at BIGINT NOT NULL, value REAL,
    size INTEGER, note TEXT, extra TEXT, "order" TEXT AS (kind || path));
CREATE INDEX users_name ON users (lower(name));
CREATE INDEX sessions_user ON sessions (user_id) WHERE ended IS NOT NULL;
CREATE INDEX events_user ON events (user_id);
CREATE INDEX events_session ON events (session_id);
CREATE INDEX events_kind_at ON events (kind, at);
CREATE INDEX events_at ON events (at) WHERE size > 1000;
CREATE VIEW large AS SELECT id, size FROM events WHERE size > 60000;
"""
TYPED = """
CREATE TABLE typed (id INTEGER PRIMARY KEY, uid UUID, at TIMESTAMP NOT NULL, seen TIMESTAMP, good BOOLEAN, data JSON,
    user_id INTEGER, value DOUBLE, kind TEXT, note TEXT);
"""


def make(path: Path, events: int, form: str) -> Path:
    """Write a database. :param form: ``events`` (no keys, no indexes), ``whole``, ``awkward`` or ``typed``"""
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
        links = {"user": " REFERENCES users (id)", "session": " REFERENCES sessions (id)", "key": "PRIMARY KEY"}
        none = {"user": "", "session": "", "key": "NOT NULL"}
        db.executescript(AWKWARD if form == "awkward" else PLAIN.format(**(links if form == "whole" else none)))
        if form == "whole":
            db.executescript(INDEXES)
        odd = form == "awkward"
        db.execute("BEGIN")
        if form != "events":
            users = (_awkward_user(n, dice) if odd else _user(n, dice) for n in range(1, USERS + 1))
            db.executemany(f"INSERT INTO users VALUES ({'?,?,?,?,?,?,?,?' if odd else '?,?,?,?,?'})", users)
            sessions = (_session(n, dice) for n in range(1, SESSIONS + 1))
            db.executemany("INSERT INTO sessions VALUES (?,?,?,?,?,?)", sessions)
        rows = (_awkward_event(n, dice) if odd else _event(n, dice) for n in range(1, events + 1))
        db.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
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


def _awkward_user(n: int, dice: random.Random) -> tuple:
    return *_user(n, dice), n % 2, f"19{n % 90 + 10}-{n % 12 + 1:02}-{n % 28 + 1:02}", f"{_moment(n)}.{n % 1000:03}"


def _awkward_event(n: int, dice: random.Random) -> tuple:
    """Of 100,000 rows one has text where a number is wanted, one an empty text there, one a NUL, one a blob as text."""
    row = list(_event(n, dice))
    if n % 100_000 == 1:
        row[7] = "unknown"
    elif n % 100_000 == 2:
        row[7] = ""
    elif n % 100_000 == 3:
        row[8] = "cut\0here"
    elif n % 100_000 == 4:
        row[9] = b"\xff\x00"
    return tuple(row)


def _typed(n: int, dice: random.Random) -> tuple:
    word = f"{n * 2654435761 % (1 << 32):08x}"
    return (
        n, f"{word}-1234-4567-89ab-{n:012x}", f"{_moment(n)}.{n % 1_000_000:06}", _moment(n + 5), n % 2,
        f'{{"n": {n}, "tags": ["a", "b"]}}', n % USERS + 1, dice.random(), f"kind-{n % 17}",
        "a note that says what has happened, in some words",
    )  # fmt: skip
