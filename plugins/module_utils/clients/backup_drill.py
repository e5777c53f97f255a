# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill of one set or cluster: restore it where nothing of production can be reached, prove it, take it away."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..backup import catalogue, drill, drill_cluster, drill_state, layout, pgbackrest, pitr
from ..backup.catalogue import KnownSet
from ..backup.drill import Record, Rung, Step
from ..backup.drill_config import Check, checks_of
from ..backup.manifest import Manifest, Verdict
from ..backup.ports import BackupError, Store
from . import drill_records, scratch_cluster
from .backup_host import Backup
from .backup_lock import host_lock
from .backup_verify import record_verdict
from .cluster_drill import ClusterGround
from .docker import DockerError
from .drill_ground import MONGO, SERVER, Ground
from .files import write_atomic
from .pgbackrest import PgBackRest
from .scratch_postgres import sweep


class Drills:
    """The drills of one stack on this host."""

    def __init__(self, backup: Backup) -> None:
        self._b, self._c = backup, backup.config
        self._scratch = os.path.join(self._c.state, self._c.stack, "drill")

    def run(self, store_name: str, sid: str, trigger: str, identity: str, escrow: str) -> Record:
        """Drill a set; whatever comes of it is recorded.

        :param sid: of the set, or ``latest``
        :param escrow: file with the escrow identity, "" when none is given
        :raises Busy: another drill goes on
        """

        def do(record: Record, began: float) -> Record:
            store = self._b.store(store_name)
            chosen = catalogue.choose(self._b.catalogue(store).sets, sid, self._c.stack)
            return self._drill(record, store, chosen, identity, escrow, began)

        return self._recorded(store_name, "", trigger, do)

    def cluster(self, keeper: PgBackRest, label: str, trigger: str, identity: str) -> Record:
        """Drill a backup of a cluster that pgBackRest keeps, likewise.

        :param label: of the backup, or ``latest``
        """
        return self._recorded(
            self._c.stores[0].name, keeper.cluster.name, trigger,
            lambda record, began: self._drill_cluster(record, keeper, label, identity, began),
        )  # fmt: skip

    def _recorded(self, store_name: str, cluster: str, trigger: str, do: Callable[[Record, float], Record]) -> Record:
        lock = os.path.join(self._c.state, f"{self._c.stack}.drill.lock")
        with host_lock(lock, "drill", self._c.lock_timeout):
            self._bury()
            now = time.time()
            record = Record(
                layout.set_id(now, secrets.token_hex(2)), self._c.stack, socket.gethostname(), trigger,
                layout.stamp(now), store_name, cluster=cluster,
            )  # fmt: skip
            drill_records.write(self._c.state, record)
            try:
                record = do(record, time.monotonic())
            except Exception as problem:  # whatever it is: a drill that could not be done is red
                record = replace(record, rungs=(Rung("set", drill.FAILED, 0.0, str(problem) or repr(problem)),))
            return self._end(record)

    def sweep(self) -> None:
        """Take away what a killed drill left, and record it as failed. :raises Busy: one goes on"""
        with host_lock(os.path.join(self._c.state, f"{self._c.stack}.drill.lock"), "sweep", 1.0):
            self._bury()

    def _bury(self) -> None:
        for name in self._clean():
            self._b.say(f"a killed drill had left {name}, which is removed")
        for one in drill_state.killed(self._b.drills().records):
            self._end(replace(one, rungs=(Rung("end", drill.FAILED, 0.0, "it was killed, or the host went down"),)))

    def _clean(self) -> list[str]:
        """Remove servers and files; their names. :raises BackupError: a server may still be there"""
        gone: list[str] = []
        there = os.listdir(self._scratch) if os.path.isdir(self._scratch) else None
        trouble = []
        try:
            gone += scratch_cluster.sweep(os.path.dirname(self._scratch))
        except (BackupError, OSError) as problem:
            trouble.append(f"the scratch cluster is not gone: {problem}")
        try:
            gone += sweep(self._b.docker, self._c.stack)
        except DockerError as problem:
            # A host may have no Docker, and needs none for files alone.
            if any(name.startswith((SERVER, MONGO)) for name in there or ()):
                trouble.append(f"whether a scratch server is left cannot be seen: {problem}")
        if there is not None:
            # The data of production in the clear: they go in any case.
            shutil.rmtree(self._scratch)
            gone.append(self._scratch)
        if trouble:
            raise BackupError("; ".join(trouble))
        return gone

    def _drill(
        self, record: Record, store: Store, chosen: KnownSet, identity: str, escrow: str, began: float
    ) -> Record:
        made = chosen.manifest
        if made is None:
            raise BackupError(chosen.fault)
        age = max(layout.taken_at(record.id) - layout.taken_at(made.id), 0.0)
        record = replace(record, store=store.name, set=made.id, stored=made.stored, rpo=age)
        # If this one is killed the next one knows of which set it was.
        drill_records.write(self._c.state, record)
        clusters = {one.name for one in self._c.clusters}
        checks = [*(one for one in self._c.drill.checks if one.item not in clusters), *self._declared()]
        ground = Ground(self._b, store, made, identity or self._c.identity_file, self._scratch)
        steps = drill.plan(made, self._c.drill, checks, bool(escrow), store.credentials)
        actions = {
            "room": ground.room,
            "bytes": ground.read,
            "decode": ground.decoded,
            "server": ground.serve,
            "restore": ground.restore,
            "errors": ground.errors,
            "rows": ground.rows,
            "amcheck": ground.amcheck,
            "sqlite": ground.sqlite,
            "redis": ground.redis,
            "mongo": ground.mongo,
            "smoke": lambda: ground.smoke(checks),
            "orphans": ground.orphans,
            "escrow": lambda: ground.escrow(escrow),
            "deletion": lambda: self._deletion(store, layout.stack_prefix(self._c.stack) + layout.PROBE),
            "cleanup": self._cleanup,
        }
        before = time.monotonic() - began
        rungs = self._climb(steps, actions)
        self._judge_set(store, made, ground, rungs)
        return replace(record, rungs=tuple(rungs), rto=drill.recovered_after(rungs, round(before, 3)))

    def _drill_cluster(self, record: Record, keeper: PgBackRest, label: str, identity: str, began: float) -> Record:
        found = keeper.info()
        chosen = pitr.choose(found, label, None, keeper.seen().damaged, time.time())
        record = replace(record, set=chosen.label, stored=chosen.stored)
        drill_records.write(self._c.state, record)
        store = self._b.store(record.store)
        checks = drill_cluster.checks_of(keeper.cluster, self._c.drill.checks)
        ground = ClusterGround(self._b, keeper, chosen, found.wal, self._scratch, layout.taken_at(record.id))

        def cleanup() -> str:
            ground.end()
            return self._cleanup()

        actions = {
            **ground.actions(checks, store, identity or self._c.identity_file),
            "deletion": lambda: self._deletion(store, pgbackrest.probe(self._c.stack, keeper.cluster)),
            "cleanup": cleanup,
        }
        before = time.monotonic() - began
        rungs = self._climb(drill_cluster.plan(self._c.drill, checks, store.credentials), actions)
        rto = drill.recovered_after(rungs, round(before, 3), drill_cluster.PROVEN_BY)
        return replace(record, rungs=tuple(rungs), rto=rto, rpo=ground.lost)

    def _climb(self, steps: Sequence[Step], actions: Mapping[str, Callable[[], str]]) -> list[Rung]:
        def do(name: str) -> str:
            self._b.say(f"{name} …")
            return actions[name]()

        try:
            return drill.climb(steps, do, time.monotonic)
        finally:
            with contextlib.suppress(BackupError, OSError):
                self._clean()

    def _declared(self) -> list[Check]:
        found: list[Check] = []
        for service, said in self._b.declared_drills().items():
            found += checks_of(service, said)
        return found

    def _judge_set(self, store: Store, made: Manifest, ground: Ground, rungs: Sequence[Rung]) -> None:
        """A drill has read every byte: it is a verification, too."""
        if not (drill.proves_set(rungs) or ground.damage):
            return
        try:
            raw = store.get(made.key).data
            good = not ground.damage
            record_verdict(
                store, made,
                Verdict(made.id, good, "decoded" if good else "bytes", layout.stamp(time.time()),
                        hashlib.sha256(raw).hexdigest(), tuple(ground.damage)),
            )  # fmt: skip
        except BackupError as problem:
            self._b.say(f"what the drill says of the set cannot be recorded in the store: {problem}")

    def _deletion(self, store: Store, key: str) -> str:
        if store.uploader_deletes(key):
            raise BackupError(
                f"the credential that uploads to {store.name} may also delete: who breaks into this host can "
                "delete the backups. Take that right from it, and prune with another credential"
            )
        return "refused, as it should be"

    def _cleanup(self) -> str:
        gone = self._clean()
        return f"removed: {', '.join(gone)}" if gone else "nothing was left"

    def _end(self, record: Record) -> Record:
        """Judge a drill, and write its record on the host and beside the set."""
        good, reason = drill.judge(record.rungs)
        record = replace(record, good=good, reason=reason, finished=layout.stamp(time.time()))
        drill_records.write(self._c.state, record)
        if record.set and not record.cluster:
            key = layout.set_prefix(self._c.stack, record.set) + layout.DRILLED
            try:
                self._b.store(record.store).put(key, record.to_json())
            except BackupError as problem:
                self._b.say(f"the drill cannot be recorded in the store: {problem}")
        self._report()
        if self._c.drill.ping_url:
            self._b.ping(self._c.drill.ping_url if good else f"{self._c.drill.ping_url}/fail")
        return record

    def _report(self) -> None:
        known = self._b.drills()
        path = self._c.metrics_file
        if path and os.path.isdir(os.path.dirname(path)):
            # A file of its own: a backup that runs meanwhile writes the other.
            write_atomic(f"{path.removesuffix('.prom')}-drill.prom", drill_state.textfile(known), 0o644)
        self._b.write_history()
