# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions and defaults: what has a translation, and what is listed with its reason."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.migration.defaults import default
from ansible_collections.landfall.stack.plugins.module_utils.migration.expressions import translate
from ansible_collections.landfall.stack.plugins.module_utils.migration.parts import (
    BOOL,
    FLOAT,
    INT,
    OTHER,
    TEXT,
    Name,
    Untranslatable,
    glob,
)

COLUMNS = {
    "i": Name("i", INT, "bigint"),
    "f": Name("f", FLOAT, "double precision"),
    "s": Name("S s", TEXT, "text"),
    "n": Name("n", TEXT, "text", nocase=True),
    "b": Name("b", BOOL, "boolean"),
    "u": Name("u", OTHER, "uuid"),
    "j": Name("j", OTHER, "jsonb"),
}

TRANSLATED = [
    ("i > 0 AND i <> 3", '(("i" > 0) AND ("i" <> 3))'),
    ("b", '"b"'),
    ("b = 1", '("b" = TRUE)'),
    ("0 = b", '(FALSE = "b")'),
    ("b IS TRUE", '("b" IS TRUE)'),
    ("i", '("i" <> 0)'),
    ("s == 'it''s'", "(\"S s\" = 'it''s')"),
    ("s < 'b'", '("S s" < \'b\' COLLATE "C")'),
    ("n = 'ABC'", '(lower("n" COLLATE "C") = lower(\'ABC\' COLLATE "C"))'),
    ("s = n", '("S s" = "n")'),
    ("s COLLATE NOCASE = 'x'", '(lower("S s" COLLATE "C") = lower(\'x\' COLLATE "C"))'),
    ("s LIKE 'A%'", '(lower("S s" COLLATE "C") LIKE lower(\'A%\' COLLATE "C") ESCAPE \'\')'),
    ("s NOT GLOB 'a*'", '(NOT ("S s" COLLATE "C" ~ \'^a.*$\'))'),
    ("i IS NULL OR i IS NOT 3", '(("i" IS NULL) OR ("i" IS DISTINCT FROM 3))'),
    ('"S" = "no column"', "(\"S s\" = 'no column')"),
    ("i IN (1, 2)", '(("i" = 1) OR ("i" = 2))'),
    ("i NOT BETWEEN 1 AND 2", '(NOT (("i" >= 1) AND ("i" <= 2)))'),
    ("i / 2 = 1", '(("i" / 2) = 1)'),
    ("length(s) = 36", '(char_length("S s") = 36)'),
    ("typeof(i) IN ('integer', 'null')", None),
    ("u = '0f8fad5b-d9cb-469f-a165-70867728950e'", "(\"u\" = '0f8fad5b-d9cb-469f-a165-70867728950e')"),
    ("json_valid(j)", '(CASE WHEN "j" IS NOT NULL THEN TRUE END)'),
    ("t.i > 0", '("i" > 0)'),
    ("i > 0 -- comment", '("i" > 0)'),
]


@pytest.mark.parametrize(("sql", "expected"), TRANSLATED)
def test_what_means_the_same_in_both(sql, expected):
    made = translate(sql, COLUMNS, True)
    assert expected is None or made == expected


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("s", "text as a condition"),
        ("i = '1'", "a comparison of int with text"),
        ("i / f > 1", "zero"),
        ("i > (SELECT 1)", "SELECT"),
        ("s REGEXP 'x'", "REGEXP"),
        ("my_function(s)", "the function my_function()"),
        ("CAST(s AS INTEGER) > 0", "CAST from text"),
        ("json_extract(j, '$.a') = 1", "json_extract"),
        ("j ->> 'a' = 'x'", "->>"),
        ("s || f = 'x'", "float as text"),
        ("u > 'a'", "a comparison of uuid with text"),
        ("s = x'00'", "blob"),
        ("(i, f) = (1, 2)", "row"),
        ("unknown > 1", "no column unknown"),
        ("i >", "ends too early"),
        ("s COLLATE RTRIM = 'x'", "RTRIM"),
    ],
)
def test_what_does_not_is_told(sql, why):
    with pytest.raises(Untranslatable, match=why.replace("(", r"\(").replace(")", r"\)")):
        translate(sql, COLUMNS, True)


