"""The largest, and the ways that few take: what hangs on this side more than on the server's version."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import migration_plan
from ansible_collections.landfall.stack.plugins.module_utils.migration.options import options
from ansible_collections.landfall.stack.plugins.module_utils.migration.problems import Stopped

from . import ground


def test_as_many_columns_as_a_table_can_have(tmp_path: Path, dsn: str, library: str) -> None:
    names = [f"c{number}" for number in range(1600)]
    rows = [["x"] * 1600, [None] * 1600, ["ä", *[None] * 1598, "z"]]
    path = ground.source(tmp_path / "wide.db", f"CREATE TABLE wide ({' TEXT, '.join(names)} TEXT)", "wide", rows)
    result = ground.run(ground.plan(path, library), dsn, library)
    assert (result["rows"], result["tables"][0]["differ"]) == (3, 0)
    assert ground.query(dsn, "SELECT c0, c1, c1599 FROM wide WHERE c1 IS NULL ORDER BY c0") == [
        ("ä", None, "z"), (None, None, None)
    ]  # fmt: skip
    # A row of PostgreSQL must fit into a page; 1600 numbers of eight bytes do not.
    path = ground.source(
        tmp_path / "large.db", f"CREATE TABLE large ({' INT, '.join(names)} INT)", "large", [[1] * 1600]
    )
    with pytest.raises(Stopped, match=r"large.*row is too big"):
        ground.run(ground.plan(path, library), dsn, library, restart=True)


def test_a_text_of_100_megabytes(tmp_path: Path, dsn: str, library: str) -> None:
    huge = "ä" + "0123456789" * 10_000_000
    rows = [(1, "small", b"s"), (2, huge, huge.encode()[:50_000_000]), (3, None, None)]
    path = ground.source(
        tmp_path / "huge.db", "CREATE TABLE huge (id INTEGER PRIMARY KEY, t TEXT, b BLOB)", "huge", rows
    )
    result = ground.run(ground.plan(path, library), dsn, library)
    assert (result["rows"], result["tables"][0]["differ"]) == (3, 0)
    assert ground.query(dsn, "SELECT length(t), right(t, 3), length(b) FROM huge ORDER BY id") == [
        (5, "all", 1), (len(huge), "789", 50_000_000), (None, None, None)
    ]  # fmt: skip


def test_rows_are_added_to_those_of_the_application(tmp_path: Path, dsn: str, library: str) -> None:
    rows = [(n, f"c{n}") for n in (5, 6, 9)]
    path = ground.source(tmp_path / "new.db", "CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT)", "item", rows)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE item (code text NOT NULL, id serial PRIMARY KEY, at timestamptz DEFAULT now())"
        )
        connection.execute("INSERT INTO item (id, code) VALUES (1, 'old'), (20, 'last')")
    plan, _notes = migration_plan.make([str(path)], options({}), "existing", dsn, library)
    with pytest.raises(Stopped, match="is not empty"):
        ground.run(plan, dsn, library)
    result = ground.run(plan, dsn, library, on_existing="append")
    assert (result["rows"], result["tables"][0]["differ"]) == (3, 0)
    assert ground.query(dsn, "SELECT id, code FROM item ORDER BY id") == [
        (1, "old"), (5, "c5"), (6, "c6"), (9, "c9"), (20, "last")
    ]  # fmt: skip
    assert ground.query(dsn, "SELECT count(*) FROM item WHERE at IS NULL") == [(0,)]
    assert ground.query(dsn, "SELECT nextval('item_id_seq')") == [(21,)]
    # Again, a row collides: all of it is undone.
    with pytest.raises(Stopped, match=r"item_pkey.*the target is as it was|the target is as it was.*item_pkey"):
        ground.run(plan, dsn, library, on_existing="append", restart=True)
    assert ground.query(dsn, "SELECT count(*) FROM item") == [(5,)]
    with pytest.raises(Stopped, match="for the mode existing only"):
        ground.run(ground.plan(path, library), dsn, library, on_existing="append", restart=True)


def test_without_rowid_misfits_are_named_by_their_keys(tmp_path: Path, dsn: str, library: str) -> None:
    path = tmp_path / "keys.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (a TEXT, b INT, v INT, PRIMARY KEY (b, a)) WITHOUT ROWID")
    db.executemany("INSERT INTO t VALUES (?, ?, ?)", ((f"k'{n}", n % 7, n) for n in range(3000)))
    db.execute("UPDATE t SET v = 'bad' WHERE a = 'k''1234'")
    db.commit()
    db.close()
    made = ground.plan(path, library)
    with pytest.raises(Stopped, match=r"2,'k''1234'"):
        ground.run(made, dsn, library)
    result = ground.run(made, dsn, library, on_violation="quarantine")
    assert (result["rows"], result["quarantined"], result["tables"][0]["differ"]) == (2999, 1, 0)
    assert ground.query(dsn, "SELECT row_key FROM landfall_staging.landfall_quarantine") == [("2,'k''1234'",)]
    assert ground.query(dsn, "SELECT count(*), sum(v) FROM t") == [(2999, sum(range(3000)) - 1234)]
