# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on a real server: every statement runs, and every translated expression means what it meant in SQLite."""

from __future__ import annotations

import itertools
import os
import sqlite3
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.landfall.stack.plugins.module_utils.clients import sqlite, target_schema
from ansible_collections.landfall.stack.plugins.module_utils.migration import (
    existing,
    options,
    planner,
    schema,
    survey,
)
from ansible_collections.landfall.stack.plugins.module_utils.migration.expressions import parse
from ansible_collections.landfall.stack.plugins.module_utils.migration.parts import (
    BOOL,
    FLOAT,
    INT,
    TEXT,
    Name,
)

SQL = """
CREATE TABLE a (
    id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT NOT NULL UNIQUE, n TEXT COLLATE NOCASE UNIQUE,
    v INT DEFAULT 3 CHECK (v > 0 AND v % 2 = 1), w REAL DEFAULT 1e308, d TEXT DEFAULT (datetime('now')),
    e DATETIME DEFAULT CURRENT_TIMESTAMP, f DATE DEFAULT CURRENT_DATE, g TIME DEFAULT CURRENT_TIME,
    h INT DEFAULT (strftime('%s','now')), i BLOB DEFAULT x'00ff', j JSON DEFAULT '{}', k BOOLEAN DEFAULT 0,
    l BIGINT DEFAULT (random()), m TEXT DEFAULT (lower(hex(randomblob(16)))), o REAL DEFAULT (julianday('now')),
    p DECIMAL(10,2) DEFAULT 1.50, q TEXT DEFAULT 'it''s {schema}.',
    r TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
    s UUID DEFAULT '0f8fad5b-d9cb-469f-a165-70867728950e', t INT DEFAULT 9223372036854775807, u REAL DEFAULT 9e999,
    "select" TEXT DEFAULT "dq", ctid INT, oid INT, "{schema}." INT, jv JSON CHECK (json_valid(jv)),
    CONSTRAINT positive CHECK (v > 0));
CREATE TABLE b (
    x TEXT, y INT, a_id INT REFERENCES a ON DELETE SET NULL ON UPDATE CASCADE,
    code TEXT REFERENCES a(code) DEFERRABLE INITIALLY DEFERRED,
    g1 AS (x || '-' || y), g2 INT AS (y * 2) STORED, g3 AS (length(x)), g4 AS (y > 3), g5 TEXT AS (upper(x)),
    g6 REAL AS (y * 1.5), g7 AS (CASE WHEN y > 0 THEN 'p' ELSE 'n' END), g8 AS (x = 'a'), PRIMARY KEY (x, y)
) WITHOUT ROWID;
CREATE INDEX b_part ON b (y DESC) WHERE x IS NOT NULL AND x LIKE 'a%';
CREATE INDEX b_expr ON b (lower(x), y + 1);
CREATE UNIQUE INDEX b_nc ON b (x COLLATE NOCASE, y);
CREATE TABLE c (id INTEGER PRIMARY KEY, up INT REFERENCES c(id), flag BOOLEAN, CHECK (flag IN (0, 1)));
CREATE INDEX c_flag ON c (id) WHERE flag = 1;
CREATE INDEX c_bare ON c (id) WHERE flag;
CREATE TABLE long_long_long_long_long_long_long_long_long_long_long_long_name_x (
    id INTEGER PRIMARY KEY, a INT UNIQUE, CHECK (a <> 3), CHECK (a <> 4));
CREATE TABLE nocase_key (a TEXT COLLATE NOCASE PRIMARY KEY);
CREATE VIEW v AS SELECT * FROM a WHERE k = 0 AND code LIKE 'Y%';
CREATE VIEW w (p, q) AS SELECT c.id, b.x || b.y FROM c LEFT JOIN b ON b.y = c.id AND b.g4 WHERE c.flag;
INSERT INTO a (code, n, jv) VALUES ('c1', 'N', '[]');
INSERT INTO b (x, y, a_id, code) VALUES ('a', 5, 1, 'c1');
"""


