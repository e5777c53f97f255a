# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of a JSON file: what they become, and what is refused before anything is made."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.landfall.stack.plugins.module_utils.migration import existing, json_records, options
from ansible_collections.landfall.stack.plugins.module_utils.migration.json_file import Unfit, records, spelled


def plan(text, key=(), pointer="", target=None, columns=None, **more):
    found = records(text if isinstance(text, str) else json.dumps(text), pointer)
    return json_records.plan(found, "public", "t", key, columns=options.fields(columns or {}), target=target, **more)


def test_an_object_of_records():
    made = plan({"a": {"on": True, "n": 1, "x": 1.5, "s": "é", "tags": ["q"], "none": None}, "b": {"n": 2**70}})
    assert [(one.name, one.pg_type) for one in made.columns] == [
        ("id", "text"), ("on", "boolean"), ("n", "numeric"), ("x", "numeric"), ("s", "text"), ("tags", "jsonb"),
        ("none", "text"),
    ]  # fmt: skip
    assert made.rows == (
        ("a", "true", "1", "1.5", "é", '["q"]', None), ("b", None, str(2**70), None, None, None, None),
    )  # fmt: skip
    assert made.key == ("id",) and 'PRIMARY KEY ("id")' in made.create


def test_an_array_of_records_at_a_place():
    made = plan({"a/b": [{"k": 1}, {"k": 2}]}, key=["k"], pointer="/a~1b")
    assert (made.key, made.rows, made.columns[0].pg_type) == (("k",), (("1",), ("2",)), "bigint")


def test_one_column_of_documents():
    made = plan('[{"sku": "x", "price": 1.10, "deep": [null, 1e2]}, {"sku": "y"}]', key=["sku"], document="data")
    assert [(one.name, one.pg_type) for one in made.columns] == [("sku", "text"), ("data", "jsonb")]
    assert made.rows[0] == ("x", '{"sku": "x", "price": 1.10, "deep": [null, 1E+2]}')
    assert plan('{"a": 1, "b": null}', document="data").rows == (("a", "1"), ("b", "null"))


def test_types_and_conversions_that_are_asked_for():
    made = plan(
        {"a": {"at": "2024-01-01 10:00", "n": 1700000000, "skip": {}}},
        columns={
            "at": {"type": "timestamptz", "conversion": "iso_to_timestamptz", "name": "created"},
            "n": {"type": "timestamptz", "conversion": "unix_s"},
            "skip": {"exclude": True},
        },
    )
    assert made.rows == (("a", "2024-01-01T10:00:00+00:00", "2023-11-14T22:13:20+00:00"),)
    assert made.columns[1].name == "created"


@pytest.mark.parametrize(
    ("text", "more", "fault"),
    [
        ("{", {}, "it is not JSON"),
        ('{"a": {"x": 1, "x": 2}}', {}, "the key 'x' stands twice"),
        ('{"a": {"x": NaN}}', {}, "NaN is no JSON"),
        ("3", {}, "neither an object nor an array"),
        ("[]", {}, "an array's records need a key"),
        ('{"a": {}}', {"pointer": "/b"}, "nothing at /b"),
        ('[{"k": 1}, {"x": 2}]', {"key": ["k"]}, r"\[1\]: it has no value for the key k"),
        ('[{"k": 1}, {"k": 1}]', {"key": ["k"]}, r"\[1\]: the key 1 is that of \[0\], too"),
        ('[{"k": 1}]', {"key": ["q"]}, "there is no column q; there are k"),
        ('{"a": 7}', {}, "a: it is no object; load whole records by document"),
        ('{"a": {"x": "b\\u0000"}}', {}, "a: x .text.: it has a NUL"),
        ('{"a": {"x": ["\\u0000"]}}', {}, "jsonb cannot hold"),
        ('{"a": {"x": "\\ud800"}}', {}, "half of a surrogate pair"),
        ('{"a": {"x": 1.5}}', {"columns": {"x": {"type": "bigint"}}}, "a number with a point"),
        ('{"a": {"x": true}}', {"columns": {"x": {"type": "bigint"}}}, "true or false where another type"),
        ('{"a": {"x": 0.1234567890123456789}}', {"columns": {"x": {"type": "float8"}}}, "as a float it loses digits"),
        ('{"a": {"x": []}}', {"columns": {"x": {"type": "text"}}}, "an array where a single value is wanted"),
        ('{"a": {"x": 1}}', {"columns": {"y": {"type": "text"}}}, "there is no field y"),
        ('{"a": {"x": 1}}', {"columns": {"x": {"name": "id"}}}, "two fields become the column id"),
        ('{"a": {"xmin": 1}}', {}, "'xmin' is no name of a column"),
    ],
)
def test_what_is_refused(text, more, fault):
    with pytest.raises(Unfit, match=fault):
        plan(text, **more)


def test_many_misfits_are_counted():
    with pytest.raises(Unfit) as caught:
        plan({str(n): {"x": "word"} for n in range(30)}, columns={"x": {"type": "bigint"}})
    lines = str(caught.value).splitlines()
    assert len(lines) == 11 and lines[-1] == "… and 20 more values that do not fit"


def test_a_table_that_is_there_is_held_to():
    column = existing.TargetColumn
    target = existing.TargetTable("t", (column("id", "text"), column("n", "integer"), column("more", "text", True)))
    with pytest.raises(Unfit, match=r"t\.more: it is NOT NULL without a default"):
        plan({"a": {"n": 1}}, target=target)
    target = existing.TargetTable("t", (column("id", "text"), column("n", "integer"), column("more", "text")))
    assert plan({"a": {"n": 1}}, target=target).create == ""
    with pytest.raises(Unfit, match="outside the range of integer"):
        plan({"a": {"n": 2**31}}, target=target)
    with pytest.raises(Unfit, match="t has no column q; leave it out"):
        plan({"a": {"q": 1}}, target=target)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_a_document_is_spelled_as_it_was_read(value):
    def same(one, other):
        return str(one) == str(other) if isinstance(one, Decimal) else one == other

    read = json.loads(spelled([value]), parse_float=Decimal)[0]
    again = json.loads(spelled([read]), parse_float=Decimal)[0]
    assert same(read, again) and spelled(read) == spelled(again)
    assert records(spelled([value]))[0].value == read
