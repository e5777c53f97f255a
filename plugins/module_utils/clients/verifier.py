# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source against target, row by row. See migration/canonical.py for what is compared.

With one integer key both sides are read in its order, and equal batches are equal bytes. Other tables are compared as
bags: the sum of a 128-bit hash of each row, which does not depend on an order; when two sums differ, the rows that are
on one side only are looked up.
"""

from __future__ import annotations

import hashlib
import marshal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from ..migration.canonical import Compared, compared
from ..migration.chunks import Chunk
from ..migration.plan import Table
from ..migration.wire_sql import quote as name
from .postgres import Connection
from .source_rows import key_expression, where
from .sqlite import Database

BATCH = 2000
NAMED = 10
#: Parts in which the rows of two different bags are looked up, so that they need not be in memory at once.
PARTS_OF = 500_000


def numbers_only(connection: Connection) -> None:
    """Have this connection give dates and times as the numbers that PostgreSQL keeps."""
    from psycopg.types.numeric import Int4BinaryLoader, Int8BinaryLoader

    connection.adapters.register_loader("date", Int4BinaryLoader)
    for kind in ("time", "timestamp", "timestamptz"):
        connection.adapters.register_loader(kind, Int8BinaryLoader)


def ordered(db: Database, table: Table) -> str:
    """The source column whose order both sides share: the integer that is SQLite's rowid; "" when there is none."""
    if not table.rowid or len(table.key) != 1:
        return ""
    column = next((one for one in table.columns if one.name == table.key[0]), None)
    if column is None or column.encoder != "int8" or column.conversion or column.declared.upper() != "INTEGER":
        return ""
    # INTEGER PRIMARY KEY DESC is no rowid: such a key has an index of its own.
    own = any(row[3] == "pk" for row in db.rows(f"PRAGMA index_list({name(table.name)})"))
    return "" if own else column.name


