# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of a host that is gone, brought onto a new one: cipher, configuration, data, and its log archived on."""

from __future__ import annotations

import os
import re
import shutil
import time
from datetime import datetime

from ..backup import pgbackrest, pitr, recovery
from ..backup.layout import stamp
from ..backup.manifest import Item
from ..backup.ports import BackupError, Store
from .backup_host import Backup
from .backup_restore import Restore as SetRestore
from .backup_verify import spool
from .files import write_atomic
from .pg_cluster import OWNER, owner, run
from .pgbackrest import PgBackRest
from .pgbackrest_restore import ClusterRestore
from .pgbackrest_setup import DROP_IN, Setup
from .restore_files import unpack

#: Settings without which the log cannot be followed; after all others in conf.d, but for the archive's.
NEEDED = "89-landfall-recovery.conf"


class Carried:
    """What the stack's sets carry for its clusters. :param identity: a file with an identity of age that opens them"""

    def __init__(self, backup: Backup, store: Store, identity: str) -> None:
        self._b, self._store, self._identity = backup, store, identity

    def _newest(self, name: str) -> tuple[Item, SetRestore] | None:
        """The item in the newest set that has it: neither the cipher nor its form ever changes."""
        for one in reversed(self._b.catalogue(self._store).sets):
            found = [item for item in one.manifest.items if item.name == name] if one.manifest else []
            if found:
                if not os.path.exists(self._identity):
                    raise BackupError(
                        f"{name} is encrypted, and there is no identity at {self._identity or 'identity_file'}: give "
                        "the operation's or the escrow identity with --identity FILE"
                    )
                return found[0], SetRestore(self._b, self._store, one, self._identity)
        return None

    def cipher(self, path: str) -> None:
        """The repositories' cipher into its file. :raises BackupError: no set has it"""
        found = self._newest(pgbackrest.KEY)
        if found is None:
            raise BackupError(f"no set in {self._store.name} carries {pgbackrest.KEY}: lay the cipher down as {path}")
        item, restore = found
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        spool(self._store, item, f"{path}.new", restore.chain(item))
        os.chmod(f"{path}.new", 0o400)
        os.rename(f"{path}.new", path)

    def settings(self, name: str, directory: str) -> bool:
        """A cluster's configuration, unpacked. :returns: whether a set has it: old ones do not"""
        found = self._newest(name)
        if found is None:
            return False
        item, restore = found
        unpack(self._store, item, directory, restore.chain(item))
        return True


