# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Six processes on loopback: the journey of a user, and what happens when parts go away.

With JARVIS_TEST_DATABASE_URL=postgresql://… auth and registry run on that (empty) database.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import httpx
import pytest
from conftest import APP, SECRET
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from jarvis.catalog import SERVICES

PASSWORD = "correct horse battery"


def login(stack) -> tuple[str, dict[str, str]]:
    """Register somebody; returns the name and the header with the token."""
    name = f"u{uuid.uuid4().hex[:12]}"
    body = {"username": name, "password": PASSWORD}
    auth = stack.url("auth-service")
    httpx.post(f"{auth}/auth/register", json=body).raise_for_status()
    token = httpx.post(f"{auth}/auth/login", json=body).raise_for_status().json()["access_token"]
    return name, {"Authorization": f"Bearer {token}"}


def send(stack, agent, headers, text="hello", method="message/send", **message):
    body = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": method,
        "params": {
            "message": {
                "role": "user",
                "kind": "message",
                "messageId": uuid.uuid4().hex,
                "parts": [{"kind": "text", "text": text}],
                **message,
            }
        },
    }
    return httpx.post(f"{stack.url(agent)}/", json=body, headers=headers, timeout=40)


def browser(stack) -> httpx.Client:
    """A logged-in browser's cookies."""
    client = httpx.Client(base_url=stack.url("web-ui"), timeout=15)
    name = f"u{uuid.uuid4().hex[:12]}"
    client.post("/session/register", json={"username": name, "password": PASSWORD}).raise_for_status()
    return client


def chat(stack, client: httpx.Client, **headers: str):
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    url = stack.url("web-ui").replace("http:", "ws:") + "/ws"
    return connect(url, additional_headers={"Cookie": cookie, **headers})


def ask(socket, agent: str, text: str, **more: str) -> dict:
    socket.send(json.dumps({"agent": agent, "text": text, "id": uuid.uuid4().hex, **more}))
    return json.loads(socket.recv(timeout=15))


def test_every_service_starts_fast_and_says_who_it_is(stack):
    for service in SERVICES:
        assert httpx.get(f"{stack.url(service)}/version").json() == {"service": service, "version": "9.9.9"}
        for path in ("/health", "/live", "/ready"):
            answer = httpx.get(stack.url(service) + path)
            assert answer.status_code == 200 and answer.json()["status"] == "ok"
    assert max(stack.started_s.values()) < 10, stack.started_s  # about one second on an idle machine


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_every_service_is_small(stack):
    for service, process in stack.processes.items():
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident_mb = int(status.split("VmRSS:")[1].split()[0]) / 1024
        assert resident_mb < 90, f"{service}: {resident_mb:.0f} MB"


def test_the_health_check_program(stack):
    def check(service: str, **env: str) -> subprocess.CompletedProcess:
        variables = {"PATH": os.environ["PATH"], "JARVIS_SERVICE": service, "PORT": str(stack.ports[service]), **env}
        command = [sys.executable, "-m", "jarvis.healthcheck"]
        return subprocess.run(command, cwd=APP, env=variables, capture_output=True, text=True, timeout=20)

    for service in SERVICES:
        assert check(service).returncode == 0
    refused = check("web-ui", PORT="1")
    assert refused.returncode == 1 and "refused" in refused.stdout


def test_journey_over_the_apis(stack):
    _, headers = login(stack)
    registry = stack.url("registry-service")
    file = stack.data / "registry-service/agent_registry.json"
    deadline = time.monotonic() + 10
    while True:
        agents = httpx.get(f"{registry}/agents", headers=headers).json()["agents"]
        written = json.loads(file.read_text())["agents"]  # right behind the table, which the API shows
        if all(agent["status"] == "online" for agent in agents) and written == agents or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert [(agent["id"], agent["status"]) for agent in agents] == [
        ("tickets", "online"),
        ("finops", "online"),
        ("oxygen", "online"),
    ]
    assert written == agents
    for agent, word in (("tickets-agent", "tickets"), ("finops-agent", "costs"), ("oxygen-agent", "learning")):
        card = httpx.get(f"{stack.url(agent)}/.well-known/agent-card.json").json()
        assert card["skills"][0]["examples"] and card["preferredTransport"] == "JSONRPC"
        answer = send(stack, agent, headers).json()
        result = answer["result"]
        assert answer["id"] == 7 and word in result["parts"][0]["text"]
        session = httpx.get(f"{registry}/sessions/{result['contextId']}", headers=headers).json()
        assert [turn["question"] for turn in session["turns"]] == ["hello"]
    assert len(httpx.get(f"{registry}/sessions", headers=headers).json()["sessions"]) == 3
    gone = httpx.delete(f"{registry}/sessions/{session['id']}", headers=headers)
    assert gone.status_code == 204
    assert httpx.get(f"{registry}/sessions/{session['id']}", headers=headers).status_code == 404


