"""One HTTPS request to a host of a lab, as a client of a site asks it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any


def ask(
    lab: Any, address: str, domain: str, method: str, path: str, body: Any = None, token: str = "", timeout: float = 40
) -> tuple[int, Any]:
    """(status, body; from JSON where it is JSON). The certificate must come from the lab's CA."""
    context = ssl.create_default_context(cafile=str(lab.state / "ca.pem"))
    with socket.create_connection((address, 443), timeout) as raw:
        connection = http.client.HTTPConnection(domain, 443, timeout=timeout)
        connection.sock = context.wrap_socket(raw, server_hostname=domain)
        headers = {"Connection": "close", "Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text
