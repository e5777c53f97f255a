# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of PostgreSQL as SQLite had them: the way back of a migration. Pure.

There is no list of inverses. A value that SQLite may have had is tried: it is taken when the way there accepts it, and
its common form (see canonical.py) is that of PostgreSQL's value. What no candidate gives back exactly is said, and not
rounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from .canonical import compared
from .plan import Column
from .wire import Misfit
from .wire_sql import exact_encoder

_DAYS, _MOMENT = date(2000, 1, 1), datetime(2000, 1, 1)
_Y2K, _JULIAN = 946_684_800, 2_451_544.5
_WORDS = (("false", "f", "no", "n", "off"), ("true", "t", "yes", "y", "on"))


class Impossible(Exception):
    """No value of SQLite becomes this one of PostgreSQL."""


@dataclass
class WayBack:
    """The way back of one column.

    :ivar sample: a value that the column has in SQLite: new ones are written like it
    """

    column: Column
    sample: Any = None
    _form: Callable[[Any], Any] = field(init=False)
    _wanted: Callable[[Any], Any] = field(init=False)
    _encode: Callable[[Any], bytes | None] = field(init=False)

    def __post_init__(self) -> None:
        how = compared(self.column)
        self._form, self._wanted = how.source_form or _same, how.target_form or _same
        self._encode = exact_encoder(self.column)

    def is_that(self, value: Any, wanted: Any) -> bool:
        """Whether a value of SQLite is this one of PostgreSQL (read as canonical.Compared.target says)."""
        try:
            self._encode(value)
            return repr(self._form(value)) == repr(self._wanted(wanted))
        except (Misfit, ValueError, ArithmeticError, TypeError, AttributeError):
            return False

    def values(self, wanted: Any) -> list[Any]:
        """Values of SQLite that are this one, the likeliest first."""
        try:
            tried = list(_candidates(self.column, wanted, self.sample))
        except (OverflowError, ValueError):
            tried = [wanted]
        found: dict[str, Any] = {}
        for one in tried:
            if repr(one) not in found and self.is_that(one, wanted):
                found[repr(one)] = one
        # Of a column that keeps words, a word.
        return sorted(found.values(), key=lambda one: self.sample is not None and type(one) is not type(self.sample))

    def value(self, wanted: Any) -> Any:
        """The likeliest. :raises Impossible: there is none"""
        found = self.values(wanted)
        if not found:
            raise Impossible(
                f"column {self.column.target}: no value of SQLite becomes {wanted!r:.80} ({self.column.pg_type}"
                + (f", conversion {self.column.conversion})" if self.column.conversion else ")")
            )
        return found[0]


def _same(value: Any) -> Any:
    return value


def _candidates(column: Column, wanted: Any, sample: Any) -> Iterator[Any]:
    if wanted is None:
        # What became NULL: a conversion may have made it of these.
        yield from (None, "", "0000-00-00", "0000-00-00 00:00:00")
        return
    yield wanted
    kind = column.encoder
    if kind in ("date", "timestamp", "timestamptz"):
        yield from _moments(kind, wanted, sample)
    elif kind == "time":
        clock = (_MOMENT + timedelta(microseconds=wanted)).time()
        yield from (clock.isoformat(), clock.isoformat("microseconds"), time.isoformat(clock, "minutes"))
    elif kind == "bool":
        words = _WORDS[int(bool(wanted))]
        like = next((group.index(sample) for group in _WORDS if sample in group), 0)
        yield from (words[like], *words)
    elif kind == "uuid":
        yield from (wanted.upper(), wanted.replace("-", ""), bytes.fromhex(wanted.replace("-", "")))
    elif isinstance(wanted, bytes):
        yield from _of_bytes(wanted)
    else:
        yield from _numbers(wanted)


def _of_bytes(wanted: bytes) -> Iterator[Any]:
    import base64

    yield from (base64.b64encode(wanted).decode(), wanted.hex(), wanted.hex().upper())
    try:
        yield wanted.decode()
    except UnicodeDecodeError:
        return


def _numbers(wanted: Any) -> Iterator[Any]:
    """The same number, or its text, in the other classes."""
    if isinstance(wanted, str):
        yield wanted.encode()
        try:
            number = Decimal(wanted)
        except ArithmeticError:
            return
        if number == number.to_integral_value():
            yield int(number)
        yield float(number)
        return
    yield from (str(wanted), repr(wanted))
    if isinstance(wanted, float) and wanted.is_integer():
        yield int(wanted)
    elif isinstance(wanted, int):
        yield float(wanted)


def _moments(kind: str, wanted: int, sample: Any) -> Iterator[Any]:
    if kind == "date":
        day = _DAYS + timedelta(days=wanted)
        seconds, micro = wanted * 86_400 + _Y2K, 0
        texts = [day.isoformat(), f"{day.isoformat()} 00:00:00", f"{day.isoformat()}T00:00:00"]
    else:
        moment = _MOMENT + timedelta(microseconds=wanted)
        seconds, micro = wanted // 1_000_000 + _Y2K, wanted % 1_000_000
        texts = list(_texts(moment, sample))
    numbers: list[Any] = [seconds + micro / 1e6, wanted / 86_400e6 + _JULIAN]
    if not micro % 1000:
        numbers.insert(0, seconds * 1000 + micro // 1000)
    if not micro:
        numbers.insert(0, seconds)
    yield from (texts + numbers) if sample is None or isinstance(sample, str) else (numbers + texts)


def _texts(moment: datetime, sample: Any) -> Iterator[str]:
    """The moment in words, first like the sample."""
    like = re.fullmatch(r"[\d-]{10}([ T])[\d:]{8}(?:\.(\d+))?(.*)", sample) if isinstance(sample, str) else None
    if like:
        body = moment.isoformat(like[1], "microseconds")
        digits = len(like[2] or "")
        yield (body[: 20 + digits] if digits else body[:19]) + like[3]
    for zone in ([like[3]] if like else []) + ["", "+00:00", "Z"]:
        for between in (" ", "T"):
            for precision in ("seconds", "milliseconds", "microseconds"):
                yield moment.isoformat(between, precision) + zone
