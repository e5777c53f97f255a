# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of cases: a declared type, what is in it, and what becomes of it. docs/migration-types.md is this table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.migration import conversions

INF = float("inf")
STAMP, STAMPTZ = "timestamp without time zone", "timestamp with time zone"
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"

# declared, values, pg_type, conversion offered in the first remedy or "" when all fits
FITS = [
    ("INTEGER", [1, -(2**63), 2**63 - 1, None], "bigint"),
    ("INT", [1], "bigint"),
    ("TINYINT(1)", [0, 1], "bigint"),
    ("REAL", [1.5, INF, -INF, 2**53], "double precision"),
    ("FLOAT", [0.1], "double precision"),
    ("TEXT", ["", "ä", "x" * 5000], "text"),
    ("VARCHAR(2)", ["longer"], "text"),
    ("CLOB", ["x"], "text"),
    ("BLOB", [b"", b"\0\xff"], "bytea"),
    ("BLOB", ["text", "only"], "text"),
    ("BOOLEAN", [0, 1, None], "boolean"),
    ("BOOLEAN", [0, 1, 2], "bigint"),
    ("BOOLEAN", ["t", "f"], "text"),
    ("BOOLEAN", [], "boolean"),
    ("DATETIME", ["2024-01-01 10:00:00", "2024-02-29T23:59:59.123456"], STAMP),
    ("DATETIME", ["2024-01-01 10:00:00Z", "2024-01-01T10:00:00.5+02:00"], STAMPTZ),
    ("TIMESTAMP WITH TIME ZONE", [], STAMPTZ),
    ("DATETIME", [], STAMP),
    ("DATETIME", ["2024-01-01 10:00:00", "2024-01-01 10:00:00Z"], "text"),
    ("DATETIME", ["0000-00-00 00:00:00"], "text"),
    ("DATETIME", ["2024-02-30 10:00:00"], "text"),
    ("DATETIME", ["2024-01-01 10:00:00.1234567"], "text"),
    ("DATETIME", [1700000000, 1700000001], "bigint"),
    ("DATETIME", [2460310.5, 2460311.25], "double precision"),
    ("DATE", ["2024-01-01", "1999-12-31"], "date"),
    ("DATE", ["2024-01-01", "x"], "text"),
    ("TIME", ["10:00", "10:00:01.5"], "time without time zone"),
    ("DECIMAL(10,2)", [1, 12.25, 99999999.99], "numeric(10,2)"),
    ("DECIMAL(10,2)", [0.1 + 0.2], "numeric"),
    ("DECIMAL(4,2)", [100.5], "numeric"),
    ("NUMERIC", [1, 1.5], "numeric"),
    ("UUID", [UUID], "uuid"),
    ("CHAR(36)", [UUID, None], "uuid"),
    ("UUID", [UUID.upper()], "text"),
    ("UUID", ["no uuid"], "text"),
    ("UUID", [b"\0" * 16], "bytea"),
    ("TEXT", [UUID], "text"),
    ("JSON", ['{"a": 1}', "[]", "null"], "json"),
    ("JSON", ['{"a": "\\u0000"}'], "json"),
    ("JSONB", ['{"a": 1}'], "jsonb"),
    ("JSONB", ['{"a": "\\u0000"}'], "text"),
    ("JSONB", ['{"a": 1, "a": 2}'], "text"),
    ("JSON", ["{'a': 1}"], "text"),
    ("", [1, 2], "bigint"),
    ("", [1, 1.5], "numeric"),
    ("", ["x"], "text"),
    ("", [b"x"], "bytea"),
    ("", [], "text"),
    ("STRING", ["abc", "x"], "text"),
    ("STRING", [7, 8], "bigint"),
]

# declared, values, reason, rowid, what the first remedy says
MISFITS = [
    ("INTEGER", [1, "x"], "text where an integer is wanted", "number_to_text"),
    ("INTEGER", [1, ""], "empty text where an integer is wanted", "empty_to_null"),
    ("INTEGER", [1, 1.5], "real where an integer is wanted", "double precision"),
    ("INTEGER", [1, b"\0"], "blob where an integer is wanted", "quarantine"),
    ("REAL", [1.5, "x"], "text where a number is wanted", "number_to_text"),
    ("", [1.5, "x"], "real where text is wanted", "number_to_text"),
    ("TEXT", ["a", b"\xff"], "blob where text is wanted", "blob_to_text"),
    ("TEXT", ["a", "b\0c"], "it has a NUL character, which PostgreSQL's text cannot hold", "strip_nul"),
    ("BLOB", [b"a", "text"], "text where a blob is wanted", "text_to_blob"),
    ("BOOLEAN", [1, "true"], "text where a boolean (0 or 1) is wanted", "bool_words"),
    ("DATETIME", ["2024-01-01 10:00:00", 1700000000], "integer where text is wanted", "number_to_text"),
    # JSON has NUMERIC affinity: a bare number in it is stored as one.
    ("JSON", ["[1]", 7], "integer where JSON is wanted", "value_to_json"),
    ("DECIMAL(10,2)", [1, INF], "it is infinite", "double precision"),
]


