# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as PostgreSQL's binary COPY wants them, exactly or not at all.

An encoder takes one value of SQLite (None, int, float, str, bytes; or what a named conversion made of it) and gives the
field's bytes, without its length. What would have to be cut, rounded or guessed raises :class:`Misfit`. These encoders
decide: the faster path of ``wire_sql`` only ever takes what they would take, and hands back to them what it is not
sure of.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from .conversions import RawText
from .plan import Column
from .wire_json import check_json
from .wire_time import day_number, microseconds, time_of_day

#: What begins and what ends a binary COPY: signature, flags, length of the header's extension; field count -1.
HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
TRAILER = struct.pack("!h", -1)
#: Integers beyond this are not all exact as a double.
EXACT_DOUBLE = 1 << 53
#: A field of PostgreSQL holds at most 1 GB less a byte.
LARGEST = (1 << 30) - 1

QUARANTINE = "on_violation: quarantine"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Misfit(ValueError):
    """A value does not fit. :ivar remedies: the settings that would let it pass."""

    def __init__(self, reason: str, *remedies: str) -> None:
        super().__init__(reason)
        self.remedies = (*remedies, QUARANTINE)


def storage_class(value: Any) -> str:
    """The storage class of a value as Python holds it."""
    if value is None:
        return "null"
    for kind, name in ((int, "integer"), (float, "real"), (str, "text"), (RawText, "text"), (bytes, "blob")):
        if isinstance(value, kind):
            return name
    return type(value).__name__


def modifiers(pg_type: str) -> tuple[int, ...]:
    """The numbers in a type's brackets: ``numeric(12,2)`` → (12, 2); () without any."""
    inside = pg_type.partition("(")[2].partition(")")[0]
    return tuple(int(part) for part in inside.split(",")) if inside else ()


def _wrong(value: Any, wanted: str, *remedies: str) -> Misfit:
    return Misfit(f"a value of class {storage_class(value)} where {wanted} is wanted", *remedies)


def _integer(form: str, bits: int) -> Callable[[Any, Column], bytes]:
    low, high, pack = -(1 << (bits - 1)), (1 << (bits - 1)) - 1, struct.Struct(form).pack

    def encode(value: Any, column: Column) -> bytes:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(value, "an integer", "type: text", "a conversion")
        if not low <= value <= high:
            raise Misfit(f"{value} is outside of {column.pg_type} ({low} to {high})", "type: bigint or numeric")
        return pack(value)

    return encode


