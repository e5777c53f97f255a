# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small value languages of the stack file: durations, rates, sizes, and values that come from variables."""

from __future__ import annotations

import re
from typing import Any

DURATION = r"^([0-9]+(ms|s|m|h|d))+$"
RATE = r"^[1-9][0-9]*r/[sm]$"
SIZE = r"^[0-9]+[kKmMgG]?$"
PERCENT = r"^(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)%$"
HOSTNAME = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
#: A location of nginx is built from it: nothing that could end the location or start a variable.
PATH = r"^/[A-Za-z0-9._~!&()*+,=:@%/-]*$"
#: ASCII without control characters, and without $, which nginx takes for a variable.
HEADER = r"^[ -#%-~]*$"
#: What nginx says itself of its answer and its connection; a second one would contradict it.
EDGE_HEADERS = frozenset(
    {
        "alt-svc",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "keep-alive",
        "location",
        "retry-after",
        "server",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    }
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str) -> float:
    """``1m30s`` → 90.0. Raises ``ValueError`` for anything that is not a duration."""
    if not re.match(DURATION, text):
        raise ValueError(f"{text!r} is not a duration; write it like 30s, 5m or 1h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h|d)", text))


def cast(value: Any, schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """``value`` with strings turned into the number or boolean that ``schema`` asks for.

    A value that comes from a variable (``port: ${PORT}``) reaches us as a string: Compose knows the types of
    its own keys, not of ours. What cannot be turned is left as it is, for the schema to refuse.
    """
    schema = resolve(schema, definitions)
    options = [resolve(option, definitions) for option in schema.get("anyOf", [])]
    if isinstance(value, dict):
        mapping: dict[str, Any] = next((option for option in [schema, *options] if "properties" in option), {})
        extra: Any = next((o["additionalProperties"] for o in [schema, *options] if o.get("additionalProperties")), {})
        known = mapping.get("properties", {})
        rest = extra if isinstance(extra, dict) else {}
        return {key: cast(item, known.get(key, rest), definitions) for key, item in value.items()}
    if isinstance(value, list):
        items: dict[str, Any] = next((o["items"] for o in [schema, *options] if "items" in o), {})
        return [cast(item, items, definitions) for item in value]
    if isinstance(value, str):
        kinds = [option.get("type") for option in options] or [schema.get("type")]
        if "string" in kinds:
            return value
        if "integer" in kinds and re.match(r"^[0-9]+$", value):
            return int(value)
        if "boolean" in kinds and value in ("true", "false"):
            return value == "true"
    return value


def resolve(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow ``{"$ref": "#/definitions/x"}``; keys beside ``$ref`` (a description) win over those of the target."""
    if "$ref" not in schema:
        return schema
    target = resolve(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    return {**target, **{key: item for key, item in schema.items() if key != "$ref"}}
