# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Goes through the values of a table: one pass, each value through its column's rule. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from .conversions import RawText
from .profile import AT_ONCE, FIRST, ColumnProfile, TableProfile, identity, rows_a_step, steps
from .schema import Reader, SourceTable, quoted

_CACHE = 10_000


class Source(Reader, Protocol):
    """What is wanted of ``clients.sqlite.Database``."""

    errors: tuple[type[Exception], ...]
    version: tuple[int, ...]

    def query(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple]: ...

    def several(self, asks: Iterable[tuple[str, Sequence[Any]]], take: Callable[[list[tuple]], None]) -> None: ...


def rowids(db: Source, table: SourceTable, condition: str) -> tuple[str, ...]:
    """The first rows of a condition, as people name them."""
    sql = f"SELECT {identity(table)} FROM {quoted(table.name)} WHERE {condition} LIMIT {FIRST}"
    return tuple(str(row[0]) for row in db.rows(sql))


def as_text(data: bytes, encoding: str) -> str | RawText:
    """TEXT of SQLite from its bytes (``CAST(c AS BLOB)``), which are in the database's encoding."""
    codec = {"UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}.get(encoding, "utf-8")
    try:
        return (data or b"").decode(codec)
    except UnicodeDecodeError:
        if codec == "utf-8":
            return RawText(data)
        return RawText(data.decode(codec, "surrogatepass").encode("utf-8", "surrogatepass"))


class Sure(NamedTuple):
    """What SQLite tells. :param condition: true of values (see :mod:`certain`), :param said: the rule's answer"""

    condition: str
    said: str


#: Rows of a rule's answer, by number: how many, and the first of them.
Told = tuple[Counter, dict[str, list[str]]]


def each(
    db: Source,
    table: SourceTable,
    rules: Mapping[str, Callable[[Any], str]],
    profile: TableProfile,
    encoding: str,
    sure: Mapping[str, Sure],
) -> dict[str, Told]:
    """Put each value through its column's rule, in one pass: column → how often the rule says what, and the first rows.

    :param sure: column → what SQLite can tell itself: such values are only counted, and no rows are kept of them
    """
    if len(rules) > AT_ONCE:
        sure = {}  # SQLite's statements, and the depth of its expressions, have an end.
    sure = {name: one for name, one in sure.items() if one.condition and not profile.columns[name].invalid}
    look = _Look(rules, profile.columns, encoding, sure)
    sql = f"SELECT {identity(table)}, {', '.join(look.cells())} FROM {quoted(table.name)}"
    texts = {name: profile.columns[name] for name in rules}
    step = rows_a_step(texts, profile) if table.rowid and len(sure) == len(rules) else 0
    if step:
        tests = " AND ".join(f"({quoted(name)} IS NULL OR {one.condition})" for name, one in sure.items())
        sql += f" WHERE {quoted(table.rowid)} BETWEEN ? AND ? AND NOT ({tests})"
        db.several(((sql, ends) for ends in steps(profile, step)), look.at)
    else:
        look.at(db.query(sql))
    return look.told()


class _Look:
    """Rows through the rules, piece by piece, in any order."""

    def __init__(
        self,
        rules: Mapping[str, Callable[[Any], str]],
        columns: Mapping[str, ColumnProfile],
        encoding: str,
        sure: Mapping[str, Sure],
    ) -> None:
        self.rules, self.columns, self.encoding, self.sure = rules, columns, encoding, sure
        self.raw = {name for name in rules if columns[name].invalid}
        self.counts: dict[str, Counter] = {name: Counter() for name in rules}
        self.caches: dict[str, dict[str, str]] = {name: {} for name in rules}
        self.firsts: list[tuple[Any, dict[str, dict[str, list[str]]]]] = []

    def cells(self) -> list[str]:
        """What is selected: NULL in place of what is sure; two cells of text that cannot be fetched as text."""
        cells = []
        for name in self.rules:
            cell = quoted(name)
            if name in self.raw:
                cells.append(f"CASE typeof({cell}) WHEN 'text' THEN CAST({cell} AS BLOB) ELSE {cell} END")
                cells.append(f"typeof({cell}) = 'text'")
            elif name in self.sure:
                cells.append(f"CASE WHEN {self.sure[name].condition} THEN NULL ELSE {cell} END")
            else:
                cells.append(cell)
        return cells

    def at(self, rows: Iterable[tuple]) -> None:
        """Look at the rows of a piece."""
        first: dict[str, dict[str, list[str]]] = {name: {} for name in self.rules}
        begin = None
        work = [
            (name, name in self.raw, rule, self.caches[name], self.counts[name], first[name])
            for name, rule in self.rules.items()
        ]
        for row in rows:
            begin = row[0] if begin is None else begin
            at = 1
            for _name, raw, rule, cache, counts, kept in work:
                value = row[at]
                at += 1
                if raw:
                    value = as_text(value, self.encoding) if row[at] else value
                    at += 1
                if value is None:
                    continue
                if type(value) is str:
                    said = cache.get(value)
                    if said is None:
                        said = rule(value)
                        if len(cache) < _CACHE and len(value) < 64:
                            cache[value] = said
                else:
                    said = rule(value)
                counts[said] += 1
                if said and len(ids := kept.setdefault(said, [])) < FIRST:
                    ids.append(str(row[0]))
        if begin is not None:
            self.firsts.append((begin, first))

    def told(self) -> dict[str, Told]:
        """All of it: with what was sure, and the first rows in the pieces' order."""
        out: dict[str, Told] = {}
        self.firsts.sort(key=lambda piece: piece[0])
        for name, counts in self.counts.items():
            kept: dict[str, list[str]] = {}
            for _begin, first in self.firsts:
                for said, ids in first[name].items():
                    kept.setdefault(said, []).extend(ids)
            if name in self.sure and (rest := self.columns[name].values - sum(counts.values())):
                counts[self.sure[name].said] += rest
            # In the order of the rows, whichever piece was done first.
            ordered = Counter({said: counts[said] for said in (*kept, *counts)})
            out[name] = (ordered, {said: ids[:FIRST] for said, ids in kept.items()})
        return out
