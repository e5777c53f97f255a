# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real host behind the engines of :mod:`..backup`: configuration, stores, locks, runs, verification, pruning."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..backup import catalogue, history_page, layout, metrics, retention, run
from ..backup.catalogue import Catalogue, KnownSet
from ..backup.commands import Command
from ..backup.config import Config, S3Config, StoreConfig, from_dict
from ..backup.drill_state import Drills
from ..backup.lease import Busy, Lease
from ..backup.manifest import Manifest, Verdict
from ..backup.ports import BackupError, Denied, Store
from ..backup.run import Effects, Lock, Outcome
from ..backup.sources import Source, of_stack, with_keys
from ..compose.stack import Stack
from ..rollout.plan import Refused
from . import drill_records
from .backup_catalogue import Seen, delete_set, read_catalogue
from .backup_jobs import Maker
from .backup_lock import host_lock, leased, machine
from .backup_send import copy_set, send
from .backup_state import read_state
from .backup_verify import verify_set
from .compose import ComposeCli, ComposeError
from .docker import DockerCli
from .files import StackDir, write_atomic
from .pg_server import DEBIAN_BIN
from .process import runner
from .restic_repository import Restic
from .stack_containers import StackContainers, read_secret
from .stack_model import model_of
from .store_local import LocalStore

#: Seconds for which a service goes on that was paused with a lock, the first time; 20 times that at most.
MOMENT = 0.05


def load(path: str) -> Config:
    """The configuration in a file. :raises BackupError: it is not there, open to others, or wrong"""
    try:
        with open(path, encoding="utf-8") as file:
            facts = os.fstat(file.fileno())
            raw = json.load(file)
    except FileNotFoundError as problem:
        raise BackupError(f"{path} is not there: backups of this stack are not set up, run backup.yml") from problem
    except (OSError, ValueError) as problem:
        raise BackupError(f"{path} cannot be read: {problem}") from problem
    if facts.st_mode & 0o022:
        raise BackupError(f"{path} can be written by others; set its mode to 0600")
    return replace(from_dict(raw), since=facts.st_mtime)


def open_store(config: StoreConfig) -> Store:
    """A store with its credentials. :raises BackupError: it cannot be had"""
    bucket = with_credentials(config).s3
    if bucket is None:
        return LocalStore(config.path, config.name)
    # boto3 takes longer to import than all of our own.
    from .store_s3 import S3Store

    return S3Store(bucket, config.name)


def with_credentials(config: StoreConfig) -> StoreConfig:
    """A store with what its credentials' files hold. :raises BackupError: they cannot be read"""
    if config.s3 is None:
        return config
    given: dict[str, str] = {}
    for path, prefix in ((config.credentials_file, ""), (config.delete_credentials_file, "delete_")):
        # The deleting credential may lie on another host, where pruning is done.
        if path and (not prefix or os.path.exists(path)):
            given.update(_credentials(path, prefix))
    return replace(config, s3=S3Config(**{**vars(config.s3), **given}))


def _credentials(path: str, prefix: str) -> dict[str, str]:
    try:
        raw = json.loads(read_secret(path))
        found = {f"{prefix}{key}": str(raw[key]) for key in ("access_key", "secret_key")}
    except (ValueError, KeyError, TypeError) as problem:
        raise BackupError(f'{path} must be JSON: {{"access_key": "…", "secret_key": "…"}}') from problem
    if not prefix and raw.get("session_token"):
        found["session_token"] = str(raw["session_token"])
    return found


