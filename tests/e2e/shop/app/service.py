"""A small HTTP service on asyncio alone, so that it starts at once; it behaves as servers under uvicorn do.

Listens 0.7 s after its start: whoever asks too early is refused. On SIGTERM it stops listening, finishes what it
has, closes WebSockets. What stands behind the dash of VERSION is wrong with it on purpose:

start       ends with code 1           health    /healthz says 503
closed      listens nowhere            errors    every third answer is a 500
crash       ends with code 70 half a second after its first answer to a user
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import os
import signal
import socket
import struct
import sys
from urllib.parse import parse_qsl, urlsplit

VERSION = os.environ.get("VERSION", "dev")
FAULT = VERSION.partition("-")[2]
SERVICE = os.environ.get("SERVICE", "web")
HERE = f"X-Version: {VERSION}\r\nX-Service: {SERVICE}\r\nX-Container: {socket.gethostname()}\r\n"
LATE_S = 0.7

turns = itertools.count(1)
ending = asyncio.Event()
busy: set[asyncio.Task] = set()
idle: set[asyncio.StreamWriter] = set()
clients: dict = {}


def head(status: int, length: int | None, more: str = "") -> bytes:
    size = "Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}\r\n{HERE}{size}{more}\r\n".encode()


async def call(client: str, method: str) -> bytes:
    """One call of api by its name, over a pool of keep-alive connections as users have it."""
    url, body = os.environ["API_URL"] + ("/ping" if method == "GET" else "/echo"), b"x" * 512
    if client == "httpx":
        got = await clients["httpx"].request(method, url, content=body if method == "POST" else None)
    else:
        send = clients["requests"].request
        got = await asyncio.to_thread(send, method, url, data=body if method == "POST" else None, timeout=10)
    if got.status_code != 200 or not (got.content == body if method == "POST" else got.content.startswith(b"pong ")):
        raise ValueError(f"status {got.status_code}: {got.content[:100]!r}")
    return b"called " + got.headers["x-version"].encode()


async def respond(method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
    if path == "/healthz":
        return (503, b"the shop is closed") if FAULT == "health" else (200, b"open")
    if FAULT == "errors" and next(turns) % 3 == 0:
        return 500, b"shop: no third time\n"
    if FAULT == "crash":
        asyncio.get_running_loop().call_later(0.5, os._exit, 70)
        print("shop: segmentation of faults", file=sys.stderr, flush=True)
    if path == "/ping":
        return 200, f"pong {VERSION} {socket.gethostname()}\n".encode()
    if path == "/echo":
        return 200, body
    if path == "/slow":
        await asyncio.sleep(float(query.get("seconds", "5")))
        return 200, f"slept {query.get('seconds', '5')}\n".encode()
    if path == "/greeting":
        return 200, os.environ.get("GREETING", "").encode()
    if path == "/call":
        try:
            return 200, await call(query.get("client", "httpx"), query.get("method", "GET"))
        except Exception as error:
            return 502, f"{type(error).__name__}: {error}"[:400].encode()
    return 200, f"{SERVICE} {VERSION} {path}\n".encode()


async def events(writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
    writer.write(head(200, None, "Content-Type: text/event-stream\r\n"))
    for number in range(int(query.get("count", "20"))):
        text = f"id: {number}\ndata: {VERSION}\n\n"
        writer.write(f"{len(text):x}\r\n{text}\r\n".encode())
        await writer.drain()
        await asyncio.sleep(float(query.get("every", "0.2")))
    writer.write(b"0\r\n\r\n")


async def websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    writer.write(
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{HERE}"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    over = asyncio.create_task(ending.wait())
    try:
        while True:
            read = asyncio.create_task(reader.readexactly(2))
            await asyncio.wait({read, over}, return_when=asyncio.FIRST_COMPLETED)
            if not read.done():
                read.cancel()
                writer.write(b"\x88\x02" + struct.pack("!H", 1012))
                return
            first, length = read.result()
            mask = await reader.readexactly(4)
            data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await reader.readexactly(length & 0x7F)))
            if first & 0x0F == 8:
                return
            writer.write(bytes([first, len(data)]) + data)
    finally:
        over.cancel()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    task = asyncio.current_task()
    try:
        while not ending.is_set():
            idle.add(writer)
            raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            idle.discard(writer)
            busy.add(task)
            line, *rest = raw.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in rest)}
            method, target, _ = line.split()
            url = urlsplit(target)
            query = dict(parse_qsl(url.query))
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            if headers.get("upgrade", "").lower() == "websocket":
                await websocket(reader, writer, headers["sec-websocket-key"])
                return
            if url.path == "/events":
                await events(writer, query)
            else:
                status, said = await respond(method, url.path, query, body)
                last = ending.is_set() or headers.get("connection", "").lower() == "close"
                writer.write(head(status, len(said), "Connection: close\r\n" if last else "") + said)
                if last:
                    return
            await writer.drain()
            busy.discard(task)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        idle.discard(writer)
        busy.discard(task)
        writer.close()


async def main() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    print(f"shop: {SERVICE} {VERSION}", flush=True)
    if FAULT == "start":
        sys.exit("shop: no catalogue, giving up")
    if "API_URL" in os.environ:
        import httpx
        import requests

        clients.update(httpx=httpx.AsyncClient(timeout=10), requests=requests.Session())
    await asyncio.sleep(LATE_S)
    if FAULT == "closed":
        await ending.wait()
        return
    server = await asyncio.start_server(serve, "0.0.0.0", 8000, backlog=1024)
    await ending.wait()
    server.close()
    for writer in list(idle):
        writer.close()
    if busy:
        await asyncio.wait(set(busy), timeout=30)


asyncio.run(main())
