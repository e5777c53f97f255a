# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a table is cut into the pieces that are loaded in one transaction each. Pure."""

from __future__ import annotations

from dataclasses import dataclass

#: What a chunk holds at most, about: bytes of the source, and rows. It is what two processes share out, and what
#: is done again after a kill. At the end one process waits for the other's last chunk, so it is no larger; a smaller
#: one costs its transaction.
BYTES, ROWS = 4 << 20, 50_000
#: Rowids a row may take, gaps counted in, for a table to be cut by their numbers alone.
_SPARSE = 1.5


@dataclass(frozen=True)
class Chunk:
    """A piece of a table: rowids first to last, both included; None is open. A table WITHOUT ROWID is one piece.

    :ivar table: number in the plan, :ivar number: in the table, from 0
    """

    table: int
    number: int
    first: int | None = None
    last: int | None = None


def rows_a_chunk(rows: int, size: int) -> int:
    """Rows that make a chunk. :param rows: of the table, :param size: its bytes, 0 when not known"""
    average = max(1, size // rows) if rows and size else 100
    return max(1, min(ROWS, BYTES // average))


def even(rows: int, least: int, greatest: int, size: int) -> list[int] | None:
    """Borders by the numbers of the rowids alone, None where gaps would make chunks too uneven.

    Every cut is a right one; this one does not have to read the table to find it.

    :param rows: of the table, when the plan was made, :param least: its rowids, from … to :param greatest:
    :param size: rows of a chunk
    """
    if greatest - least + 1 > rows * _SPARSE:
        return None
    return list(range(least + size, greatest + 1, size))


def cut(table: int, borders: list[int]) -> list[Chunk]:
    """Chunks between borders, each the first rowid of a piece but the first's. The ends are open, so that a row beyond
    what was counted still has its chunk."""
    edges = [None, *borders, None]
    return [
        Chunk(table, number, edges[number], None if (end := edges[number + 1]) is None else end - 1)
        for number in range(len(edges) - 1)
    ]
