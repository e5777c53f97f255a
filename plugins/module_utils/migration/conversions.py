# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named conversions: how a value is changed before it is encoded, asked for by name. Pure.

Without one, a value goes over as it is or not at all. See :func:`chain` for their use and :mod:`checks` for what an
encoder takes as it is.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, NamedTuple

from .moments import from_julian, from_unix, read_stamp

#: Any value: None, int, float, str, bytes, or :class:`RawText`; later also Decimal, datetime, date, time.
Convert = Callable[[Any], Any]

TEMPORAL = ("date", "timestamp", "timestamptz")
TEXTS = ("text", "varchar")
JSONS = ("json", "jsonb")
INTS = ("int2", "int4", "int8")
FLOATS = ("float4", "float8")


class Target(NamedTuple):
    """What a conversion is for: an encoder, and the digits after the point of a numeric (None: any number)."""

    encoder: str
    scale: int | None = None


class RawText(bytes):
    """TEXT of SQLite whose bytes are not UTF-8: what a reader hands over instead of a str."""


@dataclass(frozen=True)
class Conversion:
    """A conversion.

    :param does: what it does, for people, :param apply: the work; ValueError where it cannot be done
    :param encoders: where it makes sense, () for everywhere
    """

    name: str
    does: str
    apply: Callable[[Any, Target], Any]
    encoders: tuple[str, ...] = ()


def _words(value: Any, _target: Target) -> Any:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("t", "true", "yes", "y", "on", "1"):
            return 1
        if word in ("f", "false", "no", "n", "off", "0"):
            return 0
        raise ValueError("it is no word for true or false")
    return value


def _nonzero(value: Any, _target: Target) -> Any:
    return int(value != 0) if isinstance(value, (int, float)) else value


def _strip_nul(value: Any, _target: Target) -> Any:
    if isinstance(value, RawText):
        return RawText(value.replace(b"\0", b""))
    return value.replace("\0", "") if isinstance(value, str) else value


def _latin1(value: Any, _target: Target) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _replace(value: Any, _target: Target) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, RawText) else value


def _blob_to_text(value: Any, _target: Target) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("its bytes are not UTF-8") from None
    return value


def _text_to_blob(value: Any, _target: Target) -> Any:
    if isinstance(value, RawText):
        return bytes(value)
    return value.encode() if isinstance(value, str) else value


def _base64(value: Any, _target: Target) -> Any:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            raise ValueError("it is not base64") from None
    return value


def _hex(value: Any, _target: Target) -> Any:
    if isinstance(value, str):
        # bytes.fromhex() skips blanks; such text is no plain hex.
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", value) is None:
            raise ValueError("it is not hexadecimal")
        return bytes.fromhex(value)
    return value


def _number_to_text(value: Any, _target: Target) -> Any:
    return repr(value) if isinstance(value, (int, float)) else value


def _text_to_number(value: Any, target: Target) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if target.encoder in INTS:
        if re.fullmatch(r"[+-]?[0-9]+", text) is None:
            raise ValueError("it is no whole number")
        return int(text)
    if re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", text) is None:
        raise ValueError("it is no number")
    return Decimal(text) if target.encoder == "numeric" else float(text)


def _float_to_int(value: Any, _target: Target) -> Any:
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError("it is no whole number")
        return int(value)
    return value


def _round(value: Any, target: Target) -> Any:
    if target.encoder == "numeric":
        return _round_decimal(value, target.scale)
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    if target.encoder in INTS:
        # Half away from zero, as PostgreSQL rounds numeric.
        return int(math.copysign(math.floor(abs(value) + 0.5), value))
    if target.encoder == "float4":
        try:
            return struct.unpack("<f", struct.pack("<f", value))[0]
        except OverflowError:
            raise ValueError("it is outside the range of real") from None
    return value


def _round_decimal(value: Any, scale: int | None) -> Any:
    if scale is None or not isinstance(value, (float, Decimal)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return value
        value = Decimal(repr(value))
    return value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, Context(prec=1000))


def _int_to_float(value: Any, _target: Target) -> Any:
    return float(value) if isinstance(value, int) else value


def _inf_to_null(value: Any, _target: Target) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _empty_to_null(value: Any, _target: Target) -> Any:
    return None if isinstance(value, str) and not value else value


def _zero_date(value: Any, _target: Target) -> Any:
    return None if isinstance(value, str) and value.startswith("0000-00-00") else value


def _iso_to_timestamptz(value: Any, _target: Target) -> Any:
    if not isinstance(value, str):
        return value
    moment = read_stamp(value)[0]
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _iso_to_timestamp(value: Any, _target: Target) -> Any:
    if not isinstance(value, str):
        return value
    return _utc(read_stamp(value)[0], Target("timestamp"))


def _iso_to_date(value: Any, _target: Target) -> Any:
    return read_stamp(value)[0].date() if isinstance(value, str) else value


def _truncate_fraction(value: Any, _target: Target) -> Any:
    return re.sub(r"(\.\d{6})\d+", r"\1", value) if isinstance(value, str) else value


