"""Arbitrary values through each encoder, and what PostgreSQL prints of them."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.landfall.stack.plugins.module_utils.clients import postgres
from ansible_collections.landfall.stack.plugins.module_utils.migration import wire, wire_sql
from ansible_collections.landfall.stack.plugins.module_utils.migration.plan import Column
from lab.postgres import Cluster

MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=40)
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
ZONED = MOMENTS.filter(lambda moment: 1 < moment.year < 9999)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
#: encoder, type, values of SQLite, and how PostgreSQL's text of it is understood.
CASES: dict[str, tuple[str, Any, Any]] = {
    "int2": ("smallint", st.integers(-(2**15), 2**15 - 1), int),
    "int4": ("integer", st.integers(-(2**31), 2**31 - 1), int),
    "int8": ("bigint", st.integers(-(2**63), 2**63 - 1), int),
    "float8": ("double precision", st.floats(allow_nan=False), float),
    "numeric": (
        "numeric",
        st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1),
        Decimal,
    ),
    "text": ("text", TEXT, str),
    "bytea": ("bytea", st.binary(max_size=40), lambda text: bytes.fromhex(text[2:])),
    "uuid": ("uuid", st.uuids().map(str), str),
    "date": ("date", st.dates(date(1, 1, 1)).map(str), str),
    "time": ("time without time zone", st.times().map(time.isoformat), time.fromisoformat),
    "timestamp": (
        "timestamp without time zone",
        MOMENTS.map(lambda moment: moment.isoformat(" ")),
        datetime.fromisoformat,
    ),
    "timestamptz": ("timestamp with time zone", ZONED.map(lambda moment: moment.isoformat() + "Z"), None),
    "json": ("json", JSON.map(json.dumps), str),
}


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[psycopg.Connection]:
    with postgres.connect(cluster.database("round_trip")) as connection:
        yield connection


def sent(server: Any, column: Column, values: list[Any], fast: bool) -> list[str | None]:
    """What PostgreSQL prints of values that were sent."""
    server.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (n int, v {column.pg_type})")
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, v)")
    db.executemany("INSERT INTO t VALUES (?, ?)", enumerate(values))
    if fast:
        field = wire_sql.field(column, sqlite3.sqlite_version_info)
        assert field.step is None, "there is no fast way"
        rows = db.execute(f"SELECT n, {field.sql} FROM t ORDER BY n")
        postgres.copy_values(server, "COPY t FROM STDIN (FORMAT BINARY)", [wire_sql.INT4, field.oid], rows)
    else:
        encode = wire.encoder(column)
        blocks = (
            wire.row_bytes([n.to_bytes(4, "big"), encode(v)]) for n, v in db.execute("SELECT n, v FROM t ORDER BY n")
        )
        postgres.copy_blocks(server, "COPY t FROM STDIN (FORMAT BINARY)", blocks)
    return [row[0] for row in server.execute("SELECT v::text FROM t ORDER BY n").fetchall()]


def understood(encoder: str, text: str | None, read: Any) -> Any:
    if text is None:
        return None
    if encoder == "timestamptz":
        return datetime.fromisoformat(text).astimezone(timezone.utc)
    return read(text)


def meant(encoder: str, value: Any) -> Any:
    if value is None:
        return None
    if encoder == "timestamptz":
        return datetime.fromisoformat(value)
    if encoder == "timestamp":
        return datetime.fromisoformat(value)
    if encoder == "time":
        return time.fromisoformat(value)
    if encoder == "numeric":
        return Decimal(repr(value))
    return value


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("encoder", CASES)
def test_what_was_sent_is_what_is_there(server: Any, encoder: str, fast: bool) -> None:
    pg_type, values, read = CASES[encoder]
    column = Column("v", "v", "", pg_type, encoder)
    if fast and wire_sql.field(column, sqlite3.sqlite_version_info).step is not None:
        assert encoder in ("numeric", "date", "time", "uuid"), "it had a fast way"
        return

    @MANY
    @given(st.lists(st.none() | values, max_size=8))
    def check(given_values: list[Any]) -> None:
        got = [understood(encoder, text, read) for text in sent(server, column, given_values, fast)]
        wanted = [meant(encoder, value) for value in given_values]
        assert got == wanted
        assert [math.copysign(1, v) for v in got if isinstance(v, float)] == [
            math.copysign(1, v) for v in wanted if isinstance(v, float)
        ]

    check()


@MANY
@given(st.one_of(st.integers(), st.floats(), TEXT, st.binary(max_size=20), JSON.map(json.dumps)))
def test_the_fast_way_takes_nothing_that_the_exact_one_refuses(value: Any) -> None:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (v)")
    db.execute("INSERT INTO t VALUES (?)", (value,))
    value = db.execute("SELECT v FROM t").fetchone()[0]
    wanted = {16: int, 17: bytes, 20: int, 21: int, 23: int, 25: str, 701: (int, float)}
    for encoder, (pg_type, _values, _read) in CASES.items():
        column = Column("v", "v", "", pg_type, encoder)
        field = wire_sql.field(column, sqlite3.sqlite_version_info)
        if field.step is not None or encoder in ("json", "text"):
            continue  # text and json are judged by the server
        made = db.execute(f"SELECT {field.sql} FROM t").fetchone()[0]
        if made is None or not isinstance(made, wanted[field.oid]):
            continue
        wire.encoder(column)(value)
