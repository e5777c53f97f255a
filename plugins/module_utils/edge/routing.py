# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the routes of all stacks to servers, locations and upstreams. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..compose.routes import Route, StackRoutes
from ..compose.values import EDGE_HEADERS, HEADER
from .errors import EdgeError
from .settings import HEADER_NAME

PLACEHOLDER = "placeholder"
#: What may stand in the rendered configuration. Nothing that ends a directive, quotes, or begins a variable.
_NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]*$")
_HOST = re.compile(r"^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
_PATH = re.compile(r"^/[A-Za-z0-9._~!&()*+,=:@%/-]*$")
_RATE = re.compile(r"^\d+r/[sm]$")


@dataclass(frozen=True)
class Certificate:
    """A certificate under ``certs/<name>`` and the host names it is for (``*.example.com`` covers one label)."""

    name: str
    domains: tuple[str, ...]

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Certificate:
        """From ``{name, domains}``. :raises EdgeError: a name that is no directory name"""
        name = str(value.get("name") or "")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise EdgeError(f"certificate name {name!r}: use letters, digits, '.', '_' and '-', 64 at most")
        return cls(name, tuple(str(item).lower().rstrip(".") for item in value.get("domains") or ()))


@dataclass(frozen=True)
class Location:
    """One nginx location: ``= /ws`` or ``/ws/``, and what replaces it (None: the path goes on as it came)."""

    match: str
    target: str | None
    route: Route


def certificate_for(host: str, certificates: Sequence[Certificate]) -> str:
    """The name of the certificate to show for a host: by exact name, by wildcard, else the placeholder."""
    for wanted in (host, "*." + host.partition(".")[2]):
        for one in sorted(certificates, key=lambda item: item.name):
            if wanted in one.domains:
                return one.name
    return PLACEHOLDER


def upstream_name(stack: str, route: Route) -> str:
    """The name of a route's upstream; routes to the same port of the same service share one."""
    return f"{stack}_{route.service}_{route.port}"


def limit_name(stack: str, route: Route) -> str:
    """The name of a route's rate limit zone; routes of one service at one rate share one count."""
    rate = route.limit.rate.replace("/", "") if route.limit else ""
    return f"limit_{stack}_{route.service}_{rate}"


def locations(routes: Sequence[Route]) -> list[Location]:
    """The locations of one host, sorted.

    ``/auth/`` means everything below it (nginx answers ``/auth`` with a redirect to ``/auth/``). ``/ws`` means itself
    and everything below ``/ws/``, but not ``/wsx``: a bare nginx prefix would match that, too.
    """
    found: dict[str, Location] = {}
    explicit = {route.path for route in routes}
    for route in routes:
        path = route.path
        replace = "/" if route.strip and path != "/" else route.rewrite
        below = None if replace is None else replace.rstrip("/") + "/"
        if path.endswith("/"):
            made = [Location(path, below, route)]
        else:
            made = [Location(f"= {path}", replace, route)]
            if f"{path}/" not in explicit:
                made.append(Location(f"{path}/", below, route))
        for one in made:
            found[one.match] = one
    return [found[key] for key in sorted(found, key=lambda match: (match.removeprefix("= "), match))]


def check(stacks: Sequence[StackRoutes]) -> None:
    """Refuse what nginx would misread or what two stacks both want. :raises EdgeError: all problems, one a line"""
    problems: list[str] = []
    owner: dict[str, str] = {}
    for stack in stacks:
        where = f"stack {stack.stack}"
        if not _NAME.match(stack.stack):
            problems.append(f"{where}: the name may hold a-z, 0-9, '_', '.' and '-' only")
        seen: dict[tuple[str, str], str] = {}
        for route in stack.routes:
            spot = f"{where}, service {route.service}, route {route.host}{route.path}"
            if not _HOST.match(route.host):
                problems.append(f"{spot}: {route.host!r} is no host name")
            for path in (route.path, route.rewrite):
                if path is not None and not _PATH.match(path):
                    problems.append(f"{spot}: {path!r} is no path; it begins with / and holds no spaces or quotes")
            if route.limit and not _RATE.match(route.limit.rate):
                problems.append(f"{spot}: {route.limit.rate!r} is no rate; write for example 10r/s")
            for name in (route.service, *route.upstreams):
                if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
                    problems.append(f"{spot}: {name!r} is no container or service name")
            other = seen.setdefault((route.host, route.path), route.service)
            if other != route.service or (seen and list(stack.routes).count(route) > 1):
                problems.append(f"{spot}: {other} has the same route; give one of them another path")
        for name, value in stack.headers.items():
            if not HEADER_NAME.match(name) or not re.match(HEADER, value):
                problems.append(
                    f"{where}: header {name}: {value!r} cannot be sent; plain ASCII without $ or line breaks"
                )
            elif name.lower() in EDGE_HEADERS:
                problems.append(f"{where}: header {name} is the edge's own; take it out of x-landfall.edge.headers")
        for host in hosts(stack):
            if owner.setdefault(host, stack.stack) != stack.stack:
                problems.append(f"{where}: host {host} belongs to stack {owner[host]} already; give one another host")
            if not _HOST.match(host):
                problems.append(f"{where}: domain {host!r} is no host name")
    if problems:
        raise EdgeError("the routes of this host do not go together:\n- " + "\n- ".join(dict.fromkeys(problems)))


def hosts(stack: StackRoutes) -> list[str]:
    """Every host name of a stack, sorted."""
    return sorted({*stack.domains, *(route.host for route in stack.routes)})


def aliases(stack: StackRoutes) -> list[str]:
    """Domains without a route of their own: they redirect to the stack's first domain."""
    routed = {route.host for route in stack.routes}
    return sorted(set(stack.domains) - routed) if routed else []
