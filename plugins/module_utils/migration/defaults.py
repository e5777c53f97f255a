# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defaults of SQLite's columns as PostgreSQL's. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from .checks import acceptor
from .conversions import chain
from .expressions import translate
from .parts import Untranslatable, literal
from .pg_types import scale_of
from .profile import affinity
from .tokens import BLOB, NUMBER, QUOTED, STRING, WORD, tokens

_UTC = "statement_timestamp() AT TIME ZONE 'UTC'"
#: What SQLite writes of the present moment, without blanks between tokens → (format of to_char, its kind).
_NOW = {
    "current_timestamp": ("YYYY-MM-DD HH24:MI:SS", "stamp"),
    "datetime('now')": ("YYYY-MM-DD HH24:MI:SS", "stamp"),
    "datetime()": ("YYYY-MM-DD HH24:MI:SS", "stamp"),
    "strftime('%Y-%m-%dT%H:%M:%SZ','now')": ('YYYY-MM-DD"T"HH24:MI:SS"Z"', "zoned"),
    "strftime('%Y-%m-%dT%H:%M:%fZ','now')": ('YYYY-MM-DD"T"HH24:MI:SS.MS"Z"', "zoned"),
    "strftime('%Y-%m-%d %H:%M:%S','now')": ("YYYY-MM-DD HH24:MI:SS", "stamp"),
    "strftime('%Y-%m-%d %H:%M:%f','now')": ("YYYY-MM-DD HH24:MI:SS.MS", "stamp"),
    "strftime('%Y-%m-%dT%H:%M:%S','now')": ('YYYY-MM-DD"T"HH24:MI:SS', "stamp"),
    "current_date": ("YYYY-MM-DD", "date"),
    "date('now')": ("YYYY-MM-DD", "date"),
    "current_time": ("HH24:MI:SS", "time"),
    "time('now')": ("HH24:MI:SS", "time"),
    "unixepoch()": ("", "unix"),
    "unixepoch('now')": ("", "unix"),
    "strftime('%s','now')": ("", "unix"),
    "julianday('now')": ("", "julian"),
    "julianday()": ("", "julian"),
}
_RANDOM = "('x' || left(md5(random()::text || clock_timestamp()::text), 16))::bit(64)::bigint"


def default(sql: str | None, declared: str, pg_type: str, encoder: str, conversion: str) -> str:
    """The DEFAULT of a column, "" for none.

    :param sql: as PRAGMA table_xinfo gives it
    :raises Untranslatable: with the reason
    """
    if sql is None or sql.strip().upper() == "NULL":
        return ""
    text = sql.strip()
    while text.startswith("(") and text.endswith(")") and _whole(text):
        text = text[1:-1].strip()
    now = _now(text)
    if now:
        return _moment(*now, pg_type, encoder, conversion)
    bare = _bare(text)
    if bare == "random()" and encoder == "int8":
        return _RANDOM
    if bare in ("hex(randomblob(16))", "lower(hex(randomblob(16)))") and encoder == "text":
        made = "replace(gen_random_uuid()::text, '-', '')"
        return made if bare.startswith("lower") else f"upper({made})"
    found, value = _literal(text)
    if found:
        return rendered(_stored(value, declared), pg_type, encoder, conversion)
    made = translate(text, {}, False)
    if encoder not in ("int8", "float8", "numeric", "text") or conversion:
        raise Untranslatable(f"an expression for a column that becomes {pg_type}")
    return made


def _whole(text: str) -> bool:
    depth = 0
    try:
        items = tokens(text)
    except ValueError:
        return False
    for item in items[:-1]:
        depth += (item.upper == "(") - (item.upper == ")")
        if not depth:
            return False
    return True


def _now(text: str) -> tuple[str, str] | None:
    return _NOW.get(_bare(text).replace('"', "'"))


def _bare(text: str) -> str:
    """An expression without blanks between its tokens, its words in small letters."""
    try:
        return "".join(one.text.lower() if one.kind == WORD else one.text for one in tokens(text))
    except ValueError:
        return ""


