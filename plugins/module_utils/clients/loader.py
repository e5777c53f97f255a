# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One chunk into PostgreSQL: its COPY and its line in the journal, in one transaction."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..migration.chunks import Chunk, cut
from ..migration.plan import Table
from ..migration.problems import Stopped, ValueMisfit
from ..migration.wire_sql import fields, loaded
from . import postgres
from .pg_journal import QUARANTINE, chunk_done
from .postgres import Connection, quote
from .source_rows import Offender, borders, exact_rows, wire_rows
from .sqlite import Database

#: Rows that are done value by value when one of them does not fit.
PIECE = 2000


@dataclass
class Loader:
    """Loads chunks of tables. :ivar quarantine: whether a row that does not fit is put aside, instead of the end"""

    connection: Connection
    staging: str
    quarantine: bool = False
    fast: bool = True

    def load(self, db: Database, table: Table, chunk: Chunk, encoding: str) -> dict[str, int]:
        """Load a chunk: {rows, bytes, quarantined}.

        :raises ValueMisfit: the first value that does not fit, unless it goes into quarantine
        :raises Stopped: what the server says otherwise
        """
        if self.fast:
            try:
                with self.connection.transaction():
                    return self._done(chunk, *self._fast(db, table, chunk), 0)
            except Exception as problem:
                self._judge(problem)
        pieces = self._pieces(db, table, chunk)
        work = self._piece if len(pieces) > 1 else self._exact
        with self.connection.transaction():
            counts = [work(db, table, piece, encoding) for piece in pieces]
            rows, size, aside = (sum(numbers) for numbers in zip(*counts, strict=True))
            return self._done(chunk, rows, size, aside)

    def _judge(self, problem: Exception) -> None:
        """A value that the fast way does not take, or the server: the exact way tells which, and where. All else ends
        the load."""
        if isinstance(problem, (Stopped, OSError, MemoryError)) or self.connection.closed or _lost(problem):
            raise problem

    def _pieces(self, db: Database, table: Table, chunk: Chunk) -> list[Chunk]:
        """A chunk in which something is odd, cut small: the fast way takes what is left of it."""
        if not self.fast:
            return [chunk]
        cuts = cut(chunk.table, borders(db, table, PIECE, chunk.first, chunk.last))
        cuts[0] = replace(cuts[0], first=chunk.first)
        cuts[-1] = replace(cuts[-1], last=chunk.last)
        return cuts

    def _piece(self, db: Database, table: Table, piece: Chunk, encoding: str) -> tuple[int, int, int]:
        """Load a piece: rows, bytes, rows put aside."""
        try:
            with self.connection.transaction():
                return *self._fast(db, table, piece), 0
        except Exception as problem:
            self._judge(problem)
        return self._exact(db, table, piece, encoding)

    def _copy(self, table: Table) -> str:
        names = ", ".join(quote(column.target) for column in loaded(table))
        return f"COPY {quote(self.staging)}.{quote(table.target)} ({names}) FROM STDIN (FORMAT BINARY)"

    def _fast(self, db: Database, table: Table, chunk: Chunk) -> tuple[int, int]:
        columns = fields(table, db.version)
        rows = wire_rows(db, table, chunk, columns)
        return postgres.copy_values(self.connection, self._copy(table), [field.oid for field in columns], rows)

    def _done(self, chunk: Chunk, rows: int, size: int, quarantined: int) -> dict[str, int]:
        chunk_done(self.connection, self.staging, chunk, rows, size, quarantined)
        return {"rows": rows, "bytes": size, "quarantined": quarantined}

    def _exact(self, db: Database, table: Table, chunk: Chunk, encoding: str) -> tuple[int, int, int]:
        refused: dict[int, tuple[int, str]] = {}
        while True:
            aside: list[Offender] = []
            try:
                with self.connection.transaction():
                    rows, size = postgres.copy_blocks(
                        self.connection, self._copy(table), self._sorted(db, table, chunk, encoding, aside, refused)
                    )
                    self._put_aside(table, aside)
                    return rows, size, len(aside)
            except postgres.psycopg.errors.ProgramLimitExceeded as problem:
                # Found when many rows are written at once: the line that the server tells is not that of the row.
                raise Stopped(
                    f"table {table.name}, a row of {chunk.first or 'the first'} to {chunk.last or 'the last'}: "
                    f"{problem.diag.message_primary}. Leave columns out with exclude, or give them smaller types"
                ) from problem
            except postgres.psycopg.Error as problem:
                line, column = _place(problem, table)
                if line is None or _lost(problem):
                    raise
                # The server refuses a row that the encoders took: it is counted from the chunk's first row on.
                number = _nth(line, aside)
                if number in refused:
                    raise
                refused[number] = (column, problem.diag.message_primary or "refused by the server")

    def _sorted(
        self,
        db: Database,
        table: Table,
        chunk: Chunk,
        encoding: str,
        aside: list[Offender],
        refused: dict[int, tuple[int, str]],
    ) -> Iterator[bytes]:
        for number, row in enumerate(exact_rows(db, table, chunk, encoding, refused), 1):
            if isinstance(row, Offender):
                row.number = number
                if not self.quarantine:
                    raise ValueMisfit(row.found)
                aside.append(row)
            else:
                yield row

    def _put_aside(self, table: Table, aside: list[Offender]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {quote(self.staging)}.{QUARANTINE} "
                "(table_name, row_key, column_name, storage_class, raw, reason, record) VALUES (%s,%s,%s,%s,%s,%s,%s)",
                [
                    (
                        table.name,
                        one.found["key"],
                        one.found["column"],
                        one.found["storage_class"],
                        one.raw,
                        one.found["reason"],
                        json.dumps(one.record),
                    )
                    for one in aside
                ],
            )


def _lost(problem: BaseException) -> bool:
    """Whether the server, or the way to it, is gone; or its disk is full."""
    state = getattr(problem, "sqlstate", None) or ""
    if state == "08P01":
        return False  # A field of a wrong length, which psycopg's Python part lets through.
    return isinstance(problem, postgres.psycopg.OperationalError) and state[:2] in ("", "08", "57", "53")


def _place(problem: Any, table: Table) -> tuple[int | None, int]:
    """Row of a COPY that the server speaks of, from 1 (None: it does not say), and number of the column."""
    found = re.search(r"\bline (\d+)(?:, column (.+))?", problem.diag.context or "")
    if found is None:
        return None, 0
    name = problem.diag.column_name or found.group(2)
    targets = [column.target for column in loaded(table)]
    return int(found.group(1)), targets.index(name) if name in targets else 0


def _nth(line: int, aside: list[Offender]) -> int:
    """Number in the chunk of the row that was sent as number ``line``: those put aside before it were not sent."""
    number = line
    for one in aside:
        if one.number <= number:
            number += 1
    return number
