# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says its name: `app.py NAME IDLE_SECONDS`. Ends at once on SIGTERM, as the worst application servers do."""

from __future__ import annotations

import asyncio
import signal
import sys

NAME, IDLE = sys.argv[1], float(sys.argv[2])


async def serve(reader, writer):
    try:
        while True:
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IDLE)).decode("latin-1")
            fields = {
                key.strip().lower(): value.strip()
                for key, _, value in (line.partition(":") for line in head.split("\r\n")[1:] if line)
            }
            if "upgrade" in fields:
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                while data := await reader.read(4096):
                    writer.write(data)
                return
            if fields.get("transfer-encoding") == "chunked":
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readline()
            elif fields.get("content-length"):
                await reader.readexactly(int(fields["content-length"]))
            path = head.split(" ")[1]
            if path.startswith("/slow"):
                await asyncio.sleep(1.5)
            said = f"{NAME} {fields.get('host', '')} {' '.join(sorted(fields))}" if path == "/headers" else NAME
            writer.write(f"HTTP/1.1 200 OK\r\nServer: app\r\nContent-Length: {len(said)}\r\n\r\n{said}".encode())
            await writer.drain()
    except (asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", 8000, backlog=1024)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()


asyncio.run(main())