def load(planned, declared, values, **said):
    plan = planned(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})",
        [("INSERT INTO t (c) VALUES (?)", (value,)) for value in values],
        **said,
    )
    return plan.tables[0].columns[1]


@pytest.mark.parametrize(("declared", "values", "pg_type"), FITS)
def test_a_type_that_takes_every_value(planned, declared, values, pg_type):
    column = load(planned, declared, values)
    assert (column.pg_type, column.violations) == (pg_type, ())
    assert column.why


@pytest.mark.parametrize(("declared", "values", "reason", "remedy"), MISFITS)
def test_a_value_that_fits_nowhere_is_told_with_its_row_and_a_way_out(planned, declared, values, reason, remedy):
    column = load(planned, declared, values)
    found = [one for one in column.violations if one.reason == reason]
    assert found, column
    row = str(1 + next(i for i, value in enumerate(values) if value == (values[0] if "real" in reason and
              declared == "" else values[1])))  # fmt: skip
    assert (found[0].count, found[0].rowids) == (1, (row,))
    assert remedy in found[0].remedies[0]
    assert found[0].remedies[-1] == "on_violation: quarantine"


# declared, values, settings, pg_type
LET_IN = [
    ("INTEGER", [1, ""], {"conversion": "empty_to_null"}, "bigint"),
    ("INTEGER", [1, "7"], {"conversion": "text_to_number"}, "bigint"),
    ("INTEGER", [1, "x", 1.5], {"type": "text", "conversion": "number_to_text"}, "text"),
    ("INTEGER", [1, 1.5], {"type": "float8"}, "double precision"),
    ("INTEGER", [1, 2.5], {"conversion": "round"}, "bigint"),
    ("TEXT", ["a\0b"], {"conversion": "strip_nul"}, "text"),
    ("TEXT", ["a", b"\xe4"], {"conversion": "latin1"}, "text"),
    ("BLOB", [b"a", "text"], {"conversion": "text_to_blob"}, "bytea"),
    ("BLOB", ["YQ=="], {"conversion": "base64_to_blob"}, "bytea"),
    ("BOOLEAN", ["t", "False", 1, "no"], {"conversion": "bool_words"}, "boolean"),
    ("BOOLEAN", [0, 1, 2], {"conversion": "nonzero_to_bool"}, "boolean"),
    ("DATETIME", [1700000000], {"conversion": "unix_s"}, STAMPTZ),
    ("INTEGER", [1700000000123], {"conversion": "unix_ms"}, STAMPTZ),
    ("DATETIME", [2460310.5], {"conversion": "julian"}, STAMPTZ),
    (
        "DATETIME",
        ["", "0000-00-00", "2024-01-01", "2024-01-01 10:00:00.1234567", "2024-01-01T00:00Z", 1700000000],
        {"conversion": ["empty_to_null", "zero_date_to_null", "truncate_fraction", "iso_to_timestamptz", "unix_s"]},
        STAMPTZ,
    ),
    ("UUID", [UUID.upper(), b"\0" * 16, "{" + UUID + "}"], {"conversion": "to_uuid"}, "uuid"),
    ("JSON", ["not json", "[1]"], {"conversion": "value_to_json"}, "jsonb"),
    ("JSONB", ['"\\u0000"'], {"type": "jsonb", "conversion": "strip_json_nul"}, "jsonb"),
    ("DECIMAL(10,2)", [0.125, 1], {"type": "numeric(10,2)", "conversion": "round"}, "numeric(10,2)"),
    ("REAL", [0.5], {"type": "real"}, "real"),
    ("REAL", [0.1], {"type": "real", "conversion": "round"}, "real"),
    ("REAL", [INF], {"type": "numeric", "conversion": "inf_to_null"}, "numeric"),
]


@pytest.mark.parametrize(("declared", "values", "said", "pg_type"), LET_IN)
def test_what_the_settings_let_in(planned, declared, values, said, pg_type):
    column = load(planned, declared, values, columns={"t.c": said})
    assert (column.pg_type, column.violations) == (pg_type, ())
    assert column.converted <= len(values)


