# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite files, through apsw where it is installed and the standard library otherwise, behind one small interface.

Never use both libraries on one file in one process: each brings its own SQLite, and closing a file descriptor drops
the POSIX locks which the other one holds.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from .sqlite_file import Refused, examine, in_wal_mode

try:
    import apsw
except ImportError:
    apsw = None  # type: ignore[assignment]

APSW, STDLIB = "apsw", "sqlite3"
LIBRARIES = (APSW, STDLIB)

#: Primary result codes of SQLite, as both libraries give them.
BUSY, LOCKED, READONLY, IOERR, CORRUPT, CANTOPEN, NOTADB = 5, 6, 8, 10, 11, 14, 26


def quoted(name: str) -> str:
    """An identifier for SQLite's SQL."""
    return '"' + name.replace('"', '""') + '"'


def available() -> tuple[str, ...]:
    """Libraries that can be used here, the faster first."""
    return LIBRARIES if apsw is not None else (STDLIB,)


class Database:
    """An open database. Made by :func:`connect`.

    :ivar raw: the library's own connection, :ivar library: ``apsw`` or ``sqlite3``
    :ivar version: SQLite's version, as ``(3, 40, 1)``
    :ivar errors: what the library raises while rows are read; UnicodeDecodeError is among it (apsw raises it for text
        that is not UTF-8, where the standard library raises OperationalError)
    """

    errors: tuple[type[Exception], ...] = ()

    def __init__(self, path: str, raw: Any, library: str, version: str):
        self.path, self.raw, self.library = path, raw, library
        self.version = tuple(int(part) for part in version.split(".")[:3])
        self.helper: Database | None = None

    def query(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple]:
        """Rows as they are read: an iterator, at best consumed whole by something written in C."""
        raise NotImplementedError

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple]:
        """All rows. :raises Refused: with what SQLite says"""
        try:
            return list(self.query(sql, values))
        except self.errors as problem:
            raise refusal(self.path, problem) from problem

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple:
        """The first row; () when there is none."""
        found = self.rows(sql, values)
        return found[0] if found else ()

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """First column of the first row, None when there is none."""
        return (self.row(sql, values) or (None,))[0]

    def several(self, asks: Iterable[tuple[str, Sequence[Any]]], take: Callable[[list[tuple]], None]) -> None:
        """The rows of several statements, in any order: two at a time where there is a helper (see :func:`in_step`).

        :param take: is called with the rows of each, never twice at once
        :raises Exception: one of :attr:`errors`, of the first statement that fails
        """
        todo, lock = iter(asks), threading.Lock()
        failed: list[BaseException] = []

        def work(db: Database) -> None:
            try:
                while not failed:
                    with lock:
                        ask = next(todo, None)
                    if ask is None:
                        return
                    rows = list(db.query(*ask))
                    with lock:
                        take(rows)
            except BaseException as problem:
                failed.append(problem)

        thread = threading.Thread(target=work, args=(self.helper,)) if self.helper else None
        if thread:
            thread.start()
        work(self)
        if thread:
            thread.join()
        if failed:
            raise failed[0]

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """One statement without rows. :raises Refused: with what SQLite says"""
        self.rows(sql, values)

    def function(self, name: str, arguments: int, work: Callable[..., Any]) -> None:
        """Make a deterministic SQL function."""
        raise NotImplementedError

    def begin(self) -> None:
        """Begin a read transaction and take its snapshot now: what is read until :meth:`end` is of one moment."""
        self.execute("BEGIN")
        self.rows("SELECT count(*) FROM sqlite_master")

    def end(self) -> None:
        """End the transaction that is open."""
        self.execute("ROLLBACK")

    def close(self) -> None:
        """Close it, and its helper. Can be called twice."""
        if self.helper:
            self.helper.close()
        self.raw.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Stdlib(Database):
    errors = (sqlite3.Error, UnicodeDecodeError, OverflowError)

    def query(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple]:
        return self.raw.execute(sql, tuple(values))

    def function(self, name: str, arguments: int, work: Callable[..., Any]) -> None:
        self.raw.create_function(name, arguments, work, deterministic=True)


