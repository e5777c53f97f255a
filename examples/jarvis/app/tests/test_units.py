# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts, and single services in this process."""

from __future__ import annotations

import json
import logging
import threading
import time

import pytest
from conftest import SECRET
from starlette.testclient import TestClient

from jarvis import passwords, registry_store, web
from jarvis.agents import finops, oxygen, tickets
from jarvis.agents.a2a import card
from jarvis.auth import create_app
from jarvis.database import Conflict, SqliteDatabase
from jarvis.logs import JsonFormatter
from jarvis.settings import Settings, SettingsError
from jarvis.tokens import InvalidToken, Tokens


def test_settings_name_every_problem_at_once():
    env = {"JWT_SECRET_KEY": "short", "DATABASE_URL": "mysql://x", "PORT": "99999", "AUTH_SERVICE_URL": "auth:1"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_env("auth-service", env)
    for word in ("JWT_SECRET_KEY has 5 bytes", "DATABASE_URL", "PORT=99999", "AUTH_SERVICE_URL"):
        assert word in str(caught.value)
    with pytest.raises(SettingsError, match="Unknown service"):
        Settings.from_env("nope", {})


def test_settings_read_secrets_from_files_and_do_not_show_them(tmp_path):
    (tmp_path / "key").write_text(SECRET + "\n")
    settings = Settings.from_env("auth-service", {"JWT_SECRET_KEY_FILE": str(tmp_path / "key")})
    assert settings.jwt_secret == SECRET
    assert SECRET not in repr(settings)


def test_passwords():
    stored = passwords.hash_password("correct horse battery")
    assert passwords.verify_password("correct horse battery", stored)
    assert not passwords.verify_password("wrong horse battery", stored)
    assert not passwords.verify_password("x", "not a hash")
    assert passwords.hash_password("same") != passwords.hash_password("same")


def test_tokens_expire_rotate_and_cannot_be_forged():
    old, new = "o" * 32, "n" * 32
    token = Tokens(old).issue("u1", "ada")
    assert Tokens(old).check(token)["sub"] == "u1"
    assert Tokens(new, previous=old).check(token)["name"] == "ada"
    with pytest.raises(InvalidToken, match="signature"):
        Tokens(new).check(token)
    with pytest.raises(InvalidToken, match="expired"):
        Tokens(old, lifetime_s=1).check(Tokens(old, lifetime_s=1).issue("u1", "ada", now=time.time() - 60))
    head, body, _ = token.split(".")
    for forged in ("", "x.y.z", f"{head}.{body}.", f"eyJhbGciOiJub25lIn0.{body}."):
        with pytest.raises(InvalidToken):
            Tokens(old).check(forged)


def test_auth_service(settings):
    with TestClient(create_app(settings("auth-service"))) as client:
        ada = {"username": " Ada ", "password": "correct horse"}
        created = client.post("/auth/register", json=ada)
        assert (created.status_code, created.json()["username"]) == (201, "ada")
        assert client.post("/auth/register", json=ada).json()["error"]["code"] == "username_taken"
        assert client.post("/auth/login", json={**ada, "password": "wrong"}).status_code == 401
        assert client.post("/auth/login", json={"username": "bob", "password": "wrong"}).status_code == 401
        login = client.post("/auth/login", json=ada).json()
        assert login["expires_in"] == 24 * 3600
        me = client.get("/auth/verify", headers={"Authorization": f"Bearer {login['access_token']}"})
        assert me.json()["sub"] == created.json()["id"]
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}):
            refused = client.get("/auth/verify", headers=headers)
            assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        for path in ("/health", "/auth/health", "/live", "/ready"):
            assert client.get(path).json()["status"] == "ok"
        assert client.get("/auth/version").json() == {"service": "auth-service", "version": "9.9.9"}


def test_validation_never_echoes_the_input(settings):
    with TestClient(create_app(settings("auth-service"))) as client:
        answer = client.post("/auth/register", json={"username": "a b", "password": "hunter2"})
        assert answer.status_code == 422
        assert {field["field"] for field in answer.json()["error"]["fields"]} == {"username", "password"}
        assert "hunter2" not in answer.text


def test_database_rolls_back_and_reports_conflicts(tmp_path):
    database = SqliteDatabase(tmp_path / "a.db")
    database.create(["CREATE TABLE t (id TEXT PRIMARY KEY)"])
    database.execute("INSERT INTO t VALUES (?)", ["1"])
    with pytest.raises(Conflict):
        database.transaction(lambda run: [run("INSERT INTO t VALUES (?)", [value]) for value in ("2", "1")])
    assert database.execute("SELECT id FROM t") == [{"id": "1"}]


def agents(tmp_path, name="r.db"):
    database = SqliteDatabase(tmp_path / name)
    database.create(registry_store.SCHEMA)
    return registry_store.Agents(database, tmp_path / "agent_registry.json", ["tickets", "finops"])