class ClusterRecovery:
    """One cluster. :param scratch: a directory of root's"""

    def __init__(self, keeper: PgBackRest, carried: Carried, scratch: str) -> None:
        self._k, self._c, self._say, self._carried = keeper, keeper.cluster, keeper.say, carried
        self._scratch, self._made = scratch, False

    def run(self, target: datetime | None, overwrite: bool, plan: bool = False) -> bool:
        """Bring it back, unless it is there. :param plan: only say what would be done

        :param target: moment to which the log is followed, None for its end
        :param overwrite: a cluster with data may be put aside
        :returns: whether anything was (or would be) brought back
        :raises BackupError: it was not; data that were there are as they were
        """
        cipher = self._k.config.pgbackrest_cipher_file
        until = f"{target:%Y-%m-%d %H:%M:%S.%f}Z" if target else "the end of its log"
        ready = self._k.debian.find() and os.path.exists(cipher) and os.path.exists(self._k.conf)
        if plan and not ready:
            self._say(f"{self._c.id} comes back from the newest backup of {self._k.config.stores[0].name}, to {until}")
            return True
        if not plan:
            ClusterRestore(self._k).undo()
            if not os.path.exists(cipher):
                self._carried.cipher(cipher)
                self._say(f"{cipher}: the cipher of the repository, from the newest set that has it")
            self._made = self._make()
            Setup(self._k, self._say).configure(self._k.debian.server())
        found = self._k.info()
        system = self._system()
        held = "" if system == found.system else self._held(overwrite)
        if not recovery.needed(self._c, found, system, held, overwrite):
            if not plan:
                self._proven(found)
            return False
        chosen = pitr.choose(found, "latest", target, self._k.seen().damaged, time.time())
        wanted = pitr.Restore(chosen, target, "", self._k.tablespaces(chosen.label))
        pitr.refuse(wanted, self._c.id)
        self._say(f"{self._c.id} comes back from backup {chosen.label}, to {until}; it needs {wanted.room} bytes")
        if plan:
            return True
        kept = ClusterRestore(self._k).replace(wanted, lambda partial: self._settle(partial, keep_own=bool(held)))
        if held:
            self._say(f"what was there ({held}) lies in {kept}; remove it when you are content")
        else:
            shutil.rmtree(kept)
        self._say(f"{self._c.id} is at {until}")
        self._proven(found)
        return True

    # --- before

    def _make(self) -> bool:
        """An empty cluster, where there is none. :returns: whether it was made"""
        if self._k.debian.find():
            return False
        if not os.path.exists(self._k.debian.program("postgres")):
            raise BackupError(
                f"{self._c.name}: PostgreSQL {self._c.version} is not on this host: apt-get install "
                f"postgresql-{self._c.version}; where its release lacks that, take one that has it, or add "
                "PostgreSQL's own repository (apt.postgresql.org)"
            )
        run(["pg_createcluster", "--pgoption", "add_include_dir=conf.d", str(self._c.version), self._c.cluster],
            f"{self._c.id} cannot be made")  # fmt: skip
        return True

    def _system(self) -> str:
        """The id of the cluster, whether it runs or not."""
        data = self._k.debian.server().data
        said = run([self._k.debian.program("pg_controldata"), data], f"{self._c.id} cannot be looked at")
        found = re.search(r"^Database system identifier:\s*(\d+)", said, re.MULTILINE)
        return found[1] if found else ""

    def _held(self, overwrite: bool) -> str:
        """What is in it. One that does not start may hold anything."""
        try:
            if not self._k.debian.server().running:
                self._k.debian.ctl("start")
            return self._k.debian.ask(recovery.HELD)
        except BackupError as problem:
            if overwrite:
                return "what cannot be asked"
            raise BackupError(
                f"{self._c.name}: whether cluster {self._c.id} is empty cannot be seen ({problem}). Start it, or say "
                "--overwrite (-e overwrite=true) to have it put aside"
            ) from problem

    # --- between the data's arrival and their start

    def _settle(self, partial: str, keep_own: bool) -> None:
        """The configuration the data need, and the archive, before anything is written to the new timeline.

        :param keep_own: the host's configuration belongs to data that are not ours: only what must be is added
        """
        if not keep_own:
            self._bring_settings()
        directory = os.path.join(self._c.conf_dir, "conf.d")
        os.makedirs(directory, exist_ok=True)
        archive = pgbackrest.settings(self._k.stack, self._c)
        write_atomic(os.path.join(directory, DROP_IN), pgbackrest.drop_in(archive), 0o644)
        asked = pitr.recovery_settings(run([self._k.debian.program("pg_controldata"), partial], "pg_controldata"))
        lower = recovery.insufficient(asked, {name: self._value(name) for name in asked})
        if lower:
            path = os.path.join(directory, NEEDED)
            write_atomic(path, pgbackrest.drop_in(lower), 0o644)
            self._say(f"{path}: {', '.join(sorted(lower))}, as the log asks for")

    def _value(self, name: str) -> str:
        """A setting as the files on this host have it."""
        argv = [self._k.debian.program("postgres"), "-C", name, "-D", self._c.conf_dir]
        return run(argv, f"{self._c.id}: {name} cannot be read", user=OWNER).strip()

    def _bring_settings(self) -> None:
        new = os.path.join(self._scratch, self._c.settings_item)
        os.makedirs(self._scratch, mode=0o700, exist_ok=True)
        if not self._carried.settings(self._c.settings_item, new):
            self._say(f"no set has the configuration of {self._c.id}: look who may come in (pg_hba.conf)")
            return
        try:
            if not self._made:
                now = stamp(time.time()).replace(":", "")
                kept = os.path.join(self._k.config.state, f"{self._k.stack}.{self._c.name}.conf.before-{now}")
                shutil.copytree(self._c.conf_dir, kept, symlinks=True)
                self._say(f"the configuration that was there is kept: {kept}")
            shutil.copytree(new, self._c.conf_dir, symlinks=True, dirs_exist_ok=True)
            for root, dirs, files in os.walk(self._c.conf_dir):
                for name in (*dirs, *files):
                    # Its number may be another one here.
                    os.chown(os.path.join(root, name), *owner(), follow_symlinks=False)
            self._say(f"{self._c.conf_dir}: as it was on the host that is gone")
        finally:
            shutil.rmtree(new, ignore_errors=True)

    # --- after

    def _proven(self, found: pgbackrest.Info) -> None:
        """What a copy of files brings to another host, and what it does not. :raises BackupError: it cannot be used"""
        debian = self._k.debian
        if not debian.server().running:
            debian.ctl("start")
        if self._c.version >= 15:
            other = debian.ask(recovery.SORTED_OTHERWISE)
            if other:
                self._say(
                    f"! {self._c.id}: this host sorts text otherwise than the one that is gone: in {other} run REINDEX "
                    "DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION"
                )
        lacking = [
            f"{name}: {what}"
            for name in debian.ask(recovery.DATABASES).splitlines()
            for what in [debian.ask(recovery.LACKING, name)]
            if what
        ]
        if recovery.base_advised(found.backups, int(debian.ask(recovery.TIMELINE))):
            self._say(
                f"{self._c.name}: its log goes on along a new timeline: take a full backup (landfall backup run "
                f"{self._k.stack} --engine pgbackrest --full)"
            )
        if lacking:
            raise BackupError(
                f"{self._c.id} is back, and this host lacks extensions that its databases use ({'; '.join(lacking)}): "
                "install their packages (backup_packages), and run the same again"
            )
