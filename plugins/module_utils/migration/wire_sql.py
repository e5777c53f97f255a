# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SELECT that reads a table in wire form: what can be encoded by SQLite itself, is.

Each column becomes an expression whose value psycopg puts on the wire by a dumper that takes one class of values only:
int8, int4, int2, text, float8 or bytea. Where a value is not surely right, the expression yields a value of another
class, and the dumper raises: the chunk is then done again by the exact encoders, which name the row, or take it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .conversions import chain, names
from .pg_types import scale_of
from .plan import Column, Table
from .wire import EXACT_DOUBLE, encoder, modifiers

BOOL, BYTEA, INT8, INT2, INT4, TEXT, FLOAT8 = 16, 17, 20, 21, 23, 25, 701

#: SQLite has unhex() and unixepoch() since then.
UNHEX, UNIXEPOCH = (3, 41, 0), (3, 38, 0)
#: Seconds from 1970 to 2000; the first and the last second of the years 1 to 9999.
Y2K, FIRST, LAST = 946_684_800, -62_135_596_800, 253_402_300_799
MOMENT = "????-??-??[ T]??:??:??*"


@dataclass(frozen=True)
class Field:
    """How a column is read. :ivar oid: type of the dumper, :ivar step: work in Python, or None"""

    sql: str
    oid: int
    step: Callable[[Any], Any] | None = None


def quote(name: str) -> str:
    """An identifier, for SQLite and for PostgreSQL."""
    return '"' + name.replace('"', '""') + '"'


def loaded(table: Table) -> tuple[Column, ...]:
    """The columns that are loaded: all but the generated ones."""
    return tuple(column for column in table.columns if not column.generated)


def fields(table: Table, version: tuple[int, ...]) -> list[Field]:
    """How each loaded column is read. :param version: of SQLite"""
    return [field(column, version) for column in loaded(table)]


def field(column: Column, version: tuple[int, ...] = (3, 40, 0)) -> Field:
    """How a column is read. :param version: of SQLite"""
    value = quote(column.name)
    conversions = names(column.conversion)
    if conversions[:1] == ("empty_to_null",):
        value, conversions = f"NULLIF({value}, '')", conversions[1:]
    made = _fast(column, value, conversions, version)
    if made is not None:
        return made
    return Field(quote(column.name), BYTEA, exact_encoder(column))


def exact_encoder(column: Column) -> Callable[[Any], bytes | None]:
    """The encoder of a column's values as SQLite has them, its conversions included."""
    convert = chain(column.conversion, column.encoder, scale_of(column.pg_type)) if column.conversion else None
    return encoder(column, convert)


def _fast(column: Column, value: str, conversions: tuple[str, ...], version: tuple[int, ...]) -> Field | None:
    kind, limits = column.encoder, modifiers(column.pg_type)
    if conversions:
        return _converted(kind, value, conversions, limits, version)
    if kind == "int8":
        return Field(value, INT8)
    if kind in ("int4", "int2"):
        edge = 1 << (31 if kind == "int4" else 15)
        test = f"{value} IS NULL OR {value} BETWEEN {-edge} AND {edge - 1}"
        return Field(f"CASE WHEN {test} THEN {value} ELSE '' END", INT4 if kind == "int4" else INT2)
    if kind == "float8":
        lossy = f"typeof({value}) = 'integer' AND {value} NOT BETWEEN {-EXACT_DOUBLE} AND {EXACT_DOUBLE}"
        return Field(f"CASE WHEN {lossy} THEN '' ELSE {value} END", FLOAT8)
    if kind in ("text", "varchar"):
        if column.pg_type.startswith("character("):
            return None
        # A blob for the text dumper: refused.
        return Field(f"CASE WHEN length({value}) > {limits[0]} THEN x'00' ELSE {value} END" if limits else value, TEXT)
    if kind == "bytea":
        return Field(value, BYTEA)
    if kind == "bool":
        inner = f"CASE {value} WHEN 0 THEN x'00' WHEN 1 THEN x'01' ELSE '' END"
        return Field(f"CASE typeof({value}) WHEN 'integer' THEN {inner} WHEN 'null' THEN NULL ELSE '' END", BYTEA)
    if kind == "uuid" and version >= UNHEX:
        # Capitals would come back as small letters: not taken here. unhex() judges the digits, the server the length.
        good = f"{value} GLOB '{_uuid_glob()}' AND lower({value}) = {value} COLLATE BINARY"
        raw = f"CASE WHEN {good} THEN coalesce(unhex({value}, '-'), '') ELSE '' END"
        return Field(f"CASE typeof({value}) WHEN 'text' THEN {raw} WHEN 'null' THEN NULL ELSE '' END", BYTEA)
    if kind == "jsonb":
        if column.violations:
            return None  # A key twice, say: the server would take it, and keep one.
        return Field(
            f"CASE typeof({value}) WHEN 'text' THEN char(1) || {value} WHEN 'null' THEN NULL ELSE x'00' END", TEXT
        )
    if kind == "json":
        return Field(value, TEXT)
    if kind == "date":
        days = f"{_seconds(value, version)} / 86400 - {Y2K // 86400}"
        day = f"CASE WHEN {is_day(value)} THEN {days} ELSE '' END"
        return Field(f"CASE typeof({value}) WHEN 'text' THEN {day} WHEN 'null' THEN NULL ELSE '' END", INT4)
    if kind in ("timestamp", "timestamptz") and not limits:
        return Field(moment(value, kind == "timestamptz", kind == "timestamp", version), INT8)
    return None


