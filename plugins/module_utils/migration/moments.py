# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time as SQLite's users write them: read exactly, or not at all. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone

_STAMP = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[ T](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?"
    r" ?(?P<zone>[Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
#: Timestamps that exist for certain (29 February is looked up), told in a fifth of the time that reading them takes.
_CERTAIN = re.compile(
    r"[12]\d{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"[ T](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?"
    r"( ?(?:Z|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?))?",
    re.ASCII,
)
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?", re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# What a value looks like: the keys of a profile's ``forms``.
EMPTY, DATE, TIMESTAMP, TIMESTAMPTZ, TIME = "empty text", "date", "timestamp", "timestamp with zone", "time"
ZERO, IMPOSSIBLE, FINE = "zero date", "impossible date", "finer than microseconds"
UNIX_S, UNIX_MS, UNIX_US, JULIAN = "unix seconds", "unix milliseconds", "unix microseconds", "julian day"
OTHER_TEXT, OTHER_NUMBER, BLOB = "other text", "other number", "blob"
#: Integers that may well be a count since 1970: form → the least, and the first that is too large.
COUNTS = {UNIX_S: (10**8, 10**10), UNIX_MS: (10**11, 10**13), UNIX_US: (10**14, 10**16)}


def read_stamp(text: str) -> tuple[datetime, bool]:
    """An ISO date, or date and time; a date alone is its midnight.

    :returns: the moment (aware when the text has a zone), and whether the text has a time
    :raises ValueError: when it is none, does not exist, or is finer than a microsecond
    """
    match = _STAMP.fullmatch(text)
    if not match:
        raise ValueError("it is not an ISO date or timestamp")
    try:
        day = date.fromisoformat(match["date"])
        if match["hour"] is None:
            return datetime(day.year, day.month, day.day), False
        clock = _clock(match["hour"], match["minute"], match["second"], match["fraction"])
        return _in_range(datetime.combine(day, clock, _zone(match["zone"]))), True
    except ValueError as problem:
        raise ValueError(str(problem) if "finer" in str(problem) else "such a date or time does not exist") from None


def _in_range(moment: datetime) -> datetime:
    """A moment whose UTC is within the years 1 to 9999, too: PostgreSQL is sent that."""
    if moment.tzinfo:
        try:
            moment.astimezone(timezone.utc)
        except OverflowError:
            raise ValueError("outside the years 1 to 9999") from None
    return moment


def read_time(text: str) -> time:
    """A time of day. :raises ValueError: when it is none"""
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError("it is not a time of day")
    return _clock(*match.groups())


def _clock(hour: str, minute: str, second: str | None, fraction: str | None) -> time:
    digits = (fraction or "").rstrip("0")
    if len(digits) > 6:
        raise ValueError("it is finer than a microsecond, which is PostgreSQL's finest")
    return time(int(hour), int(minute), int(second or 0), int(digits.ljust(6, "0") or 0))


def _zone(text: str | None) -> timezone | None:
    if not text:
        return None
    if text in "Zz":
        return timezone.utc
    digits = text[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    if int(digits[2:]) > 59 or minutes >= 16 * 60:
        raise ValueError("its zone does not exist")
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def certain(text: str) -> str:
    """:data:`TIMESTAMP` or :data:`TIMESTAMPTZ` of a text that is one beyond doubt; "" when it must be read."""
    match = _CERTAIN.fullmatch(text)
    return "" if match is None else TIMESTAMPTZ if match[1] else TIMESTAMP


def form(value: object) -> str:
    """What a value of a column of dates looks like: one of the constants above. Of a number it is a guess."""
    if isinstance(value, str):
        return _form_of_text(value)
    if isinstance(value, bytes):
        return BLOB
    if isinstance(value, float):
        # From year 1 to 9999.
        if 1721425.5 <= value < 5373484.5:
            return JULIAN
        return UNIX_S if 1e8 <= value < 1e10 else OTHER_NUMBER
    if isinstance(value, int):
        return next((name for name, (low, high) in COUNTS.items() if low <= value < high), OTHER_NUMBER)
    return OTHER_TEXT


def _form_of_text(text: str) -> str:
    known = certain(text)
    if known:
        return known
    if not text:
        return EMPTY
    if text.startswith("0000-00-00"):
        return ZERO
    try:
        moment, timed = read_stamp(text)
    except ValueError as problem:
        if _STAMP.fullmatch(text):
            return FINE if "finer" in str(problem) else IMPOSSIBLE
        try:
            read_time(text)
        except ValueError:
            return OTHER_TEXT
        return TIME
    if not timed:
        return DATE
    return TIMESTAMPTZ if moment.tzinfo else TIMESTAMP


def from_unix(value: float | int, per_second: int) -> datetime:
    """A count since 1970 as a moment in UTC; a float is rounded to the microsecond. :raises ValueError: out of range"""
    try:
        if isinstance(value, int):
            return EPOCH + timedelta(microseconds=value * (1_000_000 // per_second))
        return EPOCH + timedelta(microseconds=round(value * (1_000_000 // per_second)))
    except OverflowError:
        raise ValueError("as a count since 1970 it is outside the years 1 to 9999") from None


def from_julian(value: float | int) -> datetime:
    """A julian day as a moment in UTC, rounded to the millisecond: a float holds no more (SQLite rounds so, too)."""
    try:
        return EPOCH + timedelta(milliseconds=round((value - 2440587.5) * 86_400_000))
    except OverflowError:
        raise ValueError("as a julian day it is outside the years 1 to 9999") from None