def source(tmp_path, sql):
    path = str(tmp_path / f"{len(os.listdir(tmp_path))}.db")
    connection = sqlite3.connect(path)
    connection.executescript(sql)
    connection.close()
    return path


def plan_of(path, library, chosen, mode="create"):
    with sqlite.connect(path, library) as db:
        found = survey.survey(db, schema.read(db), chosen)
    return planner.plan([planner.Input(path, os.path.getsize(path), library, found)], chosen, mode)


def made(connection, plan, name='"S {x} t"'):
    """Carry out a plan's statements, as the engine does, without the rows."""
    run = [one.sql for table in plan.tables for one in table.before]
    run += [table.create for table in plan.tables]
    run += [one.sql for table in plan.tables for one in table.after]
    run += [one.sql for table in plan.tables for one in table.links]
    run += [one.sql for one in plan.views]
    connection.execute(f"CREATE SCHEMA {name}")
    connection.execute(f"SET search_path TO {name}, public")
    for sql in run:
        connection.execute(sql.replace("{schema}", name))


@pytest.mark.parametrize("nocase", ["lower", "citext", "plain"])
def test_every_statement_of_a_plan_runs(dsn, tmp_path, library, nocase):
    plan = plan_of(source(tmp_path, SQL), library, options.options({"nocase": nocase}))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET timezone = 'America/New_York'")
        made(connection, plan)
        connection.execute("INSERT INTO a (code) VALUES ('x')")
        row = connection.execute(
            "SELECT v, w, k, i, p, q, t, u, \"select\", length(m), e::text = to_char(e, 'YYYY-MM-DD HH24:MI:SS.US'),"
            " abs(extract(epoch FROM d::timestamp AT TIME ZONE 'UTC' - now())) < 5,"
            " abs(extract(epoch FROM e AT TIME ZONE 'UTC' - now())) < 5,"
            " abs(h - extract(epoch FROM now())) < 5, abs(o - 2440587.5 - extract(epoch FROM now()) / 86400) < 0.001,"
            " g = date_trunc('second', g), \"{schema}.\" FROM a"
        ).fetchone()
        assert row[:10] == (
            3, 1e308, False, b"\x00\xff", Decimal("1.50"), "it's {schema}.", 2**63 - 1,
            float("inf"), "dq", 32,
        )  # fmt: skip
        assert row[11:16] == (True,) * 5
        connection.execute("INSERT INTO b (x, y) VALUES ('a', 5)")
        connection.execute("INSERT INTO a (code, n) VALUES ('y', 'Nn')")
        assert connection.execute("SELECT code FROM v").fetchall() == [("y",)]
        connection.execute("INSERT INTO c VALUES (5, NULL, true), (6, NULL, true), (7, NULL, false)")
        assert connection.execute("SELECT * FROM w ORDER BY p").fetchall() == [(5, "a5"), (6, None)]
        theirs = connection.execute("SELECT g1, g2, g3, g4, g5, g6, g7, g8 FROM b").fetchone()
    ours = sqlite3.connect(plan.sources[0].path).execute("SELECT g1, g2, g3, g4, g5, g6, g7, g8 FROM b").fetchone()
    assert theirs == ours == ("a-5", 10, 1, 1, "A", 7.5, "p", 1)


