# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What SQLite itself can say of a value for certain, so that only the other values are looked at in Python. Pure.

A condition of this module is true only of values that a rule takes as they are: never of one more, often of a few less.
It is never NULL. It goes by text that is UTF-8 and has no NUL (text_scan has looked at that before): many of SQLite's
functions end at a NUL.
"""

from __future__ import annotations

from . import moments
from .checks import EXACT, RANGES
from .wire import modifiers
from .wire_sql import is_day, moment

#: SQLite brings its JSON functions for certain since then.
JSON = (3, 38, 0)
#: Longer JSON is left to Python: a number of so many digits is more than jsonb takes, too.
LONGEST = 16_000
#: Levels of JSON that no reader of it stumbles over, by the brackets that are opened.
DEEP = 400
_DIGIT = "[0-9]"
_UUID = "-".join("[0-9a-f]" * size for size in (8, 4, 4, 4, 12))
#: Forms of moments and the encoder that takes just them.
_ENCODER = {
    moments.TIMESTAMP: "timestamp", moments.TIMESTAMPTZ: "timestamptz", moments.DATE: "date", moments.TIME: "time",
}  # fmt: skip


def of_form(form: str, value: str, version: tuple[int, ...]) -> str:
    """The condition for a form of :mod:`moments`; "" when there is none.

    :param value: an SQL expression of the value, :param version: of SQLite
    """
    if form in moments.COUNTS:
        low, high = moments.COUNTS[form]
        return f"(typeof({value}) = 'integer' AND {value} >= {low} AND {value} < {high})"
    return taken(_ENCODER[form], "", value, version) if form in _ENCODER else ""


def taken(encoder: str, pg_type: str, value: str, version: tuple[int, ...]) -> str:
    """The condition for values that ``checks.acceptor(encoder, pg_type)`` takes; "" when there is none.

    :param value: an SQL expression of the value, :param version: of SQLite
    """
    limits = modifiers(pg_type)
    kind = f"typeof({value})"
    if encoder in RANGES:
        bound = RANGES[encoder]
        inside = "" if encoder == "int8" else f" AND {value} BETWEEN {-bound} AND {bound - 1}"
        return f"({kind} = 'integer'{inside})"
    if encoder == "float8":
        edge = EXACT[encoder]
        return f"({kind} = 'real' OR ({kind} = 'integer' AND {value} BETWEEN {-edge} AND {edge}))"
    if encoder in ("text", "varchar"):
        return f"({kind} = 'text'" + (f" AND length({value}) <= {limits[0]})" if limits else ")")
    if encoder == "bytea":
        return f"({kind} = 'blob')"
    if encoder == "bool":
        return f"({kind} = 'integer' AND {value} BETWEEN 0 AND 1)"
    if limits:
        return ""
    if encoder in ("timestamp", "timestamptz"):
        zoned = encoder == "timestamptz"
        return f"(typeof({moment(value, zoned, not zoned, version)}) = 'integer')"
    test = {
        "uuid": f"{value} GLOB '{_UUID}'",
        "date": is_day(value),
        # Of a time of day that there is SQLite makes the same text again.
        "time": f"time({value}, '+0 days') = {value} COLLATE BINARY",
    }.get(encoder, "")
    if encoder in ("json", "jsonb") and version >= JSON:
        test = _json(value, encoder == "jsonb")
    return f"CASE {kind} WHEN 'text' THEN coalesce({test}, 0) ELSE 0 END" if test else ""


def _json(value: str, normalised: bool) -> str:
    """JSON; for jsonb (normalised) also without a key twice, without escapes, and without numbers of high powers."""
    opened = f"length({value}) - length(replace(replace({value}, '[', ''), '{{', ''))"
    sound = f"length({value}) < {LONGEST} AND (length({value}) < {2 * DEEP} OR {opened} < {DEEP})"
    unique = "1"
    if normalised:
        digits = _DIGIT * 3
        sound += f" AND instr({value}, '\\') = 0 AND {value} NOT GLOB '*[eE][-+0-9]{digits}*'"
        names = f"FROM json_tree({value}) WHERE typeof(key) = 'text'"
        unique = f"(SELECT count(*) = count(DISTINCT parent || ' ' || key) {names})"
    # json_tree() raises where it is no JSON: of a CASE, the branches that are not taken are not computed.
    return f"CASE WHEN {sound} THEN CASE WHEN json_valid({value}) THEN {unique} ELSE 0 END END"
