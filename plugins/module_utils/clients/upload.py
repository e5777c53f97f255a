# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream into a store: growing parts, sent side by side, with a bound on memory; visible only when told so."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..backup.manifest import SentObject
from ..backup.parts import BUDGET, MAX_PARTS, part_size
from ..backup.ports import BackupError, Store, Upload

WORKERS = 3
PIPE = 1 << 20


def widen(handle: int) -> int:
    """Give a pipe more room, where the kernel allows it: fewer wake-ups. What it holds now back, in bytes."""
    with contextlib.suppress(OSError):
        return fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, PIPE)
    return fcntl.fcntl(handle, fcntl.F_GETPIPE_SZ)


class Sender:
    """Reads a pipe to its end and sends it. Nothing is visible before :meth:`complete`.

    :param key: number of a segment (from 0) → its key
    :param rate: bytes a second on average, 0 for no limit
    :param parts: parts of one object at most; what is more goes into the next segment
    """

    def __init__(
        self,
        store: Store,
        key: Callable[[int], str],
        rate: float = 0,
        parts: int = MAX_PARTS,
        size: Callable[[int], int] = part_size,
    ) -> None:
        self._store, self._key, self._rate, self._max, self._size = store, key, rate, parts, size
        self._uploads: list[Upload] = []
        self._sent: list[SentObject] = []
        self._held = 0
        #: Buffers of parts that were sent, to be used again: freed ones of this size would stay with the allocator.
        self._spare: list[bytearray] = []
        self._room = threading.Condition()
        self._error: BaseException | None = None

    def feed(self, handle: int) -> None:
        """Send all that comes out of a pipe. :raises BackupError: a part could not be sent; then :meth:`abort`"""
        widen(handle)
        began, total, ended = time.monotonic(), 0, False
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="part") as pool:
            while not ended and self._error is None:
                number, count, digest = 0, 0, hashlib.sha256()
                key = self._key(len(self._uploads))
                upload: Upload | None = None
                while number < self._max and not ended and self._error is None:
                    data = self._next(handle, self._size(number + 1))
                    ended = len(data) < self._size(number + 1)
                    if not data:
                        self._give_back(self._size(number + 1))
                        break
                    if upload is None:
                        upload = self._store.upload(key)
                        self._uploads.append(upload)
                    number += 1
                    pool.submit(self._send, upload, number, count, data)
                    digest.update(data)
                    count += len(data)
                    total += len(data)
                    if self._rate:
                        time.sleep(max(0.0, began + total / self._rate - time.monotonic()))
                if upload is not None:
                    self._sent.append(SentObject(key, count, digest.hexdigest(), number))
        if self._error is not None:
            if isinstance(self._error, BackupError):
                raise self._error
            raise BackupError(f"a part could not be sent: {self._error!r}") from self._error

    def _next(self, handle: int, size: int) -> bytearray:
        with self._room:
            self._room.wait_for(lambda: self._held + size <= BUDGET or not self._held)
            self._held += size
            while self._spare and len(self._spare[-1]) != size:
                self._spare.pop()
            data = self._spare.pop() if self._spare else bytearray(size)
        view = memoryview(data)
        at = 0
        while at < size:
            got = os.readv(handle, [view[at:]])
            if not got:
                break
            at += got
        view.release()
        if 0 < at < size:
            self._give_back(size - at)
        del data[at:]
        return data

    def _give_back(self, size: int, data: bytearray | None = None) -> None:
        with self._room:
            self._held -= size
            if data is not None:
                self._spare.append(data)
            self._room.notify_all()

    def _send(self, upload: Upload, number: int, offset: int, data: bytearray) -> None:
        size = len(data)
        try:
            if self._error is None:
                upload.part(number, offset, data)
        except BaseException as problem:  # handed to the reading thread
            self._error = self._error or problem
        finally:
            self._give_back(size, data)

    @property
    def total(self) -> int:
        """What was sent."""
        return sum(one.bytes for one in self._sent)

    def complete(self) -> tuple[SentObject, ...]:
        """Make all segments visible. :raises StoreError: one of them could not be"""
        for upload in self._uploads:
            upload.complete()
        return tuple(self._sent)

    def abort(self) -> None:
        """Throw all of it away; never raises."""
        for upload in self._uploads:
            upload.abort()
