# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a live source: its changelog, and what it says, brought into PostgreSQL.

The order of things: :func:`install`, the load (its snapshot is taken after the triggers are there, so that each change
is in the snapshot or in the changelog, or in both), :meth:`Follower.drain` while the application goes on, then
:meth:`Follower.cutover`, and when nobody wants to go back, :func:`remove`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..migration.catchup import CHANGES, CREATE, GUARD, PREFIX, Followed, followed, guards, triggers, upsert
from ..migration.chunks import Chunk
from ..migration.plan import Plan
from ..migration.problems import Stopped, ValueMisfit
from ..migration.wire_sql import loaded
from . import postgres, sqlite
from .pg_swap import set_sequence
from .pg_target import Target
from .postgres import quote
from .source_rows import Offender, exact_rows

#: Changes that are applied in one transaction of PostgreSQL.
BATCH = 2000


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
            db.execute(CREATE)
            for one in tables:
                for sql in triggers(one):
                    db.execute(sql)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


def remove(path: str, library: str = "auto", lock_timeout: float = 30.0) -> None:
    """Take changelog, triggers, and what refuses writes after a cutover, out of a source."""
    with sqlite.connect(path, library, lock_timeout, write=True) as db:
        db.execute("BEGIN IMMEDIATE")
        # GLOB: an underscore of LIKE would be any character.
        sql = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND (name GLOB ? OR name GLOB ?)"
        names = db.rows(sql, (f"{PREFIX}*", f"{GUARD}*"))
        for (name,) in names:
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
            rows = self._rows(limit)
            self._bring(rows, limit)
        finally:
            self.db.end()
        if rows:
            self.db.execute(f"DELETE FROM {CHANGES} WHERE seq <= ?", (rows[-1][0],))
        return len(rows)

    def _rows(self, limit: int) -> list[tuple]:
        return self.db.rows(f"SELECT seq, tab, k FROM {CHANGES} ORDER BY seq LIMIT ?", (limit,))

    def _bring(self, rows: list[tuple], limit: int) -> None:
        """Bring the rows over as they are now.

        They are read in one moment, later than some of their changes: a unique value may be taken still by a row whose
        own change comes later, or a parent not be there yet. With all changes of that moment there is no such thing.
        """
        try:
            self._transaction(rows, sweep=False)
        except (postgres.psycopg.errors.UniqueViolation, postgres.psycopg.errors.ForeignKeyViolation):
            # INSERT OR REPLACE takes rows away without a DELETE trigger: they are looked for as well.
            self._transaction(rows if len(rows) < limit else self._rows(-1), sweep=True)

    def _transaction(self, rows: list[tuple], sweep: bool) -> None:
        keys: dict[int, set[int]] = {}
        for _seq, number, key in rows:
            keys.setdefault(number, set()).add(key)
        todo = [(self.tables[number], sorted(touched)) for number, touched in keys.items() if number in self.tables]
        with self.connection.transaction():
            # Those that can be: see defer().
            self.connection.execute("SET CONSTRAINTS ALL DEFERRED")
            links = self._unlinked([one for one, _touched in todo]) if sweep else []
            for one, touched in todo:
                if sweep:
                    self._sweep(one, touched)
                self._delete(one, touched)
            for one, touched in todo:
                self._apply(one, touched)
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

    def _gone(self, one: Followed, keys: list[int]) -> list[int]:
        """Those of the keys that the source has not."""
        name, key = sqlite.quoted(one.table.name), sqlite.quoted(one.key.name)
        sql = f"SELECT value FROM json_each(?) WHERE value NOT IN (SELECT {key} FROM {name} WHERE {key} = value)"
        return [row[0] for row in self.db.rows(sql, (json.dumps(keys),))]

    def _delete(self, one: Followed, keys: list[int]) -> None:
        gone = self._gone(one, keys)
        if gone:
            there, key = f"{quote(self.schema)}.{quote(one.table.target)}", quote(one.key.target)
            self.connection.execute(f"DELETE FROM {there} WHERE {key} = ANY(%s)", (gone,))

    def _sweep(self, one: Followed, touched: list[int]) -> None:
        """Take away what the source has no more, noted or not, and the rows that come anew: two of them may have
        exchanged a unique value."""
        there, key = f"{quote(self.schema)}.{quote(one.table.target)}", quote(one.key.target)
        extra = list(touched)
        with self.connection.cursor("landfall_sweep") as cursor:
            cursor.execute(f"SELECT {key} FROM {there}")
            while batch := cursor.fetchmany(5000):
                extra += self._gone(one, [row[0] for row in batch])
        self.connection.execute(f"DELETE FROM {there} WHERE {key} = ANY(%s)", (extra,))

    def defer(self, deferred: bool = True) -> None:
        """Let foreign keys of the target be checked at the end of a transaction, or as they were planned again."""
        planned = {link.name for table in self.plan.tables for link in table.links if "DEFERRABLE" in link.sql.upper()}
        links = self.connection.execute(
            "SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'f' AND n.nspname = %s "
            "AND c.relname = ANY(%s) AND k.conparentid = 0",
            (self.schema, [one.table.target for one in self.tables.values()]),
        ).fetchall()
        how = "DEFERRABLE INITIALLY IMMEDIATE" if deferred else "NOT DEFERRABLE"
        for table, name in links:
            if name not in planned:
                there = f"{quote(self.schema)}.{quote(table)}"
                self.connection.execute(f"ALTER TABLE {there} ALTER CONSTRAINT {quote(name)} {how}")

    def _apply(self, one: Followed, keys: list[int]) -> None:
        there = f"{quote(self.schema)}.{quote(one.table.target)}"
        self.connection.execute("DROP TABLE IF EXISTS landfall_rows")
        names = ", ".join(quote(column.target) for column in loaded(one.table))
        self.connection.execute(f"CREATE TEMP TABLE landfall_rows AS SELECT {names} FROM {there} WITH NO DATA")
        copy = f"COPY landfall_rows ({names}) FROM STDIN (FORMAT BINARY)"
        postgres.copy_blocks(self.connection, copy, self._read(one, keys))
        self.connection.execute(upsert(one, self.schema))

    def _read(self, one: Followed, keys: list[int]) -> Iterator[bytes]:
        for first, last in _runs(keys):
            for row in exact_rows(self.db, one.table, Chunk(one.number, 0, first, last), self.encoding, {}):
                if isinstance(row, Offender):
                    raise ValueMisfit(row.found)
                yield row

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
        """The last changes, with the source's write lock held: writers wait, or are refused by their own timeout.

        Before the lock goes every table refuses writes, so that none of a forgotten process is lost in silence.

        :param switch: what sends the application to PostgreSQL; when it raises, nothing has happened to the source
        :returns: {applied, seconds}: for so long no write was taken
        """
        self.db.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        try:
            rows = self._rows(-1)
            self._bring(rows, 1 << 62)
            for one in self.tables.values():
                set_sequence(self.target, one.table, self.schema)
            switch()
            for one in self.tables.values():
                for sql in guards(one):
                    self.db.execute(sql)
            self.db.execute(f"DELETE FROM {CHANGES}")
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        seconds = round(time.monotonic() - began, 3)
        self.defer(False)
        return {"applied": len(rows), "seconds": seconds}


def _runs(keys: list[int]) -> Iterator[tuple[int, int]]:
    """Keys as ranges of neighbours."""
    first = last = keys[0]
    for key in keys[1:]:
        if key != last + 1:
            yield first, last
            first = key
        last = key
    yield first, last