def _moment(pattern: str, kind: str, pg_type: str, encoder: str, conversion: str) -> str:
    steps = conversion.split(",") if conversion else []
    if kind in ("stamp", "zoned") and encoder in ("timestamp", "timestamptz"):
        return "statement_timestamp()" if encoder == "timestamptz" else f"({_UTC})"
    if kind in ("stamp", "zoned", "date") and encoder == "date":
        return f"({_UTC})::date"
    if kind == "time" and encoder == "time":
        # A cast to time(0) would round.
        return f"date_trunc('second', {_UTC})::time"
    if (kind == "unix" and "unix_s" in steps) or (kind == "julian" and "julian" in steps):
        return "statement_timestamp()" if encoder == "timestamptz" else f"({_UTC})"
    if conversion:
        raise Untranslatable(f"the present moment, for {pg_type} with the conversion {conversion}")
    if kind == "unix" and encoder in ("int8", "numeric"):
        return "floor(extract(epoch FROM statement_timestamp()))::bigint"
    if kind == "julian" and encoder == "float8":
        return "(extract(epoch FROM statement_timestamp()) / 86400 + 2440587.5)::double precision"
    if pattern and encoder == "text":
        return f"to_char({_UTC}, '{pattern}')"
    raise Untranslatable(f"the present moment as {kind}, for {pg_type}")


def _literal(text: str) -> tuple[bool, Any]:
    """Whether a text is a literal, and its value."""
    try:
        items = tokens(text)
    except ValueError:
        return False, None
    sign = ""
    if len(items) == 2 and items[0].text in ("-", "+") and items[1].kind == NUMBER:
        sign, items = items[0].text, items[1:]
    if len(items) != 1:
        return False, None
    item = items[0]
    if item.kind == NUMBER:
        if item.text[:2].lower() == "0x":
            number: Any = int(item.text, 16)
        else:
            number = int(item.text) if item.text.isdigit() else float(item.text)
            number = float(number) if isinstance(number, int) and number >= 2**63 + (sign == "-") else number
        return True, -number if sign == "-" else number
    if item.kind in (STRING, QUOTED):
        return True, item.value
    if item.kind == BLOB:
        return True, bytes.fromhex(item.text[2:-1])
    if item.kind == WORD:
        # TRUE and FALSE are 1 and 0; any other bare word is a string.
        return True, {"TRUE": 1, "FALSE": 0}.get(item.upper, item.text)
    return False, None


def _stored(value: Any, declared: str) -> Any:
    """The value as SQLite would store it in the column, by its affinity."""
    kind = affinity(declared)
    if kind == "TEXT" and isinstance(value, (int, float)):
        return repr(value)
    number = r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*"
    if kind in ("INTEGER", "NUMERIC", "REAL") and isinstance(value, str) and re.fullmatch(number, value):
        value = int(value) if re.fullmatch(r"\s*[+-]?\d+\s*", value) else float(value)
    if kind == "REAL" and isinstance(value, int):
        return float(value)
    if kind in ("INTEGER", "NUMERIC") and isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def rendered(value: Any, pg_type: str, encoder: str, conversion: str) -> str:
    """A value, converted as the column's are, as a literal. :raises Untranslatable: when it does not fit"""
    try:
        new = chain(conversion, encoder, scale_of(pg_type))(value)
    except ValueError as problem:
        raise Untranslatable(f"{value!r} does not fit {pg_type}: {problem}") from None
    fault = acceptor(encoder, pg_type)(new)
    if fault:
        raise Untranslatable(f"{value!r} does not fit {pg_type}: {fault}")
    if new is None:
        return ""
    if encoder == "bool":
        return "true" if new else "false"
    if isinstance(new, (bytes, bytearray)):
        return f"'\\x{bytes(new).hex()}'::bytea"
    if isinstance(new, float) and encoder == "numeric":
        return repr(new)
    if isinstance(new, float):
        return f"'{new!r}'::double precision".replace("'inf'", "'Infinity'").replace("'-inf'", "'-Infinity'")
    if isinstance(new, (int, Decimal)):
        return str(new)
    if isinstance(new, (datetime, date, time)):
        new = new.isoformat()
    return f"{literal(new)}::{pg_type}" if encoder not in ("text", "varchar") else literal(new)
