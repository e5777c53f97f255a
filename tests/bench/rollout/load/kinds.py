"""Every kind of request: what is sent, and what counts as its right answer. Nothing is tried twice."""

from __future__ import annotations

import hashlib
import itertools
import os

from .http1 import Bad, Connection, Target

PATIENCE_S = 30.0  # for an answer: long, so that what is only slow shows in the latencies and is no failure
UPLOAD_BYTES = 3 << 20
SLOW_S = 5.0
EVENTS, EVENT_EVERY_S = 20, 0.2
CLIENTS = ("httpx", "requests", "aiohttp", "node", "go", "raw")


class Pool:
    """Idle keep-alive connections; one the server closed is thrown away before use, as HTTP clients do."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.idle: list[Connection] = []

    async def take(self) -> Connection:
        while self.idle:
            connection = self.idle.pop(0)  # the one idle for longest: those a reload may close
            if connection.usable:
                return connection
            connection.close()
        return await Connection(self.target).open()

    def give(self, connection: Connection) -> None:
        self.idle.append(connection) if connection.usable else connection.close()

    def close(self) -> None:
        for connection in self.idle:
            connection.close()


class Kinds:
    """The kinds that are one request and one answer; each gives back the version that answered, or raises Bad."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.pools = {name: Pool(target) for name in ("get", "post", "call")}
        self.upload_body = os.urandom(65536) * (UPLOAD_BYTES // 65536)
        self.upload_answer = f"{len(self.upload_body)} {hashlib.sha256(self.upload_body).hexdigest()}\n".encode()
        self.echo_body = os.urandom(1024).hex().encode()
        self.turn = itertools.cycle((client, method) for client in CLIENTS for method in ("GET", "POST"))

    async def _once(self, method: str, path: str, want: bytes, body: bytes = b"", whole: bool = False) -> str:
        connection = await Connection(self.target).open()
        try:
            answer = await connection.request(method, path, body, close=True)
        finally:
            connection.abort()
        if not (answer.body == want if whole else answer.body.startswith(want)):
            raise Bad("wrong body", answer.body[:80].decode("latin-1"))
        return answer.version

    async def _pooled(self, pool: str, method: str, path: str, want: bytes, body: bytes = b"") -> str:
        connection = await self.pools[pool].take()
        try:
            answer = await connection.request(method, path, body)
        except BaseException as error:
            if isinstance(error, Bad) and error.why.startswith(("status", "call failed")):
                self.pools[pool].give(connection)
            else:
                connection.abort()
            raise
        self.pools[pool].give(connection)
        if not answer.body.startswith(want):
            raise Bad("wrong body", answer.body[:80].decode("latin-1"))
        return answer.version

    async def get_new(self) -> str:
        return await self._once("GET", "/ping", b"pong ")

    async def get_keep(self) -> str:
        return await self._pooled("get", "GET", "/ping", b"pong ")

    async def get_api(self) -> str:
        return await self._pooled("get", "GET", "/api/ping", b"pong ")

    async def post_keep(self) -> str:
        return await self._pooled("post", "POST", "/echo", self.echo_body, self.echo_body)

    async def call(self) -> str:
        client, method = next(self.turn)
        return await self._pooled("call", "GET", f"/call?client={client}&method={method}", b"called ")

    async def slow(self) -> str:
        return await self._once("GET", f"/slow?seconds={SLOW_S:g}", b"slept ")

    async def upload(self) -> str:
        return await self._once("PUT", "/upload", self.upload_answer, self.upload_body, whole=True)

    async def sse(self) -> str:
        connection = await Connection(self.target).open()
        try:
            await connection.send("GET", f"/events?count={EVENTS}&every={EVENT_EVERY_S}", close=True)
            answer = await connection.head()
            if answer.status != 200:
                raise Bad(f"status {answer.status}", answer.where)
            seen = (await connection.body(answer)).count(b"id: ")
        except ConnectionError as error:
            raise Bad("reset", str(error)) from error
        finally:
            connection.abort()
        if seen != EVENTS:
            raise Bad("events missing", f"{seen} of {EVENTS} from {answer.where}")
        return answer.version


#: seconds a kind may take, from when it was due
PATIENCE = {"slow": SLOW_S + PATIENCE_S, "sse": EVENTS * EVENT_EVERY_S + PATIENCE_S}
