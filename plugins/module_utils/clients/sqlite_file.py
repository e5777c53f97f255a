# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that should be a SQLite database, looked at without SQLite: SQLite makes a new database of an empty file,
and says "file is not a database" of everything else.

The header: https://www.sqlite.org/fileformat2.html, section 1.3.
"""

from __future__ import annotations

import math
import os
import stat
from collections import Counter

MAGIC = b"SQLite format 3\0"
HEADER = 100

#: How other files begin that are met under such a name.
OTHERS = (
    (b"\x1f\x8b", "it is gzip-compressed", "unpack it first"),
    (b"PK\x03\x04", "it is a zip archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "it is zstd-compressed", "unpack it first"),
    (b"\xfd7zXZ", "it is xz-compressed", "unpack it first"),
    (b"PGDMP", "it is a dump of PostgreSQL", "load it with pg_restore"),
    (b"** This file contains an SQLite 2", "it is of SQLite 2", "convert it with: sqlite OLD .dump | sqlite3 NEW"),
    (b"PRAGMA foreign_keys", "it is a dump in SQL", "load it into a database first: sqlite3 NEW < DUMP"),
    (b"BEGIN TRANSACTION", "it is a dump in SQL", "load it into a database first: sqlite3 NEW < DUMP"),
)


class Refused(Exception):
    """A source that is not migrated. The message has file, reason and what to do; so do the attributes."""

    def __init__(self, path: str, reason: str, remedy: str):
        super().__init__(f"{path}: {reason}" + (f". To go on: {remedy}" if remedy else ""))
        self.path, self.reason, self.remedy = path, reason, remedy


def examine(path: str) -> None:
    """Look at a file's header and size. :raises Refused: when it is no SQLite database"""
    real = os.path.realpath(path)
    try:
        status = os.stat(real)
    except OSError as problem:
        left = [one for one in ("-wal", "-journal") if os.path.exists(real + one)]
        if left:
            raise Refused(
                path,
                f"{path}{left[0]} is there, and its database is not: together they are the data",
                "put the database back beside it, from where both were copied",
            ) from problem
        raise Refused(path, f"it cannot be found ({problem.strerror})", "check the path") from problem
    if stat.S_ISDIR(status.st_mode):
        raise Refused(path, "it is a directory", "give the path of the database file in it")
    if not stat.S_ISREG(status.st_mode):
        raise Refused(path, "it is not a regular file", "give the path of a database file")
    if status.st_size == 0:
        raise Refused(
            path,
            "it is empty (0 bytes), which SQLite makes of a path that is wrong",
            "check the path; of an application that never wrote there is nothing to migrate",
        )
    try:
        with open(path, "rb") as stream:
            head = stream.read(4096)
    except OSError as problem:
        raise Refused(path, f"it cannot be read ({problem.strerror})", "run as a user who may read it") from problem
    if not head.startswith(MAGIC):
        raise _unknown(path, head, status.st_size)
    _check_size(path, head, status.st_size, os.path.exists(f"{real}-wal"))


def _unknown(path: str, head: bytes, size: int) -> Refused:
    for start, reason, remedy in OTHERS:
        if head.startswith(start):
            return Refused(path, f"it is not a SQLite database: {reason}", remedy)
    if size % 512 == 0 and _bits(head) > 7.0:
        return Refused(
            path,
            "it is encrypted (SQLCipher and the like): its pages look random",
            "decrypt it first, with the application's own tool or sqlcipher_export()",
        )
    return Refused(path, f"it is not a SQLite database: it begins with {head[:16].hex()}", "check the path")


def _bits(data: bytes) -> float:
    """Shannon entropy, bits a byte; random data of 1 KiB has 7.8."""
    total = len(data)
    return -sum(count / total * math.log2(count / total) for count in Counter(data).values())


def _check_size(path: str, head: bytes, size: int, wal: bool) -> None:
    page = page_size(head)
    if len(head) < HEADER or page < 512 or page & (page - 1):
        raise Refused(path, f"its header is damaged (a page size of {page})", "restore a backup of it")
    pages = int.from_bytes(head[28:32], "big")
    # The count is valid when it was written with the last change. A -wal may hold the pages that are missing.
    told = pages and head[24:28] == head[92:96]
    if told and size < pages * page and not wal:
        raise Refused(
            path,
            f"it is cut off: {size} bytes of {pages * page} (pages {size // page + 1} to {pages} are missing)",
            "copy it again, whole, or restore a backup of it",
        )


def page_size(head: bytes) -> int:
    """Bytes a page, from the header."""
    size = int.from_bytes(head[16:18], "big")
    return 65536 if size == 1 else size


def in_wal_mode(path: str) -> bool:
    """Whether the header says that readers must look into a ``-wal``."""
    with open(path, "rb") as stream:
        head = stream.read(20)
    return head[19:20] == b"\x02"
