# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m jarvis.healthcheck [PATH]``: exit 0 when the service in this container answers 2xx, else 1.

A plain socket instead of an HTTP library: the probe runs every few seconds in every container, and importing
an HTTP client would cost more than the probe itself.
"""

from __future__ import annotations

import os
import socket
import sys

from jarvis.catalog import SERVICES

TIMEOUT_S = 3.0


def probe(port: int, path: str, timeout: float = TIMEOUT_S) -> str:
    """Return the status line of ``GET http://127.0.0.1:<port><path>``. Raises OSError when nobody answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\nUser-Agent: healthcheck\r\n\r\n".encode())
        return connection.recv(256).split(b"\r\n", 1)[0].decode("latin-1")


def main() -> int:
    service = SERVICES.get(os.environ.get("JARVIS_SERVICE", ""))
    if service is None:
        print("JARVIS_SERVICE is not set to one of: " + ", ".join(SERVICES))
        return 1
    path = sys.argv[1] if len(sys.argv) > 1 else service.health
    try:
        status = probe(int(os.environ.get("PORT") or service.port), path)
    except OSError as error:
        print(f"{path}: {error}")
        return 1
    print(f"{path}: {status}")
    return 0 if status.split(" ")[1:2] and status.split(" ")[1].startswith("2") else 1


if __name__ == "__main__":
    sys.exit(main())