STRICT = [
    ([70000], {"type": "int2"}, "it is outside the range of smallint"),
    ([2147483648], {"type": "integer"}, "it is outside the range of integer"),
    ([2**53 + 1], {"type": "float8"}, "an integer beyond 2^53 loses digits"),
    ([0.1], {"type": "real"}, "as real it loses digits"),
    (["12345"], {"type": "varchar(4)"}, "it is longer than 4 characters"),
    ([2], {"type": "boolean"}, "a number other than 0 and 1 where a boolean is wanted"),
    ([1700000000], {"type": "timestamptz"}, "integer where a timestamp with a zone is wanted"),
    (["2024-01-01"], {"type": "timestamp"}, "a date without a time where a timestamp without a zone is wanted"),
    (["2024-01-01 10:00"], {"type": "timestamptz"}, "not a timestamp with a zone"),
    (["24:00"], {"type": "time"}, "hour must be in 0..23"),
    (["12.5"], {"type": "numeric"}, "text that spells a number where a number is wanted"),
    ([123456.5], {"type": "numeric(8,0)"}, "it has more than 0 digits after the point"),
    (['{"a": 1e999999}'], {"type": "jsonb"}, "JSON with a number that jsonb cannot hold"),
    (['"\\ud800"'], {"type": "jsonb"}, "JSON with half of a surrogate pair, which jsonb cannot hold"),
    (["x y"], {"conversion": "hex_to_blob"}, "it is not hexadecimal"),
]


@pytest.mark.parametrize(("values", "said", "reason"), STRICT)
def test_a_type_that_is_asked_for_is_held_to(planned, values, said, reason):
    column = load(planned, "", values, columns={"t.c": said})
    assert [(one.reason, one.count, one.rowids) for one in column.violations] == [(reason, 1, ("1",))]


def test_text_that_is_not_utf8(planned):
    rows = [("INSERT INTO t VALUES (1, 'good'), (2, CAST(x'ff41' AS TEXT)), (3, 'x')", ())]
    plan = planned("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)", rows)
    assert [(one.reason, one.rowids) for one in plan.tables[0].columns[1].violations] == [
        ("its bytes are not UTF-8", ("2",))
    ]
    plan = planned("DELETE FROM t", rows, columns={"t.c": {"conversion": "latin1"}})
    assert (plan.tables[0].columns[1].violations, plan.tables[0].columns[1].converted) == ((), 1)


@pytest.mark.parametrize("gap", [1, 1000])
@pytest.mark.parametrize("bad", [None, "a", "b"])
def test_text_is_searched_in_dense_and_in_sparse_tables(planned, gap, bad):
    rows = [
        ("INSERT INTO t VALUES (?, ?, ?, ?)", (n * gap, f"x{n}", f"é{n}", n if n % 2 else b"\xff")) for n in range(9000)
    ]
    rows.append(("UPDATE t SET a = ? WHERE id = ?", ("nul\0", 7777 * gap)))
    if bad:
        rows.append((f"UPDATE t SET {bad} = CAST(x'ff' AS TEXT) WHERE id = ?", (8000 * gap,)))
    plan = planned("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT NOT NULL, c)", rows)
    told = [(column.name, one) for column in plan.tables[0].columns[:3] for one in column.violations]
    found = {(name, one.reason[:12], one.rowids) for name, one in told}
    expected = {("a", "it has a NUL", (str(7777 * gap),))}
    assert found == expected | ({(bad, "its bytes ar", (str(8000 * gap),))} if bad else set())


def test_a_utf16_database_is_read_like_any_other(planned):
    plan = planned(
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT, d DATETIME)",
        [
            ("INSERT INTO t VALUES (1, 'ä€', '2024-01-01 10:00:00')", ()),
            ("INSERT INTO t VALUES (2, ?, NULL)", ("a\0b",)),
        ],
    )
    text, date = plan.tables[0].columns[1:]
    assert plan.sources[0].encoding == "UTF-16le"
    assert (text.seen["nul"], text.violations[0].rowids, date.pg_type) == (1, ("2",), STAMP)


def test_rows_without_a_rowid_are_named_by_their_key(planned):
    plan = planned(
        "CREATE TABLE t (a TEXT, b INT, c INT, PRIMARY KEY (a, b)) WITHOUT ROWID",
        [("INSERT INTO t VALUES ('x', 1, 'bad')", ())],
    )
    assert plan.tables[0].columns[2].violations[0].rowids == ("'x', 1",)
    assert (plan.tables[0].rowid, plan.tables[0].first) == ("", None)


def test_jsonb_for_all_by_one_word(planned):
    assert load(planned, "JSON", ['{"a":1}'], json_type="jsonb").pg_type == "jsonb"


def test_the_profile_is_told(planned):
    seen = load(planned, "INTEGER", [5, 0, None, -3]).seen
    assert seen == {"classes": {"integer": 3, "null": 1}, "min": -3, "max": 5}
    seen = load(planned, "TEXT", [UUID], columns={}).seen
    assert seen["sample"] == {"rows": 1, "uuid": 1}


def test_the_documented_conversions_are_those_that_there_are():
    text = (Path(__file__).parents[5] / "docs/migration-types.md").read_text(encoding="utf-8")
    section = text.split("## Conversions")[1].split("```yaml")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(conversions.NAMED)