class _Apsw(Database):
    errors = (apsw.Error, UnicodeDecodeError, OverflowError) if apsw is not None else ()

    def query(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple]:
        return self.raw.cursor().execute(sql, tuple(values))

    def function(self, name: str, arguments: int, work: Callable[..., Any]) -> None:
        self.raw.create_scalar_function(name, work, arguments, deterministic=True)


def connect(
    path: str, library: str = "auto", lock_timeout: float = 5.0, write: bool = False, one_thread: bool = False
) -> Database:
    """Open a database that exists.

    It is opened read-only, never as immutable: it may be live. One exception: of a WAL database without a ``-wal``
    file (nobody has it open) the side files must be made, and only a connection that may write takes them away again
    when it closes; such a connection is told ``query_only``.

    :param library: ``apsw``, ``sqlite3``, or ``auto`` for the faster that is installed
    :param lock_timeout: seconds to wait for a lock, in whatever is done with the connection
    :param write: open it for writing (the changelog of a catch-up)
    :param one_thread: only one thread will ever use it: apsw's SQLite then locks nothing around each step and value,
        which is a sixth of the time that rows take to come out. Python's own library has no such choice
    :raises Refused: when the file is none, or cannot be read; the message says what to do
    """
    chosen = available()[0] if library == "auto" else library
    if chosen not in available():
        raise Refused(path, f"the library {chosen} is not installed here", "install python3-apsw, or use library: auto")
    examine(path)
    # Resolved, since SQLite looks for the side files beside the real file.
    real = os.path.realpath(path)
    tidy = not write and in_wal_mode(real) and not os.path.exists(f"{real}-wal") and _writable(real)
    mode = "rw" if write or tidy else "ro"
    db: Database | None = None
    try:
        db = _open(path, f"file:{quote(real)}?mode={mode}", chosen, lock_timeout, one_thread)
        if tidy:
            db.execute("PRAGMA query_only = 1")
        # Nothing was read so far: this reads the header and the schema, and meets the locks.
        db.rows("SELECT count(*) FROM sqlite_master")
    except Exception as problem:
        if db is not None:
            db.close()
        if isinstance(problem, Refused) or not isinstance(problem, _errors()):
            raise
        raise refusal(path, problem) from problem
    return db


def beside(db: Database, lock_timeout: float) -> Database:
    """Another connection to the same file, which reads it from end to end and needs little memory for that."""
    other = connect(db.path, db.library, lock_timeout)
    other.execute("PRAGMA cache_size = -500")
    return other


def in_step(db: Database, lock_timeout: float) -> None:
    """Begin a read transaction, and one of the same moment on a second connection, which becomes the helper.

    SQLite computes without Python's lock, so that two connections make use of two processors. Where others write so
    often that the two do not meet, there is no helper.
    """
    other = beside(db, lock_timeout)
    for _attempt in range(5):
        # It stays the same for as long as no other connection commits.
        version = other.value("PRAGMA data_version")
        db.begin()
        other.begin()
        if other.value("PRAGMA data_version") == version:
            db.helper = other
            return
        db.end()
        other.end()
    other.close()
    db.begin()


def _writable(path: str) -> bool:
    return os.access(path, os.W_OK) and os.access(os.path.dirname(path), os.W_OK)


def _errors() -> tuple[type[Exception], ...]:
    return _Stdlib.errors + _Apsw.errors


