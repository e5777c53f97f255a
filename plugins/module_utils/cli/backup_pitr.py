# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``landfall backup`` does with clusters that pgBackRest keeps."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..backup import pgbackrest, pitr
from ..backup.config import Config
from ..backup.drill import Record
from ..backup.layout import stamp
from ..backup.pgbackrest import Cluster, Info
from ..backup.pitr import Restore, Seen
from ..backup.ports import BackupError
from ..clients.backup_drill import Drills
from ..clients.backup_host import Backup
from ..clients.backup_lock import host_lock
from ..clients.cluster_recovery import Carried, ClusterRecovery
from ..clients.pgbackrest import PgBackRest
from ..clients.pgbackrest_restore import ClusterRestore, lost
from ..clients.pgbackrest_setup import Setup

Say = Callable[[str], None]


def keepers(config: Config, say: Say, names: list[str] | None = None) -> list[PgBackRest]:
    """The clusters of a stack. :param names: of items, none for all. :raises BackupError: there is no such one"""
    there = [one.name for one in config.clusters]
    unknown = sorted(set(names or ()) - set(there))
    if unknown or not there:
        raise BackupError(
            f"pgbackrest keeps no cluster {', '.join(unknown) or 'at all'}; there are: {', '.join(there) or 'none'}"
        )
    return [PgBackRest(config, one, say) for one in config.clusters if not names or one.name in names]


@contextmanager
def _alone(config: Config, what: str) -> Iterator[None]:
    with host_lock(os.path.join(config.state, f"{config.stack}.pitr.lock"), what, config.lock_timeout):
        yield


def setup(args: argparse.Namespace, config: Config, say: Say) -> int:
    """Cipher, configuration, settings of the server, stanza. The last line says whether anything was changed."""
    changed = False
    with _alone(config, "setup"):
        for keeper in keepers(config, say):
            changed = Setup(keeper, say).run(args.plan) or changed
    if not changed:
        say("pgbackrest: all is as it should be")
    return 0


def run(args: argparse.Namespace, backup: Backup, say: Say) -> int:
    """A backup of each cluster. One that fails does not keep the others from theirs, and is not pruned."""
    config, well, seen = backup.config, True, []
    with _alone(config, "run"):
        for keeper in keepers(config, say):
            try:
                made = keeper.backup(pgbackrest.FULL if args.full else pgbackrest.INCREMENTAL)
                say(f"{keeper.cluster.name}: backup {made.label} ({made.type}), {made.stored} bytes added")
                if config.prune:
                    say(f"{keeper.cluster.name}: {keeper.expire(apply=True)}")
            except BackupError as problem:
                well = False
                print(f"landfall backup run: {problem}", file=sys.stderr)
            seen.append(keeper.look())
    _heard(backup, well and not pitr.problems(seen, time.time()))
    return 0 if well else 1


def watch(backup: Backup, say: Say) -> int:
    """Look at each archive, record it, and say what is wrong, here and to the dead-man's switch."""
    seen = [keeper.look() for keeper in keepers(backup.config, say)]
    say("\n".join(pitr.lines(seen)))
    rc = _wrong(seen)
    _heard(backup, rc == 0)
    return rc


def _heard(backup: Backup, well: bool) -> None:
    """Both timers tell the one switch the same: how all clusters stand."""
    url = backup.config.pgbackrest_ping_url
    if url:
        backup.ping(url if well else f"{url}/fail")


def drill(args: argparse.Namespace, backup: Backup, drills: Drills) -> list[Record]:
    """A drill of each cluster. What cannot be begun is red, too."""
    return [
        drills.cluster(keeper, args.sid, args.trigger, args.identity) for keeper in keepers(backup.config, backup.say)
    ]


def _wrong(seen: list[Seen]) -> int:
    wrong = pitr.problems(seen, time.time())
    for problem in wrong:
        print(f"! {problem}", file=sys.stderr)
    return 1 if wrong else 0


