# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a stack's :class:`.spec.RelaySpec` to the files of an nginx configuration. Pure.

One generation holds the main files of all networks (``<key>.conf``): they are switched together. The relay changes
nothing of a request or an answer that a proxy may leave alone.
"""

from __future__ import annotations

import hashlib

from ..edge.features import Features
from ..edge.pools import HANDOVER, TOLD, Pool, PoolSettings, block, common, handover, server, upstream
from ..edge.render import MARK
from .spec import RelayNetwork, RelaySpec, RelayTarget, check

ROOT = "/etc/landfall/relay"
HEAD = "# Rendered by landfall.stack for the relay; changes made here are overwritten.\n"
#: Longest silence of an answer, seconds. Whoever calls has a bound of its own.
SILENCE = 3600
#: Idle client connections are kept longer than any client's pool keeps them (Go: 90 s), so that it is never the relay
#: that closes one while a request is under way to it.
KEEPALIVE = "120s"
#: How long workers of a former configuration may finish.
SHUTDOWN = "1h"
HOW = PoolSettings(buffer_size="64k")


def control(key: str) -> str:
    """The unix socket a network's relay answers on, relative to the stack's directory."""
    return f"run/{_short(key)}.sock"


def main(key: str) -> str:
    """The main file of a network within a generation."""
    return f"{_short(key)}.conf"


def _short(key: str) -> str:
    # The path of a unix socket has 107 characters at most.
    return key if len(key) <= 12 else f"{key[:3]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def render(spec: RelaySpec, root: str, features: Features | None = None) -> dict[str, str]:
    """The files of a generation, with ``@generation@`` where its name goes. :param root: the stack's directory

    :raises EdgeError: names nginx would misread, or that two services both want
    """
    check(spec)
    found = features or Features()
    return {main(network.key): _main(network, root, found) for network in spec.networks}


def _main(network: RelayNetwork, root: str, features: Features) -> str:
    lines = [
        "worker_processes 2;",
        "worker_rlimit_nofile 16384;",
        "pid /tmp/nginx.pid;",
        "error_log /dev/stderr warn;",
        f"worker_shutdown_timeout {SHUTDOWN};",
        "",
        *block("events", ["worker_connections 8192;"]),
        "",
        *block("http", _http(network, root, features)),
    ]
    return HEAD + "\n".join(line.rstrip() for line in lines) + "\n"


def _http(network: RelayNetwork, root: str, features: Features) -> list[str]:
    socket = f"{root}/run/{_short(network.key)}-p.sock"
    lines = [
        "default_type application/octet-stream;",
        "server_tokens off;",
        "access_log off;",
        "server_names_hash_bucket_size 256;",
        "underscores_in_headers on;",
        "ignore_invalid_headers off;",
        "large_client_header_buffers 8 64k;",
        *(f"{name}_temp_path /tmp/{name}_temp;" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
        "resolver 127.0.0.11 valid=2s ipv6=off;",
        "resolver_timeout 2s;",
        "",
        f"keepalive_timeout {KEEPALIVE};",
        *([f"keepalive_min_timeout {KEEPALIVE};"] if features.keepalive_min_timeout else []),
        "keepalive_requests 1000000;",
        "client_max_body_size 0;",
        f"client_body_timeout {SILENCE}s;",
        f"send_timeout {SILENCE}s;",
        "",
        *block("map $http_upgrade $landfall_connection", ["default upgrade;", '"" close;']),
        "proxy_http_version 1.1;",
        "proxy_set_header Host $landfall_pool;",
        "proxy_set_header X-Landfall-Host $http_host;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $landfall_connection;",
        "proxy_redirect off;",
        "proxy_buffering off;",
        "proxy_request_buffering off;",
        f"proxy_buffer_size {HOW.buffer_size};",
        "proxy_buffers 4 64k;",
        "proxy_busy_buffers_size 128k;",
        "proxy_next_upstream off;",
        f"proxy_read_timeout {SILENCE + 1}s;",
        f"proxy_send_timeout {SILENCE + 1}s;",
        "proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset;",
        *(f"proxy_pass_header {name};" for name in ("Server", "Date", "X-Accel-Redirect", "X-Accel-Expires",
                                                    "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset")),
        *(f"proxy_hide_header {name};" for name in TOLD.values()),
        "",
        *handover(socket),
        *common(socket),
    ]  # fmt: skip
    ports = sorted({port for target in network.targets for port in target.ports})
    for port in ports:
        there = [target for target in network.targets if port in target.ports]
        for target in there:
            lines += ["", *_front(network, target, port, len(there) == 1)]
        if len(there) > 1:
            known = ", ".join(sorted(name for target in there for name in target.names))
            lines += ["", *block("server", [
                f"listen {port} default_server;",
                "server_name _;",
                "default_type text/plain;",
                f'return 421 "The relay answers here for {known}. Call the service by one of these names.\\n";',
            ])]  # fmt: skip
        for target in there:
            pool = Pool(
                _pool(target, port), target.service, port, target.upstreams, target.weights, SILENCE
            )  # fmt: skip
            lines += ["", *upstream(pool, HOW), *server(pool, socket, HOW)]
    lines += ["", *block("server", [
        f"listen unix:{root}/{control(network.key)};",
        "server_name landfall;",
        *block("location = /.landfall/generation", ["default_type text/plain;", f'return 200 "{MARK}\\n";']),
        *block("location = /.landfall/status", ["stub_status;"]),
        *block("location /", ["return 404;"]),
    ])]  # fmt: skip
    return lines


def _pool(target: RelayTarget, port: int) -> str:
    return f"{target.service}_{port}"


def _front(network: RelayNetwork, target: RelayTarget, port: int, alone: bool) -> list[str]:
    # Containers are also asked for by the name with the network behind it.
    names = [form for name in target.names for form in (name, f"{name}.{network.name}")]
    return block("server", [
        f"listen {port}{' default_server' if alone else ''};",
        f"server_name {' '.join(dict.fromkeys(name.lower() for name in names))};",
        f"set $landfall_pool {_pool(target, port)};",
        *block("location /", [f"proxy_pass http://{HANDOVER};"]),
    ])  # fmt: skip
