# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part the agents share: card, JSON-RPC endpoint, token check, session record."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from jarvis.base import Problem, base_app, bearer
from jarvis.catalog import AGENT_CARD
from jarvis.clients import AuthClient, RegistryClient, http_client
from jarvis.settings import Settings

log = logging.getLogger("jarvis.agent")
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603


@dataclass(frozen=True)
class Table:
    """A table to show beside an answer; every cell is text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_json(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "rows": [list(row) for row in self.rows]}


@dataclass(frozen=True)
class Answer:
    text: str
    table: Table | None = None


@dataclass(frozen=True)
class Skill:
    id: str
    name: str
    description: str
    examples: Sequence[str]
    tags: Sequence[str] = ()


@dataclass(frozen=True)
class Agent:
    """An agent: what its card says, and ``answer``, a pure function from a question to an Answer."""

    id: str
    name: str
    description: str
    skills: Sequence[Skill]
    answer: Callable[[str], Answer] = field(repr=False)


class Part(BaseModel):
    kind: str
    text: Annotated[str, Field(max_length=4000)] = ""


class Message(BaseModel):
    role: Literal["user"]
    parts: Annotated[list[Part], Field(min_length=1, max_length=20)]
    messageId: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    contextId: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None


class Params(BaseModel):
    message: Message


def card(agent: Agent, version: str, url: str) -> dict[str, Any]:
    """The agent card as A2A describes it."""
    return {
        "protocolVersion": "0.3.0",
        "name": agent.name,
        "description": agent.description,
        "url": url,
        "preferredTransport": "JSONRPC",
        "version": version,
        "capabilities": {"streaming": False, "pushNotifications": False},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain", "application/json"],
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        "security": [{"bearer": []}],
        "skills": [
            {
                "id": skill.id,
                "name": skill.name,
                "description": skill.description,
                "tags": list(skill.tags),
                "examples": list(skill.examples),
            }
            for skill in agent.skills
        ],
    }


def rpc_error(call_id: Any, code: int, message: str, status: int = 200, headers: dict[str, str] | None = None):
    body = {"jsonrpc": "2.0", "id": call_id, "error": {"code": code, "message": message}}
    return JSONResponse(body, status, headers)


def agent_app(agent: Agent, settings: Settings) -> FastAPI:
    """The ASGI app of one agent: the card at /.well-known/agent-card.json, JSON-RPC at ``POST /``."""
    client = http_client(settings.urls["auth"], settings.urls["registry"])
    auth = AuthClient(client, settings.urls["auth"], settings.upstream_patience_s)
    registry = RegistryClient(client, settings.urls["registry"], settings.upstream_patience_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        yield
        await client.aclose()

    app = base_app(settings, lifespan, {})

    @app.get(AGENT_CARD)
    async def agent_card(request: Request) -> dict[str, Any]:
        return card(agent, settings.version, settings.public_url or str(request.base_url))

    async def message_send(params: Params, token: str) -> dict[str, Any]:
        user = await auth.verify(token)
        message = params.message
        question = "\n".join(part.text for part in message.parts if part.kind == "text").strip()
        if not question:
            raise ValueError("message.parts: at least one part of kind text with some text is needed")
        session_id = message.contextId or uuid.uuid4().hex
        answer = agent.answer(question)
        table = answer.table.to_json() if answer.table else None
        turn = {"agent": agent.id, "message_id": message.messageId, "question": question, "answer": answer.text}
        await registry.record_turn(token, session_id, {**turn, "table": table})
        log.info("answered", extra={"data": {"user": user.id, "session": session_id}})
        parts: list[dict[str, Any]] = [{"kind": "text", "text": answer.text}]
        if table:
            parts.append({"kind": "data", "data": {"table": table}})
        return {
            "kind": "message",
            "role": "agent",
            "messageId": uuid.uuid4().hex,
            "contextId": session_id,
            "parts": parts,
        }

    @app.post("/")
    async def json_rpc(request: Request) -> JSONResponse:
        token = bearer(request)
        try:
            call = await request.json()
        except ValueError:
            return rpc_error(None, PARSE_ERROR, "The body is not JSON.", 400)
        if not isinstance(call, dict) or call.get("jsonrpc") != "2.0" or not isinstance(call.get("method"), str):
            return rpc_error(None, INVALID_REQUEST, 'A JSON-RPC request needs "jsonrpc": "2.0" and a method.', 400)
        call_id = call.get("id")
        if call["method"] != "message/send":
            return rpc_error(call_id, METHOD_NOT_FOUND, f"Unknown method {call['method'][:80]}: use message/send.")
        try:
            result = await message_send(Params.model_validate(call.get("params") or {}), token)
        except ValidationError as error:
            text = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            return rpc_error(call_id, INVALID_PARAMS, text)
        except ValueError as error:
            return rpc_error(call_id, INVALID_PARAMS, str(error))
        except Problem as problem:
            # The HTTP status says it too, so that a proxy counts a failing agent as failing.
            return rpc_error(call_id, INTERNAL, problem.message, problem.status, problem.headers)
        return JSONResponse({"jsonrpc": "2.0", "id": call_id, "result": result})

    return app


def says(text: str, *words: str) -> bool:
    """Whether the text has one of the words (or beginnings of words), whatever the case."""
    lowered = f" {text.lower()} "
    return any(f" {word}" in lowered for word in words)
