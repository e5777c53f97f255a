# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records in a JSON file, read strictly: numbers as they are spelled, never through a float. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


class Unfit(ValueError):
    """Records that are not loaded: the message has every reason, one line each."""


@dataclass(frozen=True)
class Record:
    """One record. ``place``: where it stands, for people (``[3]`` or its key); ``name``: its key in an object."""

    place: str
    name: str | None
    value: Any


def records(text: str, pointer: str = "") -> list[Record]:
    """The records of a file: the elements of an array, or the members of an object.

    :param pointer: where they stand in the file, as a JSON pointer (``/agents``), "" for the whole
    :raises Unfit: for what is not strict JSON (a key twice in an object, NaN), or has no records there
    """
    try:
        read = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=Decimal, parse_int=_integer
        )
    except RecursionError:
        raise Unfit("it is nested too deeply") from None
    except ValueError as problem:
        raise Unfit(f"it is not JSON: {problem}") from None
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(read, dict) and name in read:
            read = read[name]
        elif isinstance(read, list) and name.isdigit() and int(name) < len(read):
            read = read[int(name)]
        else:
            raise Unfit(f"records: there is nothing at {pointer}")
    if isinstance(read, dict):
        return [Record(name, name, value) for name, value in read.items()]
    if isinstance(read, list):
        return [Record(f"[{place}]", None, value) for place, value in enumerate(read)]
    raise Unfit(f"records: at {pointer or 'the top'} stands neither an object nor an array")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _value in pairs]
        raise ValueError(f"the key {next(one for one in names if names.count(one) > 1)!r} stands twice in an object")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _integer(text: str) -> int:
    if len(text) > 4000:
        raise ValueError("a number of more than 4000 digits")
    return int(text)


def spelled(value: Any) -> str:
    """A value as JSON, its numbers as they were spelled."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {spelled(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(spelled, value)) + "]"
    return json.dumps(value)
