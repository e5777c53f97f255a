# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was written to PostgreSQL since the cutover, brought back into the SQLite files: one transaction for each file.

Only rows that were noted are looked at (see pg_changes.py). A row is read in PostgreSQL as it is now; a column that
says the same as SQLite's keeps SQLite's value, another gets the value that would become PostgreSQL's (see
going_back.py). Every row that is written is read again, and compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..migration.canonical import compared
from ..migration.catchup import CHANGES, GUARD, PREFIX, Followed, followed
from ..migration.going_back import Impossible, WayBack
from ..migration.plan import Plan
from . import changelog, sqlite
from .pg_journal import SCHEMA
from .postgres import Connection, quote

Row = tuple[Any, ...]


@dataclass
class Outcome:
    """:ivar written: rows, :ivar deleted: rows, :ivar left: what cannot go back: table, key, reason, record"""

    written: int = 0
    deleted: int = 0
    left: list[dict[str, Any]] = field(default_factory=list)


class Incomplete(Exception):
    """Something cannot be brought back; nothing was changed. :ivar left: what"""

    def __init__(self, left: Sequence[dict[str, Any]]) -> None:
        super().__init__(f"{len(left)} rows cannot be brought back")
        self.left = list(left)


def bring_back(
    plan: Plan,
    connection: Connection,
    paths: Sequence[str],
    library: str,
    lock: float,
    incomplete: bool,
    others: Sequence[str] = (),
) -> Outcome:
    """Bring all sources up to what PostgreSQL has, and open them for writes. PostgreSQL must refuse writes meanwhile.

    A source that takes writes already was brought back by a run that was killed later, and is left alone.

    :param connection: of its own, after verifier.numbers_only, :param incomplete: go back without what cannot go back
    :param others: tables of the schema, and columns as ``table.column``, that were there and are not moved
    :raises Incomplete: unless told :param incomplete:; no source was changed
    """
    outcome = Outcome(left=list(outside(connection, plan, others)))
    databases = [sqlite.connect(path, library, lock, write=True) for path in paths]
    begun: list[sqlite.Database] = []
    try:
        for number, db in enumerate(databases):
            db.execute("BEGIN IMMEDIATE")
            begun.append(db)
            if changelog.own_triggers(db, GUARD):
                _source(plan, number, db, connection, outcome)
        if outcome.left and not incomplete:
            raise Incomplete(outcome.left)
        while begun:
            begun[0].execute("COMMIT")
            begun.pop(0)
    except BaseException:
        for db in begun:
            db.execute("ROLLBACK")
        raise
    finally:
        for db in databases:
            db.close()
    return outcome


def columns_of(connection: Connection, schema: str) -> dict[str, list[str]]:
    """The tables of a schema, each with its columns, but for the generated ones."""
    found: dict[str, list[str]] = {}
    sql = (
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a "
        "ON a.attrelid = c.oid WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND a.attnum > 0 "
        "AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY 1, a.attnum"
    )
    for table, column in connection.execute(sql, (schema,)).fetchall():
        found.setdefault(table, []).append(column)
    return found


