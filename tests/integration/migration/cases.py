"""The table of cases: what a column of SQLite may hold, and what is in PostgreSQL afterwards, as PostgreSQL prints it.

docs/migration-types.md tells it in words.
"""

from __future__ import annotations

from typing import Any

INF = float("inf")
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
STAMP, STAMPTZ = "timestamp without time zone", "timestamp with time zone"

#: name → (declared type, values, settings of the column, PostgreSQL's type, what it prints)
ARRIVES: dict[str, tuple[str, list[Any], dict[str, Any], str, list[str | None]]] = {
    "integers": (
        "INTEGER", [0, -(2**63), 2**63 - 1, 2**53 + 1, 2**31, None], {}, "bigint",
        ["0", "-9223372036854775808", "9223372036854775807", "9007199254740993", "2147483648", None],
    ),
    "integers_asked_for": ("INTEGER", [-(2**31), 2**31 - 1], {"type": "int4"}, "integer", ["-2147483648", "2147483647"]),
    "small_integers": ("INTEGER", [-32768, 32767], {"type": "int2"}, "smallint", ["-32768", "32767"]),
    "empty_is_null": ("INTEGER", [1, ""], {"conversion": "empty_to_null"}, "bigint", ["1", None]),
    "spelled_numbers": ("INTEGER", [1, "x", 1.5], {"type": "text", "conversion": "number_to_text"}, "text", ["1", "x", "1.5"]),
    "floats": (
        "REAL", [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 3.0, INF, -INF], {}, "double precision",
        ["0.30000000000000004", "5e-324", "1.7976931348623157e+308", "-0", "3", "Infinity", "-Infinity"],
    ),
    "floats_among_integers": ("INTEGER", [1, 1.5], {"type": "float8"}, "double precision", ["1", "1.5"]),
    "single_floats": ("REAL", [0.5, 16777216.0], {"type": "real"}, "real", ["0.5", "1.6777216e+07"]),
    "no_infinity": ("REAL", [INF, 0.5], {"type": "numeric", "conversion": "inf_to_null"}, "numeric", [None, "0.5"]),
    "text": ("TEXT", ["", "ä€😀", "a\\.\t\nb", "\\N", "'\"", None], {}, "text", ["", "ä€😀", "a\\.\t\nb", "\\N", "'\"", None]),
    "text_longer_than_declared": ("VARCHAR(2)", ["longer"], {}, "text", ["longer"]),
    "text_of_a_length": ("TEXT", ["ä€😀"], {"type": "varchar(3)"}, "character varying(3)", ["ä€😀"]),
    "text_without_its_nul": ("TEXT", ["a\0b"], {"conversion": "strip_nul"}, "text", ["ab"]),
    "latin1": ("TEXT", ["a", b"\xe4"], {"conversion": "latin1"}, "text", ["a", "ä"]),
    "blobs": ("BLOB", [b"", b"\0\xff\\", None], {}, "bytea", ["\\x", "\\x00ff5c", None]),
    "blobs_that_are_text": ("BLOB", ["YWJj", "text"], {}, "text", ["YWJj", "text"]),
    "text_among_blobs": ("BLOB", [b"a", "YWJj"], {"conversion": "text_to_blob"}, "bytea", ["\\x61", "\\x59574a6a"]),
    "booleans": ("BOOLEAN", [0, 1, None], {}, "boolean", ["false", "true", None]),
    "booleans_with_a_two": ("BOOLEAN", [0, 1, 2], {}, "bigint", ["0", "1", "2"]),
    "booleans_in_words": ("BOOLEAN", ["t", "False", 1, "no"], {"conversion": "bool_words"}, "boolean", ["true", "false", "true", "false"]),
    "any_number_is_true": ("BOOLEAN", [0, 2, -1], {"conversion": "nonzero_to_bool"}, "boolean", ["false", "true", "true"]),
    "moments": (
        "DATETIME", ["2024-02-29 23:59:59.123456", "1900-01-01T00:00:00", "9999-12-31 00:00", "0001-01-01 00:00:00.1"], {}, STAMP,
        ["2024-02-29 23:59:59.123456", "1900-01-01 00:00:00", "9999-12-31 00:00:00", "0001-01-01 00:00:00.1"],
    ),
    "moments_with_a_zone": (
        "TIMESTAMP", ["2024-01-01T10:00:00Z", "2024-01-01 10:00:00.5+02:00", "1969-12-31T23:59:59.999999-05:30"], {}, STAMPTZ,
        ["2024-01-01 10:00:00+00", "2024-01-01 08:00:00.5+00", "1970-01-01 05:29:59.999999+00"],
    ),
    "mixed_moments": (
        "DATETIME", ["2024-01-01 10:00:00", "2024-01-01T10:00:00Z", "", "0000-00-00", "2024-02-30", "x"], {}, "text",
        ["2024-01-01 10:00:00", "2024-01-01T10:00:00Z", "", "0000-00-00", "2024-02-30", "x"],
    ),
    "mixed_moments_made_one": (
        "DATETIME", ["", "0000-00-00", "2024-01-01", "2024-01-01 10:00:00.1234567", "2024-01-01T00:00Z", 1700000000],
        {"conversion": ["empty_to_null", "zero_date_to_null", "truncate_fraction", "iso_to_timestamptz", "unix_s"]}, STAMPTZ,
        [None, None, "2024-01-01 00:00:00+00", "2024-01-01 10:00:00.123456+00", "2024-01-01 00:00:00+00", "2023-11-14 22:13:20+00"],
    ),
    "unix_seconds": ("DATETIME", [1700000000, -1], {}, "bigint", ["1700000000", "-1"]),
    "unix_seconds_as_moments": ("DATETIME", [1700000000, 0, None], {"conversion": "unix_s"}, STAMPTZ, ["2023-11-14 22:13:20+00", "1970-01-01 00:00:00+00", None]),
    "unix_milliseconds": ("INTEGER", [1700000000123], {"conversion": "unix_ms"}, STAMPTZ, ["2023-11-14 22:13:20.123+00"]),
    "julian_days": ("DATETIME", [2460310.5], {"conversion": "julian"}, STAMPTZ, ["2024-01-01 00:00:00+00"]),
    "dates": ("DATE", ["2024-02-29", "0001-01-01", None], {}, "date", ["2024-02-29", "0001-01-01", None]),
    "times": ("TIME", ["10:00", "23:59:59.999999"], {}, "time without time zone", ["10:00:00", "23:59:59.999999"]),
    "decimals": ("DECIMAL(10,2)", [1, 12.25, 99999999.99, -0.01], {}, "numeric(10,2)", ["1.00", "12.25", "99999999.99", "-0.01"]),
    "decimals_with_more_digits": ("DECIMAL(10,2)", [0.1 + 0.2, 2**62], {}, "numeric", ["0.30000000000000004", "4611686018427387904"]),
    "decimals_rounded": ("DECIMAL(10,2)", [0.125, -0.125], {"type": "numeric(10,2)", "conversion": "round"}, "numeric(10,2)", ["0.13", "-0.13"]),
    "uuids": ("UUID", [UUID, None], {}, "uuid", [UUID, None]),
    "uuids_in_capitals": ("UUID", [UUID.upper()], {}, "text", [UUID.upper()]),
    "uuids_of_all_kinds": ("UUID", [UUID.upper(), b"\0" * 16, "{" + UUID + "}", UUID.replace("-", "")], {"conversion": "to_uuid"}, "uuid", [UUID, "0" * 8 + "-0000-0000-0000-" + "0" * 12, UUID, UUID]),
    "json": ("JSON", ['{"b" : 1.50, "a": "\\u0000"}', "null"], {}, "json", ['{"b" : 1.50, "a": "\\u0000"}', "null"]),
    "jsonb": ("JSONB", ['{"b": 1.50, "a": ["\\u00e9", 1e2]}'], {}, "jsonb", ['{"a": ["é", 100], "b": 1.50}']),
    "jsonb_that_cannot_be": ("JSONB", ['{"a": "\\u0000"}', '{"a": 1, "a": 2}'], {}, "text", ['{"a": "\\u0000"}', '{"a": 1, "a": 2}']),
    "json_that_is_none": ("JSON", ["{'a': 1}", "[1"], {}, "text", ["{'a': 1}", "[1"]),
    "what_is_no_json_made_json": ("JSON", ["not json", "[1]", 7], {"conversion": "value_to_json"}, "jsonb", ['"not json"', "[1]", "7"]),
    "untyped_integers": ("", [1, 2], {}, "bigint", ["1", "2"]),
    "untyped_numbers": ("", [1, 1.5], {}, "numeric", ["1", "1.5"]),
    "untyped_text": ("", ["7"], {}, "text", ["7"]),
    "untyped_blobs": ("", [b"\xff"], {}, "bytea", ["\\xff"]),
    "untyped_nothing": ("", [None], {}, "text", [None]),
    "a_name_that_sqlite_does_not_know": ("STRING", [7, 8], {}, "bigint", ["7", "8"]),
    "collated": ("TEXT COLLATE NOCASE", ["aB", "Ab", "ÄÖ"], {}, "text", ["aB", "Ab", "ÄÖ"]),
}  # fmt: skip

