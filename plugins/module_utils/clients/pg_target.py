# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The target: what PostgreSQL must be, the staging tables, what comes after the load, and the swap."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from ..migration.constraints import relation
from ..migration.plan import Plan, Statement, Table
from ..migration.problems import Stopped
from ..migration.wire_sql import loaded
from .pg_journal import QUARANTINE, Journal
from .postgres import Connection, connect, one, psycopg, quote

OLDEST_SERVER = 130000
#: For the index builds of this session.
WORK_MEM = "256MB"
#: Seconds the swap waits for the locks of others on what it replaces.
SWAP_LOCK = "10s"


def filled(statement: Statement, schema: str) -> str:
    """A statement's SQL for a schema."""
    return statement.sql.replace("{schema}", quote(schema))


class Target:
    """A database of PostgreSQL. :ivar replace: tables that are there may go, :ivar append: rows are added to them"""

    def __init__(self, dsn: str, plan: Plan, name: str = "landfall migration", on_existing: str = "refuse") -> None:
        self.dsn, self.plan, self.on_existing = dsn, plan, on_existing
        self.connection: Connection = connect(dsn, name)

    # -- before anything -------------------------------------------------------------------------------------------
    def problems(self) -> list[str]:
        """What keeps this server from taking the plan, each with what to do; [] when nothing does. Changes nothing."""
        found, get = [], self.connection
        version = get.info.server_version
        if version < OLDEST_SERVER:
            found.append(f"PostgreSQL {version // 10000} is too old; 13 or newer is needed")
        encoding = one(get, "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()")
        if encoding != "UTF8":
            found.append(f"the database's encoding is {encoding}; make it anew with ENCODING 'UTF8' TEMPLATE template0")
        if one(get, "SELECT pg_is_in_recovery()"):
            found.append("the server is a standby, which takes no writes; give the DSN of its primary")
        elif one(get, "SELECT current_setting('default_transaction_read_only')") == "on":
            found.append("the database is read-only for this user (default_transaction_read_only is on)")
        if not one(get, "SELECT has_database_privilege(current_database(), 'CREATE')"):
            user, base = get.execute("SELECT current_user, current_database()").fetchone()
            found.append(
                f"the user {user} may not make a schema; as an administrator: GRANT CREATE ON DATABASE "
                f"{quote(base)} TO {quote(user)}"
            )
        schema = self.plan.schema
        there = one(get, "SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,))
        if there and not one(get, "SELECT has_schema_privilege(%s, 'CREATE')", (schema,)):
            found.append(
                f"this user may not make tables in the schema {schema}: GRANT CREATE ON SCHEMA {quote(schema)}"
            )
        return found + self._room() + (self._existing() if self.plan.mode == "existing" else self._taken())

    def _room(self) -> list[str]:
        """Best effort: only where the server's files are on this host and can be seen."""
        needed = 3 * sum(table.bytes for table in self.plan.tables)
        try:
            where = one(self.connection, "SELECT current_setting('data_directory')")
            disk = os.statvfs(where)
        except (OSError, psycopg.Error, TypeError):
            return []
        free = disk.f_bavail * disk.f_frsize
        if free >= needed:
            return []
        return [f"{where} has {free >> 20} MB free, and about {needed >> 20} MB are needed (tables, indexes, WAL)"]

    def _there(self, table: Table) -> str:
        """Kind of what has the table's name in the target schema, "" when nothing does."""
        sql = (
            "SELECT relkind FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname=%s AND relname=%s"
        )
        kind = one(self.connection, sql, (self.plan.schema, table.target))
        return kind.decode() if isinstance(kind, bytes) else kind or ""

    def complete(self) -> bool:
        """Whether all tables are in the target schema."""
        return all(self._there(table) for table in self.plan.tables)

    def _rows(self, table: Table) -> bool:
        sql = f"SELECT EXISTS (SELECT 1 FROM {quote(self.plan.schema)}.{quote(table.target)})"
        return bool(one(self.connection, sql))

    def _taken(self) -> list[str]:
        if self.on_existing == "append":
            return ["on_existing: append is for the mode existing only"]
        taken = [table.target for table in self.plan.tables if self._there(table)]
        if not taken or self.on_existing == "replace":
            return []
        return [
            f"the schema {self.plan.schema} has {', '.join(taken)} already. Set on_existing: replace to have them "
            "replaced (in one transaction, at the end), another schema, or mode: existing to load into them"
        ]

    def _existing(self) -> list[str]:
        found = []
        for table in self.plan.tables:
            if self._there(table) not in ("r", "p"):
                found.append(
                    f"there is no table {self.plan.schema}.{table.target}; create the application's schema first"
                )
            elif self.on_existing == "refuse" and self._rows(table):
                found.append(
                    f"{self.plan.schema}.{table.target} is not empty. Set on_existing: replace to have its rows "
                    "replaced, or append to have rows added"
                )
        return found

    # -- staging ---------------------------------------------------------------------------------------------------
    def create(self, journal: Journal) -> None:
        """The staging tables."""
        plan, staging = self.plan, quote(self.plan.staging)
        with self.connection.transaction():
            for table in plan.tables:
                if plan.mode == "existing":
                    self._like(table)
                    continue
                for statement in table.before:
                    self._run(self.connection, statement, table)
                self.connection.execute(table.create.replace("{schema}", staging))
            journal.note("create")

    def _like(self, table: Table) -> None:
        """An empty table of the application's columns that are loaded: their types, and what may not be NULL."""
        names = ", ".join(quote(column.target) for column in loaded(table))
        staging = f"{quote(self.plan.staging)}.{quote(table.target)}"
        there = f"{quote(self.plan.schema)}.{quote(table.target)}"
        self.connection.execute(f"CREATE TABLE {staging} AS SELECT {names} FROM {there} WITH NO DATA")
        for column in loaded(table):
            if column.not_null:
                self.connection.execute(f"ALTER TABLE {staging} ALTER {quote(column.target)} SET NOT NULL")

    def _run(self, connection: Connection, statement: Statement, table: Table | None) -> None:
        try:
            connection.execute(filled(statement, self.plan.staging))
        except psycopg.Error as problem:
            where = f"table {table.target}: " if table else ""
            detail = f" ({problem.diag.message_detail})" if problem.diag.message_detail else ""
            raise Stopped(
                f"{where}{statement.what} {statement.name} cannot be made: {problem.diag.message_primary or problem}"
                f"{detail}. Correct the source, or leave it out with exclude; run again to go on from here"
            ) from problem

    def finish(self, journal: Journal, connections: int = 2) -> None:
        """Indexes, on some connections; then keys of them, checks, and foreign keys, checked when all are there."""
        if self.plan.mode == "existing":
            return
        self._in_parallel(journal, self._tasks("index"), connections)
        self._in_parallel(journal, self._tasks("constraint"), connections)
        self._in_parallel(journal, self._tasks("link"), 1)
        self._in_parallel(journal, self._tasks("validate"), connections)

    def _tasks(self, stage: str) -> list[list[tuple[str, Table, Statement]]]:
        """Statements of a stage, in lists that must keep their order; what takes longest comes first."""
        lists = []
        for table in sorted(self.plan.tables, key=lambda table: -table.bytes):
            chosen = [
                (f"{table.target}/{stage}/{number}", table, statement)
                for number, statement in enumerate((*table.after, *table.links))
                if _stage(statement, number >= len(table.after)) == stage
            ]
            lists += [[task] for task in chosen] if stage == "index" else [chosen]
        lists = [tasks for tasks in lists if tasks]
        if stage == "index":
            lists.sort(key=lambda tasks: -_effort(tasks[0][1], tasks[0][2]))
        return lists

    def _in_parallel(self, journal: Journal, lists: list[list[tuple[str, Table, Statement]]], count: int) -> None:
        done, queue, failed = journal.steps(), SimpleQueue(), []  # type: ignore[var-annotated]
        for tasks in lists:
            rest = [task for task in tasks if task[0] not in done]
            if rest:
                queue.put(rest)

        def work() -> None:
            try:
                connection = connect(self.dsn, "landfall migration: index")
                connection.execute(f"SET maintenance_work_mem = '{WORK_MEM}'")
                # A step that a crash loses is lost with its line in the journal, and done again.
                connection.execute("SET synchronous_commit = off")
                with connection:
                    while not failed:
                        for step, table, statement in queue.get_nowait():
                            with connection.transaction():
                                self._run(connection, statement, table)
                                journal.note(step, connection)
            except Empty:
                pass
            except Exception as problem:
                failed.append(problem)

        threads = [threading.Thread(target=work) for _number in range(min(count, queue.qsize()))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0] if isinstance(failed[0], Stopped) else Stopped(str(failed[0])) from failed[0]

    def analyze(self, journal: Journal, connections: int = 2) -> None:
        """Statistics for the planner, before the new tables are used; on some connections."""
        tables = sorted(self.plan.tables, key=lambda table: -table.bytes)
        work = [(table, Statement("statistics", table.target, f"ANALYZE {relation(table.target)}")) for table in tables]
        self._in_parallel(
            journal, [[(f"{table.target}/analyze", table, statement)] for table, statement in work], connections
        )

    def count(self, table: Table, schema: str) -> int:
        """Rows of a table."""
        return int(one(self.connection, f"SELECT count(*) FROM {quote(schema)}.{quote(table.target)}"))

    def quarantined(self) -> int:
        """Rows in quarantine."""
        return int(one(self.connection, f"SELECT count(*) FROM {quote(self.plan.staging)}.{QUARANTINE}"))


def _effort(table: Table, statement: Statement) -> int:
    """How long an index takes, in no unit: a comparison by the rules of a language costs some of numbers (measured)."""
    named = [column for column in table.columns if quote(column.target) in statement.sql]
    return table.rows * sum(4 if column.encoder in ("text", "varchar") else 1 for column in named)


def _stage(statement: Statement, link: bool) -> str:
    if link:
        return "validate" if re.search(r"\bVALIDATE\s+CONSTRAINT\b", statement.sql, re.IGNORECASE) else "link"
    # CREATE INDEX lets other indexes of the table be built beside it; ALTER TABLE does not.
    return "index" if re.match(r"\s*CREATE\s+(UNIQUE\s+)?INDEX\b", statement.sql, re.IGNORECASE) else "constraint"


def tables_of(plan: Plan, schema: str, tables: Sequence[Table] | None = None) -> str:
    """The plan's tables in a schema, for a statement that takes several."""
    return ", ".join(f"{quote(schema)}.{quote(table.target)}" for table in tables or plan.tables)
