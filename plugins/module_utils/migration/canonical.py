# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The common form of a value, for the comparison of source and target. Pure.

Another way than the load's: the source is read as it is and brought to this form by plain Python, and what PostgreSQL
gives back is read in its own binary form. Only the named conversions are shared; they are part of what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from operator import itemgetter
from typing import Any

from .conversions import chain
from .moments import read_stamp
from .pg_types import scale_of
from .plan import Column
from .wire_sql import quote

Canonical = Callable[[Any], Any]


@dataclass(frozen=True)
class Compared:
    """How a column is compared.

    :ivar target: expression that PostgreSQL selects, :ivar source_form: of a source value (None: as it is)
    :ivar target_form: of PostgreSQL's, the same
    """

    target: str
    source_form: Canonical | None = None
    target_form: Canonical | None = None


def compared(column: Column) -> Compared:
    """How a column is compared. ``date``, ``time`` and the timestamps are to be read as numbers (see verifier)."""
    name = quote(column.target)
    target = {
        "bool": f"{name}::int",
        "uuid": f"{name}::text",
        "json": f"{name}::text",
        "jsonb": f"{name}::text",
        "numeric": f"{name}::text",
        "float4": f"{name}::float8",
        "text": f"{name}::text",
        "varchar": f"{name}::text",
    }.get(column.encoder, name)
    form = FORMS.get(column.encoder)
    source_form: Canonical | None = form
    if column.encoder == "float8" and any(word in column.declared.upper() for word in ("REAL", "FLOA", "DOUB")):
        source_form = None  # SQLite keeps floats only there.
    if column.conversion:
        source_form = _after(chain(column.conversion, column.encoder, scale_of(column.pg_type)), form)
    both = form if column.encoder in ("jsonb", "numeric") else None
    return Compared(target, source_form, both)


def _after(convert: Canonical, form: Canonical | None) -> Canonical:
    if form is None:
        return convert
    return lambda value: form(convert(value))


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) else value


def _boolean(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _decimal(value: Any) -> Any:
    if value is None:
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return format(number.normalize(), "f") if number else "0"


def _day(value: Any) -> Any:
    if value is None:
        return None
    day = date.fromisoformat(value) if isinstance(value, str) else value
    return day.toordinal() - date(2000, 1, 1).toordinal()


def _clock(value: Any) -> Any:
    if value is None:
        return None
    clock = time.fromisoformat(value) if isinstance(value, str) else value
    return (clock.hour * 3600 + clock.minute * 60 + clock.second) * 1_000_000 + clock.microsecond


_EPOCH, _EPOCH_UTC = datetime(2000, 1, 1), datetime(2000, 1, 1, tzinfo=timezone.utc)


def _moment(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            # Python 3.10 knows neither Z nor fractions of any length.
            value = read_stamp(value)[0]
    gone = value - (_EPOCH if value.tzinfo is None else _EPOCH_UTC)
    return (gone.days * 86_400 + gone.seconds) * 1_000_000 + gone.microseconds


def _json_number(text: str) -> Any:
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else f"\0{number.normalize()}"


def _json_object(pairs: list[tuple[str, Any]]) -> Any:
    # A list of pairs: a key that is there twice stays there twice.
    return ["\0", *sorted(pairs, key=itemgetter(0))]


_JSON = json.JSONDecoder(parse_float=_json_number, object_pairs_hook=_json_object)


def _jsonb(value: Any) -> Any:
    return value if value is None else json.dumps(_JSON.decode(value), separators=(",", ":"))


FORMS: dict[str, Canonical] = {
    "float4": _number,
    "float8": _number,
    "bool": _boolean,
    "numeric": _decimal,
    "date": _day,
    "time": _clock,
    "timestamp": _moment,
    "timestamptz": _moment,
    "jsonb": _jsonb,
}
