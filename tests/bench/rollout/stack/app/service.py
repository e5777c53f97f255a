"""The bench's service, an ordinary FastAPI application under plain uvicorn: no signal handlers, no tricks.

``SERVICE`` is web or api (the same routes; web calls api by its name), ``VERSION`` what it answers as, ``BROKEN``
what is wrong with it on purpose: start (exits at once), health (never healthy), migration (see migrate.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import AsyncIterator

from calls import Callers
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

VERSION = os.environ.get("VERSION", "dev")
SERVICE = os.environ.get("SERVICE", "web")
BROKEN = os.environ.get("BROKEN", "")
HERE = {"X-Version": VERSION, "X-Service": SERVICE, "X-Container": socket.gethostname()}

if BROKEN == "start":
    print("bench: this version exits at start, on purpose", file=sys.stderr)
    sys.exit(3)

callers = Callers(os.environ.get("API_URL", "http://api:8000"))


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    if SERVICE == "web":
        await callers.start()
    yield
    await callers.stop()


app = FastAPI(lifespan=lifespan, docs_url=None, openapi_url=None)


@app.get("/healthz")
async def healthz() -> Response:
    return Response(status_code=503 if BROKEN == "health" else 200, headers=HERE)


@app.get("/ping")
async def ping() -> Response:
    return Response(f"pong {VERSION} {socket.gethostname()}\n", headers=HERE)


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body(), headers=HERE, media_type="application/octet-stream")


@app.get("/slow")
async def slow(seconds: float = 5) -> Response:
    await asyncio.sleep(min(seconds, 60))
    return Response(f"slept {seconds:g}\n", headers=HERE)


@app.api_route("/upload", methods=["PUT", "POST"])
async def upload(request: Request) -> Response:
    digest, length = hashlib.sha256(), 0
    async for part in request.stream():
        digest.update(part)
        length += len(part)
    return Response(f"{length} {digest.hexdigest()}\n", headers=HERE)


@app.get("/events")
async def events(count: int = 20, every: float = 0.2) -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        for number in range(count):
            yield f"id: {number}\ndata: {VERSION}\n\n"
            await asyncio.sleep(every)

    return StreamingResponse(stream(), media_type="text/event-stream", headers=HERE)


@app.websocket("/ws")
async def websocket(connection: WebSocket) -> None:
    await connection.accept(headers=[(name.lower().encode(), value.encode()) for name, value in HERE.items()])
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await connection.send_text(await connection.receive_text())


@app.get("/call")
async def call(client: str = "httpx", method: str = "GET") -> Response:
    """One call of api by its name, with the client asked for; 502 with the client's own words when it fails."""
    try:
        version = await callers.call(client, method)
    except Exception as error:
        said = f"{client} {method}: {type(error).__name__}: {error}"
        return Response(said[:400] + "\n", status_code=502, headers={**HERE, "X-Call-Failed": client})
    return Response(f"called {version}\n", headers=HERE)
