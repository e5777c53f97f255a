# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster brought to a point in time: beside, as a cluster of its own, or in the place of what is there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence

from ..backup import pgbackrest, pitr
from ..backup.layout import stamp
from ..backup.pgbackrest import Server
from ..backup.pitr import Restore
from ..backup.ports import BackupError
from .files import sync_dir, write_atomic
from .pg_cluster import DebianCluster, clusters, owner, run
from .pgbackrest import PgBackRest

#: In the data directory of a copy until it is whole: what has it belongs to nobody yet.
MARK = "landfall-restore"
#: Who may come to a copy: users of the host by their own name, and by passwords as in the original.
_COPY_FILES = {
    "pg_hba.conf": "local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n",
    "pg_ident.conf": "",
}


class ClusterRestore:
    """Restores of one cluster. Everything is fetched into ``<data>.partial`` first; a second try goes on with that."""

    def __init__(self, keeper: PgBackRest) -> None:
        self._k, self._c, self._say = keeper, keeper.cluster, keeper.say

    def run(self, wanted: Restore, port: int = 0) -> None:
        """Do it. :param port: of a copy, 0 for a free one. :raises BackupError: what was there is as it was"""
        if wanted.cluster:
            self._beside(wanted, port)
        else:
            self._in_place(wanted)

    def flush(self, wanted: Restore) -> None:
        """Have the original archive what it has. Without one, or where that fails, the archive alone counts."""
        try:
            if self._k.debian.ask("SELECT pg_is_in_recovery()") == "f" and self._k.debian.flush():
                return
            why = "not all of its log could be archived"
        except BackupError as problem:
            why = str(problem)
        until = "its end" if wanted.target is None else "the target"
        self._say(f"only what is archived counts ({why}); whether that reaches {until} is seen in the recovery")

    # --- beside

    def _beside(self, wanted: Restore, port: int) -> None:
        copy = DebianCluster(self._c.version, wanted.cluster)
        data = f"/var/lib/postgresql/{copy.version}/{copy.name}"
        self._clear(copy, data)
        partial, spaces = f"{data}.partial", _spaces(data)
        if wanted.tablespaces and os.path.exists(spaces) and not os.path.exists(partial):
            raise BackupError(f"{spaces} is there already; remove it, or choose another name")
        self._room(wanted, partial)
        self.flush(wanted)
        if wanted.tablespaces and not os.path.isdir(spaces):
            os.mkdir(spaces, 0o700)
            os.chown(spaces, *owner())
        self._fetch(wanted, partial, data, [f"--tablespace-map-all={spaces}"] if wanted.tablespaces else [])
        settings = {"archive_mode": "off", **self._needed(copy, partial)}
        write_atomic(os.path.join(partial, MARK), f"{self._c.id} {wanted.backup.label}\n", 0o600, *owner())
        os.rename(partial, data)
        try:
            self._adopt(copy, data, port, settings)
            copy.recover()
            self._proven_copy(copy)
        except BackupError:
            self._drop(copy)
            raise
        os.unlink(os.path.join(data, MARK))
        at = copy.server()
        self._say(f"{copy.id}: port {at.port}, data in {at.data}; it does not archive. Away with it: pg_dropcluster "
                  f"--stop {copy.version} {copy.name}")  # fmt: skip
        if wanted.tablespaces:
            self._say(f"its tablespaces ({', '.join(sorted(wanted.tablespaces))}) lie in {spaces}: away with that, too")

    def _clear(self, copy: DebianCluster, data: str) -> None:
        """Refuse what is somebody's; take away what a killed restore left."""
        there = copy.find()
        marked = os.path.exists(os.path.join(there.data if there else data, MARK))
        if there and not marked:
            raise BackupError(f"there is a cluster {copy.id} already; choose another name")
        if os.path.exists(data) and not marked:
            raise BackupError(f"{data} is there already; choose another name")
        if there:
            self._say(f"{copy.id} is what a killed restore left; it is made anew")
            self._drop(copy)
        elif marked:
            os.rename(data, f"{data}.partial")

    @staticmethod
    def _drop(copy: DebianCluster) -> None:
        if copy.find():
            run(["pg_dropcluster", "--stop", str(copy.version), copy.name], f"{copy.id} cannot be dropped")
            shutil.rmtree(_spaces(f"/var/lib/postgresql/{copy.version}/{copy.name}"), ignore_errors=True)

    def _adopt(self, copy: DebianCluster, data: str, port: int, settings: dict[str, str]) -> None:
        # Debian keeps these files in /etc, so that no backup of the cluster has them.
        for name, text in ({"postgresql.conf": pgbackrest.drop_in(settings), **_COPY_FILES}).items():
            write_atomic(os.path.join(data, name), text, 0o640, *owner())
        words = ["--port", str(port)] if port else []
        run(
            ["pg_createcluster", "--datadir", data, "--start-conf", "manual", *words, str(copy.version), copy.name],
            f"{copy.id} cannot be made",
        )

    def _needed(self, copy: DebianCluster, data: str) -> dict[str, str]:
        """What a server that recovers must have at least; its own files in /etc are new ones."""
        return pitr.recovery_settings(run([copy.program("pg_controldata"), data], "pg_controldata"))

    def _proven_copy(self, copy: DebianCluster) -> None:
        if copy.ask("SHOW archive_mode") != "off":
            raise BackupError(f"{copy.id} would archive into the repository of {self._c.id}: it is not left running")

    # --- in place

    def _in_place(self, wanted: Restore) -> None:
        self.undo()
        if self._k.debian.server().running:
            self.flush(wanted)
        kept = self.replace(wanted)
        self._say(f"{self._c.id} is at its target. What was there lies in {kept}; remove it when you are content")
        self._say(
            "its log goes on along a new timeline: take a full backup (landfall backup run --engine pgbackrest --full)"
        )

    def replace(self, wanted: Restore, prepare: Callable[[str], None] = lambda partial: None) -> str:
        """Fetch, swap, follow the log. What an original has not archived is not asked for.

        :param prepare: done with the directory of the fetched data, before anything of the cluster is touched
        :returns: where lies what was there
        :raises BackupError: data and server are as they were
        """
        server = self._k.debian.server()
        partial = f"{server.data}.partial"
        self._room(wanted, partial)
        self._fetch(wanted, partial, server.data)
        prepare(partial)
        kept = f"{server.data}.before-{stamp(time.time()).replace(':', '')}"
        state = {"data": server.data, "partial": partial, "before": kept, "running": server.running}
        write_atomic(self._k.journal, json.dumps(state) + "\n", 0o600)
        try:
            if server.running:
                self._say(f"{self._c.id} stops")
                self._k.debian.ctl("stop")
            os.rename(server.data, kept)
            os.rename(partial, server.data)
            sync_dir(os.path.dirname(server.data))
            self._say(f"{self._c.id} starts and follows its log")
            self._k.debian.recover()
        except BackupError as problem:
            self.undo()
            raise BackupError(f"{problem}. All is as it was before") from problem
        os.unlink(self._k.journal)
        return kept

    def undo(self) -> bool:
        """Bring back what a killed restore in place had put aside; what had come to its target stays.

        :returns: whether there was anything to do
        """
        try:
            with open(self._k.journal, encoding="utf-8") as file:
                state = json.load(file)
        except FileNotFoundError:
            return False
        data, partial, before = (str(state[name]) for name in ("data", "partial", "before"))
        if os.path.exists(before) and not self._arrived():
            with contextlib.suppress(BackupError):
                self._k.debian.ctl("stop")
            found = self._k.debian.find()
            if found and found.running:
                raise BackupError(
                    f"{self._c.id} does not stop; stop it, and run the same again: its data lie in {before}"
                )
            if os.path.exists(data):
                os.rename(data, partial)
            os.rename(before, data)
            sync_dir(os.path.dirname(data))
            self._say(f"{self._c.id} has its data of before again")
        if state["running"] and not self._k.debian.server().running:
            self._k.debian.ctl("start")
        os.unlink(self._k.journal)
        return True

    def _arrived(self) -> bool:
        """Whether the restored server runs and may be written to: then somebody may have."""
        try:
            return self._k.debian.ask("SELECT pg_is_in_recovery()") == "f"
        except BackupError:
            return False

    # --- both

    def _room(self, wanted: Restore, partial: str) -> None:
        """Refuse before anything is fetched."""
        where = partial if os.path.isdir(partial) else os.path.dirname(partial)
        facts = os.statvfs(where)
        free = facts.f_bavail * facts.f_frsize + _size(partial)
        if free < wanted.room:
            raise BackupError(f"no room for the restore: {wanted.room} bytes are needed in {where}, {free} are free")

    def _fetch(self, wanted: Restore, partial: str, data: str, more: Sequence[str] = ()) -> None:
        """The backup into a directory that is going to be ``data``. :param more: options of pgBackRest"""
        resumed = os.path.exists(os.path.join(partial, "backup.manifest"))
        resumed = resumed or os.path.exists(os.path.join(partial, "PG_VERSION"))
        if os.path.isdir(partial) and not resumed:
            shutil.rmtree(partial)
        if not os.path.isdir(partial):
            os.mkdir(partial, 0o700)
            os.chown(partial, *owner())
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(partial, "postmaster.pid"))
        get = self._k.segment_from(data)
        self._say(f"backup {wanted.backup.label} is fetched to {partial}" + (", which goes on" if resumed else ""))
        self._k.good(
            *wanted.words(), *more, f"--pg1-path={partial}", f"--recovery-option=restore_command={get}",
            *(["--delta"] if resumed else []),
        )  # fmt: skip


def _spaces(data: str) -> str:
    """Where a copy's tablespaces go: not into its data directory, which PostgreSQL does not like."""
    return f"{data}.tablespaces"


def _size(directory: str) -> int:
    """Bytes that are in a directory, as far as they can be seen."""
    total = 0
    for root, _dirs, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(root, name)).st_size
    return total


def lost(keeper: PgBackRest) -> Server | None:
    """Where the cluster is on this host, None when it is not: a restore beside needs none."""
    return clusters().get(keeper.cluster.id)
