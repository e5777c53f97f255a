# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack's directory on the host: releases, journal, lock, secrets. Every write is atomic and on the disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..rollout.journal import Entry, parse
from ..rollout.release import ID_PATTERN, NAME_PATTERN, Release

PARTIAL = ".partial"

#: Where the rotated secrets stand, beside them.
ROTATION = ".rotation.json"

#: Where moves of data to PostgreSQL keep their state, a directory for each stack.
MOVES = "/var/lib/landfall/migration"


class StackBusy(Exception):
    """Another run holds the stack's lock; ``holder`` is what that run wrote about itself."""

    def __init__(self, stack: str, holder: Mapping[str, Any], waited: float) -> None:
        self.holder = dict(holder)
        who, pid, since = (holder.get(key, "unknown") for key in ("who", "pid", "since"))
        super().__init__(
            f"stack {stack} is being worked on by {who} (pid {pid}, since {since}); waited {waited:.0f} s. "
            "Run again when that has ended, or give a longer lock_timeout"
        )


def write_atomic(path: str, data: str | bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> bool:
    """Write a whole file by rename, flushed to disk. False (and nothing done) when it is so already."""
    raw = data.encode() if isinstance(data, str) else data
    with contextlib.suppress(OSError), open(path, "rb") as file:
        now = os.fstat(file.fileno())
        if file.read() == raw and now.st_mode & 0o7777 == mode and (now.st_uid, now.st_gid) == (uid, gid):
            return False
    temporary = f"{path}.{os.getpid()}.new"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), uid, gid)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_dir(os.path.dirname(path))
    return True


