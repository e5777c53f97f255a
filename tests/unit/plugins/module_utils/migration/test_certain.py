# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What SQLite tells of values is what Python tells of them: condition by condition, and survey by survey."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.landfall.stack.plugins.module_utils.clients import sqlite
from ansible_collections.landfall.stack.plugins.module_utils.migration import (
    certain,
    checks,
    moments,
    options,
    pg_types,
    profile,
    schema,
    survey,
)

MANY = settings(max_examples=60, deadline=None)
TYPES = (
    "smallint", "integer", "bigint", "double precision", "text", "character varying(3)", "bytea", "boolean", "uuid",
    "date", "time without time zone", "timestamp without time zone", "timestamp with time zone", "json", "jsonb",
)  # fmt: skip
#: What tempts one side to say yes and the other one no.
TEMPTING = [
    "", " ", "0", "1", "t", "-4713-11-24", "0000-01-01", "0001-01-01", "2024-02-29", "2023-02-29", "2024-02-30",
    "2024-01-01 ", "2024-1-1", "2451545", "now", "10:00:00", "24:00:00", "23:59:60", "10:00", "10:00:00.5", "1:00:00",
    "2024-01-01 10:00:00", "2024-01-01T10:00:00", "2024-01-01t10:00:00", "2024-02-30 10:00:00", "2024-01-01 24:00:00",
    "2024-01-01 10:00:00.1234567", "2024-01-01 10:00:00.123456", "2024-01-01 10:00:00.999999", "2024-01-01 10:00",
    "2024-01-01 10:00:00Z", "2024-01-01 10:00:00+00:00", "2024-01-01T10:00:00+02:00", "0000-01-01 00:00:00Z",
    "2024-01-01 10:00:00ZZ", "2024-01-01 10:00:00 Z", "2024-01-01  10:00:0", "2024-01-01 10:00:00.",
    "9999-12-31 23:59:59",
    "01234567-89ab-cdef-0123-456789abcdef", "01234567-89AB-cdef-0123-456789abcdef", "0123456789abcdef0123456789abcdef",
    "01234567-89ab-cdef-0123-456789abcdeg", "01234567-89ab-cdef-0123-456789abcdef ", "-" * 36,
    "{}", "[]", "null", "NaN", "Infinity", "-0", "01", "-01", "1.", ".5", "1e5", "1e99999", "1E+16001", "1e-016001",
    "+1",
    "1.e1", "{\"a\":1}", "{\"a\":1,\"a\":1}", "{\"a\":{\"b\":1},\"b\":{\"b\":1}}", "[{\"a\":1},{\"a\":2}]",
    "[{\"a\":1,\"a\":2}]", "{\"a\":[{\"b\":1,\"b\":null}]}", "{\"a\":1,\"\\u0061\":2}", "\"\\u0000\"", "\"\\ud800\"",
    "{\"\":1,\"\":2}", "{'a':1}", "{a:1}", "[1,]", "[1] x", "\ufeff[1]", "\"\t\"", "[\n1\t]", "[\x0b1]", "\x0c1",
    "\"\x7f\"",
    "/**/1", "0x10", "\"\\x41\"", "tru", "truex", "1 2", "[" * 300 + "]" * 300, "[" * 900 + "]" * 900, "1" * 5000,
    "[" + "1" * 17000 + "]", "{\"1 a\":1,\"1\":{\"a\":2}}", "{\"a\": 1, \"A\": 2}",
    b"", b"\x00", b"2024-01-01", 0, 1, 2, -1, 2**15, -(2**15), 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1,
    0.0, 1.0,
    0.5, 1e300, float("inf"), 10**9, 10**10, 10**12, 10**15, 2451545.5,
]  # fmt: skip
TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)
NEAR = st.from_regex(
    r"[012]\d{3}-[0-3]\d-[0-3]\d[ Tt]?([0-2]\d:[0-6]\d(:[0-6]\d(\.\d{0,7})?)?)?( ?(Z|[+-]\d\d(:?\d\d)?))?",
    fullmatch=True,
)  # fmt: skip
KEYS = st.sampled_from(["a", "b", "1", "", "a b", "\u00e4", "\\u0061"])