def test_agents_are_kept_in_the_table_and_in_the_file(tmp_path):
    store = agents(tmp_path)
    store.load()
    assert [agent["status"] for agent in store.all()] == ["offline", "offline"]
    shown = card(tickets.AGENT, "1.0.0", "http://x/")
    assert store.saw("tickets", shown) is True
    assert store.saw("tickets", shown) is False
    assert store.saw("tickets", None) is True
    assert store.saw("tickets", shown) is True
    file = json.loads((tmp_path / "agent_registry.json").read_text())
    assert file["agents"] == store.all() and file["agents"][0]["name"] == "Tickets Agent"
    assert [path.name for path in tmp_path.glob(".agent*")] == []
    fresh = agents(tmp_path, "another.db")  # an empty database takes over what the file knows
    fresh.load()
    assert fresh.all()[0]["version"] == "1.0.0"


def test_the_file_holds_what_the_table_holds_when_agents_change_at_the_same_time(tmp_path):
    store = agents(tmp_path)
    store.load()
    for turn in range(40):
        both = threading.Barrier(2)

        def change(agent: str, both: threading.Barrier = both, version: str = f"1.0.{turn}") -> None:
            both.wait()
            store.saw(agent, card(tickets.AGENT, version, "http://x/"))

        threads = [threading.Thread(target=change, args=(agent,)) for agent in ("tickets", "finops")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert json.loads((tmp_path / "agent_registry.json").read_text())["agents"] == store.all()


def test_a_broken_agent_file_is_replaced(tmp_path):
    (tmp_path / "agent_registry.json").write_text("{")
    store = agents(tmp_path)
    store.load()
    assert json.loads((tmp_path / "agent_registry.json").read_text())["agents"] == store.all()


def test_sessions_belong_to_one_user_and_repeats_do_no_harm(tmp_path):
    database = SqliteDatabase(tmp_path / "s.db")
    database.create(registry_store.SCHEMA)
    sessions = registry_store.Sessions(database)
    turn = {"agent": "tickets", "message_id": "m1", "question": "q", "answer": "a", "table": {"rows": []}}
    assert sessions.add_turn("s1", "ada", turn) == 1
    assert sessions.add_turn("s1", "ada", turn) == 1
    assert sessions.add_turn("s1", "ada", {**turn, "message_id": "m2", "table": None}) == 2
    with pytest.raises(registry_store.NotYours):
        sessions.add_turn("s1", "eve", {**turn, "message_id": "m3"})
    assert sessions.get("s1", "eve") is None
    assert [entry["table"] for entry in sessions.get("s1", "ada")["turns"]] == [{"rows": []}, None]
    assert [session["id"] for session in sessions.of("ada", "tickets", 5)] == ["s1"]
    assert sessions.of("ada", "finops", 5) == []
    sessions.delete("s1")
    assert database.execute("SELECT COUNT(*) AS n FROM turns") == [{"n": 0}]


@pytest.mark.parametrize(
    ("agent", "question", "expected"),
    [
        (tickets, "Show open tickets", "5 open tickets, the closest to its SLA first."),
        (tickets, "Which tickets are at SLA risk?", "1 ticket over its SLA, 2 within two hours of it."),
        (tickets, "what about inc-1042?", "SLA: 54 min left."),
        (tickets, "INC-9999", "There is no ticket INC-9999."),
        (tickets, "anything critical?", "1 open ticket with priority critical"),
        (finops, "Break down this month's cost", "Oct cost $9,305, +4.8 % on Sep."),
        (finops, "Forecast next month", "Forecast for next month: $9,543, $43 over the budget of $9,500."),
        (finops, "Where can we save?", "$1,459 a month can be saved, 15.7 % of the bill."),
        (finops, "storage?", "Storage cost $1,010 in Oct"),
        (oxygen, "Show my progress", "13.2 of 60 h done (22%); 1 finished, 3 in progress."),
        (oxygen, "Which deadlines are ahead?", "3 deadlines ahead. Next: Security awareness 2026"),
        (oxygen, "Plan my weeks", "all 3 started courses are finished in 6 weeks."),
        (oxygen, "Recommend a course", "I would take Cost-aware architecture next."),
        (oxygen, "sing a song", "I look after learning."),
    ],
)
def test_answers(agent, question, expected):
    assert expected in agent.answer(question).text


@pytest.mark.parametrize("agent", [tickets, finops, oxygen])
def test_every_example_of_a_card_gets_a_real_answer(agent):
    for skill in card(agent.AGENT, "1", "http://x/")["skills"]:
        for example in skill["examples"]:
            assert "Ask me for" not in agent.answer(example).text


def test_origins():
    assert web.same_site(None, "jarvis.localhost")
    assert web.same_site("https://jarvis.localhost:8443", "jarvis.localhost")
    assert not web.same_site("https://evil.example", "jarvis.localhost")
    assert not web.same_site("null", "jarvis.localhost")


def test_logs_are_one_json_object_a_line():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "line\nbreak", (), None)
    record.data = {"path": "/"}
    line = JsonFormatter("web-ui", "1").format(record)
    assert "\n" not in line
    assert json.loads(line)["path"] == "/"