def sync_dir(path: str) -> None:
    """Flush a directory, so that a rename in it survives a power cut."""
    handle = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class StackDir:
    """``<root>/<stack>``. Reading never creates anything; :meth:`prepare` makes the directories."""

    def __init__(self, root: str, stack: str) -> None:
        self.root = root
        self.stack = stack
        self.path = os.path.join(root, stack)
        self.releases_dir = os.path.join(self.path, "releases")
        self.secrets_dir = os.path.join(self.path, "secrets")
        self.data_dir = os.path.join(self.path, "data")
        self.journal_path = os.path.join(self.path, "journal")
        self.current_path = os.path.join(self.path, "current")

    def prepare(self) -> None:
        """Create the directories: 0711 where containers' bind mounts pass, 0700 for secrets."""
        os.makedirs(self.root, mode=0o755, exist_ok=True)
        for path, mode in ((self.path, 0o750), (self.releases_dir, 0o750), (self.secrets_dir, 0o711)):
            if not os.path.isdir(path):
                os.mkdir(path)
            os.chmod(path, mode)

    # --- the lock

    @contextlib.contextmanager
    def lock(self, who: str, since: str, timeout: float) -> Iterator[None]:
        """Hold the stack's lock; it dies with this process, however that ends. :raises StackBusy: after ``timeout``"""
        path = os.path.join(self.path, "lock")
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        began = time.monotonic()
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as problem:
                    if problem.errno not in (errno.EAGAIN, errno.EACCES):
                        raise
                waited = time.monotonic() - began
                if waited >= timeout:
                    raise StackBusy(self.stack, self._holder(handle), waited)
                time.sleep(0.25)
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps({"who": who, "pid": os.getpid(), "since": since}).encode() + b"\n", 0)
            yield
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def holder(self) -> dict[str, Any]:
        """Who holds the lock at this moment, {} when nobody does."""
        try:
            handle = os.open(os.path.join(self.path, "lock"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return {}
        except OSError:
            return self._holder(handle)
        finally:
            os.close(handle)

    @staticmethod
    def _holder(handle: int) -> dict[str, Any]:
        try:
            found = json.loads(os.pread(handle, 4096, 0) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    # --- the journal

    def log(self, entry: Entry) -> None:
        """Append one line and flush it to disk, before the step it names."""
        with open(self.journal_path, "a", encoding="utf-8") as file:
            file.write(entry.line())
            file.flush()
            os.fsync(file.fileno())

    def journal(self) -> list[Entry]:
        """All entries, oldest first."""
        try:
            with open(self.journal_path, encoding="utf-8", errors="replace") as file:
                return parse(file)
        except OSError:
            return []

    # --- releases

    def release_path(self, rid: str) -> str:
        """The directory of a release."""
        return os.path.join(self.releases_dir, rid)

    def releases(self) -> list[Release]:
        """All records, oldest first; a directory without a readable record is left out."""
        try:
            names = sorted(os.listdir(self.releases_dir))
        except OSError:
            return []
        out = []
        for name in names:
            if ID_PATTERN.match(name):
                with contextlib.suppress(OSError, ValueError, TypeError):
                    out.append(Release.from_json(self.read(name, "release.json")))
        return out

    def read(self, rid: str, name: str) -> str:
        """The text of one file of a release. :raises OSError: it is not there"""
        with open(os.path.join(self.release_path(rid), name), encoding="utf-8") as file:
            return file.read()

    def images(self, rid: str) -> dict[str, dict[str, Any]]:
        """digests.json of a release, {} when it never got that far."""
        try:
            loaded: dict[str, dict[str, Any]] = json.loads(self.read(rid, "digests.json"))
            return loaded
        except (OSError, ValueError):
            return {}

    def write(self, rid: str, name: str, data: str | bytes, mode: int = 0o644) -> None:
        """Write one file of a release."""
        write_atomic(os.path.join(self.release_path(rid), name), data, mode)

    def save(self, release: Release) -> None:
        """Write the record of a release."""
        self.write(release.id, "release.json", release.to_json())

    def stage(
        self, rid: str, files: Mapping[str, bytes], executable: frozenset[str], private: Mapping[str, str]
    ) -> str:
        """Write a release to ``<id>.partial``; ``private`` are files of mode 0600. The path back."""
        path = self.release_path(rid) + PARTIAL
        shutil.rmtree(path, ignore_errors=True)
        os.mkdir(path, 0o755)
        for name, data in files.items():
            target = os.path.join(path, name)
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            with open(target, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), 0o755 if name in executable else 0o644)
        for name, text in private.items():
            write_atomic(os.path.join(path, name), text, 0o600)
        return path

    def unstage(self, rid: str) -> None:
        """Throw a staged release away."""
        shutil.rmtree(self.release_path(rid) + PARTIAL, ignore_errors=True)

    def publish(self, rid: str) -> None:
        """Make a staged release a release."""
        os.sync()
        os.rename(self.release_path(rid) + PARTIAL, self.release_path(rid))
        sync_dir(self.releases_dir)

    def sweep(self) -> None:
        """Remove staged releases of killed runs."""
        for name in os.listdir(self.releases_dir):
            if name.endswith(PARTIAL):
                shutil.rmtree(os.path.join(self.releases_dir, name), ignore_errors=True)

    def remove(self, rid: str) -> None:
        """Delete a release's directory; the record goes first, so that a torn delete is no release."""
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.release_path(rid), "release.json"))
        shutil.rmtree(self.release_path(rid), ignore_errors=True)

    def current(self) -> str | None:
        """The id ``current`` points to, None when there is none."""
        try:
            return os.path.basename(os.readlink(self.current_path)) or None
        except OSError:
            return None

    def switch(self, rid: str) -> None:
        """Point ``current`` at a release, atomically."""
        temporary = f"{self.current_path}.new"
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        os.symlink(os.path.join("releases", rid), temporary)
        os.replace(temporary, self.current_path)
        sync_dir(self.path)

    # --- secrets

    def key(self, create: bool = True) -> bytes:
        """The stack's own digest key; made on first use. Without ``create`` a throw-away key when there is none."""
        path = os.path.join(self.path, "digest.key")
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError:
            fresh = secrets.token_bytes(32)
            if create:
                write_atomic(path, fresh, 0o400)
            return fresh

    def secret(self, name: str) -> str | None:
        """The value kept for a secret, None when there is none."""
        try:
            with open(os.path.join(self.secrets_dir, name), encoding="utf-8") as file:
                return file.read()
        except OSError:
            return None

    def secret_version(self, name: str, digest: str) -> str:
        """The value that a release had. :param digest: of its record :raises OSError: no copy was kept"""
        with open(self._version(name, digest), encoding="utf-8") as file:
            return file.read()

    def secret_owner(self, name: str) -> int:
        """The uid that reads a secret. :raises OSError: there is none"""
        return os.stat(os.path.join(self.secrets_dir, name)).st_uid

    def secret_time(self, name: str) -> float:
        """When a secret got its value, seconds since the epoch. :raises OSError: there is none"""
        return os.stat(os.path.join(self.secrets_dir, name)).st_mtime

    def release_files(self, rid: str) -> dict[str, tuple[bytes, bool]]:
        """All files of a release: path → (bytes, whether it may be executed)."""
        top = self.release_path(rid)
        found = {}
        for directory, _directories, names in os.walk(top):
            for name in names:
                path = os.path.join(directory, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, top)] = (file.read(), bool(os.fstat(file.fileno()).st_mode & 0o100))
        return found

    def write_secret(self, name: str, value: str, uid: int, digest: str) -> bool:
        """Keep a secret, 0400, owned by the uid that reads it, and a copy for a rollback. False: it is so already."""
        os.makedirs(self._versions, mode=0o700, exist_ok=True)
        write_atomic(self._version(name, digest), value, 0o400, uid, 0)
        return write_atomic(os.path.join(self.secrets_dir, name), value, 0o400, uid, 0)

    def write_rotation(self, state: Mapping[str, Mapping[str, str]]) -> None:
        """Keep where the rotated secrets stand beside them: a backup takes them, and no releases, to another host."""
        path = os.path.join(self.secrets_dir, ROTATION)
        if state or os.path.exists(path):
            write_atomic(path, json.dumps(state, indent=2, sort_keys=True) + "\n", 0o400)

    def rotation(self) -> dict[str, dict[str, str]]:
        """What :meth:`write_rotation` kept. True only as long as there is no good release, whose record counts."""
        try:
            with open(os.path.join(self.secrets_dir, ROTATION), encoding="utf-8") as file:
                loaded: dict[str, dict[str, str]] = json.load(file)
                return loaded
        except (OSError, ValueError):
            return {}

    def restore_secrets(self, digests: Mapping[str, str]) -> None:
        """Bring back the values a release had. :param digests: secret name → keyed digest, of its record"""
        for name, digest in digests.items():
            with open(self._version(name, digest), "rb") as file:
                uid = os.fstat(file.fileno()).st_uid
                write_atomic(os.path.join(self.secrets_dir, name), file.read(), 0o400, uid, 0)

    def prune_secrets(self, kept: Iterable[Mapping[str, str]]) -> None:
        """Drop copies that no kept release needs; the secrets themselves always stay."""
        needed = {os.path.basename(self._version(name, digest)) for one in kept for name, digest in one.items()}
        with contextlib.suppress(OSError):
            for name in os.listdir(self._versions):
                if name not in needed:
                    os.unlink(os.path.join(self._versions, name))

    @property
    def _versions(self) -> str:
        return os.path.join(self.secrets_dir, ".versions")

    def _version(self, name: str, digest: str) -> str:
        return os.path.join(self._versions, f"{name}-{digest[:12]}")

    def images_of_others(self) -> set[str]:
        """Ids of the images that other stacks' releases need."""
        found: set[str] = set()
        for name in stacks(self.root):
            if name != self.stack:
                other = StackDir(self.root, name)
                for one in other.releases():
                    found.update(str(entry.get("id", "")) for entry in other.images(one.id).values())
        return found


def stacks(root: str) -> list[str]:
    """The names of the stacks under ``root``, sorted; what a restore put aside (``NAME.before-…``) is none."""
    try:
        names = [name for name in os.listdir(root) if NAME_PATTERN.match(name)]
        return sorted(name for name in names if os.path.isdir(os.path.join(root, name, "releases")))
    except OSError:
        return []
