# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory as a store of backups: a disk, an NFS mount. The same rules as S3 has."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence

from ..backup.ports import Blob, Entry, Exists, Missing, Place, StoreError, Upload
from .files import sync_dir

CHUNK = 1 << 20
PARTIAL = ".partial-"


class LocalStore:
    """See :class:`..backup.ports.Store`. The directory must be there: a mount that is not mounted is noticed."""

    credentials = False

    def __init__(self, path: str, name: str = "local", may_delete: bool = True) -> None:
        if not os.path.isdir(path):
            raise Missing(f"store {name}: {path} is not there; mount it, or create it for root alone (mode 0700)")
        self.name, self._path, self._may_delete = name, path, may_delete

    def place(self, prefix: str, deleting: bool = False) -> Place:
        return Place(self._at(prefix))

    def uploader_deletes(self, key: str, versions: bool = True) -> bool:
        """Who writes to a directory may delete in it."""
        return True

    def _at(self, key: str) -> str:
        path = os.path.normpath(os.path.join(self._path, key))
        if not path.startswith(os.path.join(self._path, "")):
            raise StoreError(f"store {self.name}: {key!r} leads out of it")
        return path

    def _error(self, what: str, problem: OSError) -> StoreError:
        return StoreError(f"store {self.name} ({self._path}): {what}: {problem.strerror or problem}")

    def _walk(self, prefix: str) -> Iterator[tuple[str, str]]:
        def fail(problem: OSError) -> None:
            if not isinstance(problem, FileNotFoundError):
                raise self._error(f"listing {prefix}", problem)

        for top, directories, names in os.walk(self._at(prefix), onerror=fail):
            directories.sort()
            for name in sorted(names):
                path = os.path.join(top, name)
                yield path, os.path.relpath(path, self._path)

    def list(self, prefix: str) -> Sequence[Entry]:
        out = []
        for path, key in self._walk(prefix):
            if not os.path.basename(path).startswith("."):
                facts = os.stat(path)
                out.append(Entry(key, facts.st_size, facts.st_mtime))
        return out

    def get(self, key: str) -> Blob:
        try:
            with open(self._at(key), "rb") as file:
                data = file.read()
                return Blob(data, hashlib.sha256(data).hexdigest(), os.fstat(file.fileno()).st_mtime, time.time())
        except FileNotFoundError as problem:
            raise Missing(f"store {self.name}: {key} is not there") from problem
        except OSError as problem:
            raise self._error(f"reading {key}", problem) from problem

    def read(self, key: str) -> Iterator[bytes]:
        try:
            with open(self._at(key), "rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except FileNotFoundError as problem:
            raise Missing(f"store {self.name}: {key} is not there") from problem
        except OSError as problem:
            raise self._error(f"reading {key}", problem) from problem

    def put(self, key: str, data: bytes, absent: bool = False, match: str = "") -> None:
        path = self._at(key)
        partial = f"{os.path.dirname(path)}/{PARTIAL}{secrets.token_hex(4)}"
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(os.path.join(self._path, ".lock"), "a", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if match and self.get(key).tag != match:
                    raise Exists(f"store {self.name}: {key} was changed meanwhile")
                _write(partial, data)
                try:
                    if absent:
                        os.link(partial, path)
                    else:
                        os.replace(partial, path)
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(partial)
            sync_dir(os.path.dirname(path))
        except FileExistsError as problem:
            raise Exists(f"store {self.name}: {key} is there already") from problem
        except OSError as problem:
            raise self._error(f"writing {key}", problem) from problem

    def upload(self, key: str) -> Upload:
        path = self._at(key)
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            return LocalUpload(self, key, path)
        except OSError as problem:
            raise self._error(f"beginning {key}", problem) from problem

    def _partials(self, prefix: str) -> Sequence[tuple[str, str]]:
        return [(path, key) for path, key in self._walk(prefix) if os.path.basename(path).startswith(PARTIAL)]

    def orphans(self, prefix: str) -> Sequence[str]:
        return [key for _path, key in self._partials(prefix)]

    def abort_orphans(self, prefix: str) -> int:
        found = self._partials(prefix)
        for path, _key in found:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        return len(found)

    def delete(self, key: str) -> None:
        path = self._at(key)
        try:
            os.unlink(path)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(path))
        except FileNotFoundError:
            return
        except OSError as problem:
            raise self._error(f"deleting {key}", problem) from problem


def _write(path: str, data: bytes) -> None:
    with open(path, "wb", opener=_private) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class LocalUpload:
    """A file under a name that no listing shows, until it is complete."""

    def __init__(self, store: LocalStore, key: str, path: str) -> None:
        self._store, self._key, self._path = store, key, path
        self._partial = f"{os.path.dirname(path)}/{PARTIAL}{os.path.basename(path)}"
        self._handle = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._sent = 0

    def part(self, number: int, offset: int, data: bytearray) -> None:
        view = memoryview(data)
        try:
            while view:
                done = os.pwrite(self._handle, view, offset)
                view, offset = view[done:], offset + done
        except OSError as problem:
            raise self._store._error(f"writing part {number} of {self._key}", problem) from problem
        self._sent = max(self._sent, offset)

    def complete(self) -> None:
        try:
            os.fsync(self._handle)
            size = os.fstat(self._handle).st_size
            os.close(self._handle)
            if size != self._sent:
                raise StoreError(f"store {self._store.name}: {self._key} has {size} bytes, {self._sent} were sent")
            os.link(self._partial, self._path)
            os.unlink(self._partial)
            sync_dir(os.path.dirname(self._path))
        except OSError as problem:
            raise self._store._error(f"completing {self._key}", problem) from problem

    def abort(self) -> None:
        for step in (lambda: os.close(self._handle), lambda: os.unlink(self._partial)):
            with contextlib.suppress(OSError):
                step()
