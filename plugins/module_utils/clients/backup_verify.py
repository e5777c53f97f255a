# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a set back: every byte against its sha256, every stream to its end."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from ..backup import commands, layout
from ..backup.commands import Command
from ..backup.manifest import Item, Manifest, Verdict
from ..backup.ports import BackupError, Missing, Store
from ..backup.restic import snapshot_of
from .pipeline import drain

#: kind → the program that reads a plain stream to its end; what has none is read by its filters.
_READERS = {"volume": commands.list_tar, "path": commands.list_tar, "project": commands.list_tar}


class Hashed:
    """The bytes of an item as they come, hashed object by object. :attr:`problems` is whole at their end.

    :ivar unread: the store did not give them: nothing is known of the bytes themselves
    """

    def __init__(self, store: Store, item: Item) -> None:
        self._store, self._item = store, item
        self.problems: list[str] = []
        self.unread = False

    def __iter__(self) -> Iterator[bytes]:
        for one in self._item.objects:
            digest, count = hashlib.sha256(), 0
            try:
                for chunk in self._store.read(one.key):
                    digest.update(chunk)
                    count += len(chunk)
                    yield chunk
            except BackupError as problem:
                self.problems.append(str(problem))
                self.unread = not isinstance(problem, Missing)
                return
            if count != one.bytes:
                self.problems.append(f"{one.key} has {count} bytes, {one.bytes} were sent")
            elif digest.hexdigest() != one.sha256:
                self.problems.append(f"{one.key} is not what was sent: its sha256 differs")


def check_bytes(store: Store, item: Item) -> None:
    """Read an item, and nothing else. :raises BackupError: it is not what was sent"""
    stream = Hashed(store, item)
    for _chunk in stream:
        pass
    if stream.problems:
        raise BackupError("; ".join(stream.problems))


def readers(restorer: Callable[[int], Command | None], item: Item) -> list[Command] | None:
    """The programs that read an item's plain stream to its end: none needed, or None when they are not there.

    :param restorer: client's major version → a pg_restore that reads its archives
    """
    if item.kind == "postgres":
        found = restorer(int(item.details.get("client", 0)))
        return [found] if found else None
    return [_READERS[item.kind]()] if item.kind in _READERS else []


def verify_set(
    store: Store,
    manifest: Manifest,
    raw: bytes,
    identity_file: str,
    restorer: Callable[[int], Command | None],
    now: float,
    items: Sequence[str] = (),
    snapshots: Callable[[Sequence[Item]], list[str]] = lambda _items: [],
) -> Verdict:
    """Read a set back and record what was found beside it.

    :param raw: the manifest's text, to which the verdict belongs
    :param identity_file: without it nothing encrypted is decoded, and the level is ``bytes``
    :param snapshots: what is wrong with those that restic keeps
    """
    problems: list[str] = []
    decoded = True
    wanted = [item for item in manifest.items if not items or item.name in items]
    kept = [item for item in wanted if snapshot_of(item)]
    for item in wanted:
        if item in kept:
            continue
        stream = Hashed(store, item)
        programs = readers(restorer, item)
        able = programs is not None and ("age" not in item.filters or os.path.exists(identity_file))
        decoded = decoded and able
        chain = [*commands.undo(item.filters, identity_file), *(programs or [])] if able else []
        fault = ""
        try:
            through(stream, chain)
        except BackupError as problem:
            fault = str(problem)
        # A stream that differs says why its decoding failed.
        found = stream.problems or ([fault] if fault else [])
        problems += [f"{item.name}: {one}" for one in found]
    if kept:
        problems += snapshots(kept)
    level = "bytes" if not decoded else "sampled" if kept else "decoded"
    verdict = Verdict(
        manifest.id, not problems, level, layout.stamp(now),
        hashlib.sha256(raw).hexdigest(), tuple(problems),
    )  # fmt: skip
    if not items:
        record_verdict(store, manifest, verdict)
    return verdict


def record_verdict(store: Store, manifest: Manifest, verdict: Verdict) -> None:
    """Write what was found beside the set."""
    store.put(layout.set_prefix(manifest.stack, manifest.id) + layout.VERIFIED, verdict.to_json())


def through(stream: Hashed, chain: Sequence[Command], output: IO[bytes] | None = None) -> None:
    """An item through programs, and read to its end though they need not: else its hash would not be known.

    :raises BackupError: a program does not end well. The stream's own problems are for the caller to look at
    """
    chunks = iter(stream)
    if chain:
        drain(chunks, chain, output)
    for chunk in chunks:
        if output is not None and not chain:
            output.write(chunk)


def spool(store: Store, item: Item, target: str, chain: Sequence[Command]) -> None:
    """An item's plain stream into a file, checked on its way. :raises BackupError: no file is left then"""
    stream = Hashed(store, item)
    try:
        with open(target, "wb", opener=_private) as file:
            through(stream, chain, file)
        if stream.problems:
            raise BackupError("; ".join(stream.problems))
    except BaseException as problem:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        if isinstance(problem, OSError):
            raise BackupError(f"{target}: {problem.strerror}") from problem
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
