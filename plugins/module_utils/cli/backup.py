# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``landfall backup``: what the timer, a playbook and a person run."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from ..backup import catalogue, drill_state, layout, metrics, pgbackrest
from ..backup.catalogue import KnownSet
from ..backup.drill import Record
from ..backup.pgbackrest import ENGINE
from ..backup.ports import BackupError, StoreError
from ..backup.restic import snapshot_of
from ..backup.restore import targets
from ..clients.backup_host import Backup, load
from ..clients.backup_restore import Restore
from ..clients.backup_state import CONFIG_DIR
from ..clients.backup_verify import spool
from ..clients.files import StackBusy
from . import backup_pitr
from .status import columns


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="landfall backup", description="the backups of a stack")
    top.add_argument("--config-dir", default=CONFIG_DIR, help=f"where the configuration lies ({CONFIG_DIR})")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="verb")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text)
        made.add_argument("stack")
        return made

    run = verb("run", "take a set, copy it to the other stores, verify it")
    run.add_argument("--trigger", default="hand", help="who asked for it, for the record")
    run.add_argument("--engine", choices=("sets", ENGINE), default="sets", help="sets, or the clusters' backups")
    run.add_argument("--full", action="store_true", help="of the clusters: a full backup; else what has changed")
    run.add_argument("--accept-size", action="store_true", help="believe items much smaller than before")
    shown = verb("list", "the complete sets")
    shown.add_argument("--items", action="store_true", help="with what is in them")
    shown.add_argument("--json", action="store_true", help="for programs")
    check = verb("verify", "read a set back: every byte, every stream to its end")
    check.add_argument("--all", action="store_true", help="all sets")
    prune = verb("prune", "delete what retention lets go")
    prune.add_argument("--plan", action="store_true", help="only show it")
    back = verb("restore", "bring items of a set back")
    back.add_argument("--item", action="append", default=[], help="only this one; can be given again")
    back.add_argument(
        "--table", action="append", default=[], help="of a database, with --as: only its rows; can be given again"
    )
    back.add_argument("--in-place", action="store_true", help="in the place of what is there, which is kept beside")
    back.add_argument("--as", dest="place", default="", help="beside: a new database, volume or path")
    back.add_argument("--to-time", default="", metavar="TIME", help="of a cluster: '2026-11-22 03:00:00Z'")
    back.add_argument("--port", type=int, default=0, help="of a cluster beside; a free one, when not given")
    back.add_argument("--to-file", default="", help="only the plain stream of one item, into a file")
    back.add_argument("--secrets", action="store_true", help="only the stack's secrets that this host lacks")
    back.add_argument("--plan", action="store_true", help="only show what would be done")
    proof = verb("drill", "restore a set where nothing of production can be reached, prove it, take it away")
    proof.add_argument(
        "--escrow", default="", metavar="FILE", help="escrow identity, to prove that it opens the set; -: stdin"
    )
    proof.add_argument("--trigger", default="hand", help="who asked for it, for the record")
    proof.add_argument(
        "--engine", choices=("all", "sets", ENGINE), default="all", help="sets, or the clusters' backups"
    )
    proof.add_argument("--sweep", action="store_true", help="only take away what a killed drill left")
    proof.add_argument("--json", action="store_true", help="for programs")
    for one in (shown, check, back, proof):
        one.add_argument("--store", default="", help="the first one, when not given")
    prune.add_argument("--store", default="", help="all that this host may delete in, when not given")
    for one in (check, back, proof):
        one.add_argument("--set", dest="sid", default="latest", help="its id, or latest")
        one.add_argument("--identity", default="", help="file with an identity of age, the configured one by default")
    verb("resume", "start again what a killed run held still")
    lost = verb("recover", "bring the clusters of a host that is gone onto this one")
    lost.add_argument("--to-time", default="", metavar="TIME", help="'2026-11-22 03:00:00Z'; the end, else")
    lost.add_argument("--overwrite", action="store_true", help="a cluster with data is put aside")
    lost.add_argument("--plan", action="store_true", help="only say what would be done")
    lost.add_argument("--store", default="", help="of the sets that have the cipher; the first one, when not given")
    lost.add_argument("--identity", default="", help="file with an identity of age, the configured one by default")
    ready = verb("setup", "set pgBackRest up for the clusters of this stack")
    ready.add_argument("--plan", action="store_true", help="only say what would be done")
    verb("watch", "how far behind the archives of the clusters are")
    return top


