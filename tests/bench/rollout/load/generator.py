"""Sends every request when it is due, whatever became of the ones before, and writes down what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TextIO

from .. import records
from . import mix
from .http1 import Bad, Target
from .kinds import PATIENCE, PATIENCE_S, Kinds
from .websocket import Closed, WebSocket

GOODBYE = (1001, 1012)  # "going away" and "service restart": what a server says when its drain window is over


class Generator:
    def __init__(self, target: Target, rate: float, out: TextIO) -> None:
        self.target, self.out = target, out
        self.kinds = Kinds(target)
        self.rates = mix.rates(rate)
        self.tasks: set[asyncio.Task] = set()
        self.stopping = asyncio.Event()
        self.lag: list[float] = []

    # -- clock: a request is due on the monotonic clock, and written down on the wall clock ---------------------------
    def _start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.origin, self.wall = self.loop.time(), time.time()

    def _note(self, due: float, kind: str, outcome: str, version: str = "", detail: str = "") -> None:
        latency = self.loop.time() - due
        records.write(records.Record(self.wall + due - self.origin, kind, latency, outcome, version, detail), self.out)

    async def _at(self, due: float) -> bool:
        """Sleep until `due`; False when the run is over."""
        wait = due - self.loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        self.lag.append(max(0.0, self.loop.time() - due))
        return not self.stopping.is_set()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # -- one request, one answer ---------------------------------------------------------------------------------
    async def _one(self, kind: str, due: float, send: Callable[[], Awaitable[str]]) -> None:
        try:
            async with asyncio.timeout_at(due + PATIENCE.get(kind, PATIENCE_S)):
                version = await send()
        except Bad as problem:
            self._note(due, kind, problem.why, detail=problem.detail)
        except TimeoutError:
            self._note(due, kind, "timeout")
        except Exception as error:
            self._note(due, kind, type(error).__name__, detail=str(error))
        else:
            self._note(due, kind, records.OK, version)

    async def _schedule(self, kind: str, rate: float, phase: float) -> None:
        send = getattr(self.kinds, kind)
        number = 0
        while True:
            due = self.origin + (number + phase) / rate
            if not await self._at(due):
                return
            self._spawn(self._one(kind, due, send))
            number += 1

    # -- WebSockets --------------------------------------------------------------------------------------------------
    async def _open(self, kind: str, due: float) -> WebSocket | None:
        try:
            async with asyncio.timeout_at(due + PATIENCE_S):
                socket = await WebSocket.open(self.target, "/ws")
        except Bad as problem:
            self._note(due, kind, problem.why, detail=problem.detail)
        except TimeoutError:
            self._note(due, kind, "timeout")
        else:
            self._note(due, kind, records.OK, socket.version)
            return socket
        return None

    async def _message(self, kind: str, socket: WebSocket, due: float) -> bool:
        """One message and its echo; False when the connection is gone."""
        try:
            async with asyncio.timeout_at(due + PATIENCE_S):
                await socket.echo(f"{kind} {due:.6f}".encode())
        except Closed as closed:
            self._note(due, kind, f"closed {closed.code}", socket.version, socket.container)
        except Bad as problem:
            self._note(due, kind, problem.why, socket.version, problem.detail)
        except TimeoutError:
            self._note(due, kind, "no echo", socket.version, socket.container)
        else:
            self._note(due, kind, records.OK, socket.version)
            return True
        socket.connection.abort()
        return False

    async def _session(self, due: float) -> None:
        """A short visit: a handshake, a few messages, a polite close. Once it is broken the rest fails too."""
        socket = await self._open("ws", due)
        for number in range(1, mix.MESSAGES + 1):
            when = due + number * mix.MESSAGE_EVERY_S
            await asyncio.sleep(max(0.0, when - self.loop.time()))
            if socket is None:
                self._note(when, "ws", "connection lost")
            elif not await self._message("ws", socket, when):
                socket = None
        if socket:
            socket.close()

    async def _sessions(self) -> None:
        number = 0
        while True:
            due = self.origin + number / mix.SESSIONS_PER_S
            if not await self._at(due):
                return
            self._spawn(self._session(due))
            number += 1

    async def _long_lived(self, phase: float) -> None:
        """A connection for ever. Closed with a goodbye it is opened again at once and the message sent again, as
        WebSocket clients do; whether the goodbye came early is judged afterwards, by the times of the switches."""
        socket = None
        number = 0
        while True:
            due = self.origin + phase + number * mix.LONG_EVERY_S
            number += 1
            if not await self._at(due):
                break
            if socket is None:
                socket = await self._open("ws_long", due)
                if socket is None:
                    continue
            try:
                async with asyncio.timeout_at(due + PATIENCE_S):
                    await socket.echo(f"long {due:.6f}".encode())
            except Closed as closed:
                container = socket.container
                socket.connection.abort()
                if closed.code not in GOODBYE:
                    self._note(due, "ws_long", f"closed {closed.code}", detail=container)
                    socket = None
                    continue
                self._note(due, "ws_long", records.RECONNECTED, socket.version, f"{closed.code} {container}")
                socket = await self._open("ws_long", due)
                if socket and not await self._message("ws_long", socket, due):
                    socket = None
            except (Bad, TimeoutError) as error:
                self._note(due, "ws_long", "no echo", socket.version, f"{error} {socket.container}")
                socket.connection.abort()
                socket = None
            else:
                self._note(due, "ws_long", records.OK, socket.version)
        if socket:
            socket.close()

    # -- the run ---------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Until ``stopping`` is set; then the requests under way are waited for."""
        self._start()
        loops = [asyncio.ensure_future(self._sessions())]
        loops += [
            asyncio.ensure_future(self._schedule(kind, rate, index / len(self.rates)))
            for index, (kind, rate) in enumerate(self.rates.items())
        ]
        loops += [
            asyncio.ensure_future(self._long_lived(index / mix.LONG_LIVED * mix.LONG_EVERY_S))
            for index in range(mix.LONG_LIVED)
        ]
        await asyncio.gather(*loops)
        if self.tasks:
            await asyncio.wait(set(self.tasks), timeout=PATIENCE_S + 10)
        for pool in self.kinds.pools.values():
            pool.close()
