# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a table of SQLite for its load: in wire form, or value by value when a value does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain as chain_rows
from typing import Any

from ..migration.chunks import Chunk
from ..migration.plan import Column, Table
from ..migration.survey import as_text
from ..migration.wire import Misfit, row_bytes
from ..migration.wire_sql import Field, exact_encoder, loaded, quote
from .sqlite import Database

#: Columns of one result of SQLite, which has 2000 at most.
WIDEST = 1900


def key_expression(table: Table) -> str:
    """SQL of what names a row: the rowid, or the printed key of a table WITHOUT ROWID."""
    if table.rowid:
        return quote(table.rowid)
    return " || ',' || ".join(f"quote({quote(name)})" for name in table.key) or "''"


def where(table: Table, chunk: Chunk) -> tuple[str, list[int]]:
    """The chunk's condition ("" for all of it) and its values."""
    parts, values = [], []
    for limit, sign in ((chunk.first, ">="), (chunk.last, "<=")):
        if limit is not None:
            parts.append(f"{quote(table.rowid)} {sign} ?")
            values.append(limit)
    return (" WHERE " + " AND ".join(parts) if parts else ""), values


def order(table: Table) -> str:
    return f" ORDER BY {quote(table.rowid)}" if table.rowid else ""


def rowids(db: Database, table: Table) -> tuple[int, int] | None:
    """The least and the greatest rowid; None for a table without rows, or without rowids."""
    if not table.rowid:
        return None
    # Two questions: SQLite takes each from an end of the tree, and would read all of it for both in one.
    name, rowid = quote(table.name), quote(table.rowid)
    least = db.value(f"SELECT min({rowid}) FROM {name}")
    return None if least is None else (least, db.value(f"SELECT max({rowid}) FROM {name}"))


def borders(db: Database, table: Table, size: int, first: int | None = None, last: int | None = None) -> list[int]:
    """Rowids at which a table, or a piece of it, is cut, every :param size: rows."""
    if not table.rowid:
        return []
    found: list[int] = []
    name, rowid = quote(table.name), quote(table.rowid)
    sql = f"SELECT {rowid} FROM {name} WHERE {rowid} BETWEEN ? AND ? ORDER BY {rowid} LIMIT 1 OFFSET ?"
    at = -(1 << 63) if first is None else first
    while True:
        row = db.row(sql, (at, (1 << 63) - 1 if last is None else last, size))
        if not row:
            return found
        at = row[0]
        found.append(at)


def wire_rows(db: Database, table: Table, chunk: Chunk, columns: list[Field]) -> Iterator[Any]:
    """A chunk's rows as the dumpers take them. Raises whatever a value that does not fit makes raise."""
    condition, values = where(table, chunk)
    select = ", ".join(field.sql for field in columns) or "NULL"
    rows = db.query(f"SELECT {select} FROM {quote(table.name)}{condition}{order(table)}", values)
    steps = [(number, field.step) for number, field in enumerate(columns) if field.step is not None]
    if not columns:
        return (() for _ in rows)
    return _stepped(rows, steps) if steps else rows


def _stepped(rows: Iterator[tuple], steps: list[tuple[int, Callable[[Any], Any]]]) -> Iterator[list]:
    for row in rows:
        fields = list(row)
        for number, step in steps:
            fields[number] = step(fields[number])
        yield fields


class Offender(Exception):
    """A value that does not fit. :ivar found: as ValueMisfit has it, :ivar record: the row: name → [class, hex]"""

    def __init__(self, found: dict[str, Any], raw: bytes, record: dict[str, Any]) -> None:
        super().__init__(found["reason"])
        self.found, self.raw, self.record = found, raw, record
        self.number = 0


def plain_bytes(value: Any) -> bytes:
    """A raw value as bytes, for people and for the quarantine: numbers as they are printed."""
    if value is None:
        return b""
    return value if isinstance(value, bytes) else repr(value).encode()


def exact_rows(
    db: Database, table: Table, chunk: Chunk, encoding: str, refused: Mapping[int, tuple[int, str]]
) -> Iterator[bytes | Offender]:
    """A chunk's rows, each encoded by the exact encoders, or the :class:`Offender` in its place.

    :param encoding: of the database, as PRAGMA encoding says it
    :param refused: rows (numbers in the chunk, from 1) that the server refused: the column's number and the reason
    """
    columns = loaded(table)
    encoders = [exact_encoder(column) for column in columns]
    parts = [key_expression(table)]
    for column in columns:
        name = quote(column.name)
        parts += [f"typeof({name})", f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"]
    for count, row in enumerate(_side_by_side(db, table, chunk, parts), 1):
        if count in refused:
            yield offender(table, columns, refused[count][0], row, refused[count][1], ("type: text", "exclude"))
            continue
        fields: list[bytes | None] = []
        for number, encode in enumerate(encoders):
            kind, raw = row[1 + 2 * number], row[2 + 2 * number]
            try:
                fields.append(encode(as_text(raw, encoding) if kind == "text" else raw))
            except Misfit as misfit:
                yield offender(table, columns, number, row, str(misfit), misfit.remedies)
                break
        else:
            yield row_bytes(fields)


def _side_by_side(db: Database, table: Table, chunk: Chunk, parts: list[str]) -> Iterator[tuple]:
    """Rows of many expressions: SQLite's results have at most 2000 columns, so it may take several at once."""
    condition, values = where(table, chunk)
    results = [
        db.query(
            f"SELECT {', '.join(parts[at : at + WIDEST])} FROM {quote(table.name)}{condition}{order(table)}", values
        )
        for at in range(0, len(parts), WIDEST)
    ]
    if len(results) == 1:
        return results[0]
    return (tuple(chain_rows.from_iterable(pieces)) for pieces in zip(*results, strict=True))


def offender(
    table: Table, columns: tuple[Column, ...], number: int, row: tuple, reason: str, remedies: tuple[str, ...]
) -> Offender:
    """What is said of a value. :param row: as :func:`exact_rows` reads it: key, then class and value of each column"""
    raw = plain_bytes(row[2 + 2 * number])
    found = {
        "table": table.name,
        "column": columns[number].name,
        "key": str(row[0]),
        "storage_class": row[1 + 2 * number],
        "hex": raw[:64].hex(),
        "size": len(raw),
        "reason": reason,
        "remedies": list(remedies),
    }
    record = {column.name: [row[1 + 2 * at], plain_bytes(row[2 + 2 * at]).hex()] for at, column in enumerate(columns)}
    return Offender(found, raw, record)
