# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, tokens and clauses: any name and any schema comes through whole."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.landfall.stack.plugins.module_utils.clients import sqlite
from ansible_collections.landfall.stack.plugins.module_utils.migration import moments, schema
from ansible_collections.landfall.stack.plugins.module_utils.migration.clauses import of_index, of_table
from ansible_collections.landfall.stack.plugins.module_utils.migration.names import (
    LONGEST,
    SYSTEM,
    Names,
    column_names,
    shorten,
)
from ansible_collections.landfall.stack.plugins.module_utils.migration.tokens import closing, split, tokens

FEW = settings(max_examples=60, deadline=None)
#: Any name SQLite can have; lone surrogates cannot be written into a database.
ZONES = ["", "Z", "+02:00", " -0530", "+14", "+99"]
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=90)


@FEW
@given(st.lists(NAMES, max_size=30, unique_by=str.lower))
def test_columns_get_names_that_postgresql_can_have(names):
    made = column_names(names)
    assert list(made) == names
    assert len(set(made.values())) == len(names)
    for source, target in made.items():
        assert target and len(target.encode()) <= LONGEST and target not in SYSTEM
        if source and len(source.encode()) <= LONGEST and source not in SYSTEM:
            assert target == source
    assert column_names(names) == made


@FEW
@given(st.lists(NAMES, max_size=20))
def test_names_of_a_schema_are_never_given_twice(names):
    given_names = Names()
    made = [given_names.give(name) for name in names]
    assert len(set(made)) == len(made) and all(0 < len(one.encode()) <= LONGEST for one in made)


def test_a_name_that_is_cut_ends_in_a_hash_of_all_of_it():
    one, other = shorten("x" * 70), shorten("x" * 71)
    assert one != other and len(one) == len(other) == LONGEST and one.startswith("x" * 54 + "_")
    assert len(shorten("é" * 40).encode()) <= LONGEST


def test_system_columns_and_the_users_names():
    assert column_names(["ctid", "oid", "ctid_2", ""]) == {
        "ctid": "ctid_3", "oid": "oid", "ctid_2": "ctid_2", "": "column_4"
    }  # fmt: skip
    assert column_names(["a", "b"], {"a": "b"}) == {"a": "b", "b": "b_2"}
    for wished in ({"a": "xmin"}, {"a": "x" * 64}, {"a": "z", "b": "z"}):
        with pytest.raises(ValueError):
            column_names(["a", "b"], wished)


@FEW
@given(NAMES, st.text(max_size=20), st.sampled_from(['"', "`", "'"]))
def test_tokens_keep_what_is_quoted(name, text, quote):
    word = quote + name.replace(quote, quote * 2) + quote
    items = tokens(f"a{word}, ('{text.replace(chr(39), chr(39) * 2)}' -- {'x'}\n /* , */ + 1.5e3)")
    assert [one.value for one in items][:5] == ["a", name, ",", "(", text]
    assert [one.text for one in items][5:] == ["+", "1.5e3", ")"]


def test_parentheses_and_commas():
    items = tokens("a, f(b, c), d")
    assert [len(part) for part in split(items)] == [1, 6, 1]
    assert closing(items, 3) == 7
    with pytest.raises(ValueError):
        closing(tokens("(a"), 0)
    with pytest.raises(ValueError):
        tokens("a ' b")


def test_clauses_of_a_table():
    made = of_table("""CREATE TABLE "t(" ( -- a comment, with ( and '
        id INTEGER CONSTRAINT pk PRIMARY KEY AUTOINCREMENT,
        "a, b" VARCHAR(10, 2) DEFAULT ('CHECK (' || 'x') COLLATE nocase CONSTRAINT c1 CHECK ("a, b" <> ')') NOT NULL
          ON CONFLICT REPLACE,
        g AS (id + 1) STORED, check_me INT CHECK (check_me > 0),
        p INT REFERENCES q(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT u UNIQUE (id, p), CONSTRAINT f FOREIGN KEY (p, id) REFERENCES r, CHECK (id > p))""")
    assert made.checks == [("c1", "\"a, b\" <> ')'"), ("", "check_me > 0"), ("", "id > p")]
    assert (made.generated, made.collations) == ({"g": "id + 1"}, {"a, b": "NOCASE"})
    assert made.autoincrement and made.deferred == {("p",)} and made.conflicts == ["a, b ON CONFLICT REPLACE"]
    assert made.names == {
        ("primary key", ("id",)): "pk",
        ("unique", ("id", "p")): "u",
        ("foreign key", ("p", "id")): "f",
    }


def test_clauses_of_an_index():
    made = of_index('CREATE UNIQUE INDEX IF NOT EXISTS "on" ON "where" (lower(a) COLLATE NOCASE DESC, b) WHERE b > 0')
    assert (made.terms, made.where) == (("lower(a)", "b"), "b > 0")


@FEW
@given(
    st.lists(NAMES.filter(bool), min_size=1, max_size=6, unique_by=str.lower),
    st.lists(st.sampled_from(["", "INTEGER", "TEXT", "DECIMAL(10, 2)", "double precision", "JSON"]), min_size=6),
    st.booleans(),
)
def test_any_schema_is_read_as_sqlite_reads_it(names, types, without):
    connection = sqlite3.connect(":memory:")
    columns = [f'"{name.replace(chr(34), chr(34) * 2)}" {kind}' for name, kind in zip(names, types, strict=False)]
    columns[0] += " NOT NULL CHECK (1 > 0)"
    key = '"' + names[0].replace('"', '""') + '"'
    sql = f"CREATE TABLE t ({', '.join(columns)}, PRIMARY KEY ({key})) {'WITHOUT ROWID' if without else ''}"
    connection.execute(sql)
    db = sqlite._Stdlib(":memory:", connection, "sqlite3", sqlite3.sqlite_version)
    table = schema.read(db).tables[0]
    assert [one.name for one in table.columns] == names
    assert table.key == (names[0],) and table.without_rowid == without and not table.unreadable
    assert table.checks == (("", "1 > 0"),)
    assert table.alias == (names[0] if types[0] == "INTEGER" and not without else "")
    connection.close()


@FEW
@given(
    st.datetimes(),
    st.sampled_from(["", "Z", "+02:00", " -0530", "+14", "+99"]),
    st.sampled_from(" T"),
    st.integers(0, 40),
)
def test_a_moment_that_is_certain_is_the_one_that_is_read(moment, zone, middle, day):
    text = f"{moment.isoformat(middle)[:8]}{day:02}{moment.isoformat(middle)[10:]}{zone}"
    known = moments.certain(text)
    try:
        read = moments.read_stamp(text)[0]
    except ValueError:
        assert known == ""
        return
    assert known in ("", moments.TIMESTAMPTZ if read.tzinfo else moments.TIMESTAMP)
    if 1000 <= moment.year < 3000 and day != 29 and "+14" not in zone:
        assert known
