# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTPS request to a named host at a chosen address, and what was seen on the way."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from . import x509


@dataclass(frozen=True)
class Answer:
    """What a request came to.

    :param status: HTTP status, 0 when there was no answer; ``error`` says why
    :param seconds: until the status line was there
    :param issuer: common name (or organisation) of the certificate's issuer, ``unknown (why)`` when it can't be read,
        "" when no certificate was seen
    :param expires: end of the certificate's validity, seconds since 1970, 0 when not seen
    """

    status: int
    seconds: float
    error: str = ""
    issuer: str = ""
    expires: int = 0
    names: tuple[str, ...] = ()


class _Connection(http.client.HTTPSConnection):
    """Connects to one address, and names another host in SNI and the Host header."""

    def __init__(self, host: str, port: int, address: tuple[str, int], context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection(self._address, timeout=self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def context_for(validate: bool, ca_file: str | None) -> ssl.SSLContext:
    """A TLS context; ``ca_file`` adds a CA to those of the system. :raises OSError: the file cannot be read"""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    if not validate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def get(url: str, context: ssl.SSLContext, address: str | None, port: int | None, timeout: float) -> Answer:
    """GET a URL; only the head of the answer is awaited, so that endless streams do no harm.

    :param address: connect here instead of to the URL's host
    :param port: connect to this port instead of the URL's
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    url_port = parts.port or 443
    began = time.monotonic()
    connection = _Connection(host, url_port, (address or host, port or url_port), context, timeout)
    facts: dict[str, Any] = {}
    try:
        connection.request("GET", parts.path or "/", headers={"User-Agent": "landfall-probe", "Connection": "close"})
        facts = _certificate(connection.sock)
        status = connection.getresponse().status
        return Answer(status, time.monotonic() - began, **facts)
    except ssl.SSLCertVerificationError as problem:
        error = f"the certificate is not accepted for {host}: {problem.verify_message}"
    except (OSError, http.client.HTTPException) as problem:
        error = str(problem) or type(problem).__name__
    finally:
        connection.close()
    return Answer(0, time.monotonic() - began, error, **facts)


def _certificate(sock: Any) -> dict[str, Any]:
    """Issuer, end and names of the peer's certificate, validated or not."""
    binary = sock.getpeercert(binary_form=True)
    if not binary:
        return {}
    found = sock.getpeercert()
    if found:
        issuer = {key: value for pairs in found.get("issuer", ()) for key, value in pairs}
        return {
            "issuer": issuer.get("commonName") or issuer.get("organizationName") or "unknown (it names none)",
            "expires": int(ssl.cert_time_to_seconds(found["notAfter"])),
            "names": tuple(value for kind, value in found.get("subjectAltName", ()) if kind == "DNS"),
        }
    # Python tells the fields of validated certificates only.
    try:
        seen = x509.read(binary)
    except x509.UnreadableError as problem:
        return {"issuer": f"unknown ({problem})"}
    return {"issuer": seen.issuer, "expires": int(seen.not_after.timestamp()), "names": seen.names}
