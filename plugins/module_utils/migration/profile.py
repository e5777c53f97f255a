# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is really in a table: the SQL that asks for it, and the answers as values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .plan import CLASSES
from .schema import SourceColumn, SourceTable, quoted

#: How many rowids are kept of each kind of oddity.
FIRST = 10


@dataclass(frozen=True)
class ColumnProfile:
    """Of one column. Counts are rows.

    :param classes: storage class → count, without those that do not occur
    :param low: and :param high: of the integers, None without any
    :param longest: characters of the longest text, bytes of the longest blob
    :param nul: texts with a NUL, :param invalid: texts that are not UTF-8, :param infinite: ±Inf
    :param forms: what the values look like → count; of a column whose type hangs on it
    :param first: class or oddity → first rowids (or keys), as text
    :param sample: of text, without a form: what the first rows look like
    """

    classes: Mapping[str, int] = field(default_factory=dict)
    low: int | None = None
    high: int | None = None
    longest: int = 0
    nul: int = 0
    invalid: int = 0
    infinite: int = 0
    forms: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sample: Mapping[str, int] = field(default_factory=dict)

    def count(self, *classes: str) -> int:
        """Values of these storage classes."""
        return sum(self.classes.get(one, 0) for one in classes)

    @property
    def values(self) -> int:
        """Values that are not NULL."""
        return self.count("integer", "real", "text", "blob")

    def only(self, *classes: str) -> bool:
        """Whether there are values, and all are of these storage classes."""
        return bool(self.values) and self.count(*classes) == self.values

    def seen(self) -> dict[str, Any]:
        """For the plan: JSON-able, without what is empty."""
        all_of_it: dict[str, Any] = {
            "classes": dict(self.classes), "min": self.low, "max": self.high, "longest": self.longest,
            "nul": self.nul, "not_utf8": self.invalid, "infinite": self.infinite, "forms": dict(self.forms),
            "sample": dict(self.sample),
        }  # fmt: skip
        return {name: one for name, one in all_of_it.items() if one or (one == 0 and name in ("min", "max"))}


@dataclass(frozen=True)
class TableProfile:
    """Of one table. ``first`` and ``last`` rowid, None without rows or rowids; ``bytes`` is an estimate."""

    rows: int
    columns: Mapping[str, ColumnProfile]
    first: int | None = None
    last: int | None = None
    bytes: int = 0
    duplicates: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    orphans: Mapping[int, tuple[int, tuple[str, ...]]] = field(default_factory=dict)


