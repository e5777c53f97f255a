# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One small SQL door for two engines: SQLite (a file) and PostgreSQL (DATABASE_URL).

Statements use ``?`` for parameters and types both engines know (TEXT, INTEGER); times are ISO 8601 in UTC.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

log = logging.getLogger("jarvis.database")
T = TypeVar("T")
Row = dict[str, Any]
Execute = Callable[..., list[Row]]


class Conflict(Exception):
    """A row with this key is there already."""


class Database:
    """A connection, opened when needed and guarded by a lock; one transaction at a time."""

    conflict: type[Exception]
    lost: tuple[type[Exception], ...] = ()  # errors that mean: the connection is gone, a new one may work

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Any = None

    def _connect(self) -> Any:
        raise NotImplementedError

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        raise NotImplementedError

    def transaction(self, work: Callable[[Execute], T]) -> T:
        """Run ``work(execute)`` in a transaction and commit. Raises Conflict on a duplicate key.

        When the server closed the connection before the commit, the work is tried once more on a new one.
        """
        with self._lock:
            for attempt in (1, 2):
                try:
                    if self._connection is None:
                        self._connection = self._connect()
                    result = work(self._execute)
                    break
                except self.lost:
                    self._drop()
                    if attempt == 2:
                        raise
                except self.conflict as error:
                    self._connection.rollback()
                    raise Conflict(str(error)) from error
                except BaseException:
                    if self._connection is not None:
                        self._connection.rollback()
                    raise
            try:
                self._connection.commit()
            except Exception:
                self._drop()
                raise
            return result

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """One statement in its own transaction; returns its rows (empty for a write)."""
        return self.transaction(lambda execute: execute(sql, parameters))

    def create(self, statements: Sequence[str], patience_s: float = 30) -> None:
        """Create the tables, waiting up to ``patience_s`` for a database that is still starting."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                self.transaction(lambda execute: self._create(execute, statements))
                return
            except self.lost as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("database is not reachable yet", extra={"data": {"reason": type(error).__name__}})
                time.sleep(1)

    def _create(self, execute: Execute, statements: Sequence[str]) -> None:
        for statement in statements:
            execute(statement)

    def ping(self) -> None:
        self.execute("SELECT 1")

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception:
                log.debug("closing a broken connection failed", exc_info=True)


class SqliteDatabase(Database):
    """A file; write-ahead log, so that a backup or a reader does not block a writer."""

    conflict = sqlite3.IntegrityError

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=10, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return [dict(row) for row in self._connection.execute(sql, tuple(parameters)).fetchall()]


class PostgresDatabase(Database):
    """A PostgreSQL server; psycopg is imported only here, SQLite users do not pay for it."""

    def __init__(self, url: str) -> None:
        import psycopg
        import psycopg.rows

        super().__init__()
        self._url, self._psycopg = url, psycopg
        self.conflict = psycopg.errors.UniqueViolation
        self.lost = (psycopg.OperationalError, psycopg.InterfaceError)

    def _connect(self) -> Any:
        rows = self._psycopg.rows.dict_row
        return self._psycopg.connect(self._url, connect_timeout=5, row_factory=rows, application_name="jarvis")

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        cursor = self._connection.execute(sql.replace("?", "%s"), tuple(parameters))
        return cursor.fetchall() if cursor.description else []

    def _create(self, execute: Execute, statements: Sequence[str]) -> None:
        # CREATE TABLE IF NOT EXISTS races with itself when two instances start together.
        execute("SELECT pg_advisory_xact_lock(?)", (0x6A617276,))
        super()._create(execute, statements)


def open_database(url: str, sqlite_path: Path) -> Database:
    """PostgreSQL when ``url`` is set, else SQLite at ``sqlite_path``. Connects on first use."""
    if url:
        parts = urlsplit(url)
        log.info("using PostgreSQL", extra={"data": {"host": parts.hostname, "database": parts.path.lstrip("/")}})
        return PostgresDatabase(url)
    log.info("using SQLite", extra={"data": {"path": str(sqlite_path)}})
    return SqliteDatabase(sqlite_path)
