# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream through its filters into a store, visible only when all of it ended well; a set to another store."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence

from ..backup import restic
from ..backup.commands import Command
from ..backup.manifest import Manifest, SentObject
from ..backup.ports import BackupError, Store
from ..backup.run import Stream
from .pipeline import Pipeline, write_all
from .upload import Sender


def send(
    store: Store,
    stream: Stream,
    filters: Sequence[Command],
    key: Callable[[int], str],
    ended: Callable[[int], None],
    rate: float = 0,
) -> tuple[tuple[SentObject, ...], int, list[str]]:
    """Send one stream. (objects, plain bytes, warnings) back.

    :param ended: called with the stored bytes when every process has ended well, before anything is visible; it raises
        to have all of it thrown away
    :raises BackupError: nothing of it is visible
    """
    sender = Sender(store, key, rate)
    pipeline: Pipeline | None = None
    done = False
    try:
        pipeline = Pipeline(stream.producer, filters, stream.taps)
        try:
            sender.feed(pipeline.handle)
        except BackupError:
            pipeline.kill()
            raise
        warnings = pipeline.finish()
        ended(sender.total)
        objects = sender.complete()
        done = True
        return objects, pipeline.count, warnings
    finally:
        if pipeline is not None:
            if not done:
                pipeline.kill()
            pipeline.close()
        if not done:
            sender.abort()


def copy_set(
    source: Store,
    target: Store,
    manifest: Manifest,
    secret: bytes,
    rate: float = 0,
    ended: Callable[[], None] = lambda: None,
) -> None:
    """A set from one store to another, each object checked on its way; its manifest last.

    :param ended: called before the manifest is written; it raises when the set must not count
    :raises BackupError: it is not complete there
    """
    for item in manifest.items:
        for one in item.objects:
            _copy(source, target, one, rate)
    for repository in restic.named([manifest]):
        _copy_repository(source, target, manifest.stack, repository, rate)
    ended()
    target.put(manifest.key, manifest.to_json(secret), absent=True)


def _copy_repository(source: Store, target: Store, stack: str, repository: str, rate: float) -> None:
    """What a store lacks of a repository. Its files never change, and are named by their sha256."""
    prefix = restic.prefix(stack, repository)
    sizes = {one.key: one.size for one in source.list(prefix)}
    there = {one.key: one.size for one in target.list(prefix)}
    for key in restic.copied(stack, repository, sizes):
        name = key.rpartition("/")[2]
        if there.get(key) == sizes[key]:
            continue
        if restic.DIGEST.match(name):
            _copy(source, target, SentObject(key, sizes[key], name, 1), rate)
        else:
            target.put(key, source.get(key).data, absent=True)


def _copy(source: Store, target: Store, wanted: SentObject, rate: float) -> None:
    read, write = os.pipe()
    digest, fault = hashlib.sha256(), []

    def pump() -> None:
        try:
            for chunk in source.read(wanted.key):
                digest.update(chunk)
                write_all(write, chunk)
        except (BackupError, OSError) as problem:
            fault.append(problem)
        finally:
            os.close(write)

    thread = threading.Thread(target=pump, daemon=True)
    # As many parts as it takes: the key is that of one object, which fitted there.
    sender = Sender(target, lambda _number: wanted.key, rate)
    thread.start()
    try:
        sender.feed(read)
        thread.join()
        if fault:
            raise BackupError(f"{wanted.key} cannot be read: {fault[0]}")
        if (digest.hexdigest(), sender.total) != (wanted.sha256, wanted.bytes):
            raise BackupError(f"{wanted.key} is not what was sent to {source.name}")
        sender.complete()
    except BackupError:
        sender.abort()
        raise
    finally:
        os.close(read)
