# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""registry-service (8003): which agents there are, and the sessions people have with them.

The registry finds the agents itself: it asks each configured URL for its agent card. Nothing can register
from outside, so the public /api/ route needs no second kind of credential.
"""

# No "from __future__ import annotations": FastAPI has to see SignedIn, which exists only inside create_app.
import asyncio
import contextlib
import logging
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from jarvis.base import Problem, base_app, bearer
from jarvis.catalog import AGENT_CARD
from jarvis.clients import TIMEOUT, AuthClient, User, http_client
from jarvis.database import open_database
from jarvis.registry_store import SCHEMA, Agents, NotYours, Sessions
from jarvis.settings import AGENT_IDS, Settings

log = logging.getLogger("jarvis.registry")
POLL_S = 15.0  # between two looks at the agents
POLL_MISSING_S = 2.0  # the same while one is away

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class Turn(BaseModel):
    agent: Identifier
    message_id: Identifier
    question: Annotated[str, Field(max_length=4000)]
    answer: Annotated[str, Field(max_length=20000)]
    table: dict[str, Any] | None = None


def create_app(settings: Settings) -> FastAPI:
    """The ASGI app of registry-service."""
    database = open_database(settings.database_url, settings.data_dir / "sessions.db")
    agents = Agents(database, settings.registry_file, AGENT_IDS)
    sessions = Sessions(database)
    client = http_client(*settings.urls.values())
    auth = AuthClient(client, settings.urls["auth"], settings.upstream_patience_s)

    async def look(agent: str) -> bool:
        """Ask one agent for its card; True when it answered."""
        try:
            response = await client.get(settings.urls[agent] + AGENT_CARD, timeout=TIMEOUT.connect)
            card = response.json() if response.is_success else None
        except Exception as error:  # whatever is wrong with an agent, the others still count
            log.debug("agent did not answer", extra={"data": {"agent": agent, "reason": type(error).__name__}})
            card = None
        online = isinstance(card, dict)
        if await run_in_threadpool(agents.saw, agent, card if online else None):
            log.info("agent changed", extra={"data": {"agent": agent, "status": "online" if online else "offline"}})
        return online

    async def watch() -> None:
        while True:
            try:
                found = await asyncio.gather(*(look(agent) for agent in AGENT_IDS))
            except Exception:
                log.exception("looking for agents failed")
                found = [False]
            await asyncio.sleep(POLL_S if all(found) else POLL_MISSING_S)

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        await run_in_threadpool(database.create, SCHEMA)
        await run_in_threadpool(agents.load)
        watcher = asyncio.create_task(watch())
        yield
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        await client.aclose()
        database.close()

    app = base_app(settings, lifespan, {"database": database.ping})

    async def current_user(request: Request) -> User:
        return await auth.verify(bearer(request))

    SignedIn = Annotated[User, Depends(current_user)]

    def own(session_id: str, user: User) -> dict[str, Any]:
        session = sessions.get(session_id, user.id)
        if session is None:
            raise Problem(404, "not_found", f"There is no session {session_id}.")
        return session

    @app.get("/agents")
    def list_agents(_: SignedIn) -> dict[str, Any]:
        return {"agents": agents.all()}

    @app.get("/agents/{agent_id}")
    def get_agent(agent_id: str, _: SignedIn) -> dict[str, Any]:
        for agent in agents.all():
            if agent["id"] == agent_id:
                return agent
        raise Problem(404, "not_found", f"There is no agent {agent_id}: GET /agents lists them.")

    @app.get("/sessions")
    def list_sessions(
        user: SignedIn, agent: str | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> dict[str, Any]:
        return {"sessions": sessions.of(user.id, agent, limit)}

    @app.get("/sessions/{session_id}")
    def get_session(session_id: str, user: SignedIn) -> dict[str, Any]:
        return own(session_id, user)

    @app.post("/sessions/{session_id}/turns", status_code=201)
    def add_turn(session_id: Identifier, turn: Turn, user: SignedIn) -> dict[str, Any]:
        try:
            position = sessions.add_turn(session_id, user.id, turn.model_dump())
        except NotYours:
            raise Problem(404, "not_found", f"There is no session {session_id}.") from None
        return {"session": session_id, "position": position}

    @app.delete("/sessions/{session_id}", status_code=204)
    def delete_session(session_id: str, user: SignedIn) -> None:
        own(session_id, user)
        sessions.delete(session_id)

    return app
