# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided about a load without a server: chunks, the journal's meaning, encoders, JSON, the progress."""

from __future__ import annotations

import pickle
import sqlite3
import struct
from decimal import Decimal

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.migration import chunks, wire, wire_sql
from ansible_collections.landfall.stack.plugins.module_utils.migration.catchup import followed, guards, triggers
from ansible_collections.landfall.stack.plugins.module_utils.migration.conversions import chain
from ansible_collections.landfall.stack.plugins.module_utils.migration.journal import DONE, FRESH, RESUME, decide
from ansible_collections.landfall.stack.plugins.module_utils.migration.plan import Column, Plan, Table
from ansible_collections.landfall.stack.plugins.module_utils.migration.problems import SourceMoved, ValueMisfit
from ansible_collections.landfall.stack.plugins.module_utils.migration.progress import Progress
from ansible_collections.landfall.stack.plugins.module_utils.migration.wire_json import check_json


def marks(size: int, copy: int = 0) -> list[dict]:
    made = {"source": {"path": "/a.db", "db": [1, size]}}
    return [{**made, "copy": {"path": "/w/c", "db": [2, copy]}} if copy else made]


def test_every_row_has_one_chunk() -> None:
    for borders in ([], [5], [5, 9, 10]):
        cut = chunks.cut(0, borders)
        for row in range(-3, 20):
            inside = [c for c in cut if (c.first is None or row >= c.first) and (c.last is None or row <= c.last)]
            assert len(inside) == 1, (borders, row)


def test_chunks_are_bounded_by_bytes() -> None:
    assert chunks.rows_a_chunk(1000, 1000 * (100 << 20)) == 1
    assert chunks.rows_a_chunk(0, 0) == min(chunks.ROWS, chunks.BYTES // 100)
    assert chunks.rows_a_chunk(10**6, 10**6 * 320) * 320 <= chunks.BYTES


def test_rowids_without_large_gaps_are_cut_by_their_numbers():
    assert chunks.even(10, 1, 10, 4) == [5, 9]
    assert chunks.even(8, 1, 8, 4) == [5]
    assert chunks.even(1, 7, 7, 4) == []
    assert chunks.even(10, -4, 10, 5) == [1, 6]
    # Two thirds of the numbers are there: no chunk holds more than its rows.
    assert chunks.even(10, 1, 15, 5) == [6, 11]
    assert chunks.even(10, 1, 16, 5) is None
    assert chunks.even(2, -(1 << 63), (1 << 63) - 1, 5) is None
    assert chunks.even(0, 1, 1, 5) is None


def test_what_a_journal_means() -> None:
    loading = {"digest": "d", "marks": marks(1), "state": "loading"}
    assert decide({}, "d", marks(1)) == FRESH
    assert decide(loading, "d", marks(1)) == RESUME
    assert decide(loading, "d", marks(2), caught_up=True) == RESUME
    assert decide(loading, "e", marks(2), restart=True) == FRESH
    with pytest.raises(SourceMoved, match=r"/a\.db"):
        decide(loading, "d", marks(2))
    with pytest.raises(SourceMoved, match="another plan"):
        decide(loading, "e", marks(1), caught_up=True)
    done = {**loading, "state": "done"}
    assert decide(done, "d", marks(1)) == DONE
    assert decide(done, "d", marks(2)) == FRESH
    assert decide(done, "e", marks(1)) == FRESH


def test_a_copy_that_is_still_there_counts_for_its_source() -> None:
    loading = {"digest": "d", "marks": marks(1, copy=7), "state": "loading"}
    assert decide(loading, "d", marks(2, copy=7)) == RESUME
    with pytest.raises(SourceMoved):
        decide(loading, "d", marks(2, copy=8))


@pytest.mark.parametrize(
    ("pg_type", "value", "fits"),
    [
        ("numeric(5,2)", 123.45, True), ("numeric(5,2)", 1234.5, False), ("numeric(5,2)", 1.234, False),
        ("numeric(5,2)", Decimal("1.2300"), True), ("numeric(5,2)", 999, True), ("numeric(5,2)", 1000, False),
        ("numeric(3,3)", 0.001, True), ("numeric(3,3)", 0.0001, False), ("numeric(3,3)", 1, False),
        ("numeric(5,2)", 1e-7, False), ("numeric(5,2)", 0.0, True),
    ],
)  # fmt: skip
def test_numeric_is_never_rounded(pg_type: str, value: object, fits: bool) -> None:
    column = Column("v", "v", "", pg_type, "numeric")
    if fits:
        assert wire.numeric(value, column)
    else:
        with pytest.raises(wire.Misfit):
            wire.numeric(value, column)


def test_a_row_on_the_wire() -> None:
    assert wire.row_bytes([None, b"ab"]) == struct.pack("!hii2s", 2, -1, 2, b"ab")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": {"b": 1, "c": [1]}}', ""), ('{"a": 1, "a": 2}', "twice"), ('"\\u0000"', "u0000"),
        ('"\\\\u0000"', ""), ('"\\ud83d\\ude00"', ""), ('"\\ud83d"', "surrogate"), ('"\\ude00"', "surrogate"),
        ('"\\ud83d x \\ude00"', "surrogate"), ("NaN", "no JSON"), ("{", "no JSON"), ("[" * 100000, "nested"),
    ],
)  # fmt: skip
def test_json_that_jsonb_would_change(text: str, problem: str) -> None:
    found = check_json(text, normalised=True)
    assert (problem in found) if problem else found == ""


