# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``x-landfall`` against its schema, told in words of the file and not of JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from .problems import nearest, one_of
from .schema import KEY, ROUTE, SERVICE, STACK
from .values import cast
from .yamldoc import Path

#: What is wrong with the library, for the module that says so with the package's name; None when it is there.
JSONSCHEMA_ERROR: str | None = None if find_spec("jsonschema") else "No module named 'jsonschema'"

#: place below ``x-landfall``, message, fix
Fault = tuple[Path, str, str]

_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


def faults(value: Any, schema: dict[str, Any]) -> list[Fault]:
    """All faults of one ``x-landfall``; ``schema`` is :data:`.schema.STACK` or :data:`.schema.SERVICE`."""
    # Here, since it takes an eighth of the start of `landfall`, most of whose verbs look at no compose file.
    from jsonschema import Draft7Validator

    definitions = SERVICE["definitions"]
    validator = Draft7Validator({**schema, "definitions": definitions})
    out = [fault for error in validator.iter_errors(cast(value, schema, definitions)) for fault in _tell(error, schema)]
    # A key that is only misspelt is not missing as well.
    typos = {(path[:-1], fix) for path, message, fix in out if message == "unknown key"}
    out = [fault for fault in out if (fault[0], f"did you mean {fault[1].split(' ')[0]}?") not in typos]
    # sorted by place; as text, since a path mixes keys and positions
    return sorted(out, key=lambda fault: [f"{part:05d}" if isinstance(part, int) else part for part in fault[0]])


def _tell(error: Any, root: dict[str, Any]) -> Iterator[Fault]:
    path: Path = tuple(error.absolute_path)
    kind, wanted, found, schema = error.validator, error.validator_value, error.instance, error.schema
    if kind == "anyOf":
        yield from _any_of(error, root)
    elif kind == "additionalProperties":
        known = schema.get("properties", {})
        for key in found:
            if key not in known:
                yield (*path, key), "unknown key", _unknown(str(key), known, root)
    elif kind == "required":
        # one error for each missing key; its name stands only in the message
        for key in wanted:
            if key not in found and repr(key) in error.message:
                example = (schema["properties"][key].get("examples") or [""])[0]
                yield path, f"'{key}' is missing", f"add it, e.g. {key}: {example}"
    elif kind in ("pattern", "minLength") or (kind == "type" and "title" in schema):
        yield path, *_not_a(found, schema)
    elif kind == "type":
        yield path, f"must be {_WORDS.get(wanted, wanted)}, it is {_show(found)}", _like(schema)
    elif kind in ("enum", "const"):
        allowed = [_show(item) for item in (wanted if kind == "enum" else [wanted])]
        meant = nearest(str(found), wanted) if kind == "enum" else None
        hint = f"did you mean {meant!r}? " if meant else ""
        yield path, f"{_show(found)} is not allowed", f"{hint}allowed: {one_of(allowed)}"
    elif kind in ("minimum", "maximum"):
        word = "least" if kind == "minimum" else "most"
        yield path, f"{_show(found)} is out of range", f"it must be at {word} {wanted}"
    elif kind == "minItems":
        yield path, "must not be empty", "give at least one, or take the key away"
    elif kind == "uniqueItems":
        twice = [item for position, item in enumerate(found) if item in found[:position]]
        yield path, f"{_show(twice[0])} is given twice", "keep one of them"
    else:
        yield path, error.message, ""


def _any_of(error: Any, root: dict[str, Any]) -> Iterator[Fault]:
    """The branch that fits the value's type tells what is wrong; the others would only confuse."""
    branches: dict[int, list[Any]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    fitting = [
        inner
        for inner in branches.values()
        if not any(one.validator == "type" and not one.relative_path for one in inner)
    ]
    if len(fitting) == 1 and not (len(fitting[0]) == 1 and fitting[0][0].validator == "const"):
        for inner in fitting[0]:
            yield from _tell(inner, root)
        return
    kinds = []
    for branch in error.validator_value:
        branch = SERVICE["definitions"][branch["$ref"].rsplit("/", 1)[1]] if "$ref" in branch else branch
        kinds.append(_show(branch["const"]) if "const" in branch else _WORDS[branch["type"]])
    path = tuple(error.absolute_path)
    yield path, f"must be {one_of(kinds)}, it is {_show(error.instance)}", _like(error.schema)


def _unknown(key: str, known: dict[str, Any], root: dict[str, Any]) -> str:
    meant = nearest(key, known)
    if meant:
        return f"did you mean '{meant}'?"
    if root is STACK and key in SERVICE["properties"]:
        return f"'{key}' belongs to {KEY} of a service"
    if root is SERVICE and key in STACK["properties"]:
        return f"'{key}' belongs to {KEY} at the top of the file"
    if known is not ROUTE["properties"] and key in ROUTE["properties"]:
        return f"'{key}' belongs to a 'route' of a service"
    return f"known here: {', '.join(known)}"


def _not_a(found: Any, schema: dict[str, Any]) -> tuple[str, str]:
    if schema.get("title") in ("path", "absolute path") and isinstance(found, str) and not found.startswith("/"):
        return f"{_show(found)} does not begin with '/'", f"write it like {schema['examples'][0]}"
    if "title" not in schema:
        return "must not be empty", _like(schema)
    title = schema["title"]
    article = "an" if title[0] in "aeiou" else "a"
    return f"{_show(found)} is not {article} {title}", _like(schema)


def _like(schema: dict[str, Any]) -> str:
    examples = schema.get("examples") or ([schema["default"]] if "default" in schema else [])
    return f"write it like {_show(examples[0], quote=False)}" if examples else ""


def _show(value: Any, quote: bool = True) -> str:
    """A value the way it looks in the file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "empty"
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {_show(item, quote=False)}" for key, item in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_show(item, quote=False) for item in value) + "]"
    return f"'{value}'" if isinstance(value, str) and quote else str(value)
