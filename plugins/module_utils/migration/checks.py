# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each encoder takes as it is: the rules of the types, in plain Python. Pure.

Planning asks them of every column that is not simply an integer, a float, text or a blob; see docs/migration-types.md.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from .conversions import RawText
from .moments import TIMESTAMP, TIMESTAMPTZ, certain, read_stamp, read_time

#: A value → "" when it is taken, otherwise the reason in one line.
Accept = Callable[[Any], str]

RANGES = {"int2": 2**15, "int4": 2**31, "int8": 2**63}
#: Up to here every integer is a float of that size.
EXACT = {"float4": 2**24, "float8": 2**53}
NUL = "it has a NUL character, which PostgreSQL's text cannot hold"
NOT_UTF8 = "its bytes are not UTF-8"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_TYPMOD = re.compile(r"\((\d+)(?:,(-?\d+))?\)")


def kind(value: Any) -> str:
    """A value's storage class, as typeof() names it."""
    if value is None:
        return "null"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "real"
    return "text" if isinstance(value, (str, RawText)) else "blob" if isinstance(value, bytes) else "other"


def acceptor(encoder: str, pg_type: str) -> Accept:
    """The rule of a column. ``pg_type`` is wanted for its lengths, as in ``numeric(12,2)``.

    :raises ValueError: for an encoder that there is not
    """
    match = _TYPMOD.search(pg_type)
    limits = (int(match[1]), int(match[2] or 0)) if match else None
    if encoder in RANGES:
        return _integer(RANGES[encoder], pg_type)
    if encoder in EXACT:
        return _float(encoder)
    if encoder in ("text", "varchar"):
        return _text(limits[0] if limits and encoder == "varchar" else None)
    if encoder == "numeric":
        return _numeric(limits)
    if encoder not in _PLAIN:
        raise ValueError(f"there is no encoder {encoder}")
    rule = _PLAIN[encoder]
    return lambda value: "" if value is None else rule(value)


def _wrong(value: Any, wanted: str) -> str:
    if isinstance(value, RawText):
        return NOT_UTF8
    if isinstance(value, str) and not value:
        return f"empty text where {wanted} is wanted"
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return f"text that spells a number where {wanted} is wanted"
    return f"{kind(value)} where {wanted} is wanted"


def _integer(bound: int, pg_type: str) -> Accept:
    def accept(value: Any) -> str:
        if value is None:
            return ""
        if not isinstance(value, int):
            return _wrong(value, "an integer")
        return "" if -bound <= value < bound else f"it is outside the range of {pg_type}"

    return accept


def _float(encoder: str) -> Accept:
    exact = EXACT[encoder]

    def accept(value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, int):
            return "" if -exact <= value <= exact else f"an integer beyond 2^{exact.bit_length() - 1} loses digits"
        if not isinstance(value, float):
            return _wrong(value, "a number")
        if encoder == "float4" and math.isfinite(value):
            try:
                same = struct.unpack("<f", struct.pack("<f", value))[0] == value
            except OverflowError:
                same = False
            return "" if same else "as real it loses digits"
        return ""

    return accept


def _text(limit: int | None) -> Accept:
    def accept(value: Any) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            return _wrong(value, "text")
        if "\0" in value:
            return NUL
        return "" if limit is None or len(value) <= limit else f"it is longer than {limit} characters"

    return accept


def _numeric(limits: tuple[int, int] | None) -> Accept:
    def accept(value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, float):
            if not math.isfinite(value):
                return "it is infinite"
            value = Decimal(repr(value))
        if not isinstance(value, (int, Decimal)):
            return _wrong(value, "a number")
        if limits is None:
            return ""
        precision, scale = limits
        exact = Decimal(value)
        _sign, digits, exponent = exact.as_tuple()
        spelled = "".join(map(str, digits))
        # Zeros at the end are no digits that could be lost.
        zeros = len(spelled) - len(spelled.rstrip("0"))
        if spelled.strip("0") and int(exponent) + zeros < -scale:
            return f"it has more than {scale} digits after the point"
        if exact.copy_abs() >= Decimal(10) ** (precision - scale):
            return f"it has more than {precision - scale} digits before the point"
        return ""

    return accept


def _bool(value: Any) -> str:
    if isinstance(value, int):
        return "" if value in (0, 1) else "a number other than 0 and 1 where a boolean is wanted"
    return _wrong(value, "a boolean (0 or 1)")