def _pairs(inner: Any) -> Any:
    one = st.tuples(KEYS, inner).map(lambda pair: f'"{pair[0]}":{pair[1]}')
    return st.lists(one, max_size=4).map(lambda parts: "{" + ", ".join(parts) + "}")


#: JSON as text, so that a key can be there twice.
JSON = st.recursive(
    st.sampled_from(
        ["1", "-0.5", "1e7", "1e-16001", "null", "true", '"x"', '"\\n"', '"\\ud83d"', "NaN", "01", '"{"', '":"']
    ),
    lambda inner: _pairs(inner) | st.lists(inner, max_size=4).map(lambda parts: "[" + ",".join(parts) + "]"),
    max_leaves=10,
)
VALUES = st.one_of(
    st.sampled_from(TEMPTING), TEXT, NEAR, JSON, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False),
    st.binary(max_size=8), st.uuids().map(str), st.datetimes().map(str), st.dates().map(str), st.times().map(str),
)  # fmt: skip


def _opened(path: str, library: str, columns: dict[str, tuple[str, list[Any]]]) -> sqlite.Database:
    """A table t with these columns (name → declaration, values)."""
    if os.path.exists(path):
        os.unlink(path)
    db = sqlite3.connect(path)
    db.execute(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(f'{name} {said[0]}' for name, said in columns.items())})"
    )
    rows = zip(*(values for _said, values in columns.values()), strict=True)
    marks = ", ".join("?" for _name in columns)
    db.executemany(f"INSERT INTO t ({', '.join(columns)}) VALUES ({marks})", rows)
    db.commit()
    db.close()
    return sqlite.connect(path, library)


@pytest.fixture(scope="module", params=sqlite.LIBRARIES)
def library(request: Any) -> str:
    return request.param


@pytest.mark.parametrize("declared", ["DATE", "DATE COLLATE NOCASE", "TEXT COLLATE RTRIM"])
def test_a_condition_is_true_only_of_what_the_rule_takes(library: str, declared: str) -> None:
    with tempfile.TemporaryDirectory() as where:

        @MANY
        @given(st.lists(VALUES | st.none(), min_size=1, max_size=8))
        @example(TEMPTING)
        def check(values: list[Any]) -> None:
            with _opened(f"{where}/a.db", library, {"v": (declared, values)}) as db:
                for pg_type in TYPES:
                    encoder = pg_types.parse(pg_type).encoder
                    sql = certain.taken(encoder, pg_type, "v", db.version)
                    accept = checks.acceptor(encoder, pg_type)
                    for said, value in db.rows(f"SELECT {sql}, v FROM t ORDER BY id"):
                        assert said in (0, 1), (pg_type, value)
                        assert not (said and accept(value)), (pg_type, value)
                        assert not (said and value is None)
                for form in (moments.TIMESTAMP, moments.TIMESTAMPTZ, moments.DATE, moments.TIME, *moments.COUNTS):
                    sql = certain.of_form(form, "v", db.version)
                    for said, value in db.rows(f"SELECT {sql}, v FROM t ORDER BY id"):
                        assert not said or moments.form(value) == form, (form, value)

        check()