def test_a_misfit_comes_whole_from_its_process() -> None:
    found = {
        "table": "t", "column": "c", "key": "7", "storage_class": "text", "hex": "61", "size": 1, "reason": "why",
        "remedies": ["a", "b"],
    }  # fmt: skip
    copy = pickle.loads(pickle.dumps(ValueMisfit(found)))
    assert copy.found == found and "table t, column c, row 7" in str(copy)


def test_progress_says_what_is_left() -> None:
    progress = Progress(1000, began=0.0, rows_before=200)
    progress.loaded(400, 4_000_000, 0)
    state = progress.state(2.0)
    assert (state["rows"], state["rows_a_second"], state["mb_a_second"], state["eta_s"]) == (600, 200, 2.0, 2.0)


def test_followed_tables_have_triggers_and_guards() -> None:
    key = Column("id", "id", "INTEGER", "bigint", "int8")
    good = Table('od"d', "odd", 0, (key,), 1, key=("id",))
    bad = Table("kv", "kv", 0, (Column("k", "k", "TEXT", "text", "text"),), 1, key=("k",), rowid="")
    tables, faults = followed(Plan((), (good, bad)))
    assert [one.number for one in tables] == [0] and "kv" in faults[0]
    assert len(triggers(tables[0])) == 3 and '"od""d"' in triggers(tables[0])[0]
    # A broken constraint is what many applications take for "is there already".
    assert all("RAISE" not in sql and "has moved" in sql for sql in guards(tables[0]))


def test_keys_of_any_type_are_followed_and_too_wide_ones_are_not() -> None:
    columns = tuple(Column(f"c{n}", f"c{n}", "TEXT", "text", "text") for n in range(9))
    names = tuple(one.name for one in columns)
    pair = Table("pair", "pair", 0, columns, 1, key=names[:2])
    wide = Table("wide", "wide", 0, columns, 1, key=names)
    none = Table("none", "none", 0, columns, 1)
    tables, faults = followed(Plan((), (pair, wide, none)))
    assert [one.table.name for one in tables] == ["pair"] and len(faults) == 2
    assert '(tab, k0, k1) VALUES (0, old."c0", old."c1"); INSERT' in triggers(tables[0])[2]


