# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said of one file alone: its keys, the shape of its services, its ``x-landfall``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from . import compose_keys
from .model import routes_in
from .problems import WARNING, Problem, nearest
from .schema import KEY, SERVICE, STACK
from .schema_check import JSONSCHEMA_ERROR, faults
from .yamldoc import RESET, Document, Path


def check_file(document: Document) -> Iterator[Problem]:
    """The problems of one interpolated document."""
    data = document.data
    yield from _keys(document, (), compose_keys.TOP)
    yield from _extension(document, (KEY,), STACK)
    services = data.get("services")
    if services is None:
        return
    if not isinstance(services, dict):
        yield _at(document, ("services",), "must be a mapping", "write each service as '  name:' below 'services:'")
        return
    for name, service in services.items():
        path = ("services", name)
        if document.tags.get(path) == RESET:
            continue
        if not re.match(r"^[a-zA-Z0-9._-]+$", str(name)):
            yield _at(document, path, "not a name for a service", "use letters, digits, '.', '_' and '-'")
        if not isinstance(service, dict):
            yield _at(document, path, "must be a mapping", "write at least its image or build below it")
            continue
        yield from _keys(document, path, compose_keys.SERVICE)
        yield from _extension(document, (*path, KEY), SERVICE)


def key_text(path: Path) -> str:
    """``("x-landfall", "route", 0, "path")`` → ``x-landfall.route[0].path``."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def _at(document: Document, path: Path, message: str, fix: str, level: str = "error") -> Problem:
    inside = len(path) > 1 and path[0] == "services"
    service, key = (str(path[1]), path[2:]) if inside else ("", path)
    return Problem(document.name, document.line(path), service, key_text(key), message, fix, level)


def _keys(document: Document, path: Path, known: frozenset[str]) -> Iterator[Problem]:
    place: Any = document.data
    for part in path:
        place = place[part]
    for key in place:
        word = str(key)
        if word == KEY or word in known:
            continue
        if nearest(word, [KEY], 0.8) or word.lower().replace("_", "-") == "landfall":
            yield _at(document, (*path, key), "unknown key", f"did you mean '{KEY}'?")
        elif word.startswith("x-"):
            continue
        elif word in STACK["properties"] or word in SERVICE["properties"]:
            yield _at(document, (*path, key), "unknown key", f"put it below '{KEY}:'")
        elif meant := nearest(word, known, 0.7):
            yield _at(document, (*path, key), "unknown key", f"did you mean '{meant}'?")
        else:
            yield _at(document, (*path, key), "a key Compose does not know", "check its spelling", WARNING)


def _extension(document: Document, path: Path, schema: dict[str, Any]) -> Iterator[Problem]:
    value: Any = document.data
    for part in path:
        if part not in value:
            return
        value = value[part]
    if document.tags.get(path) == RESET or JSONSCHEMA_ERROR is not None:
        return
    found = faults(value, schema)
    for place, message, fix in found:
        yield _at(document, (*path, *place), message, fix)
    if schema is SERVICE and isinstance(value, dict) and not found:
        yield from _beyond_schema(document, path, value)


def _beyond_schema(document: Document, path: Path, value: dict[str, Any]) -> Iterator[Problem]:
    many = isinstance(value.get("route"), list)
    for index, route in enumerate(routes_in(value)):
        if str(route.get("strip")).lower() == "true" and route.get("rewrite"):
            place = (*path, "route", index) if many else (*path, "route")
            yield _at(
                document, place, "'strip' and 'rewrite' together", "'rewrite: /' is what 'strip' does; keep one of them"
            )
    rollout = value.get("rollout") or {}
    steps = [int(step) for step in rollout.get("steps") or ()]
    if steps and (steps != sorted(set(steps)) or steps[-1] != 100):
        place = (*path, "rollout", "steps")
        yield _at(document, place, f"{steps} does not grow up to 100", "write it like [10, 50, 100]")
