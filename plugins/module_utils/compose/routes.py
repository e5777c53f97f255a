# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes file: what a stack tells the edge, one JSON file a stack.

Written by the stack's deploy, read by the edge. Strict: a file of another version or with an unknown, missing
or mistyped key is refused with :class:`RoutesError`, never half understood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

VERSION = 1
PROTOCOLS = ("http", "websocket", "sse")


class RoutesError(ValueError):
    """A routes file that can't be read; ``str()`` names the file, the key and what was expected."""


@dataclass(frozen=True)
class Limit:
    """Requests per client address: ``rate`` like ``10r/s``, ``burst`` above it let through at once."""

    rate: str
    burst: int


@dataclass(frozen=True)
class Route:
    """One path of one host and the containers behind it.

    :param strip: take ``path`` away before the request goes on (``/api/`` → ``/``)
    :param rewrite: put this in the place of ``path``; ``None`` leaves the path alone
    :param limit: ``None``: no limit
    :param body_size: nginx size (``10m``), ``0`` for none
    :param timeout: duration (``60s``)
    :param drain: duration for open connections, ``None``: the rollout's
    :param upstreams: names of the containers observed, sorted
    :param weights: container → its share of the requests in relation to the others' (default 1 each), for canaries;
        ``()``: all equal. Not in the file when empty.
    """

    host: str
    path: str
    service: str
    port: int
    protocol: str = "http"
    strip: bool = False
    rewrite: str | None = None
    limit: Limit | None = None
    body_size: str = "10m"
    timeout: str = "60s"
    drain: str | None = None
    upstreams: tuple[str, ...] = ()
    weights: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class StackRoutes:
    """All routes of a stack.

    :param network: the internal network that joins its routed services and the edge
    :param headers: response headers laid over the edge's own, ``""`` takes one away. Not in the file when empty.
    """

    stack: str
    domains: tuple[str, ...]
    network: str
    routes: tuple[Route, ...]
    version: int = VERSION
    headers: Mapping[str, str] = field(default_factory=dict)


def network_of(stack: str) -> str:
    """The name of the network between the edge and a stack."""
    return f"landfall-edge-{stack}"


def to_dict(value: StackRoutes) -> dict[str, Any]:
    """Plain lists and mappings, as they stand in the file."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(value)))
    if not plain["headers"]:
        del plain["headers"]
    for route in plain["routes"]:
        if not route["weights"]:
            del route["weights"]
    return plain


def to_json(value: StackRoutes) -> str:
    """The text of the routes file: sorted keys, two spaces, a newline at the end."""
    return json.dumps(to_dict(value), sort_keys=True, indent=2) + "\n"


def from_json(text: str, source: str = "routes file") -> StackRoutes:
    """Read a routes file. ``source`` names it in messages. :raises RoutesError: anything not as written."""
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise RoutesError(f"{source}: not JSON ({exc}); deploy the stack again to write it anew") from exc
    if not isinstance(data, dict):
        raise RoutesError(f"{source}: must be a mapping; deploy the stack again to write it anew")
    version = data.get("version")
    if version != VERSION:
        raise RoutesError(
            f"{source}: version {version!r}, this collection reads {VERSION}; "
            "deploy the stack again with the same collection as the edge"
        )
    data = {"headers": {}, **data}
    _keys(data, StackRoutes, source)
    raw = _typed(data, "routes", list, source)
    return StackRoutes(
        stack=_typed(data, "stack", str, source),
        domains=_strings(data, "domains", source),
        network=_typed(data, "network", str, source),
        routes=tuple(_route(item, f"{source}: routes[{index}]") for index, item in enumerate(raw)),
        headers=_headers(data, source),
    )


def _route(data: Any, where: str) -> Route:
    if not isinstance(data, dict):
        raise RoutesError(f"{where}: must be a mapping")
    data = {"weights": [], **data}
    _keys(data, Route, where)
    limit = data["limit"]
    if limit is not None:
        if not isinstance(limit, dict):
            raise RoutesError(f"{where}: 'limit' must be a mapping or null")
        _keys(limit, Limit, f"{where}.limit")
        limit = Limit(_typed(limit, "rate", str, f"{where}.limit"), _typed(limit, "burst", int, f"{where}.limit"))
    protocol = _typed(data, "protocol", str, where)
    if protocol not in PROTOCOLS:
        raise RoutesError(f"{where}: 'protocol' is {protocol!r}, known are {', '.join(PROTOCOLS)}")
    return Route(
        host=_typed(data, "host", str, where),
        path=_typed(data, "path", str, where),
        service=_typed(data, "service", str, where),
        port=_typed(data, "port", int, where),
        protocol=protocol,
        strip=_typed(data, "strip", bool, where),
        rewrite=_optional(data, "rewrite", where),
        limit=limit,
        body_size=_typed(data, "body_size", str, where),
        timeout=_typed(data, "timeout", str, where),
        drain=_optional(data, "drain", where),
        upstreams=_strings(data, "upstreams", where),
        weights=_weights(data, where),
    )


def _weights(data: Mapping[str, Any], where: str) -> tuple[tuple[str, int], ...]:
    found = []
    for item in _typed(data, "weights", list, where):
        if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str) or type(item[1]) is not int:
            raise RoutesError(f"{where}: 'weights' holds pairs [container, number], not {item!r}")
        if not 1 <= item[1] <= 65535 or item[0] not in data["upstreams"]:
            raise RoutesError(f"{where}: 'weights' holds {item!r}; a container of 'upstreams' and 1 to 65535 go there")
        found.append((item[0], item[1]))
    return tuple(found)


def _headers(data: Mapping[str, Any], where: str) -> dict[str, str]:
    found = _typed(data, "headers", dict, where)
    if not all(isinstance(value, str) for value in found.values()):
        raise RoutesError(f"{where}: 'headers' must hold texts, it is {found!r}")
    return dict(found)


def _keys(data: Mapping[str, Any], shape: type, where: str) -> None:
    known = {item.name for item in fields(shape)}
    for word, names in (("unknown", set(data) - known), ("missing", known - set(data))):
        if names:
            raise RoutesError(
                f"{where}: {word} key {', '.join(sorted(names))}; deploy the stack again to write it anew"
            )


def _typed(data: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = data[key]
    # True is an int for Python, not for a port.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RoutesError(f"{where}: '{key}' must be of type {kind.__name__}, it is {value!r}")
    return value


def _optional(data: Mapping[str, Any], key: str, where: str) -> str | None:
    return None if data[key] is None else str(_typed(data, key, str, where))


def _strings(data: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = _typed(data, key, list, where)
    if not all(isinstance(item, str) for item in value):
        raise RoutesError(f"{where}: '{key}' must be a list of strings, it is {value!r}")
    return tuple(value)