def outside(connection: Connection, plan: Plan, others: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Tables and columns of the schema that were not there at the move, and hold something."""
    known = {table.target: {column.target for column in table.columns} for table in plan.tables}
    for name, names in columns_of(connection, plan.schema).items():
        there = f"{quote(plan.schema)}.{quote(name)}"
        if name not in known:
            if name not in others and connection.execute(f"SELECT EXISTS (SELECT 1 FROM {there})").fetchone()[0]:
                yield {"table": name, "key": "*", "reason": "SQLite has no such table; it is new since the move"}
            continue
        for column in names:
            test = f"SELECT EXISTS (SELECT 1 FROM {there} WHERE {quote(column)} IS NOT NULL)"
            new = column not in known[name] and f"{name}.{column}" not in others
            if new and connection.execute(test).fetchone()[0]:
                yield {"table": name, "key": "*", "reason": f"SQLite has no column {column}; it was not migrated"}


def _source(plan: Plan, number: int, db: sqlite.Database, connection: Connection, outcome: Outcome) -> None:
    tables = followed(plan, number)[0]
    names = [one.table.name for one in tables]
    marks = ", ".join("?" for _name in names)
    found = db.rows(f"SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ({marks})", names)
    for name, _sql in found:
        db.execute(f"DROP TRIGGER {sqlite.quoted(name)}")
    for one in tables:
        _Back(plan, one, db, connection, outcome).run()
    for name, sql in found:
        if not name.startswith((PREFIX, GUARD)):
            db.execute(sql)
    # From here on SQLite is followed again: another move needs no load.
    changelog.note(db, tables)
    db.execute(f"DELETE FROM {CHANGES}")


class _Back:
    """One table."""

    def __init__(
        self, plan: Plan, one: Followed, db: sqlite.Database, connection: Connection, outcome: Outcome
    ) -> None:
        self.plan, self.one, self.db, self.connection, self.outcome = plan, one, db, connection, outcome
        self.columns = one.table.columns
        self.there = f"{quote(plan.schema)}.{quote(one.table.target)}"
        self.name = sqlite.quoted(one.table.name)
        self.ways = {column.name: WayBack(column, self._sample(column.name)) for column in self.columns}
        self.at = [[column.name for column in self.columns].index(key.name) for key in one.keys]
        shown = db.rows(f"PRAGMA table_xinfo({self.name})")
        #: all columns that are stored, those that were not migrated too
        self.stored = [str(row[1]) for row in shown if not row[6]]
        alias = len(one.keys) == 1 and any(row[1] == one.keys[0].name and row[2].upper() == "INTEGER" for row in shown)
        self.rowid = "" if alias else one.table.rowid

    def _sample(self, column: str) -> Any:
        name = sqlite.quoted(column)
        return self.db.value(f"SELECT {name} FROM {self.name} WHERE {name} IS NOT NULL LIMIT 1")

    # -- PostgreSQL ------------------------------------------------------------------------------------------------
    def _select(self, sql: str, columns: Sequence[Any], values: Sequence[Any] = ()) -> list[Row]:
        """Rows of these columns, as going_back.py takes them. :param sql: what comes after the SELECT's list"""
        listed = ", ".join(compared(column).target for column in columns)
        with self.connection.cursor(binary=True) as cursor:
            rows: list[Row] = cursor.execute(f"SELECT {listed} FROM {sql}", values or None).fetchall()
        return rows

    def _noted(self) -> tuple[list[Row], list[Row]]:
        """Rows as they are now, and keys of rows that were written; after a TRUNCATE all of both."""
        which = (self.plan.staging, self.one.number)
        mine = f"{SCHEMA}.changes WHERE staging = %s AND tab = %s"
        if self.connection.execute(f"SELECT EXISTS (SELECT 1 FROM {mine} AND key IS NULL)", which).fetchone()[0]:
            return self._select(self.there, self.columns), self._every_key()
        types = dict(
            self.connection.execute(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass "
                "AND attnum > 0 AND NOT attisdropped",
                (self.there,),
            ).fetchall()
        )
        names = [quote(key.target) for key in self.one.keys]
        casts = ", ".join(
            f"key[{number}]::{types[key.target]} AS {name}"
            for number, (key, name) in enumerate(zip(self.one.keys, names, strict=True), 1)
        )
        keys = f"(SELECT DISTINCT {casts} FROM {mine})"
        rows = self._select(f"{self.there} WHERE ({', '.join(names)}) IN {keys}", self.columns, which)
        return rows, self._select(f"{keys} AS noted", self.one.keys, which)

    def _every_key(self) -> list[Row]:
        names = ", ".join(sqlite.quoted(key.name) for key in self.one.keys)
        forms = [compared(key).source_form for key in self.one.keys]
        return [
            tuple(form(value) if form else value for form, value in zip(forms, row, strict=True))
            for row in self.db.rows(f"SELECT {names} FROM {self.name}")
        ]

    # -- SQLite ----------------------------------------------------------------------------------------------------
    def _find(self, key: Row) -> dict[str, Any] | None:
        """The row with this key of PostgreSQL, all its stored columns, with its rowid under ""."""
        test = " AND ".join(f"{sqlite.quoted(one.name)} IS ?" for one in self.one.keys)
        listed = ", ".join(sqlite.quoted(name) for name in self.stored)
        sql = f"SELECT {sqlite.quoted(self.one.table.rowid)}, {listed} FROM {self.name} WHERE {test}"
        ways = [self.ways[one.name] for one in self.one.keys]
        choices = [way.values(value) for way, value in zip(ways, key, strict=True)]
        for values in itertools.islice(itertools.product(*choices), 64):
            for row in self.db.rows(sql, values):
                found = dict(zip(("", *self.stored), row, strict=True))
                # A collation may find another spelling.
                if all(way.is_that(found[way.column.name], value) for way, value in zip(ways, key, strict=True)):
                    return found
        return None

    def run(self) -> None:
        rows, keys = self._noted()
        wanted = {repr(self._key(row)): row for row in rows}
        touched = {repr(key): key for key in [*keys, *map(self._key, rows)]}
        old = {said: self._find(key) for said, key in touched.items()}
        new: dict[str, dict[str, Any]] = {}
        left: set[str] = set()
        for said, row in wanted.items():
            try:
                made = self._made(row, old[said])
            except Impossible as problem:
                self._leave(touched[said], row, str(problem))
                left.add(said)
                continue
            if made is not None:
                new[said] = made
        # All that changes goes first: unique values may have changed places.
        for said in touched:
            before = old[said]
            if before is not None and (said in new or (said not in wanted and said not in left)):
                self.db.execute(
                    f"DELETE FROM {self.name} WHERE {sqlite.quoted(self.one.table.rowid)} = ?", (before[""],)
                )
                self.outcome.deleted += said not in new
        # Rows that were there keep their rowids; SQLite must not give those to new ones.
        for said, values in sorted(new.items(), key=lambda one: "" not in one[1]):
            self._put(values, touched[said], wanted[said], old[said])
        self._sequence()

    def _key(self, row: Row) -> Row:
        return tuple(row[at] for at in self.at)

    def _made(self, row: Row, before: dict[str, Any] | None) -> dict[str, Any] | None:
        """The row for SQLite, None when it is there as it must be. :raises Impossible:"""
        made = dict(before or {})
        same = before is not None
        for column, wanted in zip(self.columns, row, strict=True):
            way = self.ways[column.name]
            if before is not None and column.name in before and way.is_that(before[column.name], wanted):
                continue
            if column.name in self.stored:
                made[column.name] = way.value(wanted)
                same = False
        return None if same else made

    def _put(self, values: dict[str, Any], key: Row, row: Row, before: dict[str, Any] | None) -> None:
        try:
            self._insert(values)
        except sqlite.Refused as problem:
            self._leave(key, row, problem.reason)
            if before is not None:
                self._insert(before)
            return
        found = self._find(key)
        wrong = [
            column.name
            for column, wanted in zip(self.columns, row, strict=True)
            if found is None
            or (column.name in found and not self.ways[column.name].is_that(found[column.name], wanted))
        ]
        if wrong:
            self._leave(key, row, f"SQLite keeps another value in {', '.join(wrong)}")
        self.outcome.written += 1

    def _insert(self, values: dict[str, Any]) -> None:
        names = [name for name in self.stored if name in values]
        given = [values[name] for name in names]
        if self.rowid and "" in values:
            names.append(self.rowid)
            given.append(values[""])
        listed = ", ".join(sqlite.quoted(name) for name in names)
        marks = ", ".join("?" for _name in names)
        self.db.execute(f"INSERT INTO {self.name} ({listed}) VALUES ({marks})", given)

    def _leave(self, key: Row, row: Row, reason: str) -> None:
        record = {column.target: _plain(value) for column, value in zip(self.columns, row, strict=True)}
        shown = ", ".join(f"{one.target}={value!r}" for one, value in zip(self.one.keys, key, strict=True))
        self.outcome.left.append({"table": self.one.table.target, "key": shown, "reason": reason, "record": record})

    def _sequence(self) -> None:
        """What an AUTOINCREMENT has given out, PostgreSQL's identity included: a key is never given twice."""
        if self.one.table.sequence is None or not self.db.row(
            "SELECT 1 FROM sqlite_master WHERE name='sqlite_sequence'"
        ):
            return
        column = next((c.target for c in self.columns if self.one.table.sequence[0] in (c.name, c.target)), "")
        found = self.connection.execute("SELECT pg_get_serial_sequence(%s, %s)", (self.there, column)).fetchone()
        if not column or not found[0]:
            return
        last, called = self.connection.execute(f"SELECT last_value, is_called FROM {found[0]}").fetchone()
        self.db.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?",
            (last if called else last - 1, self.one.table.name),
        )


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    return value.hex() if isinstance(value, bytes) else value
