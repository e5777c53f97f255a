# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From routes, certificates and settings to the files of an nginx configuration. Pure.

A generation is a directory of these files, named for the hash of their content. nginx answers that name on a unix
socket, so that "the new configuration is the one that runs" can be proven and not only assumed.
"""

from __future__ import annotations

import hashlib
import html
import math
import re
from collections.abc import Mapping, Sequence

from ..compose.routes import Route, StackRoutes
from .features import Features
from .pools import HANDOVER, TOLD, Pool, PoolSettings, block, common, handover, server, upstream
from .routing import Certificate, Location, aliases, certificate_for, check, hosts, limit_name, locations, upstream_name
from .settings import EdgeSettings, seconds, size_bytes

ROOT = "/etc/landfall/edge"
MARK = "@generation@"
#: The socket of the host's journal inside the container, and the name its lines carry there.
JOURNAL, JOURNAL_TAG = "/dev/log", "landfall_edge"
HEAD = "# Rendered by landfall.stack.edge; changes made here are overwritten.\n"
#: Mozilla guideline 6.0, intermediate: forward secrecy and AEAD, no finite-field Diffie-Hellman.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
#: Each must be set somewhere to exist; a location fills them in.
VARIABLES = [f'set $landfall_{name} "";' for name in ("stack", "service", "pool", "upgrade", "prefix")]
#: Above this, a request body is handed on as it comes instead of being kept in the container's memory first.
UNBUFFERED_BODY = 64 * 1024**2


def render(
    stacks: Sequence[StackRoutes],
    certificates: Sequence[Certificate] = (),
    settings: EdgeSettings | None = None,
    features: Features | None = None,
    root: str = ROOT,
) -> dict[str, str]:
    """The files of a generation, ``{relative path: content}``, with :data:`MARK` where its name goes.

    :param certificates: those that are on the host; a host without one shows the self-signed placeholder
    :raises EdgeError: routes that do not go together, or a value nginx would misread
    """
    settings, features = settings or EdgeSettings(), features or Features()
    stacks = sorted(stacks, key=lambda one: one.stack)
    check(stacks)
    files = {"nginx.conf": _main(stacks, settings, features, root)}
    for stack in stacks:
        if hosts(stack):
            files[f"upstreams/{stack.stack}.conf"] = _upstreams(stack, settings, root)
            files[f"sites/{stack.stack}.conf"] = _site(stack, certificates, settings, root)
    return files


def generation(files: Mapping[str, str]) -> str:
    """The name of a set of rendered files: 16 hex digits of the hash of their names and content."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name]}\0".encode())
    return digest.hexdigest()[:16]