def float8(value: Any, column: Column) -> bytes:
    if isinstance(value, float):
        return struct.pack("!d", value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(value, "a floating-point number", "type: text", "a conversion")
    if abs(value) > EXACT_DOUBLE:
        raise Misfit(f"the integer {value} loses digits as double precision", "type: numeric")
    return struct.pack("!d", float(value))


def float4(value: Any, column: Column) -> bytes:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise _wrong(value, "a floating-point number", "type: text", "a conversion")
    try:
        packed = struct.pack("!f", value)
    except OverflowError:
        raise Misfit(f"{value!r} is outside of real", "type: double precision") from None
    if struct.unpack("!f", packed)[0] != value:
        raise Misfit(f"{value!r} loses digits as real", "type: double precision")
    return packed


def numeric(value: Any, column: Column) -> bytes:
    """A number with a decimal point of SQLite is taken as the shortest decimal that means it, as SQLite prints it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise _wrong(value, "a number", "conversion: text_to_number", "type: text")
    number = Decimal(repr(value) if isinstance(value, float) else value)
    if not number.is_finite():
        raise Misfit(f"{number} is not finite", "type: double precision")
    sign, digits, _power = number.as_tuple()
    exponent = int(_power)
    bounds = modifiers(column.pg_type)
    if bounds:
        precision, scale = bounds[0], bounds[1] if len(bounds) > 1 else 0
        whole = len(digits) + exponent
        fraction = "".join(map(str, digits))[whole:] if whole >= 0 else "1" if any(digits) else ""
        if whole < 0 and any(digits):
            fraction = "0" * -whole + "".join(map(str, digits))
        if len(fraction.rstrip("0")) > scale:
            raise Misfit(f"{number} has more than {scale} decimals", f"type: numeric({precision},{len(fraction)})")
        if any(digits) and whole > precision - scale:
            raise Misfit(f"{number} has more than {precision - scale} digits before the point", "type: numeric")
        return numeric_bytes(sign, digits, exponent, scale)
    if exponent < -16383 or len(digits) + exponent > 131072:
        raise Misfit("a number that numeric cannot hold", "type: text")
    return numeric_bytes(sign, digits, exponent, max(0, -exponent))


def numeric_bytes(sign: int, digits: tuple[int, ...], exponent: int, scale: int) -> bytes:
    """The wire form of a numeric: groups of four decimal digits, the weight of the first, sign, scale shown."""
    if not any(digits):
        return struct.pack("!hhHH", 0, 0, 0, scale)
    text = "".join(map(str, digits)) + "0" * max(0, exponent)
    places = max(0, -exponent)
    whole, fraction = (text[:-places], text[-places:].rjust(places, "0")) if places else (text, "")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    both = whole + fraction
    groups = [int(both[at : at + 4]) for at in range(0, len(both), 4)]
    weight = len(whole) // 4 - 1
    while groups and not groups[0]:
        groups.pop(0)
        weight -= 1
    while groups and not groups[-1]:
        groups.pop()
    head = struct.pack("!HhHH", len(groups), weight, 0x4000 if sign else 0, scale)
    return head + struct.pack(f"!{len(groups)}H", *groups)


def boolean(value: Any, column: Column) -> bytes:
    if not isinstance(value, int) or value not in (0, 1):
        said = f"the integer {value}" if isinstance(value, int) else f"a value of class {storage_class(value)}"
        raise Misfit(f"{said} where 0 or 1 is wanted", "conversion: bool_words", "type: text")
    return b"\1" if value else b"\0"


def text(value: Any, column: Column) -> bytes:
    if isinstance(value, RawText):
        raise Misfit("text that is not UTF-8", "conversion: latin1 or replace_invalid", "conversion: text_to_blob")
    if not isinstance(value, str):
        raise _wrong(value, "text", "type: bytea" if isinstance(value, bytes) else "a conversion to text")
    if "\0" in value:
        raise Misfit("text with a NUL character, which PostgreSQL cannot hold", "conversion: strip_nul", "type: bytea")
    limit = modifiers(column.pg_type)
    if limit and len(value) > limit[0]:
        raise Misfit(f"text of {len(value)} characters in {column.pg_type}", "type: text")
    if limit and column.pg_type.startswith("character(") and len(value) != limit[0]:
        raise Misfit(f"{column.pg_type} would pad a text of {len(value)} characters", "type: text")
    return _utf8(value)


def _utf8(value: str) -> bytes:
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise Misfit("text with half a surrogate pair, which is no UTF-8", "type: bytea") from None
    if len(raw) > LARGEST:
        raise Misfit(f"a value of {len(raw)} bytes; PostgreSQL holds at most {LARGEST}", "exclude")
    return raw


def bytea(value: Any, column: Column) -> bytes:
    if not isinstance(value, bytes) or isinstance(value, RawText):
        raise _wrong(value, "a BLOB", "conversion: text_to_blob", "type: text")
    if len(value) > LARGEST:
        raise Misfit(f"a value of {len(value)} bytes; PostgreSQL holds at most {LARGEST}", "exclude")
    return bytes(value)


def uuid(value: Any, column: Column) -> bytes:
    if not isinstance(value, str):
        raise _wrong(value, "the text of a UUID", "type: text", "type: bytea")
    if _UUID.fullmatch(value) is None:
        usual = _UUID.fullmatch(value.lower()) is None
        said = "text that is no UUID in its usual form" if usual else "a UUID in capitals, which would change"
        raise Misfit(said, "conversion: to_uuid", "type: text")
    return bytes.fromhex(value.replace("-", ""))


def _json(prefix: bytes) -> Callable[[Any, Column], bytes]:
    def encode(value: Any, column: Column) -> bytes:
        if not isinstance(value, str):
            raise _wrong(value, "JSON text", "conversion: value_to_json", "type: text")
        problem = check_json(value, normalised=bool(prefix))
        if problem:
            raise Misfit(problem, "type: json" if prefix and "is no JSON" not in problem else "type: text")
        return prefix + _utf8(value)

    return encode


def _moment(zoned: bool) -> Callable[[Any, Column], bytes]:
    def encode(value: Any, column: Column) -> bytes:
        try:
            number = microseconds(value, zoned)
        except ValueError as problem:
            raise Misfit(str(problem), "a conversion of dates", "type: text") from None
        return struct.pack("!q", _rounded(number, column))

    return encode


def _rounded(number: int, column: Column) -> int:
    digits = modifiers(column.pg_type)
    if digits and number % 10 ** (6 - digits[0]):
        raise Misfit(f"a moment with more decimals than {column.pg_type} keeps", "a type without a precision")
    return number


def date(value: Any, column: Column) -> bytes:
    try:
        return struct.pack("!i", day_number(value))
    except ValueError as problem:
        raise Misfit(str(problem), "a conversion of dates", "type: text") from None


def time(value: Any, column: Column) -> bytes:
    try:
        return struct.pack("!q", _rounded(time_of_day(value), column))
    except ValueError as problem:
        raise Misfit(str(problem), "type: text") from None


#: Encoder by name. Each takes a value that is not None, and its column.
ENCODERS: dict[str, Callable[[Any, Column], bytes]] = {
    "int2": _integer("!h", 16),
    "int4": _integer("!i", 32),
    "int8": _integer("!q", 64),
    "float4": float4,
    "float8": float8,
    "numeric": numeric,
    "bool": boolean,
    "text": text,
    "varchar": text,
    "bytea": bytea,
    "uuid": uuid,
    "date": date,
    "time": time,
    "timestamp": _moment(False),
    "timestamptz": _moment(True),
    "json": _json(b""),
    "jsonb": _json(b"\1"),
}


def encoder(column: Column, convert: Callable[[Any], Any] | None = None) -> Callable[[Any], bytes | None]:
    """The exact encoder of a column, its named conversion included. None stays None unless the column forbids it."""
    encode = ENCODERS[column.encoder]

    def field(value: Any) -> bytes | None:
        if convert is not None:
            try:
                value = convert(value)
            except ValueError as problem:
                raise Misfit(str(problem), "another conversion", "type: text") from None
        if value is None:
            if column.not_null:
                raise Misfit("NULL in a column that is NOT NULL", "a conversion that gives it a value")
            return None
        return encode(value, column)

    return field


def row_bytes(fields: list[bytes | None]) -> bytes:
    """One row of a binary COPY."""
    parts = [struct.pack("!h", len(fields))]
    for one in fields:
        parts.append(b"\xff\xff\xff\xff" if one is None else struct.pack("!i", len(one)) + one)
    return b"".join(parts)