def test_a_pattern_of_glob_is_one_regular_expression():
    assert glob("a*[^0-9]?.txt[]]") == r"^a.*[^0-9].\.txt[\]]$"


NOW = "statement_timestamp() AT TIME ZONE 'UTC'"


@pytest.mark.parametrize(
    ("sql", "declared", "pg_type", "encoder", "expected"),
    [
        (None, "INT", "bigint", "int8", ""),
        ("NULL", "INT", "bigint", "int8", ""),
        ("-1", "INT", "bigint", "int8", "-1"),
        ("'7'", "INT", "bigint", "int8", "7"),
        ("7", "TEXT", "text", "text", "'7'"),
        ("'it''s'", "TEXT", "text", "text", "'it''s'"),
        ('"quoted"', "TEXT", "text", "text", "'quoted'"),
        ("bare", "TEXT", "text", "text", "'bare'"),
        ("1", "BOOLEAN", "boolean", "bool", "true"),
        ("FALSE", "BOOLEAN", "boolean", "bool", "false"),
        ("1.50", "DECIMAL(10,2)", "numeric(10,2)", "numeric", "1.5"),
        ("1", "REAL", "double precision", "float8", "'1.0'::double precision"),
        ("x'00ff'", "BLOB", "bytea", "bytea", "'\\x00ff'::bytea"),
        ("CURRENT_TIMESTAMP", "DATETIME", "timestamp with time zone", "timestamptz", "statement_timestamp()"),
        ("current_timestamp", "DATETIME", "timestamp without time zone", "timestamp", f"({NOW})"),
        ("datetime ( 'now' )", "TEXT", "text", "text", f"to_char({NOW}, 'YYYY-MM-DD HH24:MI:SS')"),
        ("(datetime('now'))", "TEXT", "text", "text", f"to_char({NOW}, 'YYYY-MM-DD HH24:MI:SS')"),
        ("'{schema}'", "TEXT", "text", "text", "('{' || 'schema}')"),
        ("current_time", "TIME", "time without time zone", "time", f"date_trunc('second', {NOW})::time"),
        ("date('now')", "DATE", "date", "date", f"({NOW})::date"),
        ("strftime('%s', 'now')", "INT", "bigint", "int8", "floor(extract(epoch FROM statement_timestamp()))::bigint"),
        ("'{}'", "JSON", "json", "json", "'{}'::json"),
        ("'2024-01-01 10:00:00'", "DATETIME", "timestamp without time zone", "timestamp",
         "'2024-01-01 10:00:00'::timestamp without time zone"),
        ("1 + 1", "INT", "bigint", "int8", "(1 + 1)"),
    ],
)  # fmt: skip
def test_a_default(sql, declared, pg_type, encoder, expected):
    assert default(sql, declared, pg_type, encoder, "") == expected


def test_a_default_is_converted_as_the_values_are():
    assert default("'t'", "BOOLEAN", "boolean", "bool", "bool_words") == "true"
    assert default("''", "DATETIME", "date", "date", "empty_to_null") == ""
    assert default("strftime('%s','now')", "INT", "timestamp with time zone", "timestamptz", "unix_s") == (
        "statement_timestamp()"
    )
    made = default("0", "INT", "timestamp with time zone", "timestamptz", "unix_s")
    assert made == "'1970-01-01T00:00:00+00:00'::timestamp with time zone"


def test_a_random_default_is_64_bits_wide():
    assert "bit(64)::bigint" in default("random()", "INT", "bigint", "int8", "")
    assert "gen_random_uuid" in default("lower(hex(randomblob(16)))", "TEXT", "text", "text", "")


@pytest.mark.parametrize(
    ("sql", "pg_type", "encoder"),
    [
        ("'x'", "bigint", "int8"),
        ("2", "boolean", "bool"),
        ("strftime('%W', 'now')", "text", "text"),
        ("strftime('%S', 'now')", "bigint", "int8"),
        ("datetime('now', '+1 day')", "text", "text"),
        ("''", "json", "json"),
        ("CURRENT_TIMESTAMP", "bigint", "int8"),
    ],
)
def test_a_default_that_fits_nowhere_is_told(sql, pg_type, encoder):
    with pytest.raises(Untranslatable):
        default(sql, "", pg_type, encoder, "")
