# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of a SQLite database as values, read through the client that is handed in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .clauses import Clauses, IndexClauses, of_index, of_table

TABLE, VIRTUAL, SHADOW = "table", "virtual", "shadow"
#: What the migration itself makes in a source: its changelog, the triggers that fill it, and those that refuse writes.
CHANGES, NOTE, GUARD = "landfall_changes", "landfall_note_", "landfall_moved_"


class Reader(Protocol):
    """What is wanted of ``clients.sqlite.Database``."""

    path: str
    library: str

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple]: ...

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any: ...


def quoted(name: str) -> str:
    """An identifier for SQLite's SQL, and PostgreSQL's."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class SourceColumn:
    """A column of SQLite. ``key``: its place in the primary key, 0 for none; ``generated``: SQL or ""."""

    name: str
    declared: str
    not_null: bool = False
    default: str | None = None
    key: int = 0
    generated: str = ""
    collation: str = ""


@dataclass(frozen=True)
class Term:
    """One column or expression of an index; ``column`` is "" for an expression."""

    column: str
    expression: str = ""
    descending: bool = False
    collation: str = "BINARY"


@dataclass(frozen=True)
class SourceIndex:
    """An index. ``origin``: "c" by CREATE INDEX, "u" of a UNIQUE, "pk" of a primary key that is not the rowid."""

    name: str
    unique: bool
    origin: str
    terms: tuple[Term, ...]
    where: str = ""
    sql: str = ""
    constraint: str = ""


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key. ``to`` is () when it means the parent's primary key."""

    number: int
    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]
    on_update: str = "NO ACTION"
    on_delete: str = "NO ACTION"
    deferred: bool = False
    name: str = ""