def sealed(files: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The generation's name, and its files with the name filled in."""
    name = generation(files)
    return name, {path: text.replace(MARK, name) for path, text in files.items()}


def _time(value: float) -> str:
    return f"{int(value)}s" if value == int(value) else f"{int(value * 1000)}ms"


def _listen(port: int, words: str, settings: EdgeSettings) -> list[str]:
    addresses = [str(port)] + ([f"[::]:{port}"] if settings.ipv6 else [])
    return [f"listen {address}{' ' + words if words else ''};" for address in addresses]


def _listen_tls(settings: EdgeSettings, default: bool = False) -> list[str]:
    lines = _listen(8443, "ssl default_server" if default else "ssl", settings)
    if settings.http3:
        lines += _listen(8443, "quic reuseport default_server" if default else "quic", settings)
    return lines


def _authority(settings: EdgeSettings) -> str:
    return "$host" if settings.https_port == 443 else f"$host:{settings.https_port}"


def _acme(root: str) -> list[str]:
    return block("location ^~ /.well-known/acme-challenge/", [
        f"root {root}/www;", "default_type text/plain;"])  # fmt: skip


def _main(stacks: Sequence[StackRoutes], settings: EdgeSettings, features: Features, root: str) -> str:
    drains = [settings.drain, *(route.drain for stack in stacks for route in stack.routes if route.drain)]
    lines = [
        f"worker_processes {settings.worker_processes};",
        f"worker_rlimit_nofile {settings.worker_connections * 2};",
        "pid /tmp/nginx.pid;",
        "error_log /dev/stderr warn;",
        "# How long workers of the former configuration may finish: no connection is cut before.",
        f"worker_shutdown_timeout {_time(max(seconds(value) for value in drains))};",
        "",
        *block("events", [f"worker_connections {settings.worker_connections};"]),
        "",
        *block("http", _http(stacks, settings, features, root)),
    ]
    return HEAD + "\n".join(line.rstrip() for line in lines) + "\n"


def _http(stacks: Sequence[StackRoutes], settings: EdgeSettings, features: Features, root: str) -> list[str]:
    lines = [
        "include /etc/nginx/mime.types;",
        "default_type application/octet-stream;",
        "server_tokens off;",
        "sendfile on;",
        "tcp_nopush on;",
        "absolute_redirect off;",
        "uninitialized_variable_warn off;",
        "server_names_hash_bucket_size 128;",
        "variables_hash_max_size 2048;",
        *(f"{name}_temp_path /tmp/{name}_temp;" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
        "",
        "# Container names are looked up again and again: an address that changes with a restart is noticed.",
        f"resolver {settings.resolver} valid={settings.resolver_valid} ipv6=off;",
        "resolver_timeout 2s;",
        "",
        *_log(settings),
        "",
        *_clients(settings, features),
        "",
        *_tls(settings, features),
        "",
        *_proxy(settings),
        "",
        *_limits(stacks, settings),
        "",
        *handover(_socket(root)),
        *common(_socket(root)),
    ]
    if any(hosts(stack) for stack in stacks):
        lines += ["", "include upstreams/*.conf;", "include sites/*.conf;"]
    return [*lines, "", *_defaults(settings, root), "", *_control(root)]


def _log(settings: EdgeSettings) -> list[str]:
    strings = {
        "request_id": "$request_id", "remote_addr": "$remote_addr", "host": "$host", "method": "$request_method",
        "path": "$landfall_path", "protocol": "$server_protocol", "user_agent": "$http_user_agent",
        "stack": "$landfall_stack", "service": "$landfall_service", **{
            name: f"$upstream_http_{header.lower().replace('-', '_')}" for name, header in TOLD.items()},
        "upstream_response_time": "$upstream_response_time", "tls": "$ssl_protocol", "limited": "$limit_req_status",
    }  # fmt: skip
    fields = ['{"time":"$time_iso8601","at":$msec,"status":$status']
    fields += ['"request_time":$request_time', '"bytes_sent":$bytes_sent']
    fields += [f'"{name}":"{value}"' for name, value in strings.items()]
    return [
        "# The path without its query: a token in a query does not end in a log.",
        *block("map $request_uri $landfall_path", ['"~^(?<landfall_bare>[^?]*)" $landfall_bare;', "default $uri;"]),
        "log_format landfall escape=json",
        *(f"    '{field}{'}' if index == len(fields) - 1 else ','}'" for index, field in enumerate(fields)),
        "    ;",
        "access_log /dev/stdout landfall;",
        *(_journal() if settings.journal else []),
    ]


def _journal() -> list[str]:
    """Refused requests, for the host's journal: what fail2ban counts. The client comes first, what it sent last."""
    return [
        *block("map $status $landfall_refused", ["default 0;", '"~^(400|401|403|404|429)$" 1;']),
        "log_format landfall_refused escape=json '$remote_addr $status $request_method $host $landfall_path';",
        f"access_log syslog:server=unix:{JOURNAL},tag={JOURNAL_TAG},nohostname landfall_refused if=$landfall_refused;",
    ]


def _clients(settings: EdgeSettings, features: Features) -> list[str]:
    lines = [
        f"keepalive_timeout {settings.keepalive_timeout};",
        "client_header_timeout 15s;",
        "client_body_timeout 30s;",
        "send_timeout 60s;",
        "reset_timedout_connection on;",
        "http2 on;",
        f"client_max_body_size {settings.body_size};",
    ]
    if features.keepalive_min_timeout:
        lines.insert(1, "# A reload leaves idle connections open that long, so that no request races their closing.")
        lines.insert(2, f"keepalive_min_timeout {settings.keepalive_min_timeout};")
    if settings.gzip:
        lines += [
            "gzip on;",
            "gzip_vary on;",
            "gzip_proxied any;",
            "gzip_comp_level 5;",
            "gzip_min_length 1024;",
            "gzip_types text/css text/javascript text/plain text/xml application/javascript application/json",
            "    application/manifest+json application/wasm application/xml image/svg+xml;",
        ]
    if settings.trusted_proxies:
        lines += [f"set_real_ip_from {proxy};" for proxy in settings.trusted_proxies]
        lines += [f"real_ip_header {settings.real_ip_header};", "real_ip_recursive on;"]
    return lines


def _tls(settings: EdgeSettings, features: Features) -> list[str]:
    return [
        "# Mozilla guideline 6.0, intermediate.",
        "ssl_protocols TLSv1.2 TLSv1.3;",
        f"ssl_ciphers {CIPHERS};",
        f"ssl_ecdh_curve {features.curves(settings.ecdh_curve)};",
        "ssl_prefer_server_ciphers off;",
        "ssl_session_cache shared:landfall_tls:10m;",
        "ssl_session_timeout 1d;",
        "ssl_session_tickets off;",
    ]


def _proxy(settings: EdgeSettings) -> list[str]:
    authority = _authority(settings)
    hidden = _hidden(settings)
    return [
        "# Set here once and in no location: a location with one of its own would lose all of these.",
        "# Only WebSocket routes fill $landfall_upgrade in; anywhere else an upgrade (h2c) stays at the edge.",
        *block("map $http_upgrade $landfall_websocket", ['default "";', '"~*^websocket$" websocket;']),
        *block("map $landfall_upgrade $landfall_connection", ["default close;", "websocket upgrade;"]),
        "proxy_http_version 1.1;",
        "proxy_set_header Host $landfall_pool;",
        f"proxy_set_header X-Landfall-Host {authority};",
        "proxy_set_header Upgrade $landfall_upgrade;",
        "proxy_set_header Connection $landfall_connection;",
        "proxy_set_header X-Real-IP $remote_addr;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        f"proxy_set_header X-Forwarded-Host {authority};",
        f"proxy_set_header X-Forwarded-Port {settings.https_port};",
        "proxy_set_header X-Forwarded-Prefix $landfall_prefix;",
        "proxy_set_header X-Request-ID $request_id;",
        'proxy_set_header Forwarded "";',
        'proxy_set_header Proxy "";',
        *(f"proxy_hide_header {name};" for name in hidden),
        "proxy_next_upstream off;",
        "proxy_buffer_size 16k;",
        "proxy_buffers 8 16k;",
        "proxy_busy_buffers_size 32k;",
        "# Temporary files would be memory here (tmpfs): a slow client slows its upstream down instead.",
        "proxy_max_temp_file_size 0;",
        "# Only where nginx itself refused; an application's own Retry-After goes through.",
        *block('map "$status:$upstream_status" $landfall_retry_after', [
            'default "";', '"429:" 1;', f'"503:" {settings.maintenance_retry_after};']),
    ]  # fmt: skip


def _limits(stacks: Sequence[StackRoutes], settings: EdgeSettings) -> list[str]:
    zones = {
        limit_name(stack.stack, route): route.limit.rate for stack in stacks for route in stack.routes if route.limit
    }
    return [
        "limit_req_status 429;",
        "limit_req_log_level warn;",
        *(
            f"limit_req_zone $binary_remote_addr zone={name}:{settings.limit_zone_size} rate={rate};"
            for name, rate in sorted(zones.items())
        ),
    ]


def _defaults(settings: EdgeSettings, root: str) -> list[str]:
    health = [*block("location = /health", ["access_log off;", "default_type text/plain;", 'return 200 "ok\\n";'])]
    return [
        "# Names nobody routes: no answer, no handshake. /health is the container's own health check.",
        *block("server", [
            *_listen(8080, "default_server", settings), "server_name _;", *VARIABLES, *_acme(root), *health,
            *block("location /", ["return 444;"])]),
        *block("server", [
            *_listen_tls(settings, default=True), "server_name _;", "ssl_reject_handshake on;", "return 421;"]),
    ]  # fmt: skip


def _control(root: str) -> list[str]:
    return [
        "# For this host only: which configuration runs, and how many connections there are.",
        *block("server", [
            f"listen unix:{root}/run/edge.sock;",
            "server_name landfall;",
            "access_log off;",
            *block("location = /.landfall/generation", ["default_type text/plain;", f'return 200 "{MARK}\\n";']),
            *block("location = /.landfall/status", ["stub_status;"]),
            *block("location /", ["return 404;"]),
        ]),
    ]  # fmt: skip


def _socket(root: str) -> str:
    return f"{root}/run/pools.sock"


def _silence(route: Route, settings: EdgeSettings) -> float:
    silence = seconds(route.timeout)
    return silence if route.protocol == "http" else max(silence, seconds(settings.stream_timeout))


def _upstreams(stack: StackRoutes, settings: EdgeSettings, root: str) -> str:
    groups: dict[str, list[Route]] = {}
    for route in stack.routes:
        groups.setdefault(upstream_name(stack.stack, route), []).append(route)
    how = PoolSettings(
        connect_timeout=settings.connect_timeout,
        next_upstream=settings.next_upstream,
        next_upstream_tries=settings.next_upstream_tries,
        max_fails=settings.max_fails,
        fail_timeout=settings.fail_timeout,
        keepalive=settings.keepalive,
        keepalive_timeout=settings.upstream_keepalive_timeout,
    )
    lines = [HEAD.rstrip()]
    for name, routes in sorted(groups.items()):
        pool = Pool(
            name,
            routes[0].service,
            routes[0].port,
            tuple(sorted({container for route in routes for container in route.upstreams})),
            tuple(sorted({pair for route in routes for pair in route.weights})),
            math.ceil(max(_silence(route, settings) for route in routes)),
        )
        lines += ["", *upstream(pool, how), *server(pool, _socket(root), how)]
    return "\n".join(lines) + "\n"


def _site(stack: StackRoutes, certificates: Sequence[Certificate], settings: EdgeSettings, root: str) -> str:
    lines = [HEAD.rstrip(), "", *_redirect(stack, settings, root)]
    routed = sorted({route.host for route in stack.routes})
    for host in routed:
        lines += ["", *_server(stack, host, certificate_for(host, certificates), settings, root)]
    first = stack.domains[0] if stack.domains and stack.domains[0] in routed else (routed[0] if routed else "")
    port = "" if settings.https_port == 443 else f":{settings.https_port}"
    for host in aliases(stack):
        lines += ["", f"# {host} has no route of its own.", *block("server", [
            *_listen_tls(settings), f"server_name {host};",
            *_certificate(certificate_for(host, certificates), root), *_headers(settings, stack.headers),
            f"return 301 https://{first}{port}$request_uri;"])]  # fmt: skip
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _redirect(stack: StackRoutes, settings: EdgeSettings, root: str) -> list[str]:
    return block("server", [
        *_listen(8080, "", settings),
        f"server_name {' '.join(hosts(stack))};",
        f"set $landfall_stack {stack.stack};",
        *_acme(root),
        *block("location /", [f"return 301 https://{_authority(settings)}$request_uri;"]),
    ])  # fmt: skip


def _certificate(name: str, root: str) -> list[str]:
    return [f"ssl_certificate {root}/certs/{name}/fullchain.pem;",
            f"ssl_certificate_key {root}/certs/{name}/privkey.pem;"]  # fmt: skip


def _hidden(settings: EdgeSettings, over: Mapping[str, str] | None = None) -> list[str]:
    """The headers of applications that stay at the edge: those it sends itself, and those nobody needs to know."""
    return [*sorted(settings.all_headers(over)), "X-Powered-By", "X-Request-ID", "X-XSS-Protection", *TOLD.values()]


def _headers(settings: EdgeSettings, over: Mapping[str, str]) -> list[str]:
    lines = []
    if over:
        lines = ["# The stack's own headers; one proxy_hide_header here takes the place of all those above."]
        lines += [f"proxy_hide_header {name};" for name in _hidden(settings, over)]
    for name, value in settings.all_headers(over).items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'add_header {name} "{escaped}" always;')
    lines += ["add_header X-Request-ID $request_id always;", "add_header Retry-After $landfall_retry_after always;"]
    if settings.http3:
        lines.append(f"add_header Alt-Svc 'h3=\":{settings.https_port}\"; ma=86400' always;")
    return lines


def _server(stack: StackRoutes, host: str, certificate: str, settings: EdgeSettings, root: str) -> list[str]:
    routes = [route for route in stack.routes if route.host == host]
    body = [
        *_listen_tls(settings),
        f"server_name {host};",
        *_certificate(certificate, root),
        *VARIABLES,
        f"set $landfall_stack {stack.stack};",
        "# Headers stand at this level only: a location that adds one would drop all of these.",
        *_headers(settings, stack.headers),
        "error_page 503 @landfall_maintenance;",
        *block(f"if (-f {root}/maintenance/{stack.stack})", ["return 503;"]),
        "",
        *block("location @landfall_maintenance", ["default_type text/html;", f'return 503 "{_page(settings)}";']),
    ]
    health = settings.health_path
    made = locations(routes)
    if health and not {health, f"= {health}", f"{health}/"} & {one.match for one in made}:
        body += ["", *block(f"location = {health}", [
            "access_log off;", "default_type text/plain;", 'return 200 "ok\\n";'])]  # fmt: skip
    for one in made:
        body += [
            "",
            *block(f"location {one.match}", _location(stack.stack, one, settings)),
        ]
    if not any(one.match == "/" for one in made):
        body += ["", *block("location /", ["return 404;"])]
    return block("server", body)


def _location(stack: str, one: Location, settings: EdgeSettings) -> list[str]:
    route = one.route
    lines = [f"set $landfall_service {route.service};"]
    if one.target is not None and route.path != "/":
        lines.append(f"set $landfall_prefix {route.path.rstrip('/')};")
    if route.limit:
        lines.append(f"limit_req zone={limit_name(stack, route)} burst={route.limit.burst} nodelay;")
    size = size_bytes(route.body_size)
    lines.append(f"client_max_body_size {route.body_size.lower().rstrip('b')};")
    if size == 0 or size > UNBUFFERED_BODY:
        lines.append("proxy_request_buffering off;")
    # The pool's own bound is met first, so that its answer tells which container was silent.
    silence = _silence(route, settings) + 1
    if route.protocol != "http":
        lines += ["proxy_buffering off;", "gzip off;"]
    if route.protocol == "websocket":
        lines.append("set $landfall_upgrade $landfall_websocket;")
    lines += [f"proxy_read_timeout {_time(silence)};", f"proxy_send_timeout {_time(silence)};"]
    lines.append(f"set $landfall_pool {upstream_name(stack, route)};")
    if not _cut(one):
        return [*lines, f"proxy_pass http://{HANDOVER};"]
    # A path written after proxy_pass would be decoded first (%2F becomes a slash): here the raw one is cut instead.
    # What matches the location in decoded form only (/%61pi/) has no raw prefix to cut, and is refused.
    path = re.escape(one.match.removeprefix("= ").removesuffix("/"))
    exact = one.match.startswith("= ")
    rest = r"((?:\?\S*)?)" if exact else r"(/\S*)"
    head = one.target if exact else (one.target or "").removesuffix("/")
    return [
        *lines,
        "rewrite ^ $request_uri;",
        f'rewrite "^{path}{rest}$" {head}$1 break;',
        "return 400;",
        f"proxy_pass http://{HANDOVER}{head}$1;",
    ]


def _cut(one: Location) -> bool:
    return one.target is not None and one.match.removeprefix("= ") != one.target


def _page(settings: EdgeSettings) -> str:
    # One nginx string: no double quotes, no dollar signs, no line breaks.
    message = html.escape(settings.maintenance_message).replace("$", "&#36;").replace("\\", "&#92;")
    message = " ".join(message.replace("&quot;", "&#34;").split())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>Under maintenance</title><style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;"
        "margin:20vh auto;padding:0 1rem;color:#222;background:#fafafa}</style>"
        f"<h1>Under maintenance</h1><p>{message}</p></html>\\n"
    )