def _utc(moment: datetime, target: Target) -> Any:
    """A moment for its encoder: timestamptz as it is, the others in UTC without a zone."""
    if target.encoder == "timestamptz":
        return moment
    bare = moment.astimezone(timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment
    return bare.date() if target.encoder == "date" else bare


def _unix(per_second: int) -> Callable[[Any, Target], Any]:
    def apply(value: Any, target: Target) -> Any:
        if isinstance(value, (int, float)):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError("it is infinite")
            return _utc(from_unix(value, per_second), target)
        return value

    return apply


def _julian(value: Any, target: Target) -> Any:
    if isinstance(value, (int, float)):
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("it is infinite")
        return _utc(from_julian(value), target)
    return value


def _uuid(value: Any, _target: Target) -> Any:
    if isinstance(value, str):
        if re.fullmatch(r"\{?[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}\}?", value) is None:
            raise ValueError("it is no UUID")
        return str(uuid.UUID(value))
    if isinstance(value, bytes):
        if len(value) != 16:
            raise ValueError("a UUID has 16 bytes")
        return str(uuid.UUID(bytes=bytes(value)))
    return value


def _json_nul(value: Any, _target: Target) -> Any:
    if not isinstance(value, str):
        return value
    # An escape counts only after an even number of backslashes.
    return re.sub(r"(?<!\\)((?:\\\\)*)\\u0000", r"\1", value)


def _value_to_json(value: Any, _target: Target) -> Any:
    if isinstance(value, str):
        try:
            json.loads(value)
            return value
        except ValueError:
            return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("JSON knows no infinity")
    return json.dumps(value) if isinstance(value, (int, float)) else value


_ALL = (
    Conversion("empty_to_null", "'' becomes NULL", _empty_to_null),
    Conversion("zero_date_to_null", "'0000-00-00…' becomes NULL", _zero_date, TEMPORAL),
    Conversion("inf_to_null", "±Inf becomes NULL", _inf_to_null),
    Conversion("bool_words", "t, true, yes, y, on, 1 and their opposites, in any case", _words, ("bool",)),
    Conversion("nonzero_to_bool", "0 is false, every other number true", _nonzero, ("bool",)),
    Conversion("iso_to_timestamptz", "an ISO date or timestamp; without a zone it is taken as UTC",
               _iso_to_timestamptz, ("timestamptz",)),
    Conversion("iso_to_timestamp", "an ISO date or timestamp; one with a zone is moved to UTC, and its zone dropped",
               _iso_to_timestamp, ("timestamp",)),
    Conversion("iso_to_date", "the date of an ISO timestamp, its time of day dropped", _iso_to_date, ("date",)),
    Conversion("truncate_fraction", "digits of a second after the sixth are cut", _truncate_fraction),
    Conversion("unix_s", "seconds since 1970, to the microsecond", _unix(1), TEMPORAL),
    Conversion("unix_ms", "milliseconds since 1970", _unix(1000), TEMPORAL),
    Conversion("unix_us", "microseconds since 1970", _unix(1_000_000), TEMPORAL),
    Conversion("julian", "julian day numbers, to the millisecond", _julian, TEMPORAL),
    Conversion("strip_nul", "NUL characters are taken out of text", _strip_nul),
    Conversion("latin1", "bytes that are not UTF-8, and blobs, are read as Latin-1", _latin1, TEXTS + JSONS),
    Conversion("replace_invalid", "bytes that are not UTF-8 become U+FFFD", _replace, TEXTS + JSONS),
    Conversion("blob_to_text", "a blob's bytes are read as UTF-8", _blob_to_text, (*TEXTS, *JSONS, "uuid")),
    Conversion("text_to_blob", "text becomes its bytes in UTF-8", _text_to_blob, ("bytea",)),
    Conversion("base64_to_blob", "text in base64 becomes the bytes it stands for", _base64, ("bytea",)),
    Conversion("hex_to_blob", "text in hexadecimal becomes the bytes it stands for", _hex, ("bytea",)),
    Conversion("number_to_text", "numbers are spelled out, floats with all their digits", _number_to_text, TEXTS),
    Conversion("text_to_number", "text that spells a number", _text_to_number, (*INTS, *FLOATS, "numeric")),
    Conversion("float_to_int", "floats without a fraction become integers", _float_to_int, (*INTS, "bool")),
    Conversion("int_to_float", "integers become the nearest float, beyond 2^53 too", _int_to_float, FLOATS),
    Conversion("round", "floats are rounded to the nearest value that fits, halves away from zero", _round,
               (*INTS, "float4", "numeric")),
    Conversion("to_uuid", "UUIDs in capitals, in braces, without hyphens, or as 16 bytes", _uuid, ("uuid",)),
    Conversion("strip_json_nul", "the escape \\u0000 is taken out of JSON", _json_nul, JSONS),
    Conversion("value_to_json", "what is not JSON becomes a JSON string or number", _value_to_json, JSONS),
)  # fmt: skip

#: Name → conversion.
NAMED = {one.name: one for one in _ALL}


def names(text: str) -> tuple[str, ...]:
    """The conversions of a column, in order. ``text``: names joined by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def problem(text: str, encoder: str) -> str:
    """Why conversions cannot be used with an encoder, "" when they can."""
    for name in names(text):
        if name not in NAMED:
            return f"there is no conversion {name}; there are: {', '.join(sorted(NAMED))}"
        if NAMED[name].encoders and encoder not in NAMED[name].encoders:
            return f"the conversion {name} is for {', '.join(NAMED[name].encoders)}, not for {encoder}"
    return ""


def chain(text: str, encoder: str, scale: int | None = None) -> Convert:
    """The conversions of a column as one function; NULL stays NULL.

    :param text: names joined by commas, :param encoder: of the column, :param scale: of a numeric(precision, scale)
    :raises ValueError: when one is unknown or not for this encoder; the function raises it when a value cannot be
        converted
    """
    fault = problem(text, encoder)
    if fault:
        raise ValueError(fault)
    target = Target(encoder, scale)
    steps = [NAMED[name].apply for name in names(text)]

    def convert(value: Any) -> Any:
        for step in steps:
            if value is None:
                return None
            value = step(value, target)
        return value

    return convert
