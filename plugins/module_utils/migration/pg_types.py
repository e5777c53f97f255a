# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's types that values can be sent as: their names, and the encoder of each. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple


class PgType(NamedTuple):
    """A type as format_type() prints it, and its encoder."""

    name: str
    encoder: str


#: Any spelling → format_type()'s name.
_NAMES = {
    "smallint": "smallint", "int2": "smallint",
    "integer": "integer", "int": "integer", "int4": "integer",
    "bigint": "bigint", "int8": "bigint",
    "real": "real", "float4": "real",
    "double precision": "double precision", "float8": "double precision", "float": "double precision",
    "double": "double precision",
    "numeric": "numeric", "decimal": "numeric",
    "boolean": "boolean", "bool": "boolean",
    "text": "text", "citext": "citext",
    "character varying": "character varying", "varchar": "character varying",
    "bytea": "bytea", "uuid": "uuid", "date": "date",
    "time": "time without time zone", "time without time zone": "time without time zone",
    "timestamp": "timestamp without time zone", "timestamp without time zone": "timestamp without time zone",
    "timestamptz": "timestamp with time zone", "timestamp with time zone": "timestamp with time zone",
    "json": "json", "jsonb": "jsonb",
}  # fmt: skip

ENCODER = {
    "smallint": "int2", "integer": "int4", "bigint": "int8", "real": "float4", "double precision": "float8",
    "numeric": "numeric", "boolean": "bool", "text": "text", "citext": "text", "character varying": "varchar",
    "bytea": "bytea", "uuid": "uuid", "date": "date", "time without time zone": "time",
    "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz", "json": "json",
    "jsonb": "jsonb",
}  # fmt: skip

_SPELLING = re.compile(r"\s*([a-z_][a-z0-9_ ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*")


def parse(text: str) -> PgType:
    """A type as a user writes it. :raises ValueError: when values cannot be sent as it"""
    spelled = text.lower()
    # timestamp(3) with time zone: the precision stands in the middle.
    middle = re.fullmatch(r"(timestamp|time)\s*\((\d)\)\s*(with(?:out)? time zone)?", spelled.strip())
    if middle and middle[2] != "6":
        raise ValueError(f"{text}: of times, PostgreSQL would round the fraction; use the type without ({middle[2]})")
    match = _SPELLING.fullmatch(spelled)
    name = _NAMES.get(re.sub(r"\s+", " ", match[1])) if match else None
    if match is None or name is None:
        raise ValueError(f"{text}: values are not sent as this type; there are {', '.join(sorted(ENCODER))}")
    if match[2] is None:
        return PgType(name, ENCODER[name])
    if name == "numeric":
        precision, scale = int(match[2]), int(match[3] or 0)
        if not 1 <= precision <= 1000 or scale > precision:
            raise ValueError(f"{text}: numeric has 1 to 1000 digits, and no more than these after the point")
        return PgType(f"numeric({precision},{scale})", "numeric")
    if name == "character varying" and match[3] is None and 1 <= int(match[2]) <= 10485760:
        return PgType(f"character varying({int(match[2])})", "varchar")
    raise ValueError(f"{text}: {name} takes no such length")


def scale_of(pg_type: str) -> int | None:
    """Digits after the point of a ``numeric(p,s)``, None of all else."""
    match = re.fullmatch(r"numeric\(\d+,(\d+)\)", pg_type)
    return int(match[1]) if match else None
