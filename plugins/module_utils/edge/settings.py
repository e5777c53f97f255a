# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator can set about the edge, with its defaults.

Times are nginx times (``60s``, ``5m``), sizes are nginx sizes (``10m``); both are checked here, so that a slip is
told in the operator's words and not as a line of a rendered file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import EdgeError

TIME = re.compile(r"^\d+(ms|s|m|h|d)$")
SIZE = re.compile(r"^\d+[kKmMgG]?$")
RATE = re.compile(r"^\d+r/[sm]$")
HEADER_NAME = re.compile(r"^[A-Za-z0-9-]+$")

#: Sent with every answer over HTTPS. A header the operator sets to "" is left to the application.
DEFAULT_HEADERS: dict[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


@dataclass(frozen=True)
class EdgeSettings:
    """Settings of the rendered nginx configuration.

    :param https_port: the port clients use for HTTPS (redirects, ``Host``); published by the container
    :param http3: also listen for QUIC; needs an nginx with the HTTP/3 module and UDP open
    :param ipv6: also listen on ``[::]`` inside the container
    :param hsts_max_age: seconds of ``Strict-Transport-Security``; 0 sends none
    :param hsts_subdomains: add ``includeSubDomains``
    :param hsts_preload: add ``preload``
    :param headers: laid over :data:`DEFAULT_HEADERS`; a value of ``""`` drops that header
    :param ecdh_curve: TLS groups, the best first; needs OpenSSL 3.5 for X25519MLKEM768
    :param trusted_proxies: addresses or ranges (CDN, load balancer) whose ``real_ip_header`` is believed
    :param real_ip_header: where those proxies say who the client is
    :param drain: how long workers of the former configuration may finish their connections
    :param body_size: largest request body, for routes that say none
    :param timeout: longest silence of an upstream, for HTTP routes that say none
    :param stream_timeout: the same for WebSocket and SSE routes
    :param connect_timeout: longest wait for a connection to an upstream
    :param next_upstream: when the next container is tried (``proxy_next_upstream``)
    :param next_upstream_tries: how many containers are tried for one request
    :param max_fails: failed attempts within ``fail_timeout`` that set a container aside
    :param fail_timeout: window of ``max_fails``, and how long it is set aside
    :param keepalive: idle connections kept to each upstream by each worker
    :param upstream_keepalive_timeout: how long an idle connection to a container is kept; shorter than any application
        server does (gunicorn 2s, uvicorn and Node 5s), or a request meets the closing of its connection and is lost
    :param keepalive_timeout: how long an idle client connection is kept
    :param keepalive_min_timeout: how long it survives a reload at least (nginx 1.27.4 and later)
    :param resolver: the DNS server that knows containers by name
    :param resolver_valid: how long its answers hold
    :param limit_zone_size: memory of each rate limit (1m remembers about 8,000 addresses)
    :param health_path: answered by the edge itself on each host, unless a stack routes it; "" for none
    :param maintenance_retry_after: seconds a client is told to wait while a stack is under maintenance
    :param maintenance_message: the sentence on the maintenance page
    :param journal: tell the host's journal of refused requests (400, 401, 403, 404, 429), for fail2ban
    :param gzip: compress text; with it, what a page holds of a secret may be guessed by its length (BREACH)
    :param worker_connections: connections of each worker; a request takes four
    :param worker_processes: number of workers, or ``auto``
    """

    https_port: int = 443
    http3: bool = False
    ipv6: bool = False
    hsts_max_age: int = 63072000
    hsts_subdomains: bool = False
    hsts_preload: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    ecdh_curve: str = "X25519MLKEM768:X25519:prime256v1:secp384r1"
    trusted_proxies: tuple[str, ...] = ()
    real_ip_header: str = "X-Forwarded-For"
    drain: str = "5m"
    body_size: str = "10m"
    timeout: str = "60s"
    stream_timeout: str = "1h"
    connect_timeout: str = "2s"
    next_upstream: str = "error timeout"
    next_upstream_tries: int = 3
    max_fails: int = 2
    fail_timeout: str = "2s"
    keepalive: int = 32
    upstream_keepalive_timeout: str = "1s"
    keepalive_timeout: str = "65s"
    keepalive_min_timeout: str = "65s"
    resolver: str = "127.0.0.11"
    resolver_valid: str = "2s"
    limit_zone_size: str = "2m"
    health_path: str = "/health"
    maintenance_retry_after: int = 120
    maintenance_message: str = "We are working on it and will be back in a few minutes."
    journal: bool = False
    gzip: bool = False
    worker_connections: int = 8192
    worker_processes: str = "auto"

    def __post_init__(self) -> None:
        for name in ("drain", "timeout", "stream_timeout", "connect_timeout", "fail_timeout", "keepalive_timeout",
                     "keepalive_min_timeout", "resolver_valid", "upstream_keepalive_timeout"):  # fmt: skip
            if not TIME.match(getattr(self, name)):
                raise EdgeError(f"edge setting {name}: {getattr(self, name)!r} is not a time; write 60s or 5m")
        for name in ("body_size", "limit_zone_size"):
            if not SIZE.match(getattr(self, name)):
                raise EdgeError(f"edge setting {name}: {getattr(self, name)!r} is not a size; write for example 10m")
        for name in ("ecdh_curve", "real_ip_header", "next_upstream", "resolver", "worker_processes"):
            if not re.match(r"^[A-Za-z0-9:_. \[\]?-]+$", getattr(self, name)):
                raise EdgeError(f"edge setting {name}: {getattr(self, name)!r} holds a character nginx would misread")
        if self.health_path and not re.match(r"^/[A-Za-z0-9._~/-]*$", self.health_path):
            raise EdgeError(f"edge setting health_path: {self.health_path!r} is not a path; write for example /health")
        for name, value in self.headers.items():
            if not HEADER_NAME.match(name) or re.search(r'[\r\n"\\$]', value):
                raise EdgeError(f"edge setting headers: {name}: {value!r} cannot be sent; no quotes, $ or line breaks")
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy, strict=False)
            except ValueError:
                raise EdgeError(
                    f"edge setting trusted_proxies: {proxy!r} is no address or range; write for example 203.0.113.0/24"
                ) from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EdgeSettings:
        """Settings from plain values; ``None`` counts as unset, an unknown key raises :class:`EdgeError`."""
        known = {item.name for item in fields(cls)}
        for key in values:
            if key not in known:
                raise EdgeError(f"edge setting {key!r} is not known; known are {', '.join(sorted(known))}")
        given = {key: value for key, value in values.items() if value is not None}
        if "trusted_proxies" in given:
            given["trusted_proxies"] = tuple(given["trusted_proxies"])
        return cls(**given)

    def all_headers(self, over: Mapping[str, str] | None = None) -> dict[str, str]:
        """Every header sent over HTTPS, by name, HSTS included.

        :param over: a stack's own, laid over those of the edge; ``""`` leaves one to the application
        """
        merged: dict[str, tuple[str, str]] = {}
        hsts = f"max-age={self.hsts_max_age}" if self.hsts_max_age else ""
        if hsts:
            hsts += "; includeSubDomains" if self.hsts_subdomains else ""
            hsts += "; preload" if self.hsts_preload else ""
        # Names of headers are the same in capitals and small letters.
        for layer in ({"Strict-Transport-Security": hsts}, DEFAULT_HEADERS, self.headers, over or {}):
            merged.update({name.lower(): (name, value) for name, value in layer.items()})
        return {name: value for name, value in sorted(merged.values()) if value}


def seconds(value: str) -> float:
    """A duration such as ``90s``, ``5m`` or ``1m30s`` in seconds."""
    if not re.fullmatch(r"(\d+(ms|s|m|h|d))+", value):
        raise EdgeError(f"{value!r} is not a time; write for example 60s or 5m")
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h|d)", value))


def size_bytes(value: str) -> int:
    """An nginx size such as ``10m`` in bytes; ``0`` stands for no limit."""
    match = re.fullmatch(r"(\d+)([kmg]?)b?", value.lower())
    if not match:
        raise EdgeError(f"{value!r} is not a size; write for example 10m")
    return int(match[1]) * {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}[match[2]]