def is_day(value: str) -> str:
    """Whether a text is a day that there is, as ``YYYY-MM-DD``: then SQLite makes the same text of it again.

    SQLite also knows the year 0 and those before it, and a column's own collation may take other texts for equal.
    """
    same = f"date({value}, '+0 days') = {value} COLLATE BINARY"
    return f"{same} AND length({value}) = 10 AND {value} NOT GLOB '0000*'"


def _uuid_glob() -> str:
    return "-".join("?" * size for size in (8, 4, 4, 4, 12))


def _converted(
    kind: str, value: str, conversions: tuple[str, ...], limits: tuple[int, ...], version: tuple[int, ...]
) -> Field | None:
    if len(conversions) > 1 or limits or kind not in ("timestamp", "timestamptz"):
        return None
    per_second = {"unix_s": 1, "unix_ms": 1000}.get(conversions[0])
    if per_second:
        # Only integers: what has a fraction is left to the exact encoder.
        inside = f"{value} BETWEEN {FIRST * per_second} AND {LAST * per_second}"
        number = f"({value} - {Y2K * per_second}) * {1_000_000 // per_second}"
        good = f"CASE WHEN {inside} THEN {number} ELSE '' END"
        return Field(f"CASE typeof({value}) WHEN 'integer' THEN {good} WHEN 'null' THEN NULL ELSE '' END", INT8)
    if conversions[0] == "iso_to_timestamptz" and kind == "timestamptz":
        return Field(moment(value, True, True, version), INT8)
    return None


def moment(value: str, zoned: bool, bare: bool, version: tuple[int, ...]) -> str:
    """Microseconds since 2000 of ``YYYY-MM-DD HH:MM:SS[.f…]`` with no zone (bare) and with Z or +00:00 (zoned).

    SQLite's own date functions round to a millisecond, and take February 30: the fraction is therefore read apart, and
    days after the 28th are asked back.
    """
    body, zone = value, ""
    if zoned:
        body = f"replace(rtrim({value}, 'Z'), '+00:00', '')"
        sizes = "0, 1, 6" if bare else "1, 6"
        zone = f" AND length({value}) - length({body}) IN ({sizes}) AND {value} NOT GLOB '*ZZ'"
    begin = f"substr({value}, 1, 19)"
    # With the signs where they belong, SQLite gives NULL for whatever is no digit. The fraction's digits are
    # padded: without a fraction only zeros are left.
    total = f"({_seconds(begin, version)} - {Y2K}) * 1000000 + substr({body} || '000000', 21, 6)"
    date = f"substr({value}, 1, 10)"
    day = f"(substr({value}, 9, 2) < '29' OR date({date}, '+0 days') = {date})"
    tail = f"(length({body}) = 19 OR length({body}) BETWEEN 21 AND 26 AND substr({body}, 20, 1) = '.' "
    tail += f"AND substr({body}, 21) NOT GLOB '*[^0-9]*')"
    shape = (
        f"{value} GLOB '{MOMENT}' AND {value} NOT GLOB '0000*' AND instr({value}, char(0)) = 0 "
        f"AND substr({value}, 12, 2) < '24' AND {tail}{zone} AND {day}"
    )
    any_of_them = (
        f"CASE typeof({value}) WHEN 'text' THEN CASE WHEN {shape} THEN coalesce({total}, '') ELSE '' END "
        "WHEN 'null' THEN NULL ELSE '' END"
    )
    return f"CASE {_usual(value, version)} ELSE {any_of_them} END" if bare else any_of_them


def _seconds(value: str, version: tuple[int, ...]) -> str:
    return f"unixepoch({value})" if version >= UNIXEPOCH else f"CAST(strftime('%s', {value}) AS INTEGER)"


def _usual(value: str, version: tuple[int, ...]) -> str:
    """The two usual spellings, told in half the time: what SQLite spells the same way again has no other shape, and
    does exist. For the fraction bytes are counted, so that nothing can stand behind a NUL."""
    begin, digits = f"substr({value}, 1, 19)", "[0-9]" * 6
    return (
        f"WHEN length({value}) = 19 AND datetime({value}, '+0 days') = {value} AND {value} NOT GLOB '0000*' "
        f"THEN ({_seconds(value, version)} - {Y2K}) * 1000000 "
        f"WHEN length({value}) = 26 AND datetime({begin}, '+0 days') = {begin} AND {value} NOT GLOB '0000*' "
        f"AND substr({value}, 20) GLOB '.{digits}' AND length(CAST({value} AS BLOB)) = 26 "
        f"THEN ({_seconds(begin, version)} - {Y2K}) * 1000000 + substr({value}, 21)"
    )