#: name → (declared type, a value that fits, one that does not, settings, words of the reason)
REFUSED: dict[str, tuple[str, Any, Any, dict[str, Any], str]] = {
    "text_in_integer": ("INTEGER", 1, "x", {}, "text where an integer is wanted"),
    "empty_in_integer": ("INTEGER", 1, "", {}, "empty text where an integer is wanted"),
    "float_in_integer": ("INTEGER", 1, 1.5, {}, "real where an integer is wanted"),
    "blob_in_integer": ("INTEGER", 1, b"\0", {}, "blob where an integer is wanted"),
    "text_in_real": ("REAL", 1.5, "x", {}, "text where a number is wanted"),
    "nul_in_text": ("TEXT", "a", "b\0c", {}, "NUL character"),
    "blob_in_text": ("TEXT", "a", b"\xff", {}, "blob where text is wanted"),
    "text_in_blob": ("BLOB", b"a", "text", {}, "text where a blob is wanted"),
    "word_in_boolean": ("BOOLEAN", 1, "true", {}, "text where a boolean"),
    "empty_in_boolean": ("BOOLEAN", 1, "", {}, "empty text where a boolean"),
    "number_among_moments": ("DATETIME", "2024-01-01 10:00:00", 1700000000, {}, "integer where text is wanted"),
    "number_in_json": ("JSON", "[1]", 7, {}, "integer where JSON is wanted"),
    "infinite_decimal": ("DECIMAL(10,2)", 1, INF, {}, "it is infinite"),
    "beyond_smallint": ("INTEGER", 1, 70000, {"type": "int2"}, "outside the range of smallint"),
    "beyond_integer": ("INTEGER", 1, 2147483648, {"type": "int4"}, "outside the range of integer"),
    "beyond_a_double": ("INTEGER", 1, 2**53 + 1, {"type": "float8"}, "beyond 2^53"),
    "beyond_a_single": ("REAL", 0.5, 0.1, {"type": "real"}, "as real it loses digits"),
    "beyond_a_length": ("TEXT", "1234", "12345", {"type": "varchar(4)"}, "longer than 4 characters"),
    "beyond_a_decimal": ("DECIMAL(6,2)", 1, 12345.5, {"type": "numeric(6,2)"}, "more than 4 digits before the point"),
    "finer_than_a_decimal": ("DECIMAL(6,2)", 1, 1.005, {"type": "numeric(6,2)"}, "more than 2 digits after the point"),
    "no_boolean": ("INTEGER", 1, 2, {"type": "boolean"}, "a number other than 0 and 1"),
    "no_uuid": ("TEXT", UUID, "nope", {"type": "uuid"}, "it is no UUID"),
    "no_date": ("TEXT", "2024-01-01", "2024-02-30", {"type": "date"}, "does not exist"),
    "no_zone": ("TEXT", "2024-01-01 10:00Z", "2024-01-01 10:00", {"type": "timestamptz"}, "not a timestamp with a zone"),
    "too_fine": ("TEXT", "2024-01-01 10:00", "2024-01-01 10:00:00.1234567", {"type": "timestamp"}, "finer than a microsecond"),
    "no_json": ("TEXT", "[1]", "{'a'}", {"type": "json"}, "it is not JSON"),
    "nul_in_jsonb": ("TEXT", "[1]", '"\\u0000"', {"type": "jsonb"}, "jsonb cannot hold"),
    "a_key_twice": ("TEXT", "[1]", '{"a": 1, "a": 2}', {"type": "jsonb"}, "same key twice"),
    "half_a_surrogate": ("TEXT", "[1]", '"\\ud800"', {"type": "jsonb"}, "jsonb cannot hold"),
    "a_conversion_that_fails": ("TEXT", "00ff", "x y", {"conversion": "hex_to_blob"}, "it is not hexadecimal"),
}  # fmt: skip
