# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every service has: health endpoints, errors of one shape, access log, bearer tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from jarvis.logs import RequestLog, request_id
from jarvis.settings import Settings

log = logging.getLogger("jarvis")
Check = Callable[[], None]  # raises when what it checks does not work


class Problem(Exception):
    """An answer that is not a success: ``status`` for HTTP, ``code`` for programs, ``message`` for people."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})


def unauthorized(message: str = "Sign in first: a valid bearer token is needed.") -> Problem:
    return Problem(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})


def bearer(request: Request) -> str:
    """The request's bearer token. Raises a 401 Problem when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized()
    return token.strip()


def problem_response(status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: Any):
    error = {"code": code, "message": message, **more}
    return JSONResponse({"error": error, "request_id": request_id.get()}, status, dict(headers or {}))


def base_app(settings: Settings, lifespan: Any, checks: Mapping[str, Check], prefix: str = "") -> FastAPI:
    """A FastAPI app with /health, /live, /ready and /version (also under ``prefix``) and the error handlers.

    ``checks`` are this service's own parts (its database): other services are left out on purpose, since one
    that is down would otherwise take all that call it out of rotation.
    """
    app = FastAPI(
        title=settings.service.name, version=settings.version, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.settings = settings
    app.add_middleware(RequestLog)

    def health() -> JSONResponse:
        results: dict[str, str] = {}
        for name, check in checks.items():
            try:
                check()
                results[name] = "ok"
            except Exception:
                log.exception("health check failed", extra={"data": {"check": name}})
                results[name] = "failing"
        healthy = all(result == "ok" for result in results.values())
        body = {
            "status": "ok" if healthy else "failing",
            "service": settings.service.name,
            "version": settings.version,
            "checks": results,
        }
        return JSONResponse(body, 200 if healthy else 503, {"Cache-Control": "no-store"})

    async def live() -> dict[str, str]:
        return {"status": "ok", "service": settings.service.name}

    async def version() -> dict[str, str]:
        return {"service": settings.service.name, "version": settings.version}

    for start in dict.fromkeys(("", prefix)):
        app.add_api_route(f"{start}/health", health, methods=["GET", "HEAD"], tags=["health"])
        app.add_api_route(f"{start}/ready", health, methods=["GET", "HEAD"], tags=["health"])
        app.add_api_route(f"{start}/live", live, methods=["GET", "HEAD"], tags=["health"])
        app.add_api_route(f"{start}/version", version, methods=["GET"], tags=["health"])

    @app.exception_handler(Problem)
    async def on_problem(_: Request, error: Problem) -> JSONResponse:
        return problem_response(error.status, error.code, error.message, error.headers)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # Never echo the input: it may be a password.
        fields = [
            {"field": ".".join(str(part) for part in item["loc"][1:]) or "body", "message": item["msg"]}
            for item in error.errors()
        ]
        message = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
        return problem_response(422, "invalid_request", message, fields=fields)

    @app.exception_handler(StarletteHTTPException)
    async def on_http(request: Request, error: StarletteHTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path}: {error.detail}"
        return problem_response(error.status_code, "http_error", message, error.headers)

    @app.exception_handler(Exception)
    async def on_crash(_: Request, error: Exception) -> JSONResponse:
        log.exception("unhandled error", exc_info=error)
        return problem_response(500, "internal_error", "Something broke on our side; it has been logged.")

    return app
