"""landfall.stack.sqlite_to_postgres as Ansible runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from lab.postgres import Cluster

from . import ground


def call(arguments: dict, check: bool = False, python: str = sys.executable) -> tuple[dict, str]:
    """Run the module; its result, and all that Ansible printed."""
    argv = [str(Path(sys.executable).parent / "ansible"), "localhost", "-m", "landfall.stack.sqlite_to_postgres"]
    argv += ["-a", json.dumps(arguments), "-e", f"ansible_python_interpreter={python}", "-vvv", "--diff"]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"}
    environment |= {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(
        argv + (["--check"] if check else []), env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    at = max(done.stdout.rfind("SUCCESS => {"), done.stdout.rfind("CHANGED => {"), done.stdout.rfind("FAILED! => {"))
    assert at >= 0, (done.stdout + done.stderr)[-1500:]
    result, _end = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{", at) :])
    return result, done.stdout + done.stderr


@pytest.fixture
def secret(cluster: Cluster, dsn: str) -> str:
    """A DSN whose user has a password."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS app")
        connection.execute("CREATE ROLE app SUPERUSER LOGIN PASSWORD 'Very-Hidden-Word'")
        name = connection.info.dbname
    return f"postgresql://app:Very-Hidden-Word@127.0.0.1:{cluster.port}/{name}"


def test_check_mode_then_migration_then_nothing(tmp_path: Path, dsn: str, secret: str) -> None:
    path = ground.shop(tmp_path / "shop.db")
    report = tmp_path / "out" / "report.html"
    arguments = {"src": [str(path)], "dsn": secret, "report": str(report), "progress_file": str(tmp_path / "progress")}
    planned, said = call(arguments, check=True)
    assert planned["changed"] and planned["plan_json"]["digest"] == planned["digest"]
    assert any("users" in line for line in planned["plan"])
    assert ground.query(dsn, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'landfall%'") == []
    assert not report.exists() and "Very-Hidden-Word" not in said

    result, said = call(arguments)
    assert result["changed"] and result["rows"] == 6450 and result["digest"] == planned["digest"], result
    assert "Very-Hidden-Word" not in said
    ground.shop_is_there(dsn)
    assert "Very-Hidden-Word" not in report.read_text() + report.with_suffix(".json").read_text()
    assert json.loads((tmp_path / "progress").read_text())["phase"] == "done"
    again, _said = call(arguments)
    assert not again["changed"] and again["rows"] == 6450


def test_planned_needs_no_server(tmp_path: Path) -> None:
    path = ground.shop(tmp_path / "shop.db")
    result, _said = call({"src": [str(path)], "state": "planned"})
    assert not result["changed"] and result["plan_json"]["tables"]


def test_what_does_not_fit_fails_before_anything(tmp_path: Path, dsn: str) -> None:
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)"
    path = ground.source(tmp_path / "a.db", ddl, "t", [(1, 1), (2, "two")])
    result, _said = call({"src": [str(path)], "dsn": dsn})
    assert "t.n" in result["msg"] and result["violations"][0]["rowids"] == ["2"]
    assert ground.query(dsn, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'landfall%'") == []
    result, _said = call({"src": [str(path)], "dsn": dsn, "on_violation": "quarantine"})
    assert (result["rows"], result["quarantined"]) == (1, 1)


@pytest.mark.parametrize("bad", ["zero", "text", "missing", "directory", "dsn"])
def test_refusals(tmp_path: Path, dsn: str, bad: str) -> None:
    path = tmp_path / "x.db"
    if bad == "zero":
        path.touch()
    elif bad == "text":
        path.write_text("hello, this is no database at all " * 40)
    elif bad == "directory":
        path.mkdir()
    elif bad == "dsn":
        ground.shop(path)
        dsn = "host=x pass word=Very-Hidden-Word"
    result, _said = call({"src": [str(path)], "dsn": dsn})
    assert result.get("failed") or "msg" in result
    assert (str(path) if bad != "dsn" else "DSN cannot be read") in result["msg"]
    assert "Very-Hidden-Word" not in result["msg"]


def test_into_the_applications_own_tables(tmp_path: Path, dsn: str) -> None:
    path = ground.shop(tmp_path / "shop.db")
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE users (created timestamp, id serial PRIMARY KEY, email varchar(120) NOT NULL UNIQUE, "
            "active bool, uid uuid, born date, seen timestamptz, prefs jsonb, price numeric(10,2), score float8, "
            "photo bytea, added text NOT NULL DEFAULT 'by default')"
        )
        connection.execute(
            "CREATE TABLE events (n bigint, id bigint PRIMARY KEY, user_id int REFERENCES users, kind text)"
        )
        connection.execute("CREATE TABLE log (what text)")
        connection.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN INSERT INTO log VALUES ('fired'); RETURN new; END$$"
        )
        connection.execute("CREATE TRIGGER note BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION note()")
    arguments = {"src": [str(path)], "dsn": dsn, "mode": "existing", "include": ["users", "events"]}
    result, _said = call(arguments)
    assert result.get("changed"), result
    assert ground.query(dsn, "SELECT count(*), count(DISTINCT added) FROM users") == [(300, 1)]
    assert ground.query(dsn, "SELECT sum(n) FROM events") == [(sum((1 << 40) + n for n in range(6000)),)]
    assert ground.query(dsn, "SELECT count(*) FROM log") == [(0,)]
    assert ground.query(dsn, "SELECT nextval('users_id_seq')") == [(301,)]
    assert ground.query(
        dsn, "SELECT count(*) FROM pg_constraint WHERE conrelid = 'events'::regclass AND contype = 'f' AND convalidated"
    ) == [(1,)]
    result, _said = call({**arguments, "restart": True})
    assert "is not empty" in result["msg"]
    result, _said = call({**arguments, "restart": True, "on_existing": "replace", "triggers": "fire"})
    assert result.get("changed"), result
    assert ground.query(dsn, "SELECT count(*) FROM log") == [(300,)]
    assert ground.query(dsn, "SELECT count(*) FROM users") == [(300,)]