EXPRESSIONS = [
    "i > 0 AND j <> 3", "i = 1 OR s LIKE 'A%'", "NOT b", "b", "b = 1", "b = 0 OR i IS NULL", "b IS 1", "b IS NOT 1",
    "i BETWEEN -7 AND 3", "s IN ('abc', 'x', '')", "s NOT IN ('abc')", "n = 'abc'", "n <> 'AB'", "n IN ('ABC', 'äb')",
    "n < 'b'", "s < 'b'", "s >= 'Z'", "s GLOB 'a*'", "s GLOB '[a-x]?c'", "s GLOB '*[]]'", r"n GLOB '*\*'",
    r"n LIKE '%\_%'", r"s LIKE 'a\_%' ESCAPE '\'", "s LIKE '%Ä%'", "s LIKE '%ä%'", "length(s) > 2", "length(s)",
    "upper(s) = 'ABC'", "lower(n) = 'abc'", "s || n", "s || i", "i / 2", "i % 3", "i * j - 4", "-i", "i + f", "f / 2",
    "f > i", "coalesce(s, 'q')", "ifnull(i, 0) + 1", "nullif(s, 'abc')", "nullif(s, '') IS NULL", "substr(s, 2)",
    "substr(s, 1, 2)", "trim(s)", "instr(s, 'b')", "typeof(s)", "typeof(i) = 'integer'", "typeof(f)",
    "CASE WHEN i > 0 THEN 'p' WHEN i < 0 THEN 'n' ELSE s END", "CASE i WHEN 1 THEN 2 ELSE 3 END", "CAST(i AS TEXT)",
    "CAST(i AS REAL)", "i IS j", "i IS NOT j", "s IS n", "n IS s", "i & 3", "i | 4", "s ISNULL", "s NOTNULL", "i == 1",
    "i != 1", "i <> 1 AND NOT (j = 2)", "abs(i)", "abs(f)", '"nocol" = s', "s = 'it''s'", "n COLLATE BINARY = 'abc'",
    "s COLLATE NOCASE = 'ABC'", "0x10 + i", "1.5e3 > i", "b AND i", "b OR 0", "NOT i", "(i > 0) = b",
    "s BETWEEN 'a' AND 'b'", "n BETWEEN 'A' AND 'c'", "s = n", "n = s", "i IN (1, NULL)", "s NOT LIKE 'a%'",
    "s IS NOT DISTINCT FROM n", "b <> 1", "2 > b", "i < 1 = b", "i NOT BETWEEN 1 AND 2", "- 5 + i", "NULL",
    "NOT s IS NULL", "CASE WHEN b THEN 1 END", "i > 1 IS b", "i IS TRUE", "b IS TRUE", "b IS NOT FALSE",
    "i IS NOT TRUE", "i IS FALSE", "i = b",
]  # fmt: skip

ROWS = [
    (i, j, f, s, n, b)
    for i, j, f in [(1, 2, 1.5), (-7, 3, -0.0), (0, 0, 2.0), (None, 5, None), (9, None, 1e10)]
    for s, n in [("abc", "ABC"), ("Äb", "äB"), ("", ""), ("a_%b", r"A\_%B"), (None, "x"), ("x\ny", "xY]"), ("b", "b")]
    for b in (0, 1, None)
]  # fmt: skip


