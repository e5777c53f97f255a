# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring MongoDB: what its server holds goes into a file, and then a dump takes its place, collection by collection.

MongoDB renames no databases, so nothing can be laid beside and swapped in as with PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence

from ..backup import commands
from ..backup.commands import Command
from ..backup.manifest import Item
from ..backup.ports import BackupError, Store
from .backup_verify import Hashed, through
from .files import sync_dir
from .pipeline import Running, drain


def save(dump: Command, path: str) -> None:
    """What a server holds now, into a file, for root only: ``zstd -dc FILE | mongorestore --archive`` loads it.

    :raises BackupError: it could not be had; no file is left then
    """
    # One name for all: what a killed restore has left of the data, the next one takes away.
    partial = f"{path.partition('.before-')[0]}.before.partial"
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            with _hinted():
                drain((), [dump, commands.zstd()], file)
            os.fsync(file.fileno())
        os.rename(partial, path)
        sync_dir(os.path.dirname(path))
    except BaseException as problem:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        if isinstance(problem, OSError):
            raise BackupError(f"{path}: {problem.strerror}") from problem
        raise


def load(command: Command, archive: str) -> int:
    """Load a dump from a file: how many documents were written.

    :raises BackupError: not all of it was loaded
    """
    with open(archive, "rb") as file, _hinted():
        running = Running(command, file, subprocess.DEVNULL)
        try:
            running.process.wait()
            fault = running.fault()
            if fault:
                raise BackupError(fault)
            return commands.mongo_documents(running.said())
        finally:
            running.kill()


def stream(command: Command, store: Store, item: Item, chain: Sequence[Command]) -> None:
    """Load an item's dump as it comes from the store. :raises BackupError: not all of it was loaded"""
    coming = Hashed(store, item)
    with _hinted():
        through(coming, [*chain, command])
    if coming.problems:
        raise BackupError("; ".join(coming.problems))


@contextlib.contextmanager
def _hinted() -> Iterator[None]:
    try:
        yield
    except BackupError as problem:
        raise BackupError(f"{problem}{commands.mongo_hint(str(problem))}") from problem
