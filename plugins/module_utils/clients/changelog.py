# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a live source: its changelog, and what it says, brought into PostgreSQL.

The order of things: :func:`install`, the load (its snapshot is taken after the triggers are there, so that each change
is in the snapshot or in the changelog, or in both), :meth:`Follower.drain` while the application goes on, then
:func:`cutover`, and when nobody wants to go back, :func:`remove`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..migration.catchup import CHANGES, CREATE, GUARD, PREFIX, Followed, followed, guards, triggers, upsert
from ..migration.chunks import Chunk
from ..migration.plan import Plan, Table
from ..migration.problems import Stopped, ValueMisfit
from ..migration.wire import Misfit, row_bytes
from ..migration.wire_sql import exact_encoder, loaded
from . import postgres, sqlite
from .pg_swap import set_sequence
from .pg_target import Target
from .postgres import quote
from .source_rows import Offender, exact_rows

#: Changes that are applied in one transaction of PostgreSQL.
BATCH = 2000
Key = tuple[Any, ...]


def install(path: str, plan: Plan, library: str = "auto", lock_timeout: float = 30.0, source: int = 0) -> None:
    """Make changelog and triggers in a source, in one transaction. Nothing happens to what is there already.

    :raises Stopped: when a table cannot be followed
    """
    tables, faults = followed(plan, source)
    if faults:
        raise Stopped("; ".join(faults) + ". Leave them out with exclude, or migrate with the application stopped")
    with sqlite.connect(path, library, lock_timeout, write=True) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            note(db, tables)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


def note(db: sqlite.Database, tables: Iterable[Followed]) -> None:
    """Make changelog and triggers, in the transaction that is open."""
    db.execute(CREATE)
    for one in tables:
        for sql in triggers(one):
            db.execute(sql)


def guard(db: sqlite.Database, tables: Iterable[Followed]) -> None:
    """Have the tables refuse every write from now on, in the transaction that is open."""
    for one in tables:
        for sql in guards(one):
            db.execute(sql)


