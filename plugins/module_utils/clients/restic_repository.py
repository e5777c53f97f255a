# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository of restic in a store: snapshots of volumes are taken, read back, restored and forgotten there."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence

from ..backup import layout, restic
from ..backup.config import Config
from ..backup.manifest import Item, Manifest
from ..backup.ports import BackupError, Store
from .files import sync_dir, write_atomic
from .process import runner

NOT_INSTALLED = "restic is not installed on this host: apt-get install restic, or name it in backup_packages"


class Damaged(BackupError):
    """restic complains of what is stored."""


class Restic:
    """All that is done with restic for one stack in one store.

    :param password_file: instead of that of this host
    :param cached: whether names and structure may come from this host's cache; what proves a set reads the store
    """

    def __init__(self, config: Config, store: Store, password_file: str = "", cached: bool = True) -> None:
        self._c, self._store = config, store
        self._password = password_file or config.restic_password_file
        self._cache = os.path.join(config.state, config.stack, "restic-cache") if cached else ""

    # --- calls

    def _call(self, repository: str, *words: str, deleting: bool = False) -> tuple[int, str, str]:
        place = self._store.place(restic.prefix(self._c.stack, repository), deleting)
        made = restic.command(place, self._password, self._cache, *words)
        if self._cache:
            os.makedirs(self._cache, mode=0o700, exist_ok=True)
        rc, out, err = runner()(made.argv, "/", made.env)
        if rc == 127:
            raise BackupError(NOT_INSTALLED)
        return rc, out, err

    def _do(self, repository: str, *words: str, deleting: bool = False) -> str:
        rc, out, err = self._call(repository, *words, deleting=deleting)
        if rc:
            kind = Damaged if restic.is_damage(err + out) else BackupError
            raise kind(f"restic {words[0]}, repository {repository} in {self._store.name}: {restic.hint(err or out)}")
        return out

    # --- taking

    def find(self) -> str:
        """The repository to go on with, "" when there is none."""
        found = self._store.list(restic.top(self._c.stack))
        return restic.newest(self._c.stack, [(one.key, one.modified) for one in found])

    def ready(self) -> str:
        """The repository; it is made, with its password, when there is none.

        :raises BackupError: there is one, and no password for it
        """
        if not shutil.which("restic"):
            raise BackupError(NOT_INSTALLED)
        there = self.find()
        if there and not os.path.exists(self._password):
            raise BackupError(
                f"{self._password} is not there, and {self._store.name} has a repository: bring the password back from "
                f"a set: landfall backup restore {self._c.stack} --item restic-key --to-file {self._password}"
            )
        if there:
            self._need_locks(there)
            return there
        if not os.path.exists(self._password):
            write_password(self._password, secrets.token_hex(32).encode())
        made = secrets.token_hex(4)
        self._need_locks(made)
        self._do(made, "init")
        return made

    def lockable(self, repository: str) -> bool:
        """Whether who works here may take locks away again: restic tries to for a quarter of an hour."""
        key = f"{restic.prefix(self._c.stack, repository)}locks/{layout.PROBE}"
        return self._store.uploader_deletes(key, versions=False)

    def _need_locks(self, repository: str) -> None:
        if not self.lockable(repository):
            raise BackupError(
                f"the credential for {self._store.name} may not take restic's locks away: let it delete what is below "
                f"{restic.top(self._c.stack)}*/locks/, and nothing else"
            )

    def take(self, path: str, exclude: Sequence[str], tags: Sequence[str], began: float) -> restic.Taken:
        """Have restic keep a path. :param began: seconds since 1970; what was changed since then is told"""
        repository = self.ready()
        words = restic.backup_words(path, self._c.stack, tags, exclude, self._c.rate)
        found = restic.summary(*self._call(repository, *words))
        unread = [one for one in found.unexplained if not passing(one, began)]
        if unread:
            raise BackupError(f"restic could not read {len(unread)} files: {', '.join(unread[:5])}")
        vanished = len(found.vanished) + len(found.unexplained)
        full, tree = self._snapshot(repository, found.snapshot)
        warnings = [f"{vanished} files vanished while they were read"] if vanished else []
        changed = changed_since(path, began)
        warnings += [f"{changed} files were changed while they were read"] if changed else []
        details = {
            "engine": restic.ENGINE, "repository": repository, "snapshot": full, "tree": tree,
            "files": found.files, "added": found.added,
        }  # fmt: skip
        return restic.Taken(found.bytes, details, tuple(warnings))

    def _snapshot(self, repository: str, wanted: str) -> tuple[str, str]:
        found = restic.listed(self._do(repository, "snapshots", "--json", "--no-lock", wanted))
        mine = [pair for pair in found.items() if pair[0].startswith(wanted)]
        if len(mine) != 1:
            raise Damaged(f"repository {repository} in {self._store.name} has no snapshot {wanted[:12]}")
        return mine[0]

    # --- reading back

    def present(self, item: Item) -> restic.Snapshot:
        """The snapshot of an item. :raises Damaged: it is not there, or another"""
        wanted = restic.snapshot_of(item)
        if wanted is None:
            raise BackupError(f"{item.name} is none of restic's")
        _full, tree = self._snapshot(wanted.repository, wanted.snapshot)
        if tree != wanted.tree:
            raise Damaged(f"{item.name}: snapshot {wanted.snapshot[:12]} holds another tree than the set says")
        return wanted

    def verify(self, items: Iterable[Item]) -> list[str]:
        """What is wrong with snapshots, and with the repositories they are in: all of their structure, some packs.

        :raises BackupError: it could not be looked at
        """
        problems, repositories = [], []
        for item in items:
            wanted = restic.snapshot_of(item)
            try:
                self.present(item)
            except Damaged as problem:
                problems.append(f"{item.name}: {problem}")
            if wanted and wanted.repository not in repositories:
                repositories.append(wanted.repository)
        for repository in repositories:
            try:
                self._whole(repository)
                self._do(repository, *restic.check_words(time.time(), self._c.restic_read_days))
            except Damaged as problem:
                problems.append(str(problem))
        return problems

    def _whole(self, repository: str) -> None:
        """restic before 0.17 asks for a missing pack for a quarter of an hour. :raises Damaged: one is missing"""
        start = restic.prefix(self._c.stack, repository)
        there = {one.key.rpartition("/")[2] for one in self._store.list(f"{start}data/")}
        indexes = [one.key.rpartition("/")[2] for one in self._store.list(f"{start}index/")]
        lost = sorted(set().union(*self._packs(repository, indexes).values()) - there)
        if lost:
            where = f"repository {repository} in {self._store.name}"
            raise Damaged(f"{where}: {len(lost)} packs are missing: {', '.join(lost[:3])}")

    def _packs(self, repository: str, indexes: Sequence[str]) -> dict[str, list[str]]:
        """The packs that each index names. One never changes, it is named by its hash: what was read is remembered,
        as each question to restic costs half a second for its key, and there is an index for each backup."""
        path = os.path.join(self._cache, f"packs-{repository}.json") if self._cache else ""
        known = restic.remembered(_text(path))
        found = {
            one: known.get(one) or sorted(restic.packs_of(self._do(repository, "cat", "index", one, "--no-lock")))
            for one in indexes
            if restic.DIGEST.match(one)
        }
        if path and found != known:
            write_atomic(path, json.dumps(found) + "\n", 0o600, os.geteuid(), os.getegid())
        return found

    def lay(self, item: Item, directory: str, lock: bool = False) -> None:
        """An item's files as ``directory``, every blob checked on its way.

        :param lock: keep a pruning elsewhere from taking packs away meanwhile; needed without the lease
        :raises BackupError: nothing is left then
        """
        wanted = self.present(item)
        self._whole(wanted.repository)
        part = f"{directory}.part"
        path = str(item.details["path"])
        for old in (part, directory):
            shutil.rmtree(old, ignore_errors=True)
        os.mkdir(part, 0o700)
        try:
            words = ("restore", wanted.snapshot, "--target", part)
            self._do(wanted.repository, *words, *(() if lock and self.lockable(wanted.repository) else ("--no-lock",)))
            found = os.path.join(part, path.lstrip("/"))
            if not os.path.lexists(found):
                raise Damaged(f"{item.name}: the snapshot does not hold {path}")
            if item.details["directory"]:
                os.rename(found, directory)
            else:
                os.mkdir(directory, 0o700)
                os.rename(found, os.path.join(directory, os.path.basename(path)))
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(part, ignore_errors=True)

    # --- forgetting

    def prune(self, sets: Sequence[Manifest]) -> list[str]:
        """Forget what none of the sets names, and free its room; what was done. The lease is held by the caller.

        :raises BackupError: it cannot be done; what sets name is there in any case
        """
        wanted = restic.named(sets)
        there = {self.find(), *wanted} - {""}
        said = []
        for repository in sorted(there):
            self._do(repository, "unlock", deleting=True)
            found = restic.listed(self._do(repository, "snapshots", "--json", "--no-lock"))
            gone = restic.unwanted(found, wanted.get(repository, ()))
            if gone:
                self._do(repository, "forget", *gone, deleting=True)
                said.append(f"{len(gone)} snapshots that no set names are forgotten")
            self._do(repository, "prune", deleting=True)
        return said


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError):
        return ""


