"""Service-to-service calls, made as users make them: each client with its own defaults and its own pool.

``raw`` is the least patient client there is: the first address of the name, a connection a call, no second try.
``node`` and ``go`` are resident processes beside the server, each with that language's ordinary client.
"""

from __future__ import annotations

import asyncio
import os
import socket
from urllib.parse import quote, urlsplit

import aiohttp
import httpx
import requests

BODY = os.urandom(512).hex().encode()
HELPERS = {"node": (["node", "/app/node_client.mjs"], 8101), "go": (["go-client"], 8102)}


class CallFailed(Exception):
    """The call was answered, but not with what was asked for."""


class Callers:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        self.httpx = httpx.AsyncClient(timeout=25)
        self.requests = requests.Session()
        self.aiohttp = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=25))
        # The hop to the helpers is the bench's own and shall not add failures: a new connection for each call.
        self.local = httpx.AsyncClient(timeout=28, limits=httpx.Limits(max_keepalive_connections=0))
        for argv, port in HELPERS.values():
            self.processes.append(await asyncio.create_subprocess_exec(*argv, str(port)))
        for _, port in HELPERS.values():
            await _until_listening(port)

    async def stop(self) -> None:
        for process in self.processes:
            process.kill()
        if self.processes:
            await asyncio.gather(self.httpx.aclose(), self.aiohttp.close(), self.local.aclose())

    async def call(self, client: str, method: str) -> str:
        """GET /ping or POST /echo of the api. Gives back the version that answered.

        :raises Exception: the client's own error, or CallFailed for an answer that is not the right one.
        """
        url = self.url + ("/ping" if method == "GET" else "/echo")
        body = BODY if method == "POST" else None
        if client == "httpx":
            got = await self.httpx.request(method, url, content=body)
            status, data, version = got.status_code, got.content, got.headers.get("x-version", "")
        elif client == "requests":
            answer = await asyncio.to_thread(self.requests.request, method, url, data=body, timeout=25)
            status, data, version = answer.status_code, answer.content, answer.headers.get("x-version", "")
        elif client == "aiohttp":
            async with self.aiohttp.request(method, url, data=body) as reply:
                status, data, version = reply.status, await reply.read(), reply.headers.get("x-version", "")
        elif client in HELPERS:
            local = f"http://127.0.0.1:{HELPERS[client][1]}/?method={method}&url={quote(url, safe='')}"
            try:
                got = await self.local.post(local, content=body or b"")
            except httpx.TransportError as error:
                raise CallFailed(f"the bench's own hop to its helper: {type(error).__name__} {error}") from error
            status, data, version = got.status_code, got.content, got.headers.get("x-version", "")
        elif client == "raw":
            status, data, version = await asyncio.wait_for(_raw(method, url, body), 25)
        else:
            raise CallFailed(f"no client is called {client}")
        if status != 200 or (body is not None and data != body) or (body is None and not data.startswith(b"pong ")):
            raise CallFailed(f"status {status}: {data[:120]!r}")
        return version


async def _until_listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            await asyncio.sleep(0.05)
    raise CallFailed(f"nothing listens on {port}")


async def _raw(method: str, url: str, body: bytes | None) -> tuple[int, bytes, str]:
    parts = urlsplit(url)
    found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    reader, writer = await asyncio.open_connection(*found[0][4][:2])
    try:
        head = f"{method} {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
        head += f"Content-Length: {len(body or b'')}\r\n\r\n"
        writer.write(head.encode() + (body or b""))
        first, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        if not first:
            raise CallFailed("closed without an answer")
        lines = first.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        if "content-length" in headers and len(rest) != int(headers["content-length"]):
            raise CallFailed("closed in the middle of the answer")
        return int(lines[0].split()[1]), rest, headers.get("x-version", "")
    finally:
        writer.close()
