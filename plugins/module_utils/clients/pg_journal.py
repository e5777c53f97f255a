# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a migration, in PostgreSQL beside the data: a chunk and its line commit together, or neither does."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..migration.chunks import Chunk
from ..migration.plan import Plan
from ..migration.problems import LockHeld, Stopped
from .postgres import Connection, one, quote

SCHEMA = "landfall_migration"
QUARANTINE = "landfall_quarantine"
#: First half of the advisory lock's key ("LF"); the second is made of the staging schema's name.
LOCK = 0x4C46

TABLES = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.run (
    staging text PRIMARY KEY, digest text NOT NULL, marks jsonb NOT NULL, state text NOT NULL,
    began timestamptz NOT NULL DEFAULT now(), ended timestamptz, result jsonb);
CREATE TABLE IF NOT EXISTS {SCHEMA}.chunk (
    staging text REFERENCES {SCHEMA}.run ON DELETE CASCADE, table_no int, number int, first bigint, last bigint,
    rows bigint, bytes bigint, quarantined bigint, at timestamptz, PRIMARY KEY (staging, table_no, number));
CREATE TABLE IF NOT EXISTS {SCHEMA}.step (
    staging text REFERENCES {SCHEMA}.run ON DELETE CASCADE, name text, at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (staging, name));
"""


@contextlib.contextmanager
def locked(connection: Connection, staging: str) -> Iterator[None]:
    """Hold the migration's lock while this connection lives. :raises LockHeld: with the name of who holds it"""
    if not one(connection, "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (LOCK, staging)):
        holder = connection.execute(
            "SELECT a.application_name, a.pid, a.backend_start::text "
            "FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' "
            "AND l.classid = %s AND l.objid::bigint = (hashtext(%s)::bigint & 4294967295) "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.granted",
            (LOCK, staging),
        ).fetchone()
        who = f"{holder[0]} (server process {holder[1]}, since {holder[2]})" if holder else "another session"
        raise LockHeld(
            f"the staging schema {staging} is being worked on by {who}. Wait for it to end; its lock goes when its "
            "process does"
        )
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            connection.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", (LOCK, staging))


class Journal:
    """What was done of the migration into one staging schema."""

    def __init__(self, connection: Connection, plan: Plan) -> None:
        self.connection, self.plan, self.staging = connection, plan, plan.staging

    def read(self) -> Mapping[str, Any]:
        """The run that is written down: digest, marks, state, result; {} without one. Changes nothing."""
        if one(self.connection, "SELECT to_regclass(%s)", (f"{SCHEMA}.run",)) is None:
            return {}
        row = self.connection.execute(
            f"SELECT digest, marks, state, result FROM {SCHEMA}.run WHERE staging = %s", (self.staging,)
        ).fetchone()
        return dict(zip(("digest", "marks", "state", "result"), row, strict=True)) if row else {}

    def begin(self, marks: Sequence[Any]) -> None:
        """A new run, in place of what was there; its staging schema is made, empty. All or nothing."""
        with self.connection.transaction():
            self.connection.execute(TABLES)
            self.connection.execute(f"DELETE FROM {SCHEMA}.run WHERE staging = %s", (self.staging,))
            self.connection.execute(f"DROP SCHEMA IF EXISTS {quote(self.staging)} CASCADE")
            self.connection.execute(f"CREATE SCHEMA {quote(self.staging)}")
            self.connection.execute(
                f"INSERT INTO {SCHEMA}.run (staging, digest, marks, state) VALUES (%s, %s, %s, 'loading')",
                (self.staging, self.plan.digest, json.dumps(marks)),
            )
            self.connection.execute(
                f"CREATE TABLE {quote(self.staging)}.{QUARANTINE} (table_name text, row_key text, column_name text, "
                "storage_class text, raw bytea, reason text, record jsonb, at timestamptz DEFAULT now())"
            )

    def remark(self, marks: Sequence[Any]) -> None:
        """The source's marks, when a catch-up makes up for what has changed in it."""
        self.connection.execute(
            f"UPDATE {SCHEMA}.run SET marks = %s WHERE staging = %s", (json.dumps(marks), self.staging)
        )

    def plan_chunks(self, chunks: Iterable[Chunk]) -> None:
        """Write down what will be loaded, in one transaction with the step that says so."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {SCHEMA}.chunk (staging, table_no, number, first, last) VALUES (%s, %s, %s, %s, %s)",
                [(self.staging, chunk.table, chunk.number, chunk.first, chunk.last) for chunk in chunks],
            )
            self.note("chunks")

    def chunks(self, open_only: bool = True) -> list[Chunk]:
        """Chunks in the plan's order; only those that are not loaded yet, unless told."""
        where = "AND rows IS NULL" if open_only else ""
        rows = self.connection.execute(
            f"SELECT table_no, number, first, last FROM {SCHEMA}.chunk WHERE staging = %s {where} "
            "ORDER BY table_no, number",
            (self.staging,),
        ).fetchall()
        return [Chunk(*row) for row in rows]

    def counts(self) -> list[tuple[int, int, int, int]]:
        """For each table with a chunk: its number, rows loaded, bytes sent, rows in quarantine."""
        return self.connection.execute(
            "SELECT table_no, coalesce(sum(rows), 0)::bigint, coalesce(sum(bytes), 0)::bigint, "
            f"coalesce(sum(quarantined), 0)::bigint FROM {SCHEMA}.chunk WHERE staging = %s GROUP BY 1 ORDER BY 1",
            (self.staging,),
        ).fetchall()

    def steps(self) -> set[str]:
        """Names of the steps that are done."""
        rows = self.connection.execute(f"SELECT name FROM {SCHEMA}.step WHERE staging = %s", (self.staging,))
        return {row[0] for row in rows.fetchall()}

    def note(self, step: str, connection: Connection | None = None) -> None:
        """Write down a step, in the transaction that is open."""
        (connection or self.connection).execute(
            f"INSERT INTO {SCHEMA}.step (staging, name) VALUES (%s, %s)", (self.staging, step)
        )

    def finish(self, state: str, result: Mapping[str, Any]) -> None:
        """The run's end, in the transaction that is open."""
        self.connection.execute(
            f"UPDATE {SCHEMA}.run SET state = %s, ended = now(), result = %s WHERE staging = %s",
            (state, json.dumps(result), self.staging),
        )


def chunk_done(connection: Connection, staging: str, chunk: Chunk, rows: int, size: int, quarantined: int) -> None:
    """Write down a chunk, in the transaction of its COPY. :raises Stopped: it was loaded already, by somebody else"""
    done = connection.execute(
        f"UPDATE {SCHEMA}.chunk SET rows = %s, bytes = %s, quarantined = %s, at = now() "
        "WHERE staging = %s AND table_no = %s AND number = %s AND rows IS NULL",
        (rows, size, quarantined, staging, chunk.table, chunk.number),
    )
    if done.rowcount != 1:
        raise Stopped(f"table number {chunk.table}, chunk {chunk.number}: another run has loaded it; run again")
