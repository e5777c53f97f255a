# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""auth-service (9998): registers users, logs them in, issues and checks tokens. Everything lives under /auth/."""

from __future__ import annotations

import logging
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, StringConstraints

from jarvis.base import Problem, base_app, bearer, unauthorized
from jarvis.database import Conflict, Database, Row, open_database
from jarvis.passwords import hash_password, verify_password
from jarvis.settings import Settings
from jarvis.tokens import InvalidToken, Tokens

log = logging.getLogger("jarvis.auth")

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS users (
        id TEXT PRIMARY KEY,
        username TEXT NOT NULL UNIQUE,
        password_hash TEXT NOT NULL,
        created_at TEXT NOT NULL
    )""",
)
# Checked for unknown names, so that the answer takes as long as for known ones.
_NOBODY = hash_password(uuid.uuid4().hex)

Username = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, min_length=3, max_length=32, pattern=r"^[A-Za-z0-9._-]+$"),
]


class Registration(BaseModel):
    username: Username
    password: Annotated[str, Field(min_length=10, max_length=200)]


class Login(BaseModel):
    username: Annotated[str, Field(max_length=100)]
    password: Annotated[str, Field(max_length=200)]


class Users:
    """The users' store; names are kept in lower case."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, username: str, password: str) -> Row:
        """Add a user. Raises Conflict when the name is taken."""
        row = {
            "id": uuid.uuid4().hex,
            "username": username,
            "password_hash": hash_password(password),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._database.execute(
            "INSERT INTO users (id, username, password_hash, created_at) VALUES (?, ?, ?, ?)", list(row.values())
        )
        return row

    def check(self, username: str, password: str) -> Row | None:
        """The user with this name and password, or None."""
        rows = self._database.execute("SELECT * FROM users WHERE username = ?", [username.strip().lower()])
        fits = verify_password(password, rows[0]["password_hash"] if rows else _NOBODY)
        return rows[0] if rows and fits else None

    def exists(self, user_id: str) -> bool:
        return bool(self._database.execute("SELECT 1 AS found FROM users WHERE id = ?", [user_id]))


def create_app(settings: Settings) -> FastAPI:
    """The ASGI app of auth-service."""
    database = open_database(settings.database_url, settings.data_dir / "users.db")
    users = Users(database)
    tokens = Tokens(settings.jwt_secret, settings.jwt_secret_previous, settings.jwt_algorithm, settings.jwt_lifetime_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        await run_in_threadpool(database.create, SCHEMA)
        yield
        database.close()

    app = base_app(settings, lifespan, {"database": database.ping}, prefix="/auth")

    @app.post("/auth/register", status_code=201)
    def register(body: Registration) -> dict[str, str]:
        try:
            user = users.add(body.username, body.password)
        except Conflict:
            raise Problem(409, "username_taken", f"The name {body.username} is taken: choose another one.") from None
        log.info("user registered", extra={"data": {"user": user["id"]}})
        return {"id": user["id"], "username": user["username"]}

    @app.post("/auth/login")
    def login(body: Login, request: Request) -> dict[str, str | int]:
        user = users.check(body.username, body.password)
        if user is None:
            client = request.client.host if request.client else ""
            log.warning("login refused", extra={"data": {"client": client}})
            raise Problem(401, "bad_credentials", "User name and password do not fit.", {"WWW-Authenticate": "Bearer"})
        token = tokens.issue(user["id"], user["username"])
        return {"access_token": token, "token_type": "bearer", "expires_in": settings.jwt_lifetime_s}

    @app.get("/auth/verify")
    def verify(request: Request) -> dict[str, str | int]:
        """Who the bearer token belongs to: ``sub`` (user id), ``username``, ``exp`` (seconds since the epoch)."""
        try:
            claims = tokens.check(bearer(request))
        except InvalidToken as error:
            raise unauthorized(str(error)) from error
        if not users.exists(claims["sub"]):
            raise unauthorized("The token's user is gone: register again.")
        return {"sub": claims["sub"], "username": claims["name"], "exp": claims["exp"]}

    return app
