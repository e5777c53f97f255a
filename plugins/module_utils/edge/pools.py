# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second half of every request's way: from a unix socket of nginx's own to a container. Pure.

After a reload, a worker of the former configuration still answers requests that come on client connections it keeps
open, and it answers them with the upstreams it was started with. So no server that clients reach names containers. It
hands each request over through a unix socket, by a new connection, and only workers of the running configuration
listen on that: they choose the container. See docs/decisions/0005-switch.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

#: The upstream that stands for the unix socket.
HANDOVER = "landfall_pools"
#: What the second half tells the first for its log, ``{log field: response header}``. Clients do not see them.
TOLD = {
    "upstream": "X-Landfall-Upstream",
    "upstream_status": "X-Landfall-Upstream-Status",
    "upstream_connect_time": "X-Landfall-Upstream-Connect",
}
#: The same, and what nginx itself knows of it.
_OWN = {
    TOLD["upstream"]: "$upstream_addr",
    TOLD["upstream_status"]: "$upstream_status",
    TOLD["upstream_connect_time"]: "$upstream_connect_time",
}
_ACCEL = ("X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset")


@dataclass(frozen=True)
class Pool:
    """The containers that answer for one port of a service.

    :param name: how it is asked for, unique on the socket
    :param weights: container → weight, 1 for those not named
    :param silence: seconds an answer may take to begin or to go on
    """

    name: str
    service: str
    port: int
    containers: tuple[str, ...] = ()
    weights: tuple[tuple[str, int], ...] = ()
    silence: int = 60


@dataclass(frozen=True)
class PoolSettings:
    """How containers are reached; times are nginx times, see :class:`.settings.EdgeSettings`."""

    connect_timeout: str = "2s"
    next_upstream: str = "error timeout"
    next_upstream_tries: int = 3
    max_fails: int = 2
    fail_timeout: str = "2s"
    keepalive: int = 32
    keepalive_timeout: str = "1s"
    buffer_size: str = "16k"


def block(head: str, lines: Sequence[str], depth: int = 0) -> list[str]:
    """The lines of ``head { … }``."""
    pad = "    " * depth
    return [f"{pad}{head} {{", *(f"{pad}    {line}" if line else "" for line in lines), f"{pad}}}"]


def handover(socket: str) -> list[str]:
    """The upstream of the first half."""
    return [
        "# Each request goes on by a new connection: whoever listens now decides, not who listened once.",
        *block(f"upstream {HANDOVER}", [f"server unix:{socket} max_fails=0;"]),
    ]


def upstream(pool: Pool, settings: PoolSettings) -> list[str]:
    """The upstream of a pool. One without containers is an upstream all the same: it answers with 502."""
    weights = dict(pool.weights)
    servers = [
        f"server {name}:{pool.port} resolve{f' weight={weights[name]}' if weights.get(name, 1) != 1 else ''}"
        f" max_fails={settings.max_fails} fail_timeout={settings.fail_timeout};"
        for name in sorted(pool.containers)
    ]
    body = [f"zone {pool.name} 256k;", *servers]
    if servers:
        body.append(f"server unix:{_early(pool)} backup max_fails=0;")
        body += [f"keepalive {settings.keepalive};", f"keepalive_timeout {settings.keepalive_timeout};"]
    else:
        body += [f"# No container of {pool.service} runs: answered with 502.", "server 127.0.0.1:9 down;"]
    return block(f"upstream {pool.name}", body)


def _early(pool: Pool) -> str:
    """The socket of a pool whose names are being looked up: in the container's own /tmp, empty at its every start."""
    return f"/tmp/early-{hashlib.sha256(pool.name.encode()).hexdigest()[:16]}.sock"


def common(socket: str) -> list[str]:
    """What stands once on the socket's side; a pool that is no more (asked for by a former worker) is a 502."""
    told = [
        block(f"map $upstream_addr ${_variable(name)}", [f"default {own};", f'"~unix:" $upstream_http_{_field(name)};'])
        for name, own in _OWN.items()
    ]
    return [
        *block("map $http_upgrade $landfall_pool_connection", ["default upgrade;", '"" "";']),
        "# The name as the half before gave it; to be changed by nobody, $host would be without its port.",
        *block("map $http_host $landfall_asked", ["default $http_host;"]),
        *(line for lines in told for line in lines),
        *block("server", [
            f"listen unix:{socket} default_server backlog=4096;", "server_name _;", "access_log off;",
            "keepalive_timeout 0;", "return 502;"]),
    ]  # fmt: skip


def server(pool: Pool, socket: str, settings: PoolSettings) -> list[str]:
    """The servers of a pool: nothing of the request or the answer is changed here."""
    waits = max(pool.silence, 3600)
    way = [
        "access_log off;",
        "gzip off;",
        "keepalive_timeout 0;",
        "client_max_body_size 0;",
        f"client_body_timeout {waits}s;",
        f"send_timeout {waits}s;",
        f"proxy_connect_timeout {settings.connect_timeout};",
        f"proxy_next_upstream {settings.next_upstream};",
        # Not once more than there are containers: the spare way below is for when none was tried.
        f"proxy_next_upstream_tries {min(settings.next_upstream_tries, max(1, len(pool.containers)))};",
        "proxy_next_upstream_timeout 10s;",
        f"proxy_read_timeout {pool.silence}s;",
        f"proxy_send_timeout {pool.silence}s;",
        "proxy_http_version 1.1;",
        'proxy_set_header X-Landfall-Host "";',
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $landfall_pool_connection;",
        "proxy_redirect off;",
        "proxy_buffering off;",
        "proxy_request_buffering off;",
        f"proxy_buffer_size {settings.buffer_size};",
        f"proxy_ignore_headers {' '.join(_ACCEL)};",
        *(f"proxy_pass_header {name};" for name in ("Server", "Date", *_ACCEL)),
        *(f"proxy_hide_header {name};" for name in _OWN),
    ]
    chosen = block("server", [
        f"listen unix:{socket};",
        f"server_name {pool.name};",
        *way,
        "proxy_set_header Host $http_x_landfall_host;",
        *(f"add_header {name} ${_variable(name)} always;" for name in _OWN),
        *block("location /", [f"proxy_pass http://{pool.name};"]),
    ])  # fmt: skip
    if not pool.containers:
        return chosen
    # A name that is new in this configuration is looked up some milliseconds after the worker's start. Until then no
    # server of the upstream has an address, and its backup stands in: it asks for a container by name, which waits for
    # the answer of the DNS. Not an error_page: nginx cannot send the rest of a body that it has read in part a second
    # way, and the request would wait for an answer for ever.
    return [*chosen, *block("server", [
        f"listen unix:{_early(pool)} backlog=4096;",
        f"server_name {pool.name};",
        *way,
        "proxy_set_header Host $landfall_asked;",
        *(f"add_header {name} {own} always;" for name, own in _OWN.items()),
        f"set $landfall_first {sorted(pool.containers)[0]};",
        *block("location /", [f"proxy_pass http://$landfall_first:{pool.port};"]),
    ])]  # fmt: skip


def _field(header: str) -> str:
    return header.lower().replace("-", "_")


def _variable(header: str) -> str:
    return f"{_field(header).removeprefix('x_')}_told"
