# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Goes through the values of a table: one pass, each value through its column's rule. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from .conversions import RawText
from .profile import FIRST, ColumnProfile, identity
from .schema import Reader, SourceTable, quoted

_CACHE = 10_000


class Source(Reader, Protocol):
    """What is wanted of ``clients.sqlite.Database``."""

    errors: tuple[type[Exception], ...]

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


def each(
    db: Source,
    table: SourceTable,
    rules: Mapping[str, Callable[[Any], str]],
    columns: Mapping[str, ColumnProfile],
    encoding: str,
    counts: Mapping[str, Counter],
    first: Mapping[str, dict[str, list[str]]],
) -> None:
    """Put each value through its column's rule, in one pass; what the rule says is counted, with the first rows."""
    names = list(rules)
    raw = [bool(columns[name].invalid) for name in names]
    cells = []
    for name, bad in zip(names, raw, strict=True):
        cell = quoted(name)
        # Text that is not UTF-8 could not be fetched as text.
        cells.append(f"CASE typeof({cell}) WHEN 'text' THEN CAST({cell} AS BLOB) ELSE {cell} END" if bad else cell)
        if bad:
            cells.append(f"typeof({cell}) = 'text'")
    caches: list[dict[Any, str]] = [{} for _name in names]
    work = list(zip(names, raw, (rules[name] for name in names), caches, strict=True))
    for row in db.query(f"SELECT {identity(table)}, {', '.join(cells)} FROM {quoted(table.name)}"):
        at = 1
        for name, bad, rule, cache in work:
            value = row[at]
            at += 1
            if bad:
                value = as_text(value, encoding) if row[at] else value
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
            counts[name][said] += 1
            if said:
                kept = first[name].setdefault(said, [])
                if len(kept) < FIRST:
                    kept.append(str(row[0]))