def test_nothing_without_a_token(stack):
    registry = stack.url("registry-service")
    for path in ("/agents", "/agents/tickets", "/sessions", "/sessions/x"):
        assert httpx.get(registry + path).status_code == 401
        assert httpx.get(registry + path, headers={"Authorization": "Bearer x"}).status_code == 401
    for agent in ("tickets-agent", "finops-agent", "oxygen-agent"):
        assert send(stack, agent, {}).status_code == 401
        assert send(stack, agent, {"Authorization": "Bearer x"}).status_code == 401
    assert httpx.get(f"{stack.url('web-ui')}/session/agents").status_code == 401


def test_sessions_are_private(stack):
    _, ada = login(stack)
    _, eve = login(stack)
    session = send(stack, "tickets-agent", ada).json()["result"]["contextId"]
    assert httpx.get(f"{stack.url('registry-service')}/sessions/{session}", headers=eve).status_code == 404
    assert httpx.delete(f"{stack.url('registry-service')}/sessions/{session}", headers=eve).status_code == 404
    assert send(stack, "tickets-agent", eve, contextId=session).status_code == 404


def test_json_rpc_errors(stack):
    _, headers = login(stack)
    url = stack.url("tickets-agent")
    assert httpx.post(url, content="{", headers=headers).json()["error"]["code"] == -32700
    for body in ([], {}, {"jsonrpc": "1.0", "method": "x"}, {"jsonrpc": "2.0", "method": 1}):
        assert httpx.post(url, json=body, headers=headers).json()["error"]["code"] == -32600
    assert send(stack, "tickets-agent", headers, method="tasks/get").json()["error"]["code"] == -32601
    assert send(stack, "tickets-agent", headers, parts=[]).json()["error"]["code"] == -32602
    assert send(stack, "tickets-agent", headers, text="  ").json()["error"]["code"] == -32602
    assert send(stack, "tickets-agent", headers, messageId="../x").json()["error"]["code"] == -32602
    params = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": [1]}
    assert httpx.post(url, json=params, headers=headers).json()["error"]["code"] == -32602


def test_page_and_chat(stack):
    page = httpx.get(f"{stack.url('web-ui')}/")
    assert "<title>Jarvis</title>" in page.text and "default-src 'self'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text and "style=" not in page.text
    for name in ("app.js", "theme.js", "style.css", "icons.svg", "logo.svg"):
        assert httpx.get(f"{stack.url('web-ui')}/static/{name}").status_code == 200
    client = browser(stack)
    assert [agent["id"] for agent in client.get("/session/agents").json()["agents"]] == ["tickets", "finops", "oxygen"]
    assert client.get("/session/history/tickets").json() == {"session": None, "turns": []}
    with chat(stack, client) as socket:
        assert json.loads(socket.recv(timeout=10))["type"] == "ready"
        first = ask(socket, "tickets", "Show open tickets")
        assert first["text"].startswith("5 open tickets") and len(first["table"]["rows"]) == 5
        second = ask(socket, "tickets", "summary", session=first["session"])
        assert second["session"] == first["session"]
        assert ask(socket, "finops", "forecast")["type"] == "answer"
        assert ask(socket, "oxygen", "plan")["type"] == "answer"
        assert ask(socket, "nobody", "hello")["code"] == "invalid_message"
        socket.send("not json")
        assert json.loads(socket.recv(timeout=10))["code"] == "invalid_message"
    history = client.get("/session/history/tickets").json()
    assert [turn["question"] for turn in history["turns"]] == ["Show open tickets", "summary"]
    assert history["turns"][0]["table"] == first["table"]
    client.post("/session/logout")
    assert client.get("/session").json()["username"] is None