class Verifier:
    """Compares tables. :ivar connection: of its own, after :func:`numbers_only`"""

    def __init__(self, connection: Connection, schema: str) -> None:
        self.connection, self.schema = connection, schema

    def compare(self, db: Database, table: Table, chunk: Chunk, aside: Sequence[str]) -> dict[str, Any]:
        """Compare a piece of a table (all of it without an integer key).

        :param aside: keys of rows in quarantine, which are in the source only
        :returns: {rows, source_hash, target_hash, differ: count, named: [lines]}
        """
        columns = [compared(column) for column in table.columns]
        key = ordered(db, table)
        source = self._source(db, table, chunk, columns, aside, bool(key))
        if key:
            at = [column.name for column in table.columns].index(key)
            target = self._target(table, chunk, columns, table.columns[at].target)
            return _in_order(table, source, target, at)
        return self._bags(db, table, chunk, columns, aside)

    def _source(
        self, db: Database, table: Table, chunk: Chunk, columns: list[Compared], aside: Sequence[str], sort: bool
    ) -> Iterator[Any]:
        import json

        condition, values = where(table, chunk)
        arguments: list[Any] = list(values)
        if aside:
            inside = f"CAST({key_expression(table)} AS TEXT) NOT IN (SELECT value FROM json_each(?))"
            condition += f" AND {inside}" if condition else f" WHERE {inside}"
            arguments.append(json.dumps(list(aside)))
        select = ", ".join(name(column.name) for column in table.columns)
        order = f" ORDER BY {name(table.rowid)}" if sort else ""
        rows = db.query(f"SELECT {select} FROM {name(table.name)}{condition}{order}", arguments)
        return _formed(rows, [one.source_form for one in columns])

    def _target(self, table: Table, chunk: Chunk, columns: list[Compared], key: str = "") -> Iterator[Any]:
        select = ", ".join(one.target for one in columns)
        parts = []
        if key:
            parts = [
                f"{name(key)} {sign} {limit}"
                for limit, sign in ((chunk.first, ">="), (chunk.last, "<="))
                if limit is not None
            ]
        condition = " WHERE " + " AND ".join(parts) if parts else ""
        order = f" ORDER BY {name(key)}" if key else ""
        sql = f"SELECT {select} FROM {name(self.schema)}.{name(table.target)}{condition}{order}"
        batch = max(1, min(BATCH, (4 << 20) * max(1, table.rows) // max(1, table.bytes)))
        with self.connection.transaction():
            with self.connection.cursor("landfall_verify", binary=True) as cursor:
                cursor.itersize = batch
                cursor.execute(sql.replace("%", "%%"))
                yield from _formed(_batches(cursor, batch), [one.target_form for one in columns])

    def _bags(
        self, db: Database, table: Table, chunk: Chunk, columns: list[Compared], aside: Sequence[str]
    ) -> dict[str, Any]:
        rows, left = _sum(self._source(db, table, chunk, columns, aside, False))
        there, right = _sum(self._target(table, chunk, columns))
        result: dict[str, Any] = {"rows": rows, "source_hash": left, "target_hash": right, "differ": 0, "named": []}
        if (rows, left) == (there, right):
            return result
        parts = max(rows, there) // PARTS_OF + 1
        for part in range(parts):
            bag: Counter[bytes] = Counter()
            for row in self._source(db, table, chunk, columns, aside, False):
                digest = _digest(row)
                if digest[0] % parts == part:
                    bag[digest] += 1
            for row in self._target(table, chunk, columns):
                digest = _digest(row)
                if digest[0] % parts == part:
                    bag[digest] -= 1
            self._look_up(db, table, chunk, columns, aside, bag, result)
        return result

    def _look_up(
        self,
        db: Database,
        table: Table,
        chunk: Chunk,
        columns: list[Compared],
        aside: Sequence[str],
        bag: Counter[bytes],
        result: dict[str, Any],
    ) -> None:
        result["differ"] += sum(abs(count) for count in bag.values())
        sides = (("source", self._source(db, table, chunk, columns, aside, False), 1),)
        for side, rows, sign in (*sides, ("target", self._target(table, chunk, columns), -1)):
            for row in rows:
                if bag.get(_digest(row), 0) * sign > 0 and len(result["named"]) < NAMED:
                    result["named"].append(f"only in the {side}: {_shown(table, row)}")


def _batches(cursor: Any, size: int) -> Iterator[Any]:
    while batch := cursor.fetchmany(size):
        yield from batch


def _formed(rows: Iterable[Any], forms: list[Any]) -> Iterator[Any]:
    todo = [(at, form) for at, form in enumerate(forms) if form is not None]
    if not todo:
        return iter(rows)
    return _each(rows, todo)


def _each(rows: Iterable[Any], todo: list[tuple[int, Any]]) -> Iterator[tuple]:
    for row in rows:
        values = list(row)
        for at, form in todo:
            values[at] = form(values[at])
        yield tuple(values)


def _digest(row: Any) -> bytes:
    return hashlib.blake2b(marshal.dumps(tuple(row), 2), digest_size=16).digest()


def _sum(rows: Iterable[Any]) -> tuple[int, str]:
    total = count = 0
    for row in rows:
        total += int.from_bytes(_digest(row), "big")
        count += 1
    return count, f"{total % (1 << 128):032x}"


def _shown(table: Table, row: Any) -> str:
    parts = [f"{column.name}={value!r}" for column, value in zip(table.columns, row, strict=True)]
    keyed = [part for column, part in zip(table.columns, parts, strict=True) if column.name in table.key] or parts
    text = ", ".join(keyed)
    return text if len(text) <= 200 else text[:200] + "…"


def _in_order(table: Table, source: Iterator[Any], target: Iterator[Any], at: int) -> dict[str, Any]:
    left_hash, right_hash = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    result: dict[str, Any] = {"rows": 0, "differ": 0, "named": []}
    left: list[Any] = []
    right: list[Any] = []
    ended = False
    while not ended:
        left += islice(source, BATCH - len(left))
        right += islice(target, BATCH - len(right))
        ended = len(left) < BATCH and len(right) < BATCH
        one, other = marshal.dumps(left, 2), marshal.dumps(right, 2)
        if one == other:
            left_hash.update(one)
            right_hash.update(other)
            result["rows"] += len(left)
            left, right = [], []
        else:
            left, right = _merge(table, left, right, at, ended, result, left_hash, right_hash)
            ended = ended and not left and not right
    result["source_hash"], result["target_hash"] = left_hash.hexdigest(), right_hash.hexdigest()
    return result


def _merge(
    table: Table, left: list[Any], right: list[Any], at: int, ended: bool, result: dict[str, Any], *hashes: Any
) -> tuple[list[Any], list[Any]]:
    """Rows of two batches that are not equal, by their keys; what is left over of each, up to the key both reach."""
    reach = None
    if not ended and left and right:
        reach = min(left[-1][at], right[-1][at])
    lefts = {row[at]: row for row in left if reach is None or row[at] <= reach}
    rights = {row[at]: row for row in right if reach is None or row[at] <= reach}
    hashes[0].update(marshal.dumps(list(lefts.values()), 2))
    hashes[1].update(marshal.dumps(list(rights.values()), 2))
    result["rows"] += len(lefts)
    for key in sorted({*lefts, *rights}):
        mine, theirs = lefts.get(key), rights.get(key)
        if mine is not None and theirs is not None and marshal.dumps(mine, 2) == marshal.dumps(theirs, 2):
            continue
        result["differ"] += 1
        if len(result["named"]) >= NAMED:
            continue
        if mine is None or theirs is None:
            result["named"].append(f"{table.key[0]}={key}: only in the {'target' if mine is None else 'source'}")
            continue
        wrong = [
            f"{column.name}: {a!r:.60} in the source, {b!r:.60} in the target"
            for column, a, b in zip(table.columns, mine, theirs, strict=True)
            if marshal.dumps(a, 2) != marshal.dumps(b, 2)
        ]
        result["named"].append(f"{table.key[0]}={key}: " + "; ".join(wrong))
    rest = [row for row in left if reach is not None and row[at] > reach]
    return rest, [row for row in right if reach is not None and row[at] > reach]
