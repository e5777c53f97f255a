"""A small HTTP/1.1 client over asyncio streams: no pool of its own, no second try, so that nothing is papered over."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass


class Bad(Exception):
    """Why a request failed, in a few words that make a good row of a histogram; ``detail`` has the rest."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(why)
        self.why, self.detail = why, detail


@dataclass
class Target:
    """Where the requests go: an address, and the name that TLS and the Host header say."""

    address: str
    port: int
    host: str
    tls: ssl.SSLContext | None

    @property
    def authority(self) -> str:
        return self.host if self.port in (80, 443) else f"{self.host}:{self.port}"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def version(self) -> str:
        return self.headers.get("x-version", "")

    @property
    def where(self) -> str:
        """The container that answered, as far as it said."""
        return self.headers.get("x-container", "")


class Connection:
    """One connection, opened by :meth:`open`; the caller decides whether it is used again."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.used = 0

    async def open(self) -> Connection:
        try:
            self.reader, self.writer = await asyncio.open_connection(
                self.target.address,
                self.target.port,
                ssl=self.target.tls,
                server_hostname=self.target.host if self.target.tls else None,
            )
        except ConnectionRefusedError as error:
            raise Bad("refused") from error
        except ssl.SSLError as error:
            raise Bad("tls", str(error)) from error
        except OSError as error:
            raise Bad("connect", str(error)) from error
        return self

    @property
    def usable(self) -> bool:
        """False once the server has said goodbye, as every HTTP client finds out before it sends."""
        return not (self.reader.at_eof() or self.writer.is_closing() or self.reader.exception())

    @property
    def local_port(self) -> int:
        name = self.writer.get_extra_info("sockname")
        return int(name[1]) if name else 0

    def close(self) -> None:
        writer = getattr(self, "writer", None)
        if writer:
            writer.close()

    def abort(self) -> None:
        writer = getattr(self, "writer", None)
        if writer:
            # Up to Python 3.11.2 a TLS transport that is closed already cannot be aborted: it has no protocol any more.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()

    async def send(self, method: str, path: str, body: bytes = b"", headers: str = "", close: bool = False) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.target.authority}\r\nUser-Agent: landfall-bench\r\n{headers}"
        if close:
            head += "Connection: close\r\n"
        if body or method in ("POST", "PUT"):
            head += f"Content-Length: {len(body)}\r\n"
        self.writer.write(head.encode() + b"\r\n" + body)
        if len(body) > 65536:
            await self.writer.drain()

    async def head(self) -> Answer:
        """The status line and the headers."""
        try:
            raw = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            again = " on a used connection" if self.used else ""
            raise Bad("closed without an answer" + again, error.partial[:80].decode("latin-1")) from error
        lines = raw.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, found, value = line.partition(":")
            if found:
                headers[name.lower()] = value.strip()
        return Answer(int(lines[0].split()[1]), headers, b"")

    async def body(self, answer: Answer) -> bytes:
        try:
            if "chunked" in answer.headers.get("transfer-encoding", ""):
                parts = []
                async for part in self.chunks():
                    parts.append(part)
                return b"".join(parts)
            if "content-length" in answer.headers:
                return await self.reader.readexactly(int(answer.headers["content-length"]))
            return await self.reader.read()
        except asyncio.IncompleteReadError as error:
            raise Bad("answer cut off", f"status {answer.status}, {len(error.partial)} bytes") from error

    async def chunks(self):
        """The parts of a chunked body as they come. :raises asyncio.IncompleteReadError: cut off."""
        while True:
            size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
            if not size:
                await self.reader.readuntil(b"\r\n")
                return
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)

    async def request(self, method: str, path: str, body: bytes = b"", close: bool = False) -> Answer:
        """Send and read the whole answer; anything but 200 is bad."""
        try:
            await self.send(method, path, body, close=close)
            answer = await self.head()
            answer.body = await self.body(answer)
        except (ConnectionError, BrokenPipeError) as error:
            raise Bad("reset" + (" on a used connection" if self.used else ""), str(error)) from error
        self.used += 1
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        if answer.status != 200:
            said = answer.headers.get("x-call-failed", "")
            raise Bad(
                f"call failed ({said})" if said else f"status {answer.status}",
                f"{answer.where} {answer.body[:160].decode('utf-8', 'replace').strip()}",
            )
        return answer