def main(argv: Sequence[str], root: str) -> int:
    """Run one verb. 0: done and well; 1: not; 2: a wrong call; 3: somebody else is at work."""
    from ..backup.lease import Busy

    args = parser().parse_args(argv)
    others: list[str] = []
    try:
        config = load(os.path.join(args.config_dir, f"{args.stack}.json"))
        others = [one.name for one in config.stores[1:]]
        backup = Backup(config, root, _say)
        verbs = {"run": _run, "list": _list, "verify": _verify, "prune": _prune, "restore": _restore, "resume": _resume}
        verbs |= {"drill": _drill, "recover": _recover, "setup": _setup, "watch": _watch}
        return verbs[args.verb](args, backup)
    except (Busy, StackBusy) as problem:
        print(f"landfall backup {args.verb}: {problem}", file=sys.stderr)
        return 3
    except BackupError as problem:
        print(f"landfall backup {args.verb}: {problem}", file=sys.stderr)
        # Who needs data in the middle of the night need not remember that there is a second store.
        if others and isinstance(problem, StoreError) and not getattr(args, "store", "-"):
            print(f"The sets are in {', '.join(others)}, too: say --store {others[0]}", file=sys.stderr)
        return 1


def _say(text: str) -> None:
    print(text, flush=True)


def _recover(args: argparse.Namespace, backup: Backup) -> int:
    return backup_pitr.recover(args, backup, _say)


def _setup(args: argparse.Namespace, backup: Backup) -> int:
    return backup_pitr.setup(args, backup.config, _say)


def _watch(args: argparse.Namespace, backup: Backup) -> int:
    return backup_pitr.watch(backup, _say)


def _run(args: argparse.Namespace, backup: Backup) -> int:
    if args.engine == ENGINE:
        return backup_pitr.run(args, backup, _say)
    outcome = backup.run(args.trigger, args.accept_size)
    for problem in outcome.problems:
        print(f"landfall backup run: {problem}", file=sys.stderr)
    if not outcome.problems and backup.config.prune:
        _prune_stores(backup, backup.prunable(), apply=True, told=False)
    return 1 if outcome.problems else 0


def _list(args: argparse.Namespace, backup: Backup) -> int:
    known = backup.catalogue(backup.store(args.store))
    table, plain, rc = backup_pitr.rows(backup) if backup.config.clusters else ([], [], 0)
    if args.json:
        print(json.dumps([*(_plain(one) for one in known.sets), *plain], indent=2, sort_keys=True))
    else:
        lines: list[tuple[str, ...]] = [("SET", "STATE", "DRILL", "ITEMS", "BYTES", "BY", "HOST")]
        for one in reversed(known.sets):
            made = one.manifest
            if made is None:
                lines.append((one.id, f"damaged: {one.fault}", "", "", "", "", ""))
                continue
            facts = (str(len(made.items)), str(made.stored), made.trigger, made.host)
            lines.append((one.id, _state(one), one.drilled, *facts))
            if args.items:
                lines += [
                    (f"  {item.name}", item.kind, "", "", str(item.stored), item.service, "") for item in made.items
                ]
        print("\n".join(columns(lines)) if known.sets else f"{args.stack} has no backup")
        if known.leavings:
            print(f"{len(known.leavings)} sets without a manifest (runs that go on, or died) are no backups")
        if table:
            print("\n".join(["", *columns(table)]))
    state = backup.state()
    wrong = metrics.problems(state, time.time()) if state.run_at else []
    wrong += drill_state.problems(backup.drills(), time.time())
    for problem in wrong:
        print(f"! {problem}", file=sys.stderr)
    return 1 if rc or not known.newest_verified else 0


def _state(one: KnownSet) -> str:
    return f"{one.state} ({one.verdict.level})" if one.verdict and one.verdict.good else one.state


def _plain(one: KnownSet) -> dict[str, object]:
    made = one.manifest
    return {
        "id": one.id,
        "state": one.state,
        "level": one.verdict.level if one.verdict else None,
        "fault": one.fault or None,
        "drill": _drilled(one.drill) if one.drill else None,
        "bytes": made.stored if made else None,
        "items": [{"name": i.name, "kind": i.kind, "bytes": i.stored} for i in made.items] if made else [],
        "taken": layout.stamp(layout.taken_at(one.id)),
    }


def _drilled(record: Record) -> dict[str, object]:
    return {"good": record.good, "started": record.started, "rto": record.rto, "reason": record.reason or None}


def _verify(args: argparse.Namespace, backup: Backup) -> int:
    store = backup.store(args.store)
    sets = backup.catalogue(store).sets
    good = backup_pitr.verify(backup.config, _say) == 0 if backup.config.clusters else True
    wanted = [one.id for one in sets] if args.all else [args.sid]
    if args.sid == "latest" and not args.all:
        # The newest that is there, not the newest that is good already.
        wanted = [sets[-1].id] if sets else ["latest"]
    kept = any(snapshot_of(item) for one in sets if one.manifest and one.id in wanted for item in one.manifest.items)
    # A pruning elsewhere would take packs of restic away while they are looked at.
    with backup.reading(store, "verify", "") if kept else contextlib.nullcontext():
        for sid in wanted:
            try:
                good = backup.verify(store, sid).good and good
            except BackupError as problem:
                print(f"landfall backup verify: {problem}", file=sys.stderr)
                good = False
    backup.record(time.time(), "", ran=False)
    return 0 if good else 1