def test_the_cookie_is_for_the_browser_only(stack):
    body = {"username": f"u{uuid.uuid4().hex[:12]}", "password": PASSWORD}
    url = f"{stack.url('web-ui')}/session/register"
    plain = httpx.post(url, json=body).headers["set-cookie"]
    assert "HttpOnly" in plain and "SameSite=strict" in plain and "Secure" not in plain
    # 127.0.0.1 is the trusted proxy of this test.
    proxied = httpx.post(
        f"{stack.url('web-ui')}/session/login", json=body, headers={"X-Forwarded-Proto": "https"}
    ).headers["set-cookie"]
    assert "Secure" in proxied
    assert httpx.post(url, json=body, headers={"Origin": "https://evil.example"}).status_code == 403


def test_the_web_socket_needs_a_login_and_our_origin(stack):
    for client, headers, code in (
        (httpx.Client(), {}, 4401),
        (browser(stack), {"Origin": "https://evil.example"}, 4403),
    ):
        with chat(stack, client, **headers) as socket, pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
        assert socket.protocol.close_code == code


def test_a_dead_agent_is_noticed_and_the_chat_says_so(stack):
    client = browser(stack)
    assert stack.stop("oxygen-agent") in (0, -15)
    with chat(stack, client) as socket:
        socket.recv(timeout=10)
        reply = ask(socket, "oxygen", "plan")
        assert reply["code"] == "unavailable" and "oxygen-agent cannot be reached" in reply["message"]
        assert ask(socket, "tickets", "summary")["type"] == "answer"
        stack.start("oxygen-agent")
        assert ask(socket, "oxygen", "plan")["type"] == "answer"


def test_a_restart_of_auth_and_registry_goes_unnoticed_and_loses_nothing(stack):
    _, headers = login(stack)
    # On a busy machine Python alone needs longer to start than the two seconds of the default.
    stack.stop("finops-agent")
    stack.start("finops-agent", UPSTREAM_PATIENCE="30")
    session = send(stack, "finops-agent", headers).json()["result"]["contextId"]
    answers = []
    for service in ("auth-service", "registry-service"):
        stack.stop(service)
        asking = threading.Thread(
            target=lambda: answers.append(send(stack, "finops-agent", headers, contextId=session).status_code)
        )
        asking.start()
        stack.start(service)
        asking.join()
    assert answers == [200, 200]
    turns = httpx.get(f"{stack.url('registry-service')}/sessions/{session}", headers=headers).json()["turns"]
    assert len(turns) == 3


def test_rotation_of_the_secret(stack):
    _, headers = login(stack)
    url = f"{stack.url('auth-service')}/auth/verify"
    stack.stop("auth-service")
    stack.start("auth-service", JWT_SECRET_KEY="n" * 40, JWT_SECRET_KEY_PREVIOUS=SECRET)
    assert httpx.get(url, headers=headers).status_code == 200
    stack.stop("auth-service")
    stack.start("auth-service", JWT_SECRET_KEY="n" * 40)
    assert httpx.get(url, headers=headers).status_code == 401
    stack.stop("auth-service")
    stack.start("auth-service")


def test_sigterm_ends_a_service_cleanly_with_a_socket_open(stack):
    client = browser(stack)
    with chat(stack, client) as socket:
        socket.recv(timeout=10)
        begin = time.monotonic()
        stack.stop("web-ui")
        assert time.monotonic() - begin < 10
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=5)
    stack.start("web-ui")


def test_logs_are_json_and_hold_no_secret(stack):
    _, headers = login(stack)
    send(stack, "tickets-agent", headers)
    token = headers["Authorization"].removeprefix("Bearer ")
    for service in SERVICES:
        text = stack.log(service)
        for line in text.splitlines():
            assert json.loads(line)["service"] == service
        for secret in (SECRET, PASSWORD, token):
            assert secret not in text