def passing(path: str, moment: float) -> bool:
    """Whether a file is gone, or is another since a moment, give or take a second."""
    try:
        return os.lstat(path).st_ctime > moment - 1
    except OSError:
        return not os.path.lexists(path)


def changed_since(path: str, moment: float) -> int:
    """Files that were written after a moment, of all below a path."""
    count = 0
    found = [(os.path.dirname(path), [os.path.basename(path)])] if not os.path.isdir(path) else (
        (at, names) for at, _directories, names in os.walk(path)
    )  # fmt: skip
    for at, names in found:
        for name in names:
            with contextlib.suppress(OSError):
                count += os.lstat(os.path.join(at, name)).st_mtime > moment
    return count


def write_password(path: str, password: bytes) -> None:
    """A password's file, for root alone; whole, or not there."""
    part = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    try:
        os.write(handle, password)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.rename(part, path)
    sync_dir(os.path.dirname(path))


@contextlib.contextmanager
def opened(config: Config, store: Store, password: bytes, scratch: str) -> Iterator[Restic]:
    """restic with the password that a set carries. :param scratch: a directory of root's; nothing stays in it"""
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    path = os.path.join(scratch, f"restic-{os.getpid()}")
    write_password(path, password)
    try:
        yield Restic(config, store, path, cached=False)
    finally:
        os.unlink(path)
