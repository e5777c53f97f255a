# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of PostgreSQL as Debian keeps it: pg_lsclusters, pg_ctlcluster, psql as the user postgres."""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..backup import pgbackrest
from ..backup.pgbackrest import Server
from ..backup.pitr import QUESTION
from ..backup.ports import BackupError
from .pg_server import DEBIAN_BIN
from .process import runner

OWNER = "postgres"
#: Seconds until a running server must have answered.
ANSWERS_IN = 30.0


def owner() -> tuple[int, int]:
    """uid and gid of the user postgres. :raises BackupError: it is not there"""
    try:
        known = pwd.getpwnam(OWNER)
        return known.pw_uid, known.pw_gid
    except KeyError as problem:
        raise BackupError("the user postgres is not there: install postgresql on this host") from problem


def run(argv: Sequence[str], what: str, timeout: float | None = 600.0, user: str = "") -> str:
    """What a program prints. :raises BackupError: it failed, with its last words"""
    rc, out, err = runner(timeout, user)(argv, "/", {"PGOPTIONS": "-c statement_timeout=60000"} if user else {})
    if rc:
        raise BackupError(f"{what}: {' '.join((err or out).strip().splitlines()[-4:])}")
    return out


def clusters() -> dict[str, Server]:
    """All clusters of this host, by version/name."""
    return pgbackrest.listed(run(["pg_lsclusters", "--json"], "the clusters of this host cannot be listed"))


def conninfo(database: str) -> str:
    """A database for ``psql --dbname``, which takes a name with '=' in it for a whole connection string."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


class DebianCluster:
    """One of them. :param version: major version of PostgreSQL; :param name: as pg_lsclusters shows it"""

    def __init__(self, version: int, name: str) -> None:
        self.version, self.name = version, name
        self.id = f"{version}/{name}"

    def find(self) -> Server | None:
        """Where it is, None when there is none."""
        return clusters().get(self.id)

    def server(self) -> Server:
        """Where it is. :raises BackupError: there is none"""
        found = clusters()
        if self.id not in found:
            there = ", ".join(sorted(found)) or "none"
            raise BackupError(f"there is no cluster {self.id} on this host; there are: {there}")
        return found[self.id]

    def ctl(self, action: str) -> None:
        """start, stop, restart or reload. :raises BackupError: it did not"""
        run(["pg_ctlcluster", str(self.version), self.name, action], f"{self.id}: {action}", None)

    def ask(self, query: str, database: str = "postgres") -> str:
        """The answer to one query, as psql prints it. :raises BackupError: it gave none"""
        at = self.server()
        argv = ["psql", "--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--quiet",
                "--set=ON_ERROR_STOP=1", f"--host={at.socket}", f"--port={at.port}", f"--username={OWNER}",
                f"--dbname={conninfo(database)}", f"--command={query}"]  # fmt: skip
        return run(argv, f"{self.id} does not answer", ANSWERS_IN, OWNER).strip()

    def archive(self) -> Mapping[str, Any]:
        """Its answer to :data:`QUESTION`."""
        found: Mapping[str, Any] = json.loads(self.ask(QUESTION))
        return found

    def settled(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Its settings of those names, when it has taken them or has had five seconds for it."""
        until = time.monotonic() + 5.0
        while True:
            facts = self.archive()
            found = {f"archive_{key}": str(facts[key]) for key in ("mode", "command", "timeout")}
            if found == wanted or time.monotonic() > until:
                return found
            time.sleep(0.1)

    def flush(self, timeout: float = 60.0) -> bool:
        """Close the segment of now and wait until it is archived. What commits last has a moment: restores need one
        behind the target. :returns: whether all is archived
        """
        self.ask("SELECT pg_current_xact_id()")
        wanted = self.ask("SELECT pg_walfile_name(pg_switch_wal())")
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            facts = self.archive()
            if str(facts["archived"])[:24] >= wanted and not facts["waiting"]:
                return True
            time.sleep(0.3)
        return False

    def program(self, name: str) -> str:
        """A program of its own version."""
        return os.path.join(DEBIAN_BIN.format(major=self.version), name)

    def log_tail(self, since: int = 0) -> str:
        """The last words of its log. :param since: only what stands behind that byte"""
        found = self.find()
        try:
            with open(found.log if found else "", encoding="utf-8", errors="replace") as file:
                file.seek(since)
                return " ".join(line.strip() for line in file.readlines()[-5:])
        except OSError:
            return ""

    def log_size(self) -> int:
        """Bytes of its log."""
        found = self.find()
        return os.path.getsize(found.log) if found and os.path.exists(found.log) else 0

    def recover(self) -> None:
        """Start it, and wait until it has come to its target and may be written to. :raises BackupError: it does not"""
        before = self.log_size()
        try:
            self.ctl("start")
        except BackupError:
            # It may only be slow; whether it lives is asked below.
            time.sleep(1)
        until = time.monotonic() + ANSWERS_IN
        while True:
            if not self.server().running:
                raise BackupError(f"{self.id} ended while it recovered: {self.log_tail(before)}")
            try:
                if self.ask("SELECT pg_is_in_recovery()") == "f":
                    return
                until = time.monotonic() + ANSWERS_IN
            except BackupError as problem:
                # It may follow its log for hours before it takes anybody in, and says so.
                if "the database system is" not in str(problem) and time.monotonic() > until:
                    raise
            time.sleep(0.3)
