# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates and times as PostgreSQL counts them: days and microseconds since 2000-01-01. One spelling each, no guessing."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

EPOCH = datetime(2000, 1, 1)
_STEP = timedelta(microseconds=1)
_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?[ ]?(Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", re.ASCII)


def _fraction(digits: str | None) -> int:
    """Microseconds of the digits after the point. :raises ValueError: finer than a microsecond"""
    if not digits:
        return 0
    if digits[6:].strip("0"):
        raise ValueError("a time finer than a microsecond")
    return int(digits[:6].ljust(6, "0"))


def microseconds(value: Any, zoned: bool) -> int:
    """Microseconds since 2000-01-01 (UTC when zoned) of ISO text or a datetime.

    :param zoned: whether a zone must be there; one that is not wanted is refused as well as one that is missing
    :raises ValueError: any other value
    """
    if isinstance(value, datetime):
        if (value.tzinfo is not None) != zoned:
            raise ValueError("a moment without a zone" if zoned else "a moment with a zone")
        bare = value.astimezone(timezone.utc).replace(tzinfo=None) if zoned else value
        return (bare - EPOCH) // _STEP
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a value that is no ISO 8601 date and time")
    year, month, day, hour, minute, second, digits, zone = found.groups()
    if bool(zone) != zoned:
        raise ValueError("a moment without a zone" if zoned else "a moment with a zone")
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0))
    except ValueError as problem:
        raise ValueError(f"a date that does not exist ({problem})") from None
    return (moment - EPOCH) // _STEP + _fraction(digits) - _offset(zone) * 1_000_000


def _offset(zone: str | None) -> int:
    """Seconds east of Greenwich."""
    if zone is None or zone in ("Z", "z"):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 15 or minutes > 59:
        raise ValueError(f"no zone is {zone} away")
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def day_number(value: Any) -> int:
    """Days since 2000-01-01 of ``YYYY-MM-DD`` or a date. :raises ValueError: any other value"""
    if isinstance(value, date) and not isinstance(value, datetime):
        return (value - EPOCH.date()).days
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a value that is no ISO 8601 date")
    try:
        return (date(*map(int, found.groups())) - EPOCH.date()).days
    except ValueError as problem:
        raise ValueError(f"a date that does not exist ({problem})") from None


def time_of_day(value: Any) -> int:
    """Microseconds since midnight of ``HH:MM[:SS[.ffffff]]`` or a time. :raises ValueError: any other value"""
    if isinstance(value, time) and value.tzinfo is None:
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a value that is no time of day")
    hour, minute, second = (int(part or 0) for part in found.groups()[:3])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("a time that does not exist")
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + _fraction(found.group(4))
