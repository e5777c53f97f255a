# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can only be said of all files together: references between services, routes, networks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from .file_checks import key_text
from .graph import CycleError, waves
from .listening import listening
from .merge import as_mapping
from .model import routes_in
from .problems import ERROR, WARNING, Problem, nearest
from .schema import KEY, SERVICE
from .values import EDGE_HEADERS, cast
from .yamldoc import Document, Path

_EDGE_PORTS = (80, 443)


class CrossChecks:
    """The checks on the merge.

    :param merged: the merged content
    :param documents: the files, for the places; the last one that has a place is named
    """

    def __init__(self, merged: dict[str, Any], documents: Sequence[Document]) -> None:
        self.merged = merged
        self.documents = list(documents)
        services = merged.get("services")
        known = services if isinstance(services, dict) else {}
        self.services: dict[str, dict[str, Any]] = {str(k): v for k, v in known.items() if isinstance(v, dict)}
        # Parts of the stack that stand in other files are seen by docker compose config only.
        self.partial = bool(merged.get("include"))

    def run(self) -> Iterator[Problem]:
        if not self.services and not self.partial:
            yield self._at(("services",), "the file has no services", "add at least one below 'services:'")
            return
        for name, service in self.services.items():
            yield from self._service(name, service)
        yield from self._cycle()
        yield from self._routes()
        yield from self._headers()

    def _at(self, path: Path, message: str, fix: str, level: str = ERROR) -> Problem:
        holder = next((d for d in reversed(self.documents) if path in d.lines), None)
        document = holder or self.documents[-1 if path[0] == "services" and len(path) > 1 else 0]
        inside = len(path) > 1 and path[0] == "services"
        service, key = (str(path[1]), path[2:]) if inside else ("", path)
        return Problem(document.name, document.line(path), service, key_text(key), message, fix, level)

    def _service(self, name: str, service: dict[str, Any]) -> Iterator[Problem]:
        path = ("services", name)
        if self.partial or "extends" in service or "provider" in service:
            return
        if not service.get("image") and not service.get("build"):
            yield self._at(path, "neither image nor build", "say which image it runs: 'image: name:tag'")
        for key, section, what in (
            ("depends_on", "services", "service"),
            ("networks", "networks", "network"),
            ("secrets", "secrets", "secret"),
            ("configs", "configs", "config"),
        ):
            declared = set(self.merged.get(section) or {}) | ({"default"} if key == "networks" else set())
            for index, used in enumerate(_used(service.get(key))):
                if used in declared:
                    continue
                listed = isinstance(service.get(key), list)
                yield self._at((*path, key, index if listed else used), *_undefined(what, used, section, declared))
        for index, used in enumerate(_named_volumes(service.get("volumes"))):
            declared = set(self.merged.get("volumes") or {})
            if used and used not in declared:
                yield self._at((*path, "volumes", index), *_undefined("volume", used, "volumes", declared))

    def _cycle(self) -> Iterator[Problem]:
        depends = {name: _used(service.get("depends_on")) for name, service in self.services.items()}
        try:
            waves(depends)
        except CycleError as exc:
            yield self._at(
                ("services", exc.cycle[0], "depends_on"),
                f"services wait for each other: {' -> '.join(exc.cycle)}",
                "take one of these depends_on away",
            )

    def _headers(self) -> Iterator[Problem]:
        top = as_mapping(self.merged.get(KEY)) or {}
        edge = top.get("edge")
        headers = edge.get("headers") if isinstance(edge, dict) else None
        for name in headers if isinstance(headers, dict) else ():
            if str(name).lower() in EDGE_HEADERS:
                yield self._at((KEY, "edge", "headers", name), "the edge says this header itself", "take it away")

    def _routes(self) -> Iterator[Problem]:
        top = self.merged.get(KEY)
        domains = top.get("domains") if isinstance(top, dict) else None
        domains = [str(item) for item in domains] if isinstance(domains, list) else []
        taken: dict[tuple[str, str], str] = {}
        asked = False
        for name, service in self.services.items():
            extension = service.get(KEY)
            raw = extension.get("route") if isinstance(extension, dict) else None
            if raw is None:
                yield from self._published(name, service)
                continue
            path = ("services", name, KEY, "route")
            mode = service.get("network_mode")
            if mode:
                yield self._at(
                    path,
                    f"a route on a service with network_mode: {mode}",
                    "the edge reaches services over a network of their own: take network_mode or the route away",
                )
            yield from self._published(name, service)
            routes = cast(extension, SERVICE, SERVICE["definitions"]) if isinstance(extension, dict) else {}
            for index, route in enumerate(routes_in(routes)):
                place = (*path, index) if isinstance(raw, list) else path
                if not isinstance(route, dict):
                    continue
                host = route.get("host") or (domains[0] if domains else "")
                if not domains and not asked:
                    asked = True
                    yield self._at(
                        place,
                        "a route, and the stack has no domains",
                        f"add '{KEY}: {{domains: [www.example.com]}}' at the top of the file",
                    )
                if domains and host not in domains:
                    meant = nearest(str(host), domains, 0.8)
                    fix = (
                        f"did you mean '{meant}'? If not, add it there"
                        if meant
                        else "add it there: the certificate is made for them"
                    )
                    yield self._at((*place, "host"), f"'{host}' is not among {KEY}.domains ({', '.join(domains)})", fix)
                yield from self._taken(taken, name, place, str(host), route.get("path"))
                yield from self._listens(service, place, route.get("port"))

    def _taken(
        self, taken: dict[tuple[str, str], str], name: str, place: Path, host: str, path: Any
    ) -> Iterator[Problem]:
        if not isinstance(path, str):
            return
        if (host, path) not in taken:
            taken[host, path] = name
            return
        first = taken[host, path]
        also = f"service {first} has it already" if first != name else "this service has it already"
        yield self._at(place, f"two routes for {host}{path}: {also}", "give one of them another path or host")

    def _listens(self, service: dict[str, Any], place: Path, port: Any) -> Iterator[Problem]:
        listens = listening(service)
        if listens and isinstance(port, int) and port not in listens:
            said = ", ".join(str(item) for item in sorted(listens))
            yield self._at(
                (*place, "port"),
                f"port {port} is not among the ports the service says it listens on ({said})",
                "correct the port, or add it to 'expose'",
                WARNING,
            )

    def _published(self, name: str, service: dict[str, Any]) -> Iterator[Problem]:
        for index, item in enumerate(service.get("ports") or () if isinstance(service.get("ports"), list) else ()):
            published = _published(item)
            if published in _EDGE_PORTS:
                yield self._at(
                    ("services", name, "ports", index),
                    f"publishes port {published} of the host, which belongs to the edge",
                    f"use {KEY}.route instead; for a laptop keep it in compose.override.yaml",
                    WARNING,
                )


