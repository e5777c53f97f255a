# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One moment of a live source, for several readers in processes of their own; and what tells that it is still that.

WAL: while this process holds the write lock, every reader begins its transaction; then the lock goes, a fraction of a
millisecond later. Rollback journal: a read lock, held while the readers begin, keeps writers from committing; the
readers' own locks do so until they end. Where a writer must not wait that long, a copy is made by the backup API.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from ..migration.plan import Source
from ..migration.problems import Stopped
from . import sqlite

#: live: read where it is; copy: of a private copy; auto: live in WAL mode, or while no process has the file open.
KINDS = ("auto", "live", "copy")


def marks(path: str) -> dict[str, Any]:
    """What tells that nobody wrote to a database: size, time and header of the file, and of its -wal."""
    real = os.path.realpath(path)
    found: dict[str, Any] = {"path": real}
    for key, name in (("db", real), ("wal", f"{real}-wal")):
        with contextlib.suppress(FileNotFoundError):
            with open(name, "rb") as file:
                stat, head = os.fstat(file.fileno()), file.read(100)
            if key == "wal" and not stat.st_size:
                continue
            found[key] = [stat.st_ino, stat.st_size, stat.st_mtime_ns, head.hex()]
    return found


def in_use(path: str) -> bool:
    """Whether another process has the file open, as far as /proc shows."""
    with contextlib.suppress(OSError):
        wanted = os.stat(path)
        for pid in os.listdir("/proc"):
            if not pid.isdigit() or int(pid) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                for handle in os.listdir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        if os.path.samestat(os.stat(f"/proc/{pid}/fd/{handle}"), wanted):
                            return True
    return False


def choose(source: Source, kind: str) -> str:
    """``live`` or ``copy`` for ``auto``."""
    if kind != "auto":
        return kind
    return "live" if source.journal_mode.lower() == "wal" or not in_use(source.path) else "copy"


def take(path: str, wal: bool, library: str, lock_timeout: float, begin: Callable[[], None]) -> dict[str, Any]:
    """Have all readers begin at one moment. :param begin: returns when every reader has begun. The marks of it."""
    if wal:
        return _take_wal(path, library, lock_timeout, begin)
    with sqlite.connect(path, library, lock_timeout) as db:
        db.begin()
        begin()
        found = marks(path)
        db.end()
    return found


def _take_wal(path: str, library: str, lock_timeout: float, begin: Callable[[], None]) -> dict[str, Any]:
    with sqlite.connect(path, library, lock_timeout, write=True) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            begin()
            return marks(path)
        finally:
            db.execute("ROLLBACK")


#: SQLITE_BUSY and SQLITE_LOCKED.
LOCKED = (5, 6)


def free(path: str) -> bool:
    """Whether a reader is let in at this moment. What is wrong with a database otherwise, its copy says."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{quote(os.path.realpath(path))}?mode=ro", uri=True, timeout=0)
        ) as db:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as problem:
        return "locked" not in str(problem)
    except sqlite3.DatabaseError:
        return True
    return True


def copy(path: str, target: str, lock_timeout: float) -> None:
    """A consistent copy by SQLite's backup API, in one step; whole under its name, or not there.

    :raises Stopped: no room, or locked for too long
    """
    real, partial = os.path.realpath(path), f"{target}.partial"
    room = os.statvfs(os.path.dirname(target))
    size = os.path.getsize(real)
    if room.f_bavail * room.f_frsize < size * 1.05:
        raise Stopped(f"{os.path.dirname(target)}: no room for a copy of {path} ({size} bytes); set work_dir elsewhere")
    for name in (partial, f"{partial}-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    until = time.monotonic() + lock_timeout

    def waited(status: int, _left: int, _all: int) -> None:
        # Python asks a database that is locked again and again, for ever.
        if status in LOCKED and time.monotonic() > until:
            raise sqlite3.OperationalError("database is locked")

    while True:
        source = sqlite3.connect(f"file:{quote(real)}?mode=ro", uri=True, timeout=lock_timeout)
        try:
            with contextlib.closing(sqlite3.connect(partial)) as made:
                made.execute("PRAGMA synchronous = OFF")
                source.backup(made, pages=-1, progress=waited)
                # A copy of a WAL database is one, too, and would have side files of its own.
                made.execute("PRAGMA journal_mode = DELETE")
            break
        except sqlite3.OperationalError as problem:
            if time.monotonic() > until:
                raise Stopped(f"{path}: no copy can be made of it: {problem}. Raise lock_timeout") from None
            time.sleep(0.05)
        finally:
            source.close()
    handle = os.open(partial, os.O_RDONLY)
    try:
        os.fchmod(handle, 0o600)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(partial, target)
