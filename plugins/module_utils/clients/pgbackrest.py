# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgBackRest at work for one cluster: backups, what is in the repository, verification, expiry, the archive's lag."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from ..backup import pgbackrest, pitr
from ..backup.config import Config
from ..backup.lease import Busy
from ..backup.pgbackrest import Cluster, Info, Taken
from ..backup.pitr import Seen
from ..backup.ports import BackupError
from .backup_host import with_credentials
from .backup_lock import host_lock
from .backup_state import read_seen, record_path
from .files import write_atomic
from .pg_cluster import OWNER, DebianCluster
from .process import runner

_QUIET = "--log-level-console=off"


class PgBackRest:
    """One cluster of a stack, and its repository in the stack's first store."""

    def __init__(self, config: Config, cluster: Cluster, say: Callable[[str], None] = lambda text: None) -> None:
        self.config, self.cluster, self.say = config, cluster, say
        self.stack = config.stack
        self.debian = DebianCluster(cluster.version, cluster.cluster)
        self.conf = pgbackrest.conf_path(self.stack, cluster)

    def call(self, *words: str, conf: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Run it as postgres, without a bound: a backup may take hours."""
        argv = pgbackrest.command(self.stack, self.cluster, *words, conf=conf)
        rc, out, err = runner(None, OWNER)(argv, "/", env or {})
        if rc == 127:
            raise BackupError("pgbackrest is not installed on this host: apt-get install pgbackrest, or run backup.yml")
        if rc == pgbackrest.LOCKED:
            raise Busy(f"{self.cluster.name}: another pgBackRest is at work on it; run again when that has ended")
        return rc, out, err

    def good(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        """What it prints. :raises BackupError: it failed"""
        rc, out, err = self.call(*words, env=env)
        if rc:
            told = pgbackrest.said(out + "\n" + err)
            raise BackupError(f"{self.cluster.name}: pgbackrest {words[0]}: {told}")
        return out

    def info(self, conf: str = "") -> Info:
        """What is in the repository. :param conf: another configuration. :raises BackupError: nobody knows"""
        if not os.path.exists(conf or self.conf):
            raise BackupError(f"{self.cluster.name} is not set up: run 'landfall backup setup {self.stack}'")
        rc, out, err = self.call("info", "--output=json", _QUIET, conf=conf)
        if rc:
            raise BackupError(f"{self.cluster.name}: pgbackrest info: {pgbackrest.said(err or out)}")
        try:
            return pgbackrest.info(out)
        except BackupError as problem:
            raise BackupError(f"{self.cluster.name}: {problem}") from problem

    def tablespaces(self, label: str) -> dict[str, str]:
        """Those of a backup that lie outside of the data directory: name → path."""
        rc, out, err = self.call("info", f"--set={label}", "--output=json", _QUIET)
        if rc:
            raise BackupError(f"{self.cluster.name}: pgbackrest info: {pgbackrest.said(err or out)}")
        return pgbackrest.tablespaces(out)

    def segment_from(self, data: str) -> str:
        """The restore_command of a server whose data directory is there."""
        return " ".join(pgbackrest.command(self.stack, self.cluster, f"--pg1-path={data}", "archive-get", "%f", '"%p"'))

    # --- what it does

    def backup(self, kind: str) -> Taken:
        """Take one. :param kind: ``incr`` becomes a full one where there is none. :raises BackupError: none was made"""
        try:
            before = {one.label for one in self.info().backups}
            self.good("backup", f"--type={kind}")
            new = [one for one in self.info().backups if one.label not in before]
            if not new:
                raise BackupError(f"{self.cluster.name}: pgbackrest ended well, and there is no new backup")
            if new[-1].error:
                raise BackupError(
                    f"{self.cluster.name}: pages of the cluster are damaged on this host; see: pgbackrest "
                    f"--config={self.conf} --stanza={pgbackrest.stanza(self.stack, self.cluster)} info "
                    f"--set={new[-1].label}"
                )
        except Busy:
            raise
        except BackupError as problem:
            failure = str(problem)
            self._note(lambda seen: replace(seen, failure=failure))
            raise
        self._note(lambda seen: replace(seen, failure=""))
        return new[-1]

    def verify(self) -> tuple[str, ...]:
        """Read every byte of the repository back: what is wrong."""
        there = {one.label for one in self.info().backups}
        rc, out, err = self.call("verify", "--output=text", "--verbose")
        whole, faults = pgbackrest.verified(rc, f"{out}\n{err}")
        if not there:
            faults = (*faults, "there is no backup to verify")
        now = time.time()
        self._note(
            lambda seen: replace(
                seen, faults=faults, damaged=tuple(sorted(there - whole)), verified=dict.fromkeys(whole & there, now)
            )
        )
        return faults

    def expire(self, apply: bool) -> str:
        """Let old backups go, with the credential for deletion. :raises BackupError: it could not"""
        bucket = with_credentials(self.config.stores[0]).s3
        env = {}
        if bucket is not None:
            if apply and not bucket.delete_access_key:
                raise BackupError(
                    f"store {self.config.stores[0].name} has no credential for deletion here: give "
                    "backup_delete_credentials, or prune where they are"
                )
            if bucket.delete_access_key:
                env = {"PGBACKREST_REPO1_S3_KEY": bucket.delete_access_key,
                       "PGBACKREST_REPO1_S3_KEY_SECRET": bucket.delete_secret_key}  # fmt: skip
        out = self.good("expire", *([] if apply else ["--dry-run"]), env=env)
        return pgbackrest.expired(out)

    # --- what monitoring sees

    def look(self) -> Seen:
        """How its archive stands now; it is recorded."""
        trouble, facts, found = [], None, None
        try:
            facts = self.debian.archive()
        except BackupError as problem:
            trouble.append(str(problem))
        # After the server: what that says is archived must be there.
        try:
            found = self.info()
        except (BackupError, Busy) as problem:
            trouble.append(str(problem).removeprefix(f"{self.cluster.name}: "))
        if os.path.exists(self.journal):
            trouble.append(f"a restore in place was broken off: run it again, or 'landfall backup resume {self.stack}'")
        wanted = pgbackrest.settings(self.stack, self.cluster)
        return self._note(
            lambda seen: pitr.judge(self.cluster, wanted, facts, found, trouble, time.time(), seen, self.config.max_age)
        )

    @property
    def journal(self) -> str:
        """What a restore in place is about to swap."""
        return os.path.join(self.config.state, f"{self.stack}.{self.cluster.name}.restore")

    def seen(self) -> Seen:
        """What was recorded last."""
        found = {one.name: one for one in read_seen(self.config.state, self.stack)}
        return found.get(self.cluster.name, Seen(self.cluster.name, max_lag=self.cluster.max_lag))

    def _note(self, change: Callable[[Seen], Seen]) -> Seen:
        with host_lock(os.path.join(self.config.state, f"{self.stack}.pitr.record"), "record", 30.0):
            made = change(self.seen())
            names = {one.name for one in self.config.clusters}
            others = [
                one for one in read_seen(self.config.state, self.stack) if one.name in names - {self.cluster.name}
            ]
            record = sorted([*others, made], key=lambda one: one.name)
            write_atomic(record_path(self.config.state, self.stack), pitr.to_json(record), 0o600)
            if self.config.metrics_file and os.path.isdir(os.path.dirname(self.config.metrics_file)):
                path = f"{self.config.metrics_file.removesuffix('.prom')}-archive.prom"
                write_atomic(path, pitr.textfile(self.stack, record), 0o644)
        return made