def _undefined(what: str, used: str, section: str, declared: set[str]) -> tuple[str, str]:
    meant = nearest(used, declared)
    fix = f"did you mean '{meant}'?" if meant else f"add it below '{section}:' at the top of the file"
    return f"the {what} '{used}' does not exist", fix


def _used(value: Any) -> list[str]:
    """The names a list or mapping of references holds (``[a]``, ``{a: …}``, ``[{source: a}]``)."""
    if isinstance(value, list):
        return [str(item.get("source", "")) if isinstance(item, dict) else str(item) for item in value]
    return [str(key) for key in as_mapping(value) or {}] if isinstance(value, dict) else []


def _named_volumes(value: Any) -> list[str]:
    """The named volume of each mount, ``""`` for mounts of another kind."""
    out = []
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict):
            out.append(str(item.get("source") or "") if item.get("type") == "volume" else "")
            continue
        parts = str(item).split(":")
        named = len(parts) > 1 and re.match(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$", parts[0])
        out.append(parts[0] if named else "")
    return out


def _published(item: Any) -> int | None:
    """The host port of one ``ports`` item, when it is a single one on every address."""
    if isinstance(item, dict):
        text, address = str(item.get("published") or ""), str(item.get("host_ip") or "")
    else:
        parts = str(item).split("/")[0].rsplit(":", 2)
        text = parts[-2] if len(parts) > 1 else ""
        address = parts[0] if len(parts) > 2 else ""
    return int(text) if text.isdigit() and not address.startswith("127.") else None
