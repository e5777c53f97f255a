# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time: a flock on the host, which dies with the process, and a lease in the store, across hosts."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from ..backup import layout, lease
from ..backup.lease import TTL, Busy, Lease, Lost
from ..backup.ports import BackupError, Exists, Missing, Store, StoreError


@contextlib.contextmanager
def host_lock(path: str, who: str, timeout: float) -> Iterator[None]:
    """Hold a stack's backups on this host. :raises Busy: after ``timeout`` seconds"""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + timeout
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as problem:
                if problem.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            if time.monotonic() >= until:
                held = os.pread(handle, 1000, 0).decode(errors="replace").strip()
                raise Busy(f"backups of this stack are being worked on here: {held}. Run again when that has ended")
            time.sleep(0.2)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"what": who, "pid": os.getpid()}).encode() + b"\n", 0)
        yield
    finally:
        os.close(handle)


def machine() -> str:
    """This installation of a system, and this boot of it."""
    words = []
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            words.append(file.read().strip())
    return "/".join(words)


def _at_work(pid: int) -> bool:
    """A number is given out again: only another process of ours counts."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return pid != os.getpid() and b"landfall" in file.read()
    except OSError:
        return False


class HeldLease:
    """The lease, renewed by a thread until it is given back. :param ttl: seconds it holds without being renewed"""

    def __init__(self, store: Store, stack: str, mine: Lease, ttl: float = TTL) -> None:
        self._store, self._mine, self._ttl = store, mine, ttl
        self._key = layout.stack_prefix(stack) + layout.LEASE
        self._lost: BackupError | None = None
        self._alone = threading.Lock()
        self._done = threading.Event()
        self._tag = self._acquire()
        self._thread = threading.Thread(target=self._renewing, name="lease", daemon=True)
        self._thread.start()

    def _acquire(self) -> str:
        raw = self._mine.to_json()
        try:
            self._store.put(self._key, raw, absent=True)
        except Exists:
            there = self._store.get(self._key)
            found = lease.parse(there.data)
            gone = lease.dead(found, self._mine.host, self._mine.machine, _at_work)
            if not lease.takeable(found, there.modified, there.now, gone, self._ttl):
                raise lease.busy(found, there.modified, there.now, self._ttl) from None
            try:
                self._store.put(self._key, raw, match=there.tag)
            except Exists:
                raise Busy("another run took the lease at the same moment; run again when it has ended") from None
        return self._own()

    def _own(self) -> str:
        """The tag of the lease, which is read back: not every store knows conditional writes."""
        there = self._store.get(self._key)
        found = lease.parse(there.data)
        if found is None or found.nonce != self._mine.nonce:
            raise Busy("another run took the lease at the same moment; run again when it has ended")
        return there.tag

    def _renew(self, changed: Lease) -> None:
        with self._alone:
            if self._lost:
                raise self._lost
            try:
                self._store.put(self._key, changed.to_json(), match=self._tag)
                self._tag = self._own()
            except (Exists, Missing, Busy):
                self._lost = Lost("the lease was lost: another run has taken it over; nothing of this run counts")
                raise self._lost from None

    def _renewing(self) -> None:
        until = time.monotonic() + self._ttl
        while not self._done.wait(self._ttl / 4):
            try:
                self._renew(self._mine)
                until = time.monotonic() + self._ttl
            except StoreError:
                # The store may answer again before the lease has run out.
                if time.monotonic() > until:
                    self._lost = self._lost or Lost(
                        "the lease could not be renewed in time; nothing of this run counts"
                    )
            except BackupError:
                return

    def check(self) -> None:
        """Renew it now. :raises BackupError: it was lost"""
        if self._lost:
            raise self._lost
        self._renew(self._mine)

    def release(self) -> None:
        """Give it back: marked free, since who writes here may not be able to delete."""
        self._done.set()
        self._thread.join()
        with contextlib.suppress(BackupError):
            self._renew(replace(self._mine, free=True))


@contextlib.contextmanager
def leased(store: Store, stack: str, mine: Lease, ttl: float = TTL) -> Iterator[HeldLease]:
    """Hold the lease for a while. :raises Busy: somebody else does"""
    held = HeldLease(store, stack, mine, ttl)
    try:
        yield held
    finally:
        held.release()
