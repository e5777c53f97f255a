"""A small HTTP proxy between a client and an S3 server that makes what goes wrong with one go wrong on demand."""

from __future__ import annotations

import http.client
import http.server
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass
class Seen:
    """A request: ``number`` counts those of its ``kind``; names of ``headers`` are lower-case."""

    method: str
    path: str
    query: dict[str, list[str]]
    kind: str
    number: int
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def sse(self) -> tuple[str, str]:
        """How the store is asked to encrypt it, and by which key."""
        name = "x-amz-server-side-encryption"
        return self.headers.get(name, ""), self.headers.get(f"{name}-aws-kms-key-id", "")


#: what to do with a request: None (let it through), "reset", "reset-late", "500", "503", "error200", "cut", "flip",
#: "silent" (answers without a word of encryption),
#: or seconds to wait first
Rule = Callable[[Seen], "str | float | None"]


def kind_of(method: str, query: dict[str, list[str]]) -> str:
    if method == "PUT":
        return "part" if "partNumber" in query else "put"
    if method == "POST":
        return "begin" if "uploads" in query else "complete"
    if method == "DELETE":
        return "abort" if "uploadId" in query else "delete"
    if method == "GET":
        return "list" if "list-type" in query else "uploads" if "uploads" in query else "get"
    return method.lower()


class Proxy:
    """:param port: of the server behind it, by HTTP

    :param tls: files of a certificate and its key: it is asked by HTTPS then
    """

    def __init__(self, port: int, tls: tuple[str, str] | None = None) -> None:
        self.rule: Rule = lambda seen: None
        self.seen: list[Seen] = []
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query, keep_blank_values=True)
                seen = proxy.note(self.command, parts.path, query, self.headers)
                length = int(self.headers.get("Content-Length") or 0)
                action = proxy.rule(seen)
                if action == "reset":
                    self.rfile.read(length // 2)
                    return self._reset()
                if self.headers.get("Expect"):
                    pass  # http.server has answered it
                body = self.rfile.read(length)
                if isinstance(action, float):
                    time.sleep(action)
                if action in ("500", "503"):
                    return self._answer(int(action), {}, b"<Error><Code>InternalError</Code></Error>")
                if isinstance(action, str) and action.startswith("403:"):
                    xml = f"<Error><Code>{action[4:]}</Code><Message>no</Message></Error>".encode()
                    return self._answer(403, {"Content-Type": "application/xml"}, xml)
                if action == "error200":
                    xml = b'<?xml version="1.0"?>\n<Error><Code>InternalError</Code><Message>no</Message></Error>'
                    return self._answer(200, {"Content-Type": "application/xml"}, xml)
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                try:
                    link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        if name.lower() not in ("expect", "connection"):
                            link.putheader(name, value)
                    link.endheaders(body or None)
                    answer = link.getresponse()
                    data = answer.read()
                    if action == "reset-late":
                        return self._reset()
                    if action == "flip" and data:
                        at = len(data) // 2
                        data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
                    headers = {
                        name: value
                        for name, value in answer.getheaders()
                        if name.lower() not in ("transfer-encoding", "connection", "content-length")
                        and not (action == "silent" and "server-side-encryption" in name.lower())
                    }
                    head_length = answer.getheader("Content-Length") if self.command == "HEAD" else None
                    self._answer(answer.status, headers, data, cut=action == "cut", length=head_length)
                finally:
                    link.close()

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one

            def _answer(
                self, status: int, headers: dict, data: bytes, cut: bool = False, length: str | None = None
            ) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", length or str(len(data)))
                self.end_headers()
                if cut:
                    self.wfile.write(data[: len(data) // 2])
                    self.wfile.flush()
                    return self._reset()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def _reset(self) -> None:
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *args: None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls else "http"
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def note(self, method: str, path: str, query: dict[str, list[str]], headers: Mapping[str, str]) -> Seen:
        with self._lock:
            kind = kind_of(method, query)
            self._counts[kind] = self._counts.get(kind, 0) + 1
            lower = {name.lower(): value for name, value in headers.items()}
            seen = Seen(method, path, query, kind, self._counts[kind], lower)
            self.seen.append(seen)
            return seen

    def reset(self) -> None:
        self.rule = lambda seen: None
        self.seen.clear()
        self._counts.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