@pytest.mark.parametrize(
    ("pg_type", "value"),
    [
        ("uuid", "01234567-89ab-cdef-0123-456789abcdef"), ("date", "2024-02-29"),
        ("time without time zone", "10:00:00"), ("bytea", b"x"), ("smallint", -32768),
        ("timestamp without time zone", "2024-01-01 10:00:00"), ("timestamp with time zone", "2024-01-01T10:00:00Z"),
        ("timestamp without time zone", "2024-01-31T10:00:00.123456"), ("json", '{"a": [1, null, {"b": "x"}]}'),
        ("jsonb", '{"a": [1, null, {"a": "x"}], "b": {"a": -1.5e7}}'), ("boolean", 1), ("bigint", 2**62),
        ("double precision", 0.5), ("double precision", 7), ("text", "x"),
    ],
)  # fmt: skip
def test_the_usual_values_are_told_by_sqlite(tmp_path: Any, library: str, pg_type: str, value: Any) -> None:
    with _opened(str(tmp_path / "a.db"), library, {"v": ("", [value])}) as db:
        sql = certain.taken(pg_types.parse(pg_type).encoder, pg_type, "v", db.version)
        assert db.value(f"SELECT {sql} FROM t") == 1


FAMILIES = ("BOOLEAN", "DATETIME", "TIMESTAMPTZ", "DATE", "TIME", "UUID", "JSON", "JSONB", "DECIMAL(8,2)")
#: Types that a user, or the application's own table, gives a column; then each value is held against it.
GIVEN = ("boolean", "uuid", "jsonb", "json", "date", "timestamp", "timestamptz", "integer", "double precision", "text")
COLUMN = st.lists(VALUES | st.sampled_from([None, "a\0b", "2024-01-01 10:00:00\0", "[1]\0"]), min_size=12, max_size=12)


@pytest.mark.parametrize("pieces", [False, True])
def test_a_survey_with_it_is_the_survey_without_it(library: str, pieces: bool) -> None:
    """``pieces``: as large tables are read: in steps, of which two run at once."""
    with tempfile.TemporaryDirectory() as where, pytest.MonkeyPatch.context() as patch:
        if pieces:
            patch.setattr(profile, "ROWS", 10)

        @settings(max_examples=25, deadline=None)
        @given(st.data())
        def check(data: Any) -> None:
            columns = {f"f{at}": (said, data.draw(COLUMN)) for at, said in enumerate(FAMILIES)}
            columns |= {f"g{at}": ("", data.draw(COLUMN)) for at in range(len(GIVEN))}
            chosen = options.options({"columns": {f"t.g{at}": {"type": said} for at, said in enumerate(GIVEN)}})
            with _opened(f"{where}/a.db", library, columns) as db:
                if pieces:
                    sqlite.in_step(db, 1.0)
                else:
                    db.begin()
                found = schema.read(db)
                with_it = survey.survey(db, found, chosen)
                with pytest.MonkeyPatch.context() as inner:
                    for module, name in ((survey, "taken"), (survey, "of_form"), (survey.tally.__globals__, "taken")):
                        if isinstance(module, dict):
                            inner.setitem(module, name, lambda *_values: "")
                        else:
                            inner.setattr(module, name, lambda *_values: "")
                    without = survey.survey(db, found, chosen)
            assert with_it.misfits == without.misfits and with_it.changed == without.changed
            for name, one in with_it.profiles["t"].columns.items():
                other = without.profiles["t"].columns[name]
                assert one.seen() == other.seen(), name
                # Of what SQLite tells by itself no rows are kept: it is what fits.
                assert {key: ids for key, ids in other.first.items() if key in one.first}.items() >= {
                    key: ids for key, ids in one.first.items() if key not in one.forms
                }.items()

        check()


def test_json_of_every_kind_has_a_verdict() -> None:
    """The list above has what it is for: texts that one of the two readers takes and the other one does not."""
    texts = [one for one in TEMPTING if isinstance(one, str)]
    db = sqlite3.connect(":memory:")
    valid = {text: bool(db.execute("SELECT json_valid(?)", (text,)).fetchone()[0]) for text in texts}
    accept = checks.acceptor("jsonb", "jsonb")
    assert any(valid[text] and accept(text) for text in texts)
    assert json.loads('{"a":1,"a":1}') == {"a": 1}
