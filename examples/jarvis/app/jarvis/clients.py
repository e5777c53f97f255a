# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services' doors to each other. Every call carries the request id and has a deadline."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any

import httpx

from jarvis.base import Problem, unauthorized
from jarvis.catalog import AGENT_CARD
from jarvis.logs import request_id

PATIENCE_S = 2.0
PAUSE_S = 0.4
TIMEOUT = httpx.Timeout(10, connect=2)


@dataclass(frozen=True)
class User:
    """Whom a checked token belongs to."""

    id: str
    username: str
    token: str


def http_client(*urls: str) -> httpx.AsyncClient:
    """A client for calls inside the stack: no proxy from the environment; CA certificates only for https URLs."""
    needs_tls = any(url.startswith("https://") for url in urls)
    context = ssl.create_default_context() if needs_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=10, keepalive_expiry=4)
    return httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, verify=context, limits=limits)


class Caller:
    """Calls one service and turns its failures into Problems."""

    def __init__(self, client: httpx.AsyncClient, name: str, url: str, patience_s: float = PATIENCE_S) -> None:
        self._client, self._name, self._url = client, name, url
        self._attempts = 1 + round(patience_s / PAUSE_S)

    async def call(
        self, method: str, path: str, token: str = "", repeatable: bool = True, **options: Any
    ) -> httpx.Response:
        """Send a request; returns whatever answer there is below 500.

        A refused connection is tried again for ``patience_s``: that is a service being replaced. One that was
        cut after the request had been sent is tried again only when the request is ``repeatable``.
        Raises a 503 Problem when it stays away, a 502 one when it answers with an error of its own.
        """
        headers = {"X-Request-Id": request_id.get()} if request_id.get() else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        for attempt in range(1, self._attempts + 1):
            try:
                response = await self._client.request(method, self._url + path, headers=headers, **options)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.RemoteProtocolError, httpx.ReadError) as error:
                sent = isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError))
                if attempt == self._attempts or (sent and not repeatable):
                    raise Problem(503, "unavailable", f"{self._name} cannot be reached: try again soon.") from error
                await asyncio.sleep(PAUSE_S)
                continue
            except httpx.TimeoutException as error:
                raise Problem(504, "timeout", f"{self._name} did not answer in time: try again soon.") from error
            if response.status_code >= 500:
                message = f"{self._name} failed with status {response.status_code}: try again soon."
                raise Problem(503 if response.status_code == 503 else 502, "upstream_failed", message)
            return response
        raise AssertionError("unreachable")


def passed_on(response: httpx.Response) -> Any:
    """The JSON of a success; raises the service's own Problem again otherwise."""
    if response.is_success:
        return response.json()
    try:
        error = response.json()["error"]
        raise Problem(response.status_code, error["code"], error["message"])
    except (ValueError, KeyError, TypeError):
        raise Problem(502, "upstream_failed", f"Unexpected answer with status {response.status_code}.") from None


class AuthClient(Caller):
    def __init__(self, client: httpx.AsyncClient, url: str, patience_s: float = PATIENCE_S) -> None:
        super().__init__(client, "auth-service", url, patience_s)

    async def verify(self, token: str) -> User:
        """The token's user. Raises a 401 Problem for a token that auth-service does not accept."""
        response = await self.call("GET", "/auth/verify", token)
        if response.status_code in (401, 403):
            raise unauthorized(response.json()["error"]["message"])
        claims = passed_on(response)
        return User(claims["sub"], claims["username"], token)

    async def register(self, username: str, password: str) -> dict[str, Any]:
        body = {"username": username, "password": password}
        return passed_on(await self.call("POST", "/auth/register", repeatable=False, json=body))

    async def login(self, username: str, password: str) -> dict[str, Any]:
        body = {"username": username, "password": password}
        return passed_on(await self.call("POST", "/auth/login", json=body))


class RegistryClient(Caller):
    def __init__(self, client: httpx.AsyncClient, url: str, patience_s: float = PATIENCE_S) -> None:
        super().__init__(client, "registry-service", url, patience_s)

    async def agents(self, token: str) -> list[dict[str, Any]]:
        return passed_on(await self.call("GET", "/agents", token))["agents"]

    async def sessions(self, token: str, agent: str, limit: int = 20) -> list[dict[str, Any]]:
        params = {"agent": agent, "limit": limit}
        return passed_on(await self.call("GET", "/sessions", token, params=params))["sessions"]

    async def session(self, token: str, session_id: str) -> dict[str, Any]:
        return passed_on(await self.call("GET", f"/sessions/{session_id}", token))

    async def record_turn(self, token: str, session_id: str, turn: dict[str, Any]) -> dict[str, Any]:
        """Record a turn; the same ``message_id`` twice is one turn, so that a repeat does no harm."""
        return passed_on(await self.call("POST", f"/sessions/{session_id}/turns", token, json=turn))


class AgentClient(Caller):
    """One A2A agent."""

    def __init__(self, client: httpx.AsyncClient, agent: str, url: str, patience_s: float = PATIENCE_S) -> None:
        super().__init__(client, f"{agent}-agent", url, patience_s)

    async def card(self) -> dict[str, Any]:
        return passed_on(await self.call("GET", AGENT_CARD))

    async def send(self, token: str, text: str, session_id: str, message_id: str) -> dict[str, Any]:
        """``message/send``: returns the agent's message. Raises Problem."""
        message = {
            "kind": "message",
            "role": "user",
            "messageId": message_id,
            "contextId": session_id,
            "parts": [{"kind": "text", "text": text}],
        }
        body = {"jsonrpc": "2.0", "id": message_id, "method": "message/send", "params": {"message": message}}
        response = await self.call("POST", "/", token, json=body)
        if response.status_code == 401:
            raise unauthorized("Your session has expired: log in again.")
        answer = response.json()
        if "error" in answer:
            raise Problem(502, "agent_error", answer["error"].get("message", "The agent refused the message."))
        return answer["result"]
