"""pgBackRest as a peer: full backups, zstd:1, two processes, into a local directory: it speaks to S3 by HTTPS only."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from lab.postgres import Cluster

from .meter import used


class PgBackRest:
    """:ivar backup: command line of a backup; :ivar restore: of a restore until the server answers"""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.root = Path(tempfile.mkdtemp(prefix="landfall-pgbackrest-"))
        self._as = ["runuser", "-u", cluster.user, "--"] if cluster.user else []
        self._base = ["pgbackrest", f"--config={self.root}/conf", "--stanza=bench"]
        target = self.root / "restored"
        (self.root / "conf").write_text(
            f"""[global]
repo1-path={self.root}/repo
compress-type=zst
compress-level=1
process-max=2
start-fast=y
log-level-file=off
lock-path={self.root}
spool-path={self.root}
[bench]
pg1-path={cluster.data}
pg1-port={cluster.port}
pg1-socket-path={cluster.root}
pg1-user=postgres
"""
        )
        self.root.chmod(0o755)
        if cluster.user:
            shutil.chown(self.root, cluster.user)
        base = " ".join([*self._as, *self._base])
        self.backup = f"{base} backup --type=full --repo1-retention-full=1 > /dev/null"
        control = " ".join([*self._as, str(cluster.bin / "pg_ctl"), f"-D {target} -l {self.root}/log -w"])
        self.restore = (
            f"cd {self.root}; {base} --pg1-path={target} restore > /dev/null; "
            f"{control} -o '-p {cluster.port + 1} -c archive_mode=off' start > /dev/null"
        )
        self._stop = f"cd {self.root}; {control} -m immediate stop > /dev/null"
        if os.system(f"cd {self.root}; {base} stanza-create > /dev/null"):
            raise RuntimeError("pgbackrest stanza-create failed")

    @staticmethod
    def settings() -> dict[str, str]:
        """What the server must be started with; until it is asked, its log goes nowhere."""
        return {"archive_mode": "on", "archive_command": "'true'"}

    @contextlib.contextmanager
    def archiving(self) -> Iterator[None]:
        """The server's log goes to pgBackRest while it is measured, and nowhere while others are."""
        self._archive(" ".join([*self._base, "archive-push %p"]))
        try:
            yield
        finally:
            self._archive("true")

    def _archive(self, command: str) -> None:
        with psycopg.connect(self._cluster.dsn(), autocommit=True) as link:
            link.execute(f"ALTER SYSTEM SET archive_command = '{command}'")
            link.execute("SELECT pg_reload_conf()")

    def size(self) -> int:
        return used(self.root / "repo")

    def forget_restore(self) -> None:
        if (self.root / "restored").exists():
            os.system(self._stop)
        shutil.rmtree(self.root / "restored", ignore_errors=True)

    def remove(self) -> None:
        self.forget_restore()
        shutil.rmtree(self.root, ignore_errors=True)
