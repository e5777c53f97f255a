# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill of one cluster that pgBackRest keeps: brought to the end of its log beside, asked, and taken away."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence

from ..backup import catalogue, commands, drill, drill_cluster, pgbackrest, pitr
from ..backup.drill import NotApplicable
from ..backup.drill_cluster import Arrived
from ..backup.drill_config import Check
from ..backup.pgbackrest import Taken
from ..backup.ports import BackupError, Store
from .backup_host import Backup
from .backup_verify import Hashed, through
from .pg_cluster import OWNER, clusters, run
from .pg_server import Server
from .pgbackrest import PgBackRest
from .process import runner
from .restore_files import need_room
from .scratch_cluster import POINTER, ScratchCluster
from .scratch_postgres import check_indexes
from .stack_containers import read_secret


class ClusterGround:
    """One backup of a cluster, laid out. Each method is a rung, as those of :class:`.drill_ground.Ground`.

    :param chosen: the backup it begins from
    :param newest: the last segment of the log that was archived when the drill began, "" for none
    :param scratch: directory for small files; beside it lies what says where the cluster is
    :param now: the drill's start, seconds since 1970
    :ivar lost: seconds of work that would be lost, None until that is known
    """

    def __init__(
        self, backup: Backup, keeper: PgBackRest, chosen: Taken, newest: str, scratch: str, now: float
    ) -> None:
        self._b, self._k, self._chosen, self._newest, self._scratch = backup, keeper, chosen, newest, scratch
        self._now = now
        at = clusters().get(keeper.cluster.id)
        parent = os.path.dirname(at.data) if at else f"/var/lib/postgresql/{keeper.cluster.version}"
        self._parent = parent
        self._copy = ScratchCluster(keeper.cluster.version, drill_cluster.top(parent, keeper.stack, keeper.cluster))
        self._live = self._next_of_original()
        self._server: Server | None = None
        self.lost: float | None = None

    def _next_of_original(self) -> int | None:
        """A host that is lost does not answer, and that is no fault of the backup."""
        with contextlib.suppress(BackupError, ValueError):
            said = json.loads(self._k.debian.ask(drill_cluster.LIVE))
            if said["system"] == self._k.info().system:
                return int(said["next"])
        return None

    def room(self) -> str:
        """Room for all of it, before anything is laid down."""
        need = pitr.Restore(self._chosen).room + drill.SERVER_BYTES
        if not os.path.isdir(self._parent):
            raise BackupError(f"{self._parent} is not there: install postgresql-{self._k.cluster.version}")
        need_room(self._parent, need)
        return f"{need} bytes at most, in {self._parent}"

    def restore(self) -> str:
        """Every file of the backup, which pgBackRest holds against its checksum."""
        if not os.path.exists(self._copy.program("postgres")):
            version = self._k.cluster.version
            raise BackupError(f"PostgreSQL {version} is not on this host: apt-get install postgresql-{version}")
        self._copy.make(os.path.join(os.path.dirname(self._scratch), f"{POINTER}{self._k.cluster.name}.json"))
        copy = self._copy
        self._k.good(
            "restore", f"--set={self._chosen.label}", f"--pg1-path={copy.data}", "--type=default",
            "--archive-mode=off", f"--tablespace-map-all={copy.spaces}", f"--lock-path={copy.lock}",
        )  # fmt: skip
        known = run([copy.program("pg_controldata"), copy.data], "pg_controldata")
        wanted = drill_cluster.settings(copy.sockets, self._k.segment_from(copy.data), pitr.recovery_settings(known))
        copy.configure(pgbackrest.drop_in(wanted))
        return f"{self._chosen.label} ({self._chosen.type}), {self._chosen.size} bytes"

    def log(self) -> str:
        """The log to its end, which must be where the archive ends. It needs the store, and nobody is let in."""
        with self._copy.start(network=True).session() as session:
            arrived = Arrived.of(session.value(drill_cluster.ARRIVED))
        self._copy.stop()
        if arrived.archive != "off":
            raise BackupError("the scratch server would archive into the repository of the original")
        missing = drill_cluster.gap(arrived, self._newest)
        if missing:
            raise BackupError(missing)
        self.lost = round(drill_cluster.loss(arrived, self._live, self._chosen.ended, self._now), 3)
        return f"to the end of {self._newest or 'the backup'}, loss at most {drill.span(self.lost)}"

    def checksums(self) -> str:
        """Every page against its checksum, where the cluster has them."""
        known = run([self._copy.program("pg_controldata"), self._copy.data], "pg_controldata")
        if any(
            line.split(":")[0] == "Data page checksum version" and line.endswith(" 0") for line in known.split("\n")
        ):
            raise NotApplicable("the cluster has no checksums of its pages")
        argv = [self._copy.program("pg_checksums"), "--check", "-D", self._copy.data]
        rc, out, err = runner(None, OWNER)(argv, "/", {})
        if rc:
            raise BackupError(f"pg_checksums: {' '.join((err or out).strip().splitlines()[-4:])}")
        counted = [line.split(":")[1].strip() for line in out.splitlines() if line.startswith("Blocks scanned")]
        return f"{counted[0] if counted else '?'} pages"

    def serve(self) -> str:
        """A server of it that has no network: what it holds may not reach production, not even by mistake."""
        self._server = self._copy.start(network=False)
        return f"PostgreSQL {self._server.major}, without a network, {len(self._server.databases)} databases"

    def _here(self) -> Server:
        if self._server is None:
            raise BackupError("the scratch server does not run")
        return self._server

    def amcheck(self) -> str:
        """Every index and every page, by PostgreSQL's own eyes."""
        server = self._here()
        return "; ".join(f"{name}: {check_indexes(server, name)}" for name in server.databases)

    def smoke(self, checks: Sequence[Check]) -> str:
        """Each declared query against its expected answer."""
        server = self._here()
        for check in checks:
            name = drill_cluster.database_of(check, server.databases)
            with server.session(name) as session:
                answer = "\n".join(session.ask(check.query.strip().rstrip(";") + ";"))
            fault = drill.answer_fault(check, answer)
            if fault:
                raise BackupError(f"database {name}: {fault}")
        return f"{len(checks)} queries"

    def cipher(self, store: Store, identity: str) -> str:
        """The newest verified set has the cipher, and the identity opens it: else the repository dies with the host."""
        chosen = catalogue.choose(self._b.catalogue(store).sets, "latest", self._k.stack)
        made = chosen.manifest
        if made is None:
            raise BackupError(chosen.fault)
        item = made.item(pgbackrest.KEY)
        path = os.path.join(self._scratch, "cipher")
        os.makedirs(self._scratch, mode=0o700, exist_ok=True)
        stream = Hashed(store, item)
        with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            through(stream, commands.undo(item.filters, identity), file)
        if stream.problems:
            raise BackupError("; ".join(stream.problems))
        with open(path, "rb") as file:
            fault = drill_cluster.cipher_fault(file.read(), read_secret(self._b.config.pgbackrest_cipher_file).encode())
        os.unlink(path)
        if fault:
            raise BackupError(fault)
        return f"set {made.id} has it"

    def actions(self, checks: Sequence[Check], store: Store, identity: str) -> dict[str, Callable[[], str]]:
        """Rung → what climbs it."""
        return {
            "room": self.room,
            "restore": self.restore,
            "log": self.log,
            "checksums": self.checksums,
            "server": self.serve,
            "amcheck": self.amcheck,
            "smoke": lambda: self.smoke(checks),
            "cipher": lambda: self.cipher(store, identity),
        }

    def end(self) -> None:
        """The server ends; what is left is swept."""
        with contextlib.suppress(BackupError):
            self._copy.stop()