def own_triggers(db: sqlite.Database, *prefixes: str) -> list[str]:
    """Names of the triggers that were made here; of the changelog, or of what refuses writes, or of both."""
    # GLOB: an underscore of LIKE would be any character.
    tests = " OR ".join("name GLOB ?" for _one in prefixes)
    rows = db.rows(f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND ({tests})", [f"{p}*" for p in prefixes])
    return [row[0] for row in rows]


def remove(path: str, library: str = "auto", lock_timeout: float = 30.0) -> None:
    """Take changelog, triggers, and what refuses writes after a cutover, out of a source."""
    with sqlite.connect(path, library, lock_timeout, write=True) as db:
        db.execute("BEGIN IMMEDIATE")
        for name in own_triggers(db, PREFIX, GUARD):
            db.execute(f"DROP TRIGGER {sqlite.quoted(name)}")
        db.execute(f"DROP TABLE IF EXISTS {CHANGES}")
        db.execute("COMMIT")


class Follower:
    """Brings changes of one source over.

    How far it is stands in PostgreSQL, in the transaction of the changes; what is applied is then taken out of the
    changelog. A kill between the two only means that changes are applied twice.
    """

    def __init__(
        self,
        plan: Plan,
        target: Target,
        path: str,
        schema: str,
        library: str = "auto",
        lock: float = 30.0,
        source: int = 0,
    ) -> None:
        self.target, self.plan, self.schema, self.source = target, plan, schema, source
        self.connection = target.connection
        self.db = sqlite.connect(path, library, lock, write=True)
        self.encoding = str(self.db.value("PRAGMA encoding"))
        self.tables = {one.number: one for one in followed(plan, source)[0]}
        self.defer()

    def close(self) -> None:
        """Close the source."""
        self.db.close()

    def pending(self) -> int:
        """Changes that are not applied yet."""
        return int(self.db.value(f"SELECT count(*) FROM {CHANGES}"))

    def apply(self, limit: int = BATCH) -> int:
        """Apply the oldest changes, at most :param limit:. How many there were."""
        self.db.begin()
        try:
            rows = self.changes(limit)
            self.bring(rows, limit)
        finally:
            self.db.end()
        if rows:
            self.db.execute(f"DELETE FROM {CHANGES} WHERE seq <= ?", (rows[-1][0],))
        return len(rows)

    def changes(self, limit: int = -1) -> list[tuple]:
        """The oldest changes: seq, table, key."""
        width = max((len(one.keys) for one in self.tables.values()), default=1)
        keys = ", ".join(f"k{number}" for number in range(width))
        return self.db.rows(f"SELECT seq, tab, {keys} FROM {CHANGES} ORDER BY seq LIMIT ?", (limit,))

    def bring(self, rows: list[tuple], limit: int = 1 << 62) -> None:
        """Bring the rows over as they are now.

        They are read in one moment, later than some of their changes: a unique value may be taken still by a row whose
        own change comes later, or a parent not be there yet. With all changes of that moment there is no such thing.
        """
        try:
            self._transaction(rows, sweep=False)
        except (postgres.psycopg.errors.UniqueViolation, postgres.psycopg.errors.ForeignKeyViolation):
            # INSERT OR REPLACE takes rows away without a DELETE trigger: they are looked for as well.
            self._transaction(rows if len(rows) < limit else self.changes(), sweep=True)

    def _transaction(self, rows: list[tuple], sweep: bool) -> None:
        touched: dict[int, set[tuple[str, Key]]] = {}
        for _seq, number, *values in rows:
            if number in self.tables:
                key = tuple(values[: len(self.tables[number].keys)])
                # 1 and 1.0 are equal in Python, and are two keys.
                touched.setdefault(number, set()).add((repr(key), key))
        todo = [(self.tables[number], [key for _said, key in sorted(keys)]) for number, keys in touched.items()]
        with self.connection.transaction():
            # Those that can be: see defer().
            self.connection.execute("SET CONSTRAINTS ALL DEFERRED")
            links = self._unlinked([one for one, _keys in todo]) if sweep else []
            rowids: list[list[int]] = []
            for one, keys in todo:
                there, gone = self._look(one, keys)
                rowids.append(there)
                if sweep:
                    self._sweep(one)
                    gone = keys
                self._delete(one, gone)
            for (one, _keys), there in zip(todo, rowids, strict=True):
                self._apply(one, there)
            for table, name, definition in links:
                self.connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")

    def _unlinked(self, touched: list[Followed]) -> list[tuple]:
        """Drop the foreign keys that point to these tables, and say how to make them again.

        Rows are taken away and come back, which must not take others along (ON DELETE CASCADE).
        """
        links = self.connection.execute(
            "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(k.oid) FROM pg_constraint k "
            "JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = %s AND c.relname = ANY(%s)",
            (self.schema, [one.table.target for one in touched]),
        ).fetchall()
        for table, name, _definition in links:
            self.connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        return links

    def _look(self, one: Followed, keys: list[Key]) -> tuple[list[int], list[Key]]:
        """The rowids of the rows that have these keys, and the keys that no row has (to the letter: a collation may
        find the row under another spelling)."""
        names = [sqlite.quoted(key.name) for key in one.keys]
        test = " AND ".join(f"{name} IS ?" for name in names)
        rowid, table = sqlite.quoted(one.table.rowid), sqlite.quoted(one.table.name)
        sql = f"SELECT {rowid}, {', '.join(names)} FROM {table} WHERE {test}"
        rowids: set[int] = set()
        gone: list[Key] = []
        for key in keys:
            found = self.db.rows(sql, key)
            rowids.update(row[0] for row in found)
            if repr(key) not in {repr(tuple(row[1:])) for row in found}:
                gone.append(key)
        return sorted(rowids), gone

    def _delete(self, one: Followed, keys: list[Key]) -> None:
        if keys:
            self._matched(one, keys, "DELETE FROM {there} t USING landfall_keys k WHERE {same}")

    def _sweep(self, one: Followed) -> None:
        """Take away the rows that the source has no more, noted or not."""
        names = ", ".join(sqlite.quoted(key.name) for key in one.keys)
        every = self.db.query(f"SELECT {names} FROM {sqlite.quoted(one.table.name)}")
        sql = "DELETE FROM {there} t WHERE NOT EXISTS (SELECT 1 FROM landfall_keys k WHERE {same})"
        self._matched(one, every, sql)

    def _matched(self, one: Followed, keys: Iterable[Key], sql: str) -> int:
        """Run a statement with these keys in the temporary table ``landfall_keys``."""
        there = f"{quote(self.schema)}.{quote(one.table.target)}"
        names = [quote(key.target) for key in one.keys]
        encoders = [exact_encoder(key) for key in one.keys]

        def encoded() -> Iterator[bytes]:
            for key in keys:
                try:
                    yield row_bytes([encode(value) for encode, value in zip(encoders, key, strict=True)])
                except Misfit:
                    continue  # What does not fit was never there.

        self._empty("landfall_keys", names, there)
        copy = f"COPY landfall_keys ({', '.join(names)}) FROM STDIN (FORMAT BINARY)"
        postgres.copy_blocks(self.connection, copy, encoded())
        self.connection.execute("ANALYZE landfall_keys")
        same = " AND ".join(f"t.{name} = k.{name}" for name in names)
        return int(self.connection.execute(sql.format(there=there, same=same)).rowcount)

    def _empty(self, name: str, columns: Sequence[str], there: str) -> None:
        self.connection.execute(f"DROP TABLE IF EXISTS {name}")
        self.connection.execute(f"CREATE TEMP TABLE {name} AS SELECT {', '.join(columns)} FROM {there} WITH NO DATA")

    def sweep(self) -> None:
        """Take away all rows that the source has no more: of tables that INSERT OR REPLACE has taken some from."""
        with self.connection.transaction():
            self.connection.execute("SET CONSTRAINTS ALL DEFERRED")
            for one in self.tables.values():
                self._sweep(one)

    def defer(self, deferred: bool = True) -> None:
        """Let foreign keys of the target be checked at the end of a transaction, or as they were planned again."""
        planned = {link.name for table in self.plan.tables for link in table.links if "DEFERRABLE" in link.sql.upper()}
        links = self.connection.execute(
            "SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'f' AND n.nspname = %s "
            "AND c.relname = ANY(%s) AND k.conparentid = 0 AND k.condeferrable <> %s",
            (self.schema, [one.table.target for one in self.tables.values()], deferred),
        ).fetchall()
        how = "DEFERRABLE INITIALLY IMMEDIATE" if deferred else "NOT DEFERRABLE"
        for table, name in links:
            if name not in planned:
                there = f"{quote(self.schema)}.{quote(table)}"
                self.connection.execute(f"ALTER TABLE {there} ALTER CONSTRAINT {quote(name)} {how}")

    def _apply(self, one: Followed, rowids: list[int]) -> None:
        if not rowids:
            return
        there = f"{quote(self.schema)}.{quote(one.table.target)}"
        names = [quote(column.target) for column in loaded(one.table)]
        self._empty("landfall_rows", names, there)
        copy = f"COPY landfall_rows ({', '.join(names)}) FROM STDIN (FORMAT BINARY)"
        postgres.copy_blocks(self.connection, copy, self._read(one, rowids))
        self.connection.execute(upsert(one, self.schema))

    def _read(self, one: Followed, rowids: list[int]) -> Iterator[bytes]:
        for first, last in _runs(rowids):
            for row in exact_rows(self.db, one.table, Chunk(one.number, 0, first, last), self.encoding, {}):
                if isinstance(row, Offender):
                    raise ValueMisfit(row.found)
                yield row

    def given_out(self, table: Table) -> Table:
        """The table with what its AUTOINCREMENT has given out until now, also to rows that are gone again."""
        if table.sequence is None or not self.db.row("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
            return table
        last = int(self.db.value("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)) or 0)
        return replace(table, sequence=(table.sequence[0], max(table.sequence[1], last + 1)))

    def drain(self, enough: int = 200, seconds: float = 600.0) -> int:
        """Apply changes until few are left. How many were applied. :raises Stopped: they come faster than they go"""
        until, applied = time.monotonic() + seconds, 0
        while True:
            applied += self.apply()
            if self.pending() <= enough:
                return applied
            if time.monotonic() > until:
                raise Stopped(f"after {seconds:.0f} s {self.pending()} changes are left: they come faster than they go")

    def cutover(self, switch: Callable[[], Any] = lambda: None) -> dict[str, Any]:
        """:func:`cutover` of this source alone."""
        return cutover([self], switch)


def cutover(followers: Sequence[Follower], switch: Callable[[], Any] = lambda: None) -> dict[str, Any]:
    """The last changes, with the write locks of all sources held: writers wait, or are refused by their own timeout.

    Before the locks go every table refuses writes, so that none of a forgotten process is lost in silence. A kill
    between the sources leaves some of them open; the next cutover brings what they were given, and closes them.

    :param switch: what is done when PostgreSQL has all; when it raises, nothing has happened to the sources
    :returns: {applied, seconds}: for so long no write was taken
    """
    locked: list[Follower] = []
    applied = 0
    began = time.monotonic()
    try:
        for one in followers:
            one.db.execute("BEGIN IMMEDIATE")
            locked.append(one)
        for one in followers:
            rows = one.changes()
            one.bring(rows)
            applied += len(rows)
            for table in one.tables.values():
                set_sequence(one.target, one.given_out(table.table), one.schema)
        switch()
        for one in followers:
            guard(one.db, one.tables.values())
            one.db.execute(f"DELETE FROM {CHANGES}")
        while locked:
            locked[0].db.execute("COMMIT")
            locked.pop(0)
    except BaseException:
        for one in locked:
            one.db.execute("ROLLBACK")
        raise
    seconds = round(time.monotonic() - began, 3)
    for one in followers:
        one.defer(False)
    return {"applied": applied, "seconds": seconds}


def _runs(keys: list[int]) -> Iterator[tuple[int, int]]:
    """Keys as ranges of neighbours."""
    first = last = keys[0]
    for key in keys[1:]:
        if key != last + 1:
            yield first, last
            first = key
        last = key
    yield first, last
