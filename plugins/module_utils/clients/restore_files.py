# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring files: put beside, checked, and swapped in by rename; what was there stays under a name that says so."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from typing import Any

from ..backup import commands
from ..backup.commands import Command
from ..backup.manifest import Item
from ..backup.ports import BackupError, Store
from .backup_jobs import look_at_sqlite
from .backup_verify import Hashed, spool, through
from .files import sync_dir

#: What SQLite has beside a database.
SIDE_FILES = ("-wal", "-shm", "-journal")
#: What Redis has in its directory.
REDIS_FILES = ("dump.rdb", "appendonlydir", "appendonly.aof")
#: What a restore that is not finished is called.
NEW = ".landfall-new"


class NoRoom(BackupError):
    """A file system has too little room."""


def need_room(directory: str, size: int) -> None:
    """:raises NoRoom: a file system has too little room"""
    room = os.statvfs(directory)
    free = room.f_bavail * room.f_frsize
    if free < size * 1.05:
        raise NoRoom(f"{directory} has {free} bytes free, {size} are needed; make room. Nothing was changed")


def unpack(store: Store, item: Item, directory: str, chain: Sequence[Command]) -> None:
    """A tar item into a directory of its own. :raises BackupError: nothing of it is left then"""
    shutil.rmtree(directory, ignore_errors=True)
    parent = os.path.dirname(directory)
    if not os.path.isdir(parent):
        raise BackupError(f"{parent} is not there; create it")
    need_room(parent, item.plain_bytes)
    os.mkdir(directory, 0o700)
    stream = Hashed(store, item)
    try:
        through(stream, [*chain, commands.untar(directory)])
        if stream.problems:
            raise BackupError("; ".join(stream.problems))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def swap(new: str, path: str, before: str) -> None:
    """Put ``new`` in the place of ``path``, which is kept as ``before``. Its own trouble leaves all as it was."""
    try:
        if os.path.lexists(path):
            os.rename(path, before)
        try:
            os.rename(new, path)
        except OSError:
            if os.path.lexists(before):
                os.rename(before, path)
            raise
    except OSError as problem:
        raise BackupError(f"{path} cannot be replaced: {problem.strerror}; it is as it was") from problem
    sync_dir(os.path.dirname(path))


def swap_entries(new: str, path: str, before: str, stays: Sequence[str]) -> None:
    """Put what is in ``new`` in the place of what is in ``path``, entry by entry; the old ones go to ``before``.

    :param stays: entries of ``path`` that are not touched
    :raises BackupError: one could not be replaced; run again, those before it are
    """
    names = (set(os.listdir(new)) | set(os.listdir(path))) - set(stays)
    try:
        os.mkdir(before, 0o700)
        for name in sorted(names):
            there, coming = os.path.join(path, name), os.path.join(new, name)
            if os.path.lexists(there):
                os.rename(there, os.path.join(before, name))
            if os.path.lexists(coming):
                os.rename(coming, there)
        shutil.rmtree(new)
    except OSError as problem:
        raise BackupError(f"{path}: {problem.filename} cannot be replaced: {problem.strerror}") from problem
    sync_dir(path)


def server_within(directory: str) -> str:
    """The database server whose data directory lies in a directory, by a file that only it writes; "" for none."""
    for top, directories, names in os.walk(directory):
        for name, server in (("PG_VERSION", "PostgreSQL"), ("WiredTiger", "MongoDB")):
            if name in names:
                return server
        if top[len(directory) :].count("/") >= 3:
            directories.clear()
    return ""


def clear(path: str) -> None:
    """Take away what is at a path that was only laid beside."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def add_missing(source: str, directory: str) -> list[str]:
    """Files of one directory that another lacks, with their owners and modes; their names."""
    if not os.path.isdir(source):
        return []
    made = []
    for name in sorted(os.listdir(source)):
        if add_one(os.path.join(source, name), os.path.join(directory, name)):
            made.append(name)
    return made


def add_one(path: str, target: str) -> bool:
    """A file with its owner and mode, where there is none yet. False: there is one, or nothing to bring."""
    if not os.path.isfile(path) or os.path.lexists(target):
        return False
    facts = os.stat(path)
    part = target + NEW
    shutil.copy2(path, part)
    os.chown(part, facts.st_uid, facts.st_gid)
    os.rename(part, target)
    return True


def free_place(path: str) -> None:
    """:raises BackupError: there is something already"""
    if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        raise BackupError(f"{path} is there already, and is not overwritten: choose another name")


def settle_sqlite(store: Store, item: Item, path: str, chain: Sequence[Command]) -> str:
    """A SQLite item as ``<path>.landfall-new``, checked and with the owner it had. The path back."""
    new = path + NEW
    if not os.path.isdir(os.path.dirname(path)):
        raise BackupError(f"{os.path.dirname(path)} is not there; restore the volume first, or create it")
    need_room(os.path.dirname(path), item.plain_bytes)
    spool(store, item, new, chain)
    try:
        found = look_at_sqlite(new)["rows"]
        if found != item.details["rows"]:
            raise BackupError(f"{item.name}: the rows are not those of the backup")
        _owner(new, item.details)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        raise
    return new


def _owner(path: str, details: Any) -> None:
    if os.geteuid() == 0:
        os.chown(path, int(details["uid"]), int(details["gid"]))
    os.chmod(path, int(details["mode"]))


def swap_sqlite(new: str, path: str, before: str) -> None:
    """Put a database in the place of another, whose side files go with it."""
    for ending in SIDE_FILES:
        if os.path.exists(path + ending):
            os.rename(path + ending, before + ending)
    swap(new, path, before)


def redis_files(data: str, rdb: str, uid: int, gid: int, appendonly: bool) -> None:
    """Lay a snapshot where a server that starts will read it.

    With an append-only log Redis reads nothing else, and begins empty without one, with no error: the snapshot is then
    made the base of a new log, in the form of Redis 7 and of those before it.
    """
    target = os.path.join(data, "dump.rdb")
    os.replace(rdb, target)
    made = [target]
    if appendonly:
        log = os.path.join(data, "appendonlydir")
        os.mkdir(log, 0o755)
        base = os.path.join(log, "appendonly.aof.1.base.rdb")
        shutil.copyfile(target, base)
        manifest = os.path.join(log, "appendonly.aof.manifest")
        with open(manifest, "w", encoding="ascii") as file:
            file.write("file appendonly.aof.1.base.rdb seq 1 type b\n")
        old = os.path.join(data, "appendonly.aof")
        made += [log, base, manifest]
        if os.path.lexists(f"{old}.is-in-use"):
            made.append(old)
    for path in made:
        os.chown(path, uid, gid)
