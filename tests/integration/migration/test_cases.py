"""The table of cases, from SQLite into a real server: see cases.py."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import sqlite_file
from ansible_collections.landfall.stack.plugins.module_utils.migration import planner
from ansible_collections.landfall.stack.plugins.module_utils.migration.problems import Stopped

from . import ground
from .cases import ARRIVES, REFUSED


def database(path: Path, tables: dict[str, tuple[str, list[Any]]], start: str = "") -> Path:
    """A database with one table ``(id, v)`` for each case."""
    db = sqlite3.connect(path)
    db.executescript(start)
    for name, (declared, values) in tables.items():
        db.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, v {declared})")
        db.executemany(f"INSERT INTO {name} (v) VALUES (?)", ((value,) for value in values))
    db.commit()
    db.close()
    return path


@pytest.mark.parametrize("start", ["", "PRAGMA encoding = 'UTF-16be'"])
@pytest.mark.parametrize("fast", [True, False])
def test_every_case_arrives(tmp_path: Path, dsn: str, library: str, start: str, fast: bool) -> None:
    path = database(tmp_path / "cases.db", {name: (case[0], case[1]) for name, case in ARRIVES.items()}, start)
    made = ground.plan(path, library, {"columns": {f"{name}.v": case[2] for name, case in ARRIVES.items() if case[2]}})
    assert planner.violations(made) == []
    result = ground.run(made, dsn, library, fast=fast)
    assert (result["quarantined"], result["rows"]) == (0, sum(len(case[1]) for case in ARRIVES.values()))
    with psycopg.connect(dsn) as connection:
        connection.execute("SET timezone = 'UTC'")
        found = {
            name: connection.execute(f"SELECT v::text, pg_typeof(v)::text FROM {name} ORDER BY id").fetchall()
            for name in ARRIVES
        }
    assert {name: [row[0] for row in rows] for name, rows in found.items()} == {n: c[4] for n, c in ARRIVES.items()}
    # pg_typeof() tells no lengths.
    bare = {name: case[3].partition("(")[0] for name, case in ARRIVES.items()}
    assert {name: {row[1] for row in rows} for name, rows in found.items()} == {n: {kind} for n, kind in bare.items()}


@pytest.mark.parametrize("fast", [True, False])
def test_every_misfit_is_told_and_put_aside(tmp_path: Path, dsn: str, library: str, fast: bool) -> None:
    path = database(tmp_path / "cases.db", {name: (case[0], [*case[1:3], None]) for name, case in REFUSED.items()})
    made = ground.plan(path, library, {"columns": {f"{name}.v": case[3] for name, case in REFUSED.items() if case[3]}})
    told = {table.name: table.columns[1].violations for table in made.tables}
    assert {name: (len(told[name]), told[name][0].rowids) for name in REFUSED} == dict.fromkeys(REFUSED, (1, ("2",)))
    assert [n for n, case in REFUSED.items() if case[4] not in told[n][0].reason] == []
    with pytest.raises(Stopped):
        ground.run(made, dsn, library, fast=fast)
    assert ground.tables(dsn) == set()
    result = ground.run(made, dsn, library, fast=fast, on_violation="quarantine")
    assert (result["rows"], result["quarantined"]) == (2 * len(REFUSED), len(REFUSED))
    kept = ground.query(
        dsn, "SELECT table_name, row_key, column_name, raw FROM landfall_staging.landfall_quarantine ORDER BY 1"
    )
    assert [(row[0], row[1], row[2], bytes(row[3])) for row in kept] == [
        (name, "2", "v", raw(REFUSED[name][2])) for name in sorted(REFUSED)
    ]
    for name in REFUSED:
        assert ground.query(dsn, f"SELECT id FROM {name} ORDER BY id") == [(1,), (3,)]


def raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else repr(value).encode()


STRUCTURE = f"""
CREATE TABLE gone (id INTEGER PRIMARY KEY AUTOINCREMENT, n INT);
INSERT INTO gone VALUES (7, 1), (1000, 2); DELETE FROM gone WHERE id = 1000;
CREATE TABLE rowids (id INTEGER PRIMARY KEY, n INT); INSERT INTO rowids VALUES (-5, 1), (40, 2);
CREATE TABLE chicken (id INTEGER PRIMARY KEY, egg INT REFERENCES egg (id), mother INT REFERENCES chicken (id));
CREATE TABLE egg (id INTEGER PRIMARY KEY, chicken INT NOT NULL REFERENCES chicken (id) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO chicken VALUES (1, 11, 2), (2, 12, 1), (3, NULL, 3);
INSERT INTO egg VALUES (11, 1), (12, 3);
CREATE TABLE pair (a TEXT, b INT, v TEXT, PRIMARY KEY (a, b));
CREATE TABLE child (a TEXT, b INT, FOREIGN KEY (a, b) REFERENCES pair (a, b) ON DELETE CASCADE);
INSERT INTO pair VALUES ('x', 1, 'v'), ('x', 2, NULL); INSERT INTO child VALUES ('x', 2), ('x', NULL), (NULL, 9);
CREATE TABLE keyless (a, b TEXT); INSERT INTO keyless VALUES (1, 'twice'), (1, 'twice');
CREATE TABLE without (k TEXT, n INT, v BLOB, PRIMARY KEY (n DESC, k)) WITHOUT ROWID;
INSERT INTO without VALUES ('a', 1, x'00'), ('b', 1, NULL), ('a', 2, x'ff');
CREATE TABLE bare (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE "select" (oid INT, ctid INT, xmin TEXT, "order" TEXT, "a ""b" TEXT);
INSERT INTO "select" VALUES (1,2,3,4,5);
CREATE TABLE "{"n" * 70}" (a INT); CREATE TABLE "{"n" * 69}m" (a INT); INSERT INTO "{"n" * 69}m" VALUES (6);
CREATE TABLE strict (id INTEGER PRIMARY KEY, a ANY, i INT NOT NULL, t TEXT) STRICT;
INSERT INTO strict VALUES (1, 'x', 2, 'y');
CREATE TABLE made (x INT CHECK (x > 0), y AS (x * 2) STORED, z AS (x + 1), d TEXT DEFAULT (datetime('now')));
INSERT INTO made (x) VALUES (4);
CREATE INDEX made_part ON made (x) WHERE x > 2; CREATE UNIQUE INDEX made_expr ON made (x * 3);
CREATE TABLE mail (address TEXT COLLATE NOCASE UNIQUE); INSERT INTO mail VALUES ('Me@x');
CREATE VIEW large AS SELECT x FROM made WHERE x > 3;
CREATE VIEW grouped AS SELECT count(*) AS n FROM made GROUP BY x;
CREATE TRIGGER noted AFTER INSERT ON made BEGIN UPDATE made SET x = 1; END;
CREATE VIRTUAL TABLE words USING fts5 (body); INSERT INTO words VALUES ('some words');
CREATE TABLE plain_key (k INT PRIMARY KEY DESC, v TEXT); INSERT INTO plain_key VALUES (9, 'nine'), (3, 'three');
"""


def test_keys_names_and_what_hangs_on_them(tmp_path: Path, dsn: str, library: str) -> None:
    path = tmp_path / "structure.db"
    db = sqlite3.connect(path)
    db.executescript(STRUCTURE)
    db.close()
    made = ground.plan(path, library)
    assert planner.violations(made) == []
    lost = {(one.what, one.name) for one in made.untranslated}
    assert {("view", "grouped"), ("trigger", "noted"), ("virtual table", "words")} <= lost, lost
    result = ground.run(made, dsn, library)
    assert all(table["differ"] == 0 for table in result["tables"])

    def ask(sql: str) -> list[tuple]:
        return ground.query(dsn, sql)

    long = [name for name in ground.tables(dsn) if name.startswith("nnn")]
    assert len(long) == 2 and all(len(name) == 63 for name in long)
    assert sorted(ask(f'SELECT count(*) FROM "{name}"')[0][0] for name in long) == [0, 1]
    assert not [name for name in ground.tables(dsn) if name.startswith("words")], "an index's own tables were taken"
    assert ask("SELECT nextval(pg_get_serial_sequence('gone', 'id'))") == [(1001,)]
    assert ask("SELECT nextval(pg_get_serial_sequence('rowids', 'id'))") == [(41,)]
    assert ask("SELECT nextval(pg_get_serial_sequence('bare', 'id'))") == [(1,)]
    assert ask("SELECT * FROM chicken ORDER BY id") == [(1, 11, 2), (2, 12, 1), (3, None, 3)]
    links = ask(
        "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND convalidated AND "
        "connamespace = 'public'::regnamespace ORDER BY 1"
    )
    assert links == [("chicken",), ("chicken",), ("child",), ("egg",)]
    assert ask("SELECT count(*) FROM keyless") == [(2,)]
    assert ask("SELECT k, n, v FROM without ORDER BY n DESC, k") == [("a", 2, b"\xff"), ("a", 1, b"\0"), ("b", 1, None)]
    assert ask('SELECT oid, ctid_2, xmin_2, "order", "a ""b" FROM "select"') == [(1, 2, "3", "4", "5")]
    assert ask("SELECT x, y, z, d IS NOT NULL FROM made") == [(4, 8, 5, True)]
    assert ask("SELECT * FROM large") == [(4,)]
    assert ask("SELECT k FROM plain_key ORDER BY k") == [(3,), (9,)]
    for wrong in (
        "INSERT INTO made (x) VALUES (0)",
        "INSERT INTO made (x) VALUES (4)",
        "INSERT INTO mail VALUES ('mE@X')",
        "INSERT INTO without VALUES ('a', 1, NULL)",
        "INSERT INTO child VALUES ('y', 1)",
        "INSERT INTO strict (id, t) VALUES (2, 'z')",
    ):
        with pytest.raises(psycopg.errors.IntegrityError):
            ask(f"{wrong} RETURNING 1")


def test_rows_without_their_parent(tmp_path: Path, dsn: str, library: str) -> None:
    path = tmp_path / "orphans.db"
    db = sqlite3.connect(path)
    db.executescript(
        "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY, a INT REFERENCES a (id));"
        "INSERT INTO b VALUES (1, 99)"
    )
    db.close()
    made = ground.plan(path, library)
    [(where, told)] = planner.stopping(made, "quarantine")
    assert (where, told.rowids) == ("b.a", ("1",)) and "no such row" in told.reason
    with pytest.raises(Stopped, match="foreign key"):
        ground.run(made, dsn, library)
    assert ground.tables(dsn) == set()
    ground.run(ground.plan(path, library, {"foreign_keys": "unvalidated"}), dsn, library, restart=True)
    assert ground.query(dsn, "SELECT a FROM b") == [(99,)]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        ground.query(dsn, "INSERT INTO b VALUES (2, 98) RETURNING 1")


def test_what_was_not_checkpointed_is_there(tmp_path: Path, dsn: str, library: str) -> None:
    path = tmp_path / "live.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (id INTEGER PRIMARY KEY)"
    )
    db.executemany("INSERT INTO t VALUES (?)", ((n,) for n in range(500)))
    assert path.stat().st_size < 8192 < Path(f"{path}-wal").stat().st_size
    ground.run(ground.plan(path, library), dsn, library)
    assert ground.query(dsn, "SELECT count(*) FROM t") == [(500,)]
    db.close()


def test_a_wal_whose_database_is_gone_is_refused(tmp_path: Path, library: str) -> None:
    path = tmp_path / "live.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY)")
    path.rename(tmp_path / "elsewhere.db")
    with pytest.raises(sqlite_file.Refused, match=r"-wal is there, and its database is not"):
        ground.plan(path, library)
    db.close()