MOMENTS = [
    "2024-01-01 10:00:00",
    "2024-01-01T10:00:00",
    "2024-02-30 10:00:00",
    "2024-02-29T10:00:00.5",
    "0000-01-01 00:00:00",
    "0001-01-01 00:00:00",
    "9999-12-31 23:59:59.999999",
    "2024-01-01 24:00:00",
    "2024-01-01 10:00:60",
    " 024-01-01 10:00:00",
    "2024-01-01 10:00:00\0x",
    "2024-01-01 10:00:00.123456",
    "2024-02-30 10:00:00.123456",
    "2024-01-01 10:00:00.123456\0x",
    "2024-01-01 10:00:00.12345a",
    "2024-01-01 10:00:00.1",
    "2024-01-01 10:00:00Z",
    "2024-01-01 10:00:00.25+00:00",
    "2024-01-01 10:00:00+01:00",
    "1969-12-31 23:59:59.999999",
    "x" * 19,
    "x" * 26,
    1234567890123456789,
    2460310.5,
    b"2024-01-01 10:00:00",
    None,
]


@pytest.mark.parametrize("version", [(3, 37, 0), sqlite3.sqlite_version_info])
@pytest.mark.parametrize("declared", ["", "TIMESTAMP", "TEXT"])
@pytest.mark.parametrize(("pg_type", "conversion"), [
    ("timestamp without time zone", ""), ("timestamp with time zone", ""),
    ("timestamp with time zone", "iso_to_timestamptz"),
])  # fmt: skip
def test_sqlite_reads_a_moment_as_python_does_or_leaves_it(pg_type, conversion, declared, version) -> None:
    encoder = "timestamptz" if "with time" in pg_type else "timestamp"
    column = Column("v", "v", declared, pg_type, encoder, conversion)
    exact = wire.encoder(column, chain(conversion, encoder) if conversion else None)
    db = sqlite3.connect(":memory:")
    db.execute(f"CREATE TABLE t (v {declared})")
    taken = 0
    for value in MOMENTS:
        db.execute("DELETE FROM t")
        db.execute("INSERT INTO t VALUES (?)", (value,))
        [(made, kept)] = db.execute(f"SELECT {wire_sql.field(column, version).sql}, v FROM t")
        if isinstance(made, int):
            taken += 1
            assert exact(kept) == struct.pack("!q", made), value
    assert taken >= 2


DAYS = [
    "2024-01-01", "2024-02-29", "2023-02-29", "2024-02-30", "2024-13-01", "0000-01-01", "0001-01-01", "9999-12-31",
    "1969-12-31", "1999-12-31", "-4713-11-24", "2024-01-01 ", "2024-1-1", "2024-01-01\0x", "2024-01-01 00:00:00",
    "2451545", "now", "", 8766, 2460310.5, b"2024-01-01", None,
]  # fmt: skip


@pytest.mark.parametrize("version", [(3, 37, 0), sqlite3.sqlite_version_info])
@pytest.mark.parametrize("declared", ["DATE", "TEXT", "TEXT COLLATE RTRIM", ""])
def test_sqlite_reads_a_day_as_python_does_or_leaves_it(declared, version) -> None:
    column = Column("v", "v", declared, "date", "date")
    exact, db = wire.encoder(column), sqlite3.connect(":memory:")
    db.execute(f"CREATE TABLE t (v {declared})")
    taken = 0
    for value in DAYS:
        db.execute("DELETE FROM t")
        db.execute("INSERT INTO t VALUES (?)", (value,))
        [(made, kept)] = db.execute(f"SELECT {wire_sql.field(column, version).sql}, v FROM t")
        if isinstance(made, int):
            taken += 1
            assert exact(kept) == struct.pack("!i", made), value
    assert taken == 6


@pytest.mark.parametrize("declared", ["UUID", "UUID COLLATE NOCASE"])
def test_a_uuid_in_capitals_is_left_to_the_exact_encoder(declared) -> None:
    apsw = pytest.importorskip("apsw")
    field = wire_sql.field(Column("v", "v", declared, "uuid", "uuid"), (3, 45, 0))
    db = apsw.Connection(":memory:")
    db.execute(f"CREATE TABLE t (v {declared})")
    usual = "01234567-89ab-cdef-0123-456789abcdef"
    for value, taken in ((usual, True), (usual.replace("ab-", "AB-"), False)):
        db.execute("DELETE FROM t; INSERT INTO t VALUES (?)", (value,))
        [(made,)] = db.execute(f"SELECT {field.sql} FROM t")
        assert bool(made) == taken