def _open(path: str, uri: str, library: str, lock_timeout: float, one_thread: bool) -> Database:
    if library == APSW:
        flags = apsw.SQLITE_OPEN_URI | (apsw.SQLITE_OPEN_READWRITE if uri.endswith("rw") else apsw.SQLITE_OPEN_READONLY)
        flags |= apsw.SQLITE_OPEN_NOMUTEX if one_thread else 0
        raw = apsw.Connection(uri, flags=flags)
        raw.set_busy_timeout(int(lock_timeout * 1000))
        return _Apsw(path, raw, APSW, apsw.sqlite_lib_version())
    other = sqlite3.connect(uri, uri=True, timeout=lock_timeout, isolation_level=None, check_same_thread=False)
    return _Stdlib(path, other, STDLIB, sqlite3.sqlite_version)


def _code(problem: BaseException) -> int:
    """SQLite's primary result code of an error, 0 when it has none (Python 3.10's sqlite3 tells none)."""
    code = getattr(problem, "sqlite_errorcode", None) or getattr(problem, "result", None)
    if isinstance(code, int):
        return code & 0xFF
    text = str(problem)
    told = (
        ("locked", BUSY),
        ("readonly", READONLY),
        ("malformed", CORRUPT),
        ("unable to open", CANTOPEN),
        ("not a database", NOTADB),
        ("disk I/O", IOERR),
    )
    return next((number for words, number in told if words in text), 0)


def refusal(path: str, problem: BaseException) -> Refused:
    """What an error of SQLite means for the one who wants to migrate the file."""
    code = _code(problem)
    journal = os.path.exists(f"{os.path.realpath(path)}-journal")
    said = str(problem) or type(problem).__name__
    if code in (BUSY, LOCKED):
        return Refused(
            path,
            f"another process holds a lock on it, for longer than lock_timeout ({said})",
            "stop what writes to it, or raise lock_timeout",
        )
    if code in (READONLY, CANTOPEN) and journal:
        return Refused(
            path,
            f"{path}-journal is left of a transaction that was never finished, and must be rolled back first",
            f"with the application stopped, open it once for writing: sqlite3 {path} 'PRAGMA quick_check'",
        )
    if code in (READONLY, CANTOPEN):
        return Refused(
            path,
            f"it cannot be opened for reading ({said}); a database in WAL mode needs a directory that can be written",
            "run as a user who may write there, or migrate a copy made with: sqlite3 FILE '.backup COPY'",
        )
    if code == CORRUPT:
        return Refused(
            path,
            f"it is corrupt ({said})",
            "restore a backup of it, or salvage what can be read with: sqlite3 FILE .recover | sqlite3 NEW",
        )
    if code == NOTADB or "unsupported file format" in said:
        return Refused(
            path,
            f"its pages are not SQLite's ({said}): it is encrypted (SQLCipher and the like), or damaged",
            "decrypt it first, with the application's own tool or sqlcipher_export()",
        )
    if code == IOERR:
        return Refused(path, f"the disk does not give it out ({said})", "check the host's disk and its log")
    return Refused(path, said, f"see whether SQLite's own shell reads it: sqlite3 {path} 'PRAGMA quick_check'")


def quick_check(db: Database, limit: int = 10) -> list[str]:
    """What is damaged, in SQLite's words with the pages' numbers, at most :param limit: lines; [] when it is sound."""
    found: list[str] = []
    try:
        for row in db.query(f"PRAGMA quick_check({int(limit)})"):
            found.append(str(row[0]))
    except db.errors as problem:
        if not found and limit > 1:
            # Python's sqlite3 loses the rows before an error; asked for one finding, SQLite ends before it.
            return quick_check(db, 1)
        found.append(str(problem))
    lines = [
        line for text in found for line in text.splitlines() if not re.fullmatch(r"ok|\*\*\* in database .*", line)
    ]
    return lines[:limit]


def require_sound(db: Database) -> None:
    """:raises Refused: when pages are corrupt, with their numbers."""
    lines = quick_check(db)
    if lines:
        raise Refused(
            db.path,
            f"it is corrupt: {'; '.join(lines)}",
            "restore a backup of it, or salvage what can be read with: sqlite3 FILE .recover | sqlite3 NEW",
        )