class Backup:
    """The backups of one stack on this host.

    :param root: where stacks live
    :param say: gets one line for each step
    """

    def __init__(self, config: Config, root: str, say: Callable[[str], None] = lambda text: None) -> None:
        self.config, self.root, self.say = config, root, say
        self.state_dir = config.state
        self.scratch = os.path.join(config.state, config.stack, "scratch")
        self.docker = DockerCli(runner(120.0), runner(3600.0))
        held = os.path.join(config.state, f"{config.stack}.held")
        self.containers = StackContainers(config.stack, self.docker, held)
        self.stack_dir = StackDir(root, config.stack)
        self._stores: dict[str, Store] = {}
        self._seen: dict[str, Seen] = {}

    # --- stores

    def store(self, name: str = "") -> Store:
        """A store by name, the first one by default. :raises BackupError: there is none, or it cannot be had"""
        for one in self.config.stores:
            if name in ("", one.name):
                if one.name not in self._stores:
                    self._stores[one.name] = open_store(one)
                return self._stores[one.name]
        raise BackupError(f"there is no store {name!r}; there are: {', '.join(one.name for one in self.config.stores)}")

    def key(self) -> bytes:
        """The key of the manifests' HMAC, empty when none is configured."""
        return read_secret(self.config.manifest_key_file).encode() if self.config.manifest_key_file else b""

    def catalogue(self, store: Store) -> Catalogue:
        """What is in a store."""
        seen = self._seen.setdefault(store.name, {})
        return read_catalogue(store, self.config.stack, self.key(), seen)

    # --- locks

    @contextlib.contextmanager
    def hold(self, store: Store, what: str, sid: str) -> Iterator[Lock]:
        """The host's lock and the store's lease. :raises BackupError: somebody else has one of them"""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.alone(what))
            yield stack.enter_context(leased(store, self.config.stack, self._lease(what)))

    def _lease(self, what: str) -> Lease:
        since = layout.stamp(time.time())
        return Lease(secrets.token_hex(8), socket.gethostname(), os.getpid(), what, since, machine())

    def _copy(self, source: Store, target: Store, made: Manifest) -> None:
        """A set to another store, by that one's lease: a pruning from elsewhere would take what the copy counts on.

        :raises BackupError: it is not there; so also when somebody works there for longer than ``lock_timeout``
        """
        until = time.monotonic() + self.config.lock_timeout
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    lock = stack.enter_context(leased(target, self.config.stack, self._lease("copy")))
                    break
                except Busy:
                    if time.monotonic() > until:
                        raise
                time.sleep(1.0)
            copy_set(source, target, made, self.key(), self.config.rate, lock.check)

    @contextlib.contextmanager
    def reading(self, store: Store, what: str, sid: str) -> Iterator[None]:
        """Both locks; who may only read the store has the host's alone."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self.hold(store, what, sid))
            except Denied:
                stack.enter_context(self.alone(what))
                self.say("this credential may only read the store: nothing keeps another host from pruning meanwhile")
            yield

    @contextlib.contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """The host's lock; what a killed run held still goes on first."""
        lock = os.path.join(self.state_dir, f"{self.config.stack}.lock")
        with host_lock(lock, what, self.config.lock_timeout):
            again = self.containers.resume()
            if again:
                self.say(f"a killed run had held still, and they run again: {', '.join(again)}")
            yield

    # --- a run

    def sources(self) -> list[Source]:
        """What the running release's file declares, what the inventory adds, and the project itself."""
        out = [*self.declared(), *self.config.sources]
        if self.config.project:
            out.append(Source("project", "project"))
        c = self.config
        return with_keys(out, c.restic_password_file, c.pgbackrest_cipher_file, c.clusters)

    def declared(self) -> list[Source]:
        """The sources of ``x-landfall.backup`` in the current release; none without a release."""
        model = self._model()
        return of_stack(model) if model else []

    def declared_drills(self) -> Mapping[str, Any]:
        """Service → ``x-landfall.backup.drill`` of the current release; none without a release."""
        model = self._model()
        said = (
            {name: (one.extra.get("backup") or {}).get("drill") for name, one in model.services.items()}
            if model
            else {}
        )
        return {name: one for name, one in said.items() if one}

    def _model(self) -> Stack | None:
        current = self.stack_dir.current()
        record = next((one for one in self.stack_dir.releases() if one.id == current), None)
        if record is None:
            return None
        directory = self.stack_dir.release_path(record.id)
        env_files = [os.path.join(directory, name) for name in ("env.user", "env")]
        env_files = [path for path in env_files if os.path.exists(path)]
        compose = ComposeCli(
            runner(120.0), self.config.stack, directory, record.compose_files, env_files, record.profiles
        )
        try:
            return model_of(self.config.stack, compose.config(), directory, record.compose_files)
        except (ComposeError, Refused) as problem:
            raise BackupError(f"the release {record.id} cannot be read: {problem}") from problem

    @contextlib.contextmanager
    def undeployed(self, who: str) -> Iterator[None]:
        """No deployment of the stack meanwhile. :raises StackBusy: one goes on"""
        with contextlib.ExitStack() as stack:
            if os.path.isdir(self.stack_dir.path):
                stack.enter_context(self.stack_dir.lock(who, layout.stamp(time.time()), self.config.lock_timeout))
            yield

    @contextlib.contextmanager
    def quiesced(self, service: str, how: str, free: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """A service held still, and no deploy of its stack meanwhile.

        :param free: whether what is to be read is. A service that was paused in the midst of a transaction keeps its
            database locked for as long: then it goes on for a moment, longer each time, and is paused again. One that
            is stopped holds no lock; whoever else does is waited for by the copy
        :raises BackupError: it never was, within ``lock_timeout``
        """
        until, moment = time.monotonic() + self.config.lock_timeout, MOMENT
        with self.undeployed("landfall backup"):
            while True:
                with self.containers.still(self.containers.running(service), how):
                    if how != "pause" or free():
                        yield
                        return
                if time.monotonic() > until:
                    raise BackupError(
                        f"service {service} holds a lock on its database whenever it is paused, for "
                        f"{self.config.lock_timeout:.0f} s now: take quiesce: stop, or raise lock_timeout"
                    )
                time.sleep(moment)
                moment = min(2 * moment, 20 * MOMENT)

    def run(self, trigger: str = "hand", accept_size: bool = False) -> Outcome:
        """Take a set. State, metrics and the ping come of it in any case. :raises BackupError: none was made"""
        began = time.time()
        away: list[tuple[str, BackupError]] = []
        try:
            stores = [self.store()]
            for one in self.config.stores[1:]:
                # A disk that is not mounted keeps nothing from the first.
                try:
                    stores.append(self.store(one.name))
                except BackupError as problem:
                    away.append((one.name, problem))
            outcome = run.run(self.config, self._effects(stores), trigger, accept_size)
            outcome.problems += [f"set {outcome.manifest.id} is not in {name}: {why}" for name, why in away]
        except BaseException as problem:
            self.record(began, str(problem) or type(problem).__name__)
            raise
        self.record(began, "; ".join(outcome.problems))
        return outcome

    def _effects(self, stores: Sequence[Store]) -> Effects:
        maker = Maker(self.config, self.containers, self.stack_dir.path, self.scratch)
        return Effects(
            stores=stores,
            sources=self.sources,
            jobs=maker.jobs,
            hold=self.hold,
            quiesced=self.quiesced,
            send=partial(send, rate=self.config.rate),
            copy=self._copy,
            sizes=self._sizes,
            verify=self.verify,
            manifest_key=self.key,
            time=time.time,
            monotonic=time.monotonic,
            token=lambda: secrets.token_hex(2),
            host=socket.gethostname(),
            say=self.say,
        )

    def _sizes(self, store: Store) -> Mapping[str, int]:
        for one in reversed(self.catalogue(store).sets):
            if one.manifest is not None:
                return {item.name: item.weight for item in one.manifest.items}
        return {}

    # --- verification, pruning

    def verify(self, store: Store, sid: str, items: Sequence[str] = ()) -> Verdict:
        """Read a set back. The verdict stands in the store then. :raises BackupError: there is no such set"""
        chosen = catalogue.choose(self.catalogue(store).sets, sid, self.config.stack)
        made = chosen.manifest
        if made is None:
            raise BackupError(chosen.fault)
        raw = store.get(made.key).data
        snapshots = Restic(self.config, store).verify
        verdict = verify_set(
            store, made, raw, self.config.identity_file, self.restorer, time.time(), items, snapshots
        )  # fmt: skip
        self.say(
            f"set {made.id} in {store.name}: "
            + (f"good ({verdict.level})" if verdict.good else "; ".join(verdict.problems))
        )
        return verdict

    def restorer(self, client: int) -> Command | None:
        """A pg_restore of this host that reads archives of a client's major version, and writes nothing."""
        for major in range(max(client, 9), 40):
            program = f"{DEBIAN_BIN.format(major=major)}/pg_restore"
            if os.path.exists(program):
                return Command((program, "--file=/dev/null"))
        for source in self.sources_of("postgres"):
            if source.service:
                with contextlib.suppress(BackupError):
                    container = self.containers.one(source.service)
                    return Command(("docker", "exec", "-i", container, "pg_restore", "--file=/dev/null"))
            elif source.options.get("image"):
                image = str(source.options["image"])
                return Command(
                    ("docker", "run", "--rm", "-i", "--entrypoint", "", image, "pg_restore", "--file=/dev/null")
                )
        return None

    def sources_of(self, kind: str) -> list[Source]:
        """The sources of one kind; none when the release cannot be read."""
        try:
            return [one for one in self.sources() if one.kind == kind]
        except BackupError:
            return [one for one in self.config.sources if one.kind == kind]

    def prunable(self) -> list[str]:
        """The stores that are pruned from this host: directories, and buckets whose deleting credential is here.

        The first one when there are none: it says what is missing.
        """
        mine = [one.name for one in self.config.stores if one.s3 is None or os.path.exists(one.delete_credentials_file)]
        return mine or [self.config.stores[0].name]

    def prune(self, store: Store, apply: bool) -> retention.Plan:
        """What retention says of a store, and the deletion of it. :raises BackupError: also when some could not go"""
        if not apply:
            return retention.plan(self.catalogue(store), self.config.retention, self._now(store))
        with self.hold(store, "prune", "") as lock:
            known = self.catalogue(store)
            plan = retention.plan(known, self.config.retention, self._now(store))
            for sid in plan.goes:
                lock.check()
                freed = delete_set(store, self.config.stack, sid, known.entries[sid])
                self.say(f"set {sid} is deleted, {freed} bytes")
            store.abort_orphans(layout.stack_prefix(self.config.stack))
            lock.check()
            self._prune_snapshots(store)
        return plan

    def _prune_snapshots(self, store: Store) -> None:
        """What no set names any more goes from restic's repositories. The lease is held: no run is at work."""
        keeper = Restic(self.config, store)
        if not keeper.find():
            return
        known = self.catalogue(store)
        unread = [one.id for one in known.sets if one.manifest is None]
        if unread:
            self.say(f"restic forgets nothing: which snapshots belong to {', '.join(unread)} cannot be read")
            return
        for line in keeper.prune([one.manifest for one in known.sets if one.manifest]):
            self.say(line)

    def _now(self, store: Store) -> float:
        """The store's clock: that of this host may be wrong. The lease was just written, or is there from a run."""
        with contextlib.suppress(BackupError):
            return store.get(layout.stack_prefix(self.config.stack) + layout.LEASE).now
        return time.time()

    # --- what monitoring sees

    def state(self) -> metrics.State:
        """What was recorded last."""
        return read_state(self.state_dir, self.config.stack, self.config.max_age)

    def record(self, began: float, problem: str, ran: bool = True) -> None:
        """Write down how it stands, for monitoring. :param ran: False after a verification or pruning alone"""
        state = replace(self.state(), max_age=self.config.max_age)
        with contextlib.suppress(BackupError, OSError):
            known = self.catalogue(self.store())
            newest = known.newest_verified
            state = replace(state, sets=len(known.sets), **_newest(newest))
        if ran:
            now = time.time()
            state = replace(state, run_at=now, run_good=not problem, run_seconds=round(now - began, 3), problem=problem)
        os.makedirs(self.state_dir, mode=0o700, exist_ok=True)
        write_atomic(os.path.join(self.state_dir, f"{self.config.stack}.json"), state.to_json(), 0o600)
        if self.config.metrics_file and os.path.isdir(os.path.dirname(self.config.metrics_file)):
            write_atomic(self.config.metrics_file, metrics.textfile(state), 0o644)
        if ran and self.config.ping_url:
            self.ping(self.config.ping_url if not problem else f"{self.config.ping_url}/fail")
        self.write_history()

    def drills(self) -> Drills:
        """The drills that are recorded on this host."""
        c = self.config
        return drill_records.read(self.state_dir, c.stack, c.drill.max_age, c.since, [one.name for one in c.clusters])

    def write_history(self) -> None:
        """The page of all sets and drills."""
        sets: Sequence[KnownSet] = ()
        with contextlib.suppress(BackupError, OSError):
            sets = self.catalogue(self.store()).sets
        drills = self.drills()
        path = os.path.join(self.state_dir, self.config.stack, "history.html")
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_atomic(path, history_page.page(self.config.stack, sets, drills, self.state(), time.time()), 0o600)

    def ping(self, url: str) -> None:
        """Ask the dead-man's switch; what comes of that is only said."""
        try:
            with urllib.request.build_opener().open(url, timeout=15):
                pass
        except (OSError, ValueError) as problem:
            # The silence is what alarms there.
            self.say(f"the ping was not heard: {problem}")


def _newest(newest: KnownSet | None) -> dict[str, Any]:
    made: Manifest | None = newest.manifest if newest else None
    if made is None:
        return {"verified_id": "", "verified_at": 0.0, "bytes": 0}
    return {"verified_id": made.id, "verified_at": layout.taken_at(made.id), "bytes": made.stored}