def affinity(declared: str) -> str:
    """SQLite's affinity of a declared type: INTEGER, TEXT, BLOB, REAL or NUMERIC (datatype3.html, section 3.1)."""
    text = declared.upper()
    if "INT" in text:
        return "INTEGER"
    if any(one in text for one in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in text or not text:
        return "BLOB"
    if any(one in text for one in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


def expected(column: SourceColumn) -> str:
    """The storage class that most values will have: only then the others are counted one by one."""
    text = column.declared.upper()
    if any(one in text for one in ("DATE", "TIME", "JSON", "UUID", "GUID", "STRING")):
        return "text"
    return {"INTEGER": "integer", "TEXT": "text", "BLOB": "blob", "REAL": "real", "NUMERIC": "integer"}[
        affinity(column.declared)
    ]


def identity(table: SourceTable) -> str:
    """An SQL expression that names a row for people: its rowid, or its key."""
    if table.rowid:
        return quoted(table.rowid)
    parts = [f"quote({quoted(name)})" for name in table.key]
    return " || ', ' || ".join(parts) or "'?'"


def loaded(table: SourceTable) -> list[SourceColumn]:
    """Columns whose values can be read: all, also generated ones, whose expression may have no translation."""
    return list(table.columns)


#: Columns of one pass: SQLite's results have up to 2000 columns, its expressions a depth of 1000.
AT_ONCE = 200


def first_pass(table: SourceTable, columns: Sequence[SourceColumn]) -> str:
    """One row: count, first and last rowid, then five values for each column, of which there are :data:`AT_ONCE`."""
    parts = ["count(*)"]
    rowid = quoted(table.rowid) if table.rowid else "NULL"
    parts += [f"min({rowid})", f"max({rowid})"]
    for column in columns:
        name, wanted = quoted(column.name), expected(column)
        # Were there a NULL in a NOT NULL column all the same, the next count would tell.
        values = "count(*)" if column.not_null else f"count({name})"
        parts += [values, f"count(CASE typeof({name}) WHEN '{wanted}' THEN 1 END)"]
        if wanted in ("integer", "real"):
            parts += [f"min({name})", f"max({name})", "0"]
        else:
            parts += ["NULL", "NULL", f"max(length({name}))"]
    return f"SELECT {', '.join(parts)} FROM {quoted(table.name)}"


#: Rowids from which on a first pass is made in pieces, and the number of pieces.
LONG, PIECES = 100_000, 8


def pieces(table: SourceTable, first: int | None, last: int | None) -> list[tuple[str, tuple[int, ...]]]:
    """Conditions (with their values) that make one pass of several."""
    if first is None or last is None or last - first < LONG:
        return [("", ())]
    step = -(-(last - first + 1) // PIECES)
    where = f" WHERE {quoted(table.rowid)} BETWEEN ? AND ?"
    return [(where, (low, min(low + step - 1, last))) for low in range(first, last + 1, step)]


#: Bytes of the values of one step, and what the longest could make of it at the worst.
STEP, MOST = 2 << 20, 48 << 20
#: Rows of one step, and the least share of the rowids that must be in use for steps of them.
ROWS, DENSE = 4000, 0.2


def rows_a_step(columns: Mapping[str, ColumnProfile], profile: TableProfile) -> int:
    """Rowids of one step, so few that the values of these columns surely have room in memory; 0 when there is no such
    number."""
    if profile.first is None or profile.last is None:
        return 0
    share = profile.rows / (profile.last - profile.first + 1)
    # A character has up to four bytes.
    worst = sum(one.longest for one in columns.values()) * 4 + 1
    at_once = min(ROWS, STEP * profile.rows // max(profile.bytes, 1), int(MOST * share) // worst)
    return int(at_once / share) if share >= DENSE and at_once >= 10 else 0


def steps(profile: TableProfile, step: int) -> Iterator[tuple[int, int]]:
    """First and last rowid of each step of a table that has rows."""
    first, last = profile.first or 0, profile.last or 0
    return ((low, min(low + step - 1, last)) for low in range(first, last + 1, step))


def together(answers: Sequence[Sequence[Any]]) -> list[Any]:
    """One answer of a first pass, of those of its pieces: counts are added; the least and the largest are kept."""
    columns = list(zip(*answers, strict=True))
    made: list[Any] = [sum(columns[0]), _of(min, columns[1]), _of(max, columns[2])]
    for at in range(3, len(columns), 5):
        values, usual, low, high, longest = columns[at : at + 5]
        made += [sum(values), sum(usual), _of(min, low), _of(max, high), _of(max, longest)]
    return made


def _of(choose: Any, values: Sequence[Any]) -> Any:
    known = [one for one in values if one is not None]
    if len({isinstance(one, (int, float)) for one in known}) > 1:
        # Text beside numbers: there is something odd, which the second pass looks at.
        known = [one for one in known if isinstance(one, (int, float))]
    return choose(known) if known else None


def looked_at(table: SourceTable) -> list[SourceColumn]:
    """Columns of the first pass."""
    return [one for one in loaded(table) if one.name != table.alias]


def second_pass(table: SourceTable, column: SourceColumn) -> str:
    """One row on a column with something odd: the classes' counts, ints' bounds, longest, NULs, infinities."""
    name = quoted(column.name)
    parts = [f"count(CASE typeof({name}) WHEN '{one}' THEN 1 END)" for one in CLASSES]
    parts += [
        f"min(CASE typeof({name}) WHEN 'integer' THEN {name} END)",
        f"max(CASE typeof({name}) WHEN 'integer' THEN {name} END)",
        f"max(CASE WHEN typeof({name}) IN ('text', 'blob') THEN length({name}) END)",
        f"count(CASE WHEN typeof({name}) = 'text' AND instr({name}, char(0)) > 0 THEN 1 END)",
        f"count(CASE WHEN typeof({name}) = 'real' AND abs({name}) = 9e999 THEN 1 END)",
    ]
    return f"SELECT {', '.join(parts)} FROM {quoted(table.name)}"


def plain(column: SourceColumn, rows: int, answer: Sequence[Any]) -> ColumnProfile | None:
    """The profile by the first pass alone; None when there is something odd, and the second pass is needed."""
    values, usual, low, high, longest = answer
    wanted = expected(column)
    classes = {"null": rows - values, wanted: usual}
    classes = {name: count for name, count in classes.items() if count}
    if usual != values:
        return None
    if wanted == "real":
        return None if low in (float("inf"), float("-inf")) or high == float("inf") else ColumnProfile(classes)
    if wanted == "integer":
        return ColumnProfile(classes, low, high)
    return ColumnProfile(classes, longest=longest or 0)


def odd(answer: Sequence[Any]) -> ColumnProfile:
    """The profile by the second pass."""
    classes = {name: count for name, count in zip(CLASSES, answer, strict=False) if count}
    low, high, longest, nul, infinite = answer[len(CLASSES) :]
    return ColumnProfile(classes, low, high, longest or 0, nul, 0, infinite)


def where(column: SourceColumn, oddity: str) -> str:
    """The condition that finds an oddity's rows: a storage class, "nul", "infinite" or "empty"."""
    name = quoted(column.name)
    if oddity == "nul":
        return f"typeof({name}) = 'text' AND instr({name}, char(0)) > 0"
    if oddity == "infinite":
        return f"typeof({name}) = 'real' AND abs({name}) = 9e999"
    if oddity == "big":
        return f"typeof({name}) = 'integer' AND ({name} > 9007199254740992 OR {name} < -9007199254740992)"
    return f"{name} IS NULL" if oddity == "null" else f"typeof({name}) = '{oddity}'"