def _bytea(value: Any) -> str:
    return "" if isinstance(value, bytes) and not isinstance(value, RawText) else _wrong(value, "a blob")


def _uuid(value: Any) -> str:
    if not isinstance(value, str):
        return _wrong(value, "a UUID")
    if _UUID.fullmatch(value):
        return ""
    if _UUID.fullmatch(value.lower()):
        return "a UUID in capitals comes back in small letters"
    return "it is no UUID in its usual form"


def _date(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return ""
    if not isinstance(value, str):
        return _wrong(value, "a date")
    try:
        timed = read_stamp(value)[1]
    except ValueError as problem:
        return str(problem)
    return "it has a time of day where a date is wanted" if timed else ""


def _time(value: Any) -> str:
    if isinstance(value, time):
        return ""
    if not isinstance(value, str):
        return _wrong(value, "a time of day")
    try:
        read_time(value)
    except ValueError as problem:
        return str(problem)
    return ""


def _stamp(zoned: bool) -> Accept:
    wanted = f"a timestamp with{'' if zoned else 'out'} a zone"
    good = TIMESTAMPTZ if zoned else TIMESTAMP

    def accept(value: Any) -> str:
        if isinstance(value, datetime):
            return "" if (value.tzinfo is not None) == zoned else f"not {wanted}"
        if not isinstance(value, str):
            return _wrong(value, wanted)
        if certain(value) == good:
            return ""
        try:
            moment, timed = read_stamp(value)
        except ValueError as problem:
            return str(problem) if value else _wrong(value, wanted)
        if not timed:
            return f"a date without a time where {wanted} is wanted"
        return "" if (moment.tzinfo is not None) == zoned else f"not {wanted}"

    return accept


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise KeyError
    return made


def _json(value: Any) -> str:
    if not isinstance(value, str):
        return _wrong(value, "JSON")
    if "\0" in value:
        return NUL
    try:
        _JSON.decode(value)
    except (ValueError, RecursionError):
        return "it is not JSON"
    return ""


def _jsonb(value: Any) -> str:
    if not isinstance(value, str):
        return _wrong(value, "JSON")
    try:
        read = _JSONB.decode(value)
    except KeyError:
        return "JSON with the same key twice in an object, of which jsonb keeps one"
    except (ValueError, RecursionError) as problem:
        return str(problem) if "jsonb" in str(problem) else "it is not JSON"
    if "\\u" not in value:
        return ""
    text = json.dumps(read, ensure_ascii=False)
    if "\\u0000" in text and _has(read, "\0"):
        return "JSON with \\u0000, which jsonb cannot hold"
    return "JSON with half of a surrogate pair, which jsonb cannot hold" if _lone(text) else ""


def _digits(text: str) -> str:
    if len(text) < 300 and "e" not in text and "E" not in text:
        return text
    # numeric, which jsonb keeps numbers in, has at most 131072 digits before the point and 16383 after it.
    exponent = re.search(r"[eE]([+-]?\d+)$", text)
    if len(text) > 16000 or (exponent and (len(exponent[1]) > 6 or abs(int(exponent[1])) > 16000)):
        raise ValueError("JSON with a number that jsonb cannot hold")
    return text


# Made once: json.loads() with hooks makes a decoder for each text, which takes longer than the text.
_JSON = json.JSONDecoder(parse_constant=_no_constant, parse_int=str, parse_float=str)
_JSONB = json.JSONDecoder(
    parse_constant=_no_constant, object_pairs_hook=_unique, parse_int=_digits, parse_float=_digits
)


def _has(read: Any, what: str) -> bool:
    if isinstance(read, dict):
        return any(_has(key, what) or _has(one, what) for key, one in read.items())
    if isinstance(read, list):
        return any(_has(one, what) for one in read)
    return isinstance(read, str) and what in read


def _lone(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


_PLAIN: dict[str, Callable[[Any], str]] = {
    "bool": _bool,
    "bytea": _bytea,
    "uuid": _uuid,
    "date": _date,
    "time": _time,
    "timestamp": _stamp(False),
    "timestamptz": _stamp(True),
    "json": _json,
    "jsonb": _jsonb,
}

ENCODERS = (*RANGES, *EXACT, "numeric", "text", "varchar", *_PLAIN)
