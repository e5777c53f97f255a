"""The client's side of a WebSocket, as much of RFC 6455 as text frames, ping and close need."""

from __future__ import annotations

import asyncio
import base64
import os
import struct

from .http1 import Bad, Connection, Target


class Closed(Exception):
    """The server said goodbye with this code (1006: it just went away)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed {code}")
        self.code = code


class WebSocket:
    def __init__(self, connection: Connection, version: str, container: str) -> None:
        self.connection, self.version, self.container = connection, version, container

    @classmethod
    async def open(cls, target: Target, path: str) -> WebSocket:
        connection = await Connection(target).open()
        key = base64.b64encode(os.urandom(16)).decode()
        headers = (
            f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        )
        try:
            await connection.send("GET", path, headers=headers)
            answer = await connection.head()
        except ConnectionError as error:
            connection.abort()
            raise Bad("reset in the handshake", str(error)) from error
        except BaseException:
            connection.abort()
            raise
        if answer.status != 101:
            connection.abort()
            raise Bad(f"handshake status {answer.status}", answer.where)
        return cls(connection, answer.version, answer.where)

    def _send(self, opcode: int, data: bytes) -> None:
        mask = os.urandom(4)
        length = len(data)
        size = struct.pack("!B", 0x80 | length) if length < 126 else struct.pack("!BH", 0x80 | 126, length)
        body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self.connection.writer.write(bytes([0x80 | opcode]) + size + mask + body)

    async def receive(self) -> bytes:
        """The next text. :raises Closed: the connection ended instead."""
        reader = self.connection.reader
        try:
            while True:
                first, second = await reader.readexactly(2)
                length = second & 0x7F
                if length == 126:
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", await reader.readexactly(8))
                data = await reader.readexactly(length)
                opcode = first & 0x0F
                if opcode == 8:
                    raise Closed(struct.unpack("!H", data[:2])[0] if len(data) > 1 else 1005)
                if opcode == 9:
                    self._send(10, data)
                elif opcode in (1, 2):
                    return data
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Closed(1006) from error

    async def echo(self, text: bytes) -> None:
        """Send and wait for the same text. :raises Closed: :raises Bad:"""
        try:
            self._send(1, text)
            got = await self.receive()
        except ConnectionError as error:
            raise Closed(1006) from error
        if got != text:
            raise Bad("wrong echo", got[:80].decode("latin-1"))

    def close(self) -> None:
        try:
            self._send(8, struct.pack("!H", 1000))
        finally:
            self.connection.close()