def _prune(args: argparse.Namespace, backup: Backup) -> int:
    if backup.config.clusters:
        backup_pitr.prune(args, backup.config, _say)
    _prune_stores(backup, [args.store] if args.store else backup.prunable(), apply=not args.plan, told=True)
    if not args.plan:
        backup.record(time.time(), "", ran=False)
    return 0


def _prune_stores(backup: Backup, names: Sequence[str], apply: bool, told: bool) -> None:
    """Each of them, though one fails. :param told: print the plans; :raises BackupError: what failed"""
    faults: list[BackupError] = []
    for name in names:
        try:
            plan = backup.prune(backup.store(name), apply)
        except BackupError as problem:
            faults.append(problem)
            continue
        if told:
            print("\n".join([*([f"store {name}:"] if len(names) > 1 else []), *plan.lines()]))
    if faults:
        raise faults[0] if len(faults) == 1 else BackupError("; ".join(map(str, faults)))


def _restore(args: argparse.Namespace, backup: Backup) -> int:
    if args.to_time or set(args.item) & {one.name for one in backup.config.clusters}:
        return backup_pitr.restore(args, backup.config, _say)
    store = backup.store(args.store)
    chosen = catalogue.choose(backup.catalogue(store).sets, args.sid, args.stack)
    restore = Restore(backup, store, chosen, args.identity or backup.config.identity_file)
    if args.to_file:
        if len(args.item) != 1 or chosen.manifest is None:
            raise BackupError("--to-file takes one --item")
        item = chosen.manifest.item(args.item[0])
        if not item.objects:
            raise BackupError(f"{item.name} is kept by restic, and is no stream: restore it with --as DIRECTORY")
        if os.path.exists(args.to_file):
            raise BackupError(f"{args.to_file} is there already; choose another name")
        spool(store, item, args.to_file, restore.chain(item))
        _say(f"{args.to_file}: {item.name} of set {chosen.id}, {os.path.getsize(args.to_file)} bytes")
        return 0
    if args.secrets:
        if args.plan:
            raise BackupError("--secrets has no plan: it adds what is missing, and changes nothing that is there")
        made = restore.secrets()
        _say(f"secrets that were brought back: {', '.join(made) or 'none'}")
        return 0
    wanted = targets(chosen, args.item, args.place, args.in_place, args.table)
    _say(f"set {chosen.id} ({chosen.state}) of {store.name}")
    for target in wanted:
        _say(target.line())
    if not args.plan:
        restore.run(wanted)
        # A host that is new to these sets knows from now on how old the newest one is.
        backup.record(time.time(), "", ran=False)
    return 0


def _drill(args: argparse.Namespace, backup: Backup) -> int:
    from ..clients.backup_drill import Drills

    drills = Drills(backup)
    if args.sweep:
        drills.sweep()
        return 0
    if args.json:
        backup.say = lambda text: print(text, file=sys.stderr, flush=True)
    records: list[Record] = []
    # A label names a backup of a cluster, an id a set: then nothing else is drilled.
    label = bool(pgbackrest.LABEL.match(args.sid))
    if args.engine != ENGINE and not label:
        with _escrow(args.escrow) as escrow:
            records.append(drills.run(args.store, args.sid, args.trigger, args.identity, escrow))
    if args.engine == ENGINE or label or (args.engine == "all" and args.sid == "latest" and backup.config.clusters):
        records += backup_pitr.drill(args, backup, drills)
    if args.json:
        first, *others = records
        more = {"others": [asdict(one) for one in others]} if others else {}
        print(json.dumps({**asdict(first), **more}, indent=1, sort_keys=True))
    else:
        print("\n".join(line for one in records for line in one.lines()))
    return 0 if all(one.good for one in records) else 1


@contextlib.contextmanager
def _escrow(said: str) -> Iterator[str]:
    """The file with the escrow identity; from standard input it lies in memory for the length of the drill."""
    if said != "-":
        if said and not os.path.exists(said):
            raise BackupError(f"{said} is not there: give the file with the escrow identity")
        yield said
        return
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as file:
        file.write(sys.stdin.buffer.read())
        file.flush()
        yield file.name


def _resume(args: argparse.Namespace, backup: Backup) -> int:
    with backup.alone("resume"):
        pass
    if backup.config.clusters:
        backup_pitr.resume(backup.config, _say)
    return 0