@dataclass(frozen=True)
class SourceTable:
    """A table. ``rowid``: a name by which the rowid can be read, "" when it has none or all three are columns'.

    :param alias: the column that is the rowid ("INTEGER PRIMARY KEY"), "" without one
    :param unreadable: why its CREATE TABLE could not be read; then checks and the like are not known
    """

    name: str
    sql: str
    columns: tuple[SourceColumn, ...]
    kind: str = TABLE
    rowid: str = "rowid"
    alias: str = ""
    without_rowid: bool = False
    strict: bool = False
    autoincrement: bool = False
    indexes: tuple[SourceIndex, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    conflicts: tuple[str, ...] = ()
    key_name: str = ""
    sequence: int | None = None
    unreadable: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Columns of the primary key in its order."""
        return tuple(one.name for one in sorted(self.columns, key=lambda one: one.key) if one.key)

    def column(self, name: str) -> SourceColumn | None:
        """A column by its name, in any case."""
        return next((one for one in self.columns if one.name.lower() == name.lower()), None)


@dataclass(frozen=True)
class Schema:
    """A whole database. ``views`` and ``triggers``: (name, SQL)."""

    tables: tuple[SourceTable, ...]
    views: tuple[tuple[str, str], ...]
    triggers: tuple[tuple[str, str], ...]
    encoding: str
    journal_mode: str
    page_size: int
    page_count: int
    version: str

    @property
    def digest(self) -> str:
        """16 hex digits of all its SQL."""
        text = json.dumps([[one.name, one.sql] for one in self.tables] + [list(self.views), list(self.triggers)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(db: Reader) -> Schema:
    """The schema of an open database, without what the migration itself makes in it."""
    every = db.rows("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name")
    master = [row for row in every if row[1] != CHANGES and not str(row[1]).startswith((NOTE, GUARD))]
    kinds = {str(row[1]): row for row in db.rows("PRAGMA table_list") if row[0] == "main"}
    sequences: dict[str, int] = {}
    if any(name == "sqlite_sequence" for _kind, name, _table, _sql in master):
        sequences = {
            str(name): seq for name, seq in db.rows("SELECT name, seq FROM sqlite_sequence") if isinstance(seq, int)
        }
    indexes = {name: sql or "" for kind, name, _table, sql in master if kind == "index"}
    tables = tuple(
        _table(db, name, sql or "", kinds.get(name, ()), indexes, sequences.get(name))
        for kind, name, _tbl, sql in master
        if kind == "table" and not name.lower().startswith("sqlite_")
    )
    return Schema(
        tables,
        tuple((name, sql) for kind, name, _tbl, sql in master if kind == "view"),
        tuple((name, sql) for kind, name, _tbl, sql in master if kind == "trigger"),
        str(db.value("PRAGMA encoding")),
        str(db.value("PRAGMA journal_mode")),
        int(db.value("PRAGMA page_size")),
        int(db.value("PRAGMA page_count")),
        str(db.value("SELECT sqlite_version()")),
    )


def _table(
    db: Reader, name: str, sql: str, listed: Sequence[Any], indexes: dict[str, str], sequence: int | None
) -> SourceTable:
    # PRAGMA table_list (SQLite 3.37): schema, name, type, ncol, wr, strict.
    kind = str(listed[2]) if listed else TABLE
    virtual = sql.upper().lstrip().startswith("CREATE VIRTUAL") or kind == VIRTUAL
    if virtual or kind == SHADOW:
        # A virtual table may need a module that is not there: it is named, not looked into.
        return SourceTable(name, sql, (), VIRTUAL if virtual else SHADOW)
    try:
        clauses, unreadable = of_table(sql), ""
    except (ValueError, IndexError) as problem:
        clauses, unreadable = Clauses(), str(problem)
    columns = tuple(
        SourceColumn(
            str(row[1]),
            str(row[2] or ""),
            bool(row[3]),
            row[4],
            int(row[5]),
            clauses.generated.get(str(row[1]).lower(), "") or ("?" if row[6] in (2, 3) else ""),
            clauses.collations.get(str(row[1]).lower(), ""),
        )
        for row in db.rows(f"PRAGMA table_xinfo({quoted(name)})")
        if row[6] != 1
    )
    found = tuple(_index(db, row, indexes, clauses) for row in db.rows(f"PRAGMA index_list({quoted(name)})"))
    without = bool(listed[4]) if listed else False
    taken = {one.name.lower() for one in columns}
    key = [one for one in columns if one.key]
    # A primary key of a rowid table without an index of its own is the rowid.
    alias = key[0].name if not without and len(key) == 1 and not any(one.origin == "pk" for one in found) else ""
    free = [one for one in ("rowid", "_rowid_", "oid") if one not in taken]
    return SourceTable(
        name,
        sql,
        columns,
        TABLE,
        "" if without else alias or (free[0] if free else ""),
        alias,
        without,
        bool(listed[5]) if listed else False,
        clauses.autoincrement,
        found,
        _foreign_keys(db, name, clauses),
        tuple(clauses.checks),
        tuple(clauses.conflicts),
        clauses.names.get(("primary key", tuple(one.name.lower() for one in key)), ""),
        sequence,
        unreadable,
    )


def _index(db: Reader, row: Sequence[Any], sqls: dict[str, str], clauses: Clauses) -> SourceIndex:
    _seq, name, unique, origin, partial = row[:5]
    sql = sqls.get(str(name), "")
    parsed = IndexClauses()
    if sql:
        try:
            parsed = of_index(sql)
        except (ValueError, IndexError, StopIteration):
            parsed = IndexClauses(where="?" if partial else "")
    terms = []
    for place, cid, column, descending, collation, is_key in db.rows(f"PRAGMA index_xinfo({quoted(str(name))})"):
        if not is_key:
            continue
        expression = (parsed.terms[place] if place < len(parsed.terms) else "?") if cid == -2 else ""
        terms.append(Term(str(column or ("" if cid == -2 else "rowid")), expression, bool(descending), str(collation)))
    columns = tuple(one.column.lower() for one in terms)
    what = {"u": "unique", "pk": "primary key"}.get(str(origin), "")
    return SourceIndex(
        str(name), bool(unique), str(origin), tuple(terms), parsed.where, sql, clauses.names.get((what, columns), "")
    )


def _foreign_keys(db: Reader, table: str, clauses: Clauses) -> tuple[ForeignKey, ...]:
    grouped: dict[int, list[tuple]] = {}
    for row in db.rows(f"PRAGMA foreign_key_list({quoted(table)})"):
        grouped.setdefault(int(row[0]), []).append(row)
    out = []
    for number, rows in sorted(grouped.items()):
        rows.sort(key=lambda row: row[1])
        columns = tuple(str(row[3]) for row in rows)
        lower = tuple(name.lower() for name in columns)
        to = tuple(str(row[4]) for row in rows if row[4] is not None)
        out.append(
            ForeignKey(
                number, columns, str(rows[0][2]), to, str(rows[0][5]), str(rows[0][6]),
                lower in clauses.deferred, clauses.names.get(("foreign key", lower), ""),
            )
        )  # fmt: skip
    return tuple(out)