def test_an_expression_means_the_same_in_both(dsn):
    columns = {
        "i": Name("i", INT, "bigint"), "j": Name("j", INT, "bigint"), "f": Name("f", FLOAT, "double precision"),
        "s": Name("s", TEXT, "text"), "n": Name("n", TEXT, "text", nocase=True), "b": Name("b", BOOL, "boolean"),
    }  # fmt: skip
    lite = sqlite3.connect(":memory:")
    lite.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, i INT, j INT, f REAL, s TEXT, n TEXT COLLATE NOCASE, b BOOLEAN)"
    )
    lite.executemany("INSERT INTO t (i, j, f, s, n, b) VALUES (?, ?, ?, ?, ?, ?)", ROWS)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (id bigint, i bigint, j bigint, f double precision, s text, n text, b boolean)"
        )
        with connection.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
            for number, row in enumerate(ROWS):
                copy.write_row((number, *row[:5], None if row[5] is None else bool(row[5])))
        for text in EXPRESSIONS:
            ours = [row[0] for row in lite.execute(f"SELECT {text} FROM t ORDER BY id")]
            theirs = [row[0] for row in connection.execute(f"SELECT {parse(text, columns).sql} FROM t ORDER BY id")]
            assert [int(one) if isinstance(one, bool) else one for one in theirs] == ours, text


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80)
COUNT = itertools.count(1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(NAMES.filter(lambda one: one[:7].lower() != "sqlite_"), min_size=1, max_size=3, unique_by=str.lower),
    st.lists(
        st.tuples(NAMES, st.sampled_from(["", "INT", "TEXT", "REAL", "BOOLEAN", "DATETIME", "DECIMAL(9,3)", "JSON"])),
        min_size=1, max_size=5, unique_by=lambda one: one[0].lower(),
    ),
    st.booleans(),
)  # fmt: skip
def test_any_schema_can_be_made(dsn, tmp_path, tables, columns, without):
    def quoted(name):
        return '"' + name.replace('"', '""') + '"'

    body = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns)
    key = quoted(columns[0][0])
    sql = ";".join(
        f"CREATE TABLE {quoted(name)} ({body}, PRIMARY KEY ({key})) {'WITHOUT ROWID' if without else ''};"
        f"CREATE INDEX {quoted(f'ix{number}' + name)} ON {quoted(name)} ({key} DESC)"
        for number, name in enumerate(tables)
    )
    plan = plan_of(source(tmp_path, sql), "sqlite3", options.options({"json_type": "jsonb"}))
    with psycopg.connect(dsn, autocommit=True) as connection:
        name = f"s{next(COUNT)}"
        made(connection, plan, name)
        found = connection.execute(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attnum > 0 "
            "AND c.relkind = 'r' AND c.relnamespace = %s::regnamespace",
            (name,),
        ).fetchall()
        connection.execute(f"DROP SCHEMA {name} CASCADE")
    assert set(found) == {(table.target, column.target) for table in plan.tables for column in table.columns}


def test_an_applications_schema_is_read_from_the_catalogue(dsn, tmp_path, library):
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("""
            CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('good', 'bad');
            CREATE DOMAIN app.positive AS integer NOT NULL CHECK (value > 0);
            CREATE TABLE app."Users" (id serial PRIMARY KEY, created timestamptz NOT NULL DEFAULT now(), m app.mood,
                p app.positive, u uuid, big bigint GENERATED BY DEFAULT AS IDENTITY,
                g int GENERATED ALWAYS AS (p * 2) STORED,
                f varchar(3), gone int);
            ALTER TABLE app."Users" DROP COLUMN gone;
            INSERT INTO app."Users" (p) VALUES (1);
            CREATE FUNCTION app.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER audit BEFORE INSERT ON app."Users" FOR EACH ROW EXECUTE FUNCTION app.nothing();
        """)
        [table] = target_schema.tables(connection, "app")
        assert target_schema.tables(connection, "nowhere") == []
    column = existing.TargetColumn
    assert table == existing.TargetTable(
        "Users",
        (
            column("id", "integer", True, True, "", True),
            column("created", "timestamp with time zone", True, True),
            column("m", "app.mood", labels=("good", "bad")),
            column("p", "app.positive", True, base="integer"),
            column("u", "uuid"),
            column("big", "bigint", True, False, "d", True),
            column("g", "integer", generated=True),
            column("f", "character varying(3)"),
        ),
        False,
        ("audit",),
    )
    path = source(
        tmp_path,
        "CREATE TABLE users (id INTEGER PRIMARY KEY, p INT, m TEXT, u TEXT);"
        "INSERT INTO users VALUES (41, 5, 'good', '0F8FAD5BD9CB469FA16570867728950E')",
    )
    with sqlite.connect(path, library) as db:
        settled = existing.settle(
            schema.read(db), [table], options.options({"schema": "app", "conversions": {"uuid": "to_uuid"}})
        )
    plan = plan_of(path, library, settled.options, "existing")
    assert settled.faults == () and planner.violations(plan) == [] and plan.tables[0].sequence == ("id", 42)
    assert [one.converted for one in plan.tables[0].columns] == [0, 0, 0, 1]
