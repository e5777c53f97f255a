# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""web-ui (9999): the page, the browser's session, and the chat's WebSocket.

The token stays in an HttpOnly cookie: the page's script never sees it. Everything the browser needs is served
from here, so the page works the same behind the edge and on a laptop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.staticfiles import StaticFiles

from jarvis.base import Problem, base_app, unauthorized
from jarvis.clients import AgentClient, AuthClient, RegistryClient, User, http_client
from jarvis.settings import AGENT_IDS, Settings

log = logging.getLogger("jarvis.web")
STATIC = Path(__file__).parent / "static"
COOKIE = "jarvis_session"
CLOSE_UNAUTHORIZED, CLOSE_ORIGIN = 4401, 4403
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Credentials(BaseModel):
    username: Annotated[str, Field(max_length=100)]
    password: Annotated[str, Field(max_length=200)]


class Question(BaseModel):
    """What the browser sends over the WebSocket. ``id`` marks the message, ``session`` the conversation."""

    agent: Annotated[str, Field(pattern=f"^({'|'.join(AGENT_IDS)})$")]
    text: Annotated[str, Field(min_length=1, max_length=4000)]
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    session: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None


def same_site(origin: str | None, host: str | None) -> bool:
    """Whether a browser's Origin names this host. Ports are left out: the proxy may listen on another one."""
    return not origin or urlsplit(origin).hostname == urlsplit(f"//{host}").hostname


def shown(message: dict[str, Any]) -> dict[str, Any]:
    """An A2A message as the page wants it: ``session``, ``text``, ``table``."""
    parts = message.get("parts", [])
    text = "\n".join(part["text"] for part in parts if part.get("kind") == "text")
    table = next((part["data"].get("table") for part in parts if part.get("kind") == "data"), None)
    return {"session": message.get("contextId"), "text": text, "table": table}


def create_app(settings: Settings) -> FastAPI:
    """The ASGI app of web-ui."""
    client = http_client(*settings.urls.values())
    auth = AuthClient(client, settings.urls["auth"], settings.upstream_patience_s)
    registry = RegistryClient(client, settings.urls["registry"], settings.upstream_patience_s)
    agents = {
        agent: AgentClient(client, agent, settings.urls[agent], settings.upstream_patience_s) for agent in AGENT_IDS
    }

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        yield
        await client.aclose()

    app = base_app(settings, lifespan, {})

    @app.middleware("http")
    async def browser_headers(request: Request, call_next: Any) -> Response:
        if request.method == "POST" and not same_site(request.headers.get("origin"), request.headers.get("host")):
            return JSONResponse({"error": {"code": "wrong_origin", "message": "Use the page itself."}}, 403)
        response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-cache")
        return response

    async def signed_in(request: Request | WebSocket) -> User:
        token = request.cookies.get(COOKIE, "")
        if not token:
            raise unauthorized("Log in first.")
        return await auth.verify(token)

    def start_session(request: Request, login: dict[str, Any], username: str) -> JSONResponse:
        response = JSONResponse({"username": username}, headers={"Cache-Control": "no-store"})
        response.set_cookie(
            COOKIE,
            login["access_token"],
            max_age=login["expires_in"],
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    @app.post("/session/register", status_code=201)
    async def register(body: Credentials, request: Request) -> JSONResponse:
        user = await auth.register(body.username, body.password)
        return start_session(request, await auth.login(body.username, body.password), user["username"])

    @app.post("/session/login")
    async def login(body: Credentials, request: Request) -> JSONResponse:
        return start_session(request, await auth.login(body.username, body.password), body.username.strip().lower())

    @app.post("/session/logout", status_code=204)
    async def logout() -> Response:
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    @app.get("/session")
    async def session(request: Request) -> dict[str, Any]:
        """Who is logged in; ``username`` is null for nobody, so that the first visit logs no error."""
        try:
            return {"username": (await signed_in(request)).username, "version": settings.version}
        except Problem as problem:
            if problem.status != 401:
                raise
            return {"username": None, "version": settings.version}

    @app.get("/session/agents")
    async def list_agents(request: Request) -> dict[str, Any]:
        return {"agents": await registry.agents((await signed_in(request)).token)}

    @app.get("/session/history/{agent}")
    async def history(agent: str, request: Request) -> dict[str, Any]:
        """The latest conversation with an agent: ``session`` (null: none yet) and its ``turns``."""
        user = await signed_in(request)
        latest = await registry.sessions(user.token, agent, limit=1)
        if not latest:
            return {"session": None, "turns": []}
        found = await registry.session(user.token, latest[0]["id"])
        return {"session": found["id"], "turns": found["turns"]}

    @app.websocket("/ws")
    async def chat(socket: WebSocket) -> None:
        await socket.accept()  # first, since a browser cannot see why a handshake was refused
        if not same_site(socket.headers.get("origin"), socket.headers.get("host")):
            await socket.close(CLOSE_ORIGIN, "wrong origin")
            return
        try:
            user = await signed_in(socket)
        except Problem as problem:
            await socket.close(CLOSE_UNAUTHORIZED if problem.status == 401 else 1013, problem.message[:100])
            return
        await socket.send_json({"type": "ready", "username": user.username, "version": settings.version})
        running: set[asyncio.Task] = set()
        sending = asyncio.Lock()

        async def send(reply: dict[str, Any]) -> None:
            async with sending:
                await socket.send_json(reply)

        async def answer(question: Question) -> None:
            started = time.perf_counter()
            session_id = question.session or uuid.uuid4().hex
            about = {"id": question.id, "agent": question.agent}
            try:
                message = await agents[question.agent].send(user.token, question.text, session_id, question.id)
                reply = {"type": "answer", **about, **shown(message)}
            except Problem as problem:
                reply = {"type": "error", **about, "code": problem.code, "message": problem.message}
            except Exception:
                log.exception("chat message failed")
                reply = {"type": "error", **about, "code": "internal_error", "message": "Something broke; try again."}
            try:
                await send({**reply, "ms": round((time.perf_counter() - started) * 1000)})
                if reply.get("code") == "unauthorized":
                    await socket.close(CLOSE_UNAUTHORIZED, "log in again")
            except (RuntimeError, WebSocketDisconnect):
                log.info("the browser left before its answer came")

        try:
            while True:
                raw = await socket.receive_text()
                try:
                    question = Question.model_validate(json.loads(raw))
                except (ValidationError, ValueError) as error:
                    errors = error.errors() if isinstance(error, ValidationError) else []
                    fields = "; ".join(
                        f"{item['loc'][0] if item['loc'] else 'message'}: {item['msg']}" for item in errors
                    )
                    await send({"type": "error", "code": "invalid_message", "message": fields or "Not JSON."})
                    continue
                if len(running) >= 4:
                    message = "Wait for the answers that are on their way."
                    await send({"type": "error", "id": question.id, "code": "too_many", "message": message})
                    continue
                task = asyncio.create_task(answer(question))
                running.add(task)
                task.add_done_callback(running.discard)
        except (WebSocketDisconnect, KeyError):  # KeyError: a binary frame has no text
            pass
        finally:
            for task in running:
                task.cancel()

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/favicon.ico", include_in_schema=False)
    async def favicon() -> FileResponse:
        return FileResponse(STATIC / "logo.svg")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