def rows(backup: Backup) -> tuple[list[tuple[str, ...]], list[dict[str, Any]], int]:
    """Lines of a table, the same for programs, and the exit code."""
    config = backup.config
    drilled = {(one.cluster, one.set): one for one in backup.drills().records if one.finished}
    lines: list[tuple[str, ...]] = [("CLUSTER", "BACKUP", "TYPE", "STATE", "DRILL", "ENDED", "BYTES", "ADDED")]
    plain: list[dict[str, Any]] = []
    seen = []
    for keeper in keepers(config, lambda text: None):
        found, now = Info(), keeper.look()
        seen.append(now)
        try:
            found = keeper.info()
        except BackupError as problem:
            lines.append((keeper.cluster.name, "unknown", "", str(problem).split("\n")[0], "", "", "", ""))
        for one in reversed(found.backups):
            state = _state(one, now)
            last = drilled.get((keeper.cluster.name, one.label))
            came = "" if last is None else "passed" if last.good else "failed"
            facts = (one.type, state, came, stamp(one.ended), str(one.size), str(one.stored))
            lines.append((keeper.cluster.name, one.label, *facts))
            plain.append(
                {"id": one.label, "engine": pgbackrest.ENGINE, "cluster": keeper.cluster.name, "type": one.type,
                 "state": state, "taken": stamp(one.ended), "bytes": one.stored, "lag": now.lag,
                 "drill": {"good": last.good, "started": last.started, "rto": last.rto, "reason": last.reason or None}
                 if last else None}
            )  # fmt: skip
    return lines, plain, _wrong(seen)


def _state(one: pgbackrest.Taken, seen: Seen) -> str:
    if one.error or {one.label, *one.needs} & set(seen.damaged):
        return "damaged"
    return "verified" if one.label in seen.verified else "unverified"


def verify(config: Config, say: Say) -> int:
    """Every byte of the repositories against its checksum."""
    well = True
    for keeper in keepers(config, say):
        faults = keeper.verify()
        say(f"{keeper.cluster.name}: " + ("; ".join(faults) if faults else "good (every byte of backups and log)"))
        well = well and not faults
        keeper.look()
    return 0 if well else 1


def prune(args: argparse.Namespace, config: Config, say: Say) -> None:
    """Old full backups, what hangs on them, and the log that only they need."""
    with _alone(config, "prune"):
        for keeper in keepers(config, say):
            say(f"{keeper.cluster.name}: {keeper.expire(apply=not args.plan)}")


def restore(args: argparse.Namespace, config: Config, say: Say) -> int:
    """One cluster, to a moment or to the end of its log, beside or in place."""
    asked: list[Cluster] = (
        [one for one in config.clusters if one.name in args.item] if args.item else [*config.clusters]
    )
    if len(asked) != 1 or len(args.item) > 1:
        there = ", ".join(one.name for one in config.clusters) or "none"
        raise BackupError(f"say which cluster, and only that: --item NAME; there are: {there}")
    if args.in_place == bool(args.place):
        raise BackupError("say where to: --as NAME for a cluster of its own beside, or --in-place")
    (keeper,) = keepers(config, say, [asked[0].name])
    place = pitr.copy_name(args.place) if args.place else ""
    target = pitr.moment(args.to_time) if args.to_time else None
    with _alone(config, "restore"):
        server = lost(keeper)
        if server is None and args.in_place:
            keeper.debian.server()
        if server is not None and not args.plan:
            Setup(keeper, say).configure(server)
        chosen = pitr.choose(keeper.info(), args.sid, target, keeper.seen().damaged, time.time())
        wanted = Restore(chosen, target, place, keeper.tablespaces(chosen.label))
        pitr.refuse(wanted, asked[0].id)
        where = f"beside, as cluster {asked[0].version}/{place}" if place else "in place, and kept aside what is there"
        until = f"{target:%Y-%m-%d %H:%M:%S.%f}Z" if target else "the end of its log"
        say(f"{asked[0].id} from backup {chosen.label} to {until}, {where}; it needs {wanted.room} bytes")
        if not args.plan:
            ClusterRestore(keeper).run(wanted, args.port)
            keeper.look()
    return 0


def recover(args: argparse.Namespace, backup: Backup, say: Say) -> int:
    """The clusters of a host that is gone. The last line says so where there was nothing to do."""
    config, changed = backup.config, False
    target = pitr.moment(args.to_time) if args.to_time else None
    carried = Carried(backup, backup.store(args.store), args.identity or config.identity_file)
    with _alone(config, "recover"):
        for keeper in keepers(config, say):
            changed = ClusterRecovery(keeper, carried, backup.scratch).run(target, args.overwrite, args.plan) or changed
    if not changed:
        say("pgbackrest: nothing to bring back")
    return 0


def resume(config: Config, say: Say) -> None:
    """What a killed restore in place had put aside comes back."""
    broken = [one for one in keepers(config, say) if os.path.exists(one.journal)]
    if broken:
        with _alone(config, "resume"):
            for keeper in broken:
                ClusterRestore(keeper).undo()
