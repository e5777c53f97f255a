# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON records into a real server, through the module itself."""

from __future__ import annotations

import json
import subprocess
import sys

import psycopg
import pytest

MODULE = "ansible_collections.landfall.stack.plugins.modules.json_to_postgres"


@pytest.fixture
def run(dsn, tmp_path):
    """``run(content, check=False, **parameters)`` → the module's result."""

    def call(content, check=False, **said):
        path = tmp_path / "registry.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        arguments = {"src": str(path), "dsn": dsn, "table": "agents", "_ansible_check_mode": check, **said}
        done = subprocess.run(
            [sys.executable, "-m", MODULE],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_diff": True, **arguments}}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert dsn not in done.stdout + done.stderr
        return json.loads(done.stdout)

    return call


@pytest.fixture
def rows(dsn):
    def read(sql="SELECT * FROM agents ORDER BY 1"):
        with psycopg.connect(dsn) as connection:
            return connection.execute(sql).fetchall()

    return read


REGISTRY = {
    "planner": {"model": "m-1", "retries": 3, "weight": 0.1, "enabled": True, "tools": ["a", {"b": None}], "100%": "x"},
    "coder": {"model": "m-2", "retries": None, "weight": 2, "enabled": False},
}


def counts(result):
    return [result[name] for name in ("inserted", "updated", "unchanged")]


def test_records_go_in_once_and_are_brought_up_to_date(run, rows):
    first = run(REGISTRY)
    assert (first["changed"], counts(first)) == (True, [2, 0, 0]), first
    assert [row[:5] for row in rows('SELECT id, model, retries, weight::text, enabled FROM agents ORDER BY id')] == [
        ("coder", "m-2", None, "2", False), ("planner", "m-1", 3, "0.1", True)
    ]  # fmt: skip
    assert rows("SELECT tools, \"100%\" FROM agents WHERE id = 'planner'") == [(["a", {"b": None}], "x")]
    again = run(REGISTRY)
    assert (again["changed"], counts(again)) == (False, [0, 0, 2])
    changed = {**REGISTRY, "planner": {**REGISTRY["planner"], "retries": 4}, "new": {"model": "m-3"}}
    third = run(changed)
    assert (third["changed"], counts(third)) == (True, [1, 1, 1])
    assert "table public.agents (there already): 3 records, key id" in third["diff"][0]["prepared"]


def test_check_mode_tells_and_changes_nothing(run, rows):
    told = run(REGISTRY, check=True)
    assert (told["changed"], counts(told)) == (True, [2, 0, 0])
    assert rows("SELECT count(*) FROM pg_tables WHERE tablename = 'agents'") == [(0,)]


def test_documents_in_a_schema_of_their_own(run, rows):
    result = run(REGISTRY, document="data", key_column="name", schema="Reg %s")
    assert result["columns"] == {"name": "text", "data": "jsonb"}, result
    assert rows("SELECT data FROM \"Reg %s\".agents WHERE name = 'coder'") == [(REGISTRY["coder"],)]
    assert run(REGISTRY, document="data", key_column="name", schema="Reg %s")["changed"] is False


def test_a_table_of_the_applications_own(run, rows, dsn):
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE agents (id text PRIMARY KEY, retries integer NOT NULL DEFAULT 1, extra json,"
            " seen timestamptz)"
        )
    content = {"a": {"retries": 2, "extra": {"b": 1, "a": 2}, "seen": "2024-01-01T10:00:00Z"}}
    assert counts(run(content)) == [1, 0, 0]
    assert rows("SELECT retries, extra::text, seen AT TIME ZONE 'UTC' FROM agents")[0][:2] == (2, '{"b": 1, "a": 2}')
    assert run(content)["changed"] is False
    failed = run({"b": {"retries": 2**40}})
    assert failed["failed"] and "b: retries (integer): it is outside the range of integer" in failed["msg"]
    assert rows("SELECT count(*) FROM agents") == [(1,)]


def test_a_row_that_does_not_read_back_is_taken_back(run, rows, dsn):
    with psycopg.connect(dsn) as connection:
        connection.execute("""
            CREATE TABLE agents (id text PRIMARY KEY, model text);
            CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
              'BEGIN NEW.model = upper(NEW.model); RETURN NEW; END';
            CREATE TRIGGER shout BEFORE INSERT ON agents FOR EACH ROW EXECUTE FUNCTION shout();
        """)
    failed = run({"a": {"model": "x"}})
    assert "the row a does not read back as it was sent" in failed["msg"] and rows() == []


@pytest.mark.parametrize(
    ("content", "said", "fault"),
    [
        ("{", {}, "registry.json: it is not JSON"),
        ({"a": {}}, {"src": "/nowhere/x.json"}, "/nowhere/x.json: No such file"),
        ({"a": {"x": 1}}, {"columns": {"x": {"typ": "text"}}}, "there are type, conversion, name, exclude"),
        ({"a": {"x": 1}}, {"dsn": "host=127.0.0.1 port=1 password=very-secret dbname=x"}, "cannot be reached"),
    ],
)
def test_what_fails_says_why_and_keeps_the_password(run, content, said, fault):
    result = run(content, **said)
    assert result["failed"] and fault in result["msg"] and "very-secret" not in json.dumps(result)


def test_a_table_without_the_key_is_told(run, dsn):
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE agents (id text, model text)")
    failed = run({"a": {"model": "x"}})
    assert "no unique or exclusion constraint" in failed["msg"] and "Nothing was changed" in failed["msg"]
