# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring items of a set: all is checked and laid beside, and only then services stop and names are swapped."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence

from ..backup import commands, layout
from ..backup.catalogue import KnownSet
from ..backup.commands import Command
from ..backup.manifest import Item
from ..backup.ports import BackupError, Store
from ..backup.restic import snapshot_of
from ..backup.restore import Target, server_of
from ..backup.sources import Source
from ..compose.graph import CycleError, waves
from . import restore_files, restore_mongo, restore_postgres
from .backup_host import Backup
from .backup_verify import check_bytes, spool
from .pg_server import Server, reach
from .process import runner
from .restic_repository import Restic, opened, write_password
from .stack_containers import read_secret, service_of

#: What lies in a stack's directory and is not in its item: data of bind mounts, and the lock.
NOT_THE_PROJECT = ("data", "lock")
#: A step that needs services to be stopped, and is over in a moment.
Swap = Callable[[], None]


class Restore:
    """One restore of one set. :param identity_file: the identity that decrypts it"""

    def __init__(self, backup: Backup, store: Store, chosen: KnownSet, identity_file: str) -> None:
        if chosen.manifest is None:
            raise BackupError(chosen.fault)
        self._b, self._store, self._set = backup, store, chosen.manifest
        self._identity = identity_file
        self._stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime())
        self._servers: dict[str, Server] = {}
        self._archives: dict[str, str] = {}
        #: Directory → what was laid beside it and will take its place.
        self._laid: dict[str, str] = {}
        self._restic: Restic | None = None
        self.kept: list[str] = []

    def run(self, targets: Sequence[Target]) -> None:
        """Restore. :raises BackupError: nothing that was there has been changed, unless it says otherwise"""
        kept = any(snapshot_of(one.item) for one in targets)
        if (kept or any("age" in one.item.filters for one in targets)) and not os.path.exists(self._identity):
            raise BackupError(
                f"the set is encrypted, and there is no identity at {self._identity or 'identity_file'}: give the "
                "operation's or the escrow identity with --identity FILE"
            )
        with self._b.reading(self._store, "restore", self._set.id), self._laid_down(), self._opened(kept):
            for target in targets:
                self._check(target)
            self._b.say(f"set {self._set.id}: every byte is as it was sent")
            swaps = [step for target in targets for step in [self._prepare(target)] if step]
            if not swaps:
                return
            stopped = self._in_order(self._running_servers())
            with self._b.undeployed("landfall restore"), self._b.containers.still(stopped, "stop"):
                for number, step in enumerate(swaps):
                    try:
                        step()
                    except BackupError as problem:
                        done = f" {number} of {len(swaps)} items are restored already." if number else ""
                        raise BackupError(f"{problem}.{done} Run the same again") from problem
            self._b.containers.nudge_proxies()

    def _check(self, target: Target) -> None:
        """Read every byte of an item, once: an archive that is needed as a file, and has room, is laid down by that."""
        item = target.item
        if item.kind == "mongo" or (item.kind == "postgres" and self._by_file(target)):
            with contextlib.suppress(restore_files.NoRoom):
                self._lay_down(item)
                return
        if snapshot_of(item):
            self._keeper().present(item)
            return
        check_bytes(self._store, item)

    @contextlib.contextmanager
    def _opened(self, needed: bool) -> Iterator[None]:
        """restic, with the password that the set carries; a host that lacks the password gets it back."""
        if not needed:
            yield
            return
        item = self._set.item(layout.RESTIC_KEY)
        check_bytes(self._store, item)
        password = self._text(item).encode()
        with opened(self._b.config, self._store, password, self._b.scratch) as self._restic:
            own = self._b.config.restic_password_file
            if not os.path.exists(own) and os.path.isdir(os.path.dirname(own)):
                write_password(own, password)
                self._b.say(f"restic's password was brought back to {own}")
            yield

    def _keeper(self) -> Restic:
        if self._restic is None:
            raise BackupError("restic was not opened")
        return self._restic

    def _lay_down(self, item: Item) -> None:
        found = restore_postgres.lay_down(self._store, item, self.chain(item), self._b.scratch)
        self._archives[item.name] = found

    @contextlib.contextmanager
    def _laid_down(self) -> Iterator[None]:
        try:
            yield
        finally:
            for name in list(self._archives):
                self._take_away(name)

    def _take_away(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._archives.pop(name))

    def secrets(self) -> list[str]:
        """Bring back the stack's secrets that this host lacks, for a deployment that comes after; their names.

        What is there already stays as it is. A set without the project brings none.
        """
        item = next((one for one in self._set.items if one.kind == "project"), None)
        if item is None:
            return []
        with self._b.reading(self._store, "restore", self._set.id):
            check_bytes(self._store, item)
            os.makedirs(self._b.scratch, mode=0o700, exist_ok=True)
            new = os.path.join(self._b.scratch, "project")
            restore_files.unpack(self._store, item, new, self.chain(item))
            try:
                self._b.stack_dir.prepare()
                # By this key the host knows what of a rotated secret was given before: see rollout.rotated.
                restore_files.add_one(
                    os.path.join(new, "digest.key"), os.path.join(self._b.stack_dir.path, "digest.key")
                )
                made = restore_files.add_missing(os.path.join(new, "secrets"), self._b.stack_dir.secrets_dir)
                return [name for name in made if not name.startswith(".")]
            finally:
                shutil.rmtree(new, ignore_errors=True)

    def _running_servers(self) -> set[str]:
        """Services that are not stopped: databases are restored by asking their servers."""
        known = {source.service for kind in ("postgres", "mongo") for source in self._b.sources_of(kind)} - {""}
        # Without most members of its replica set MongoDB takes no writes: what is made from the same image stays, too.
        mongo = {source.service for source in self._b.sources_of("mongo")}
        them = self._b.containers.all() if mongo else []
        images = {str(one["Image"]) for one in them if service_of(one) in mongo}
        return known | {service_of(one) for one in them if str(one["Image"]) in images}

    def _in_order(self, servers: set[str]) -> list[str]:
        """Running containers without those of database servers, what depends on others first."""
        them = [one for one in self._b.containers.all() if one["State"]["Running"]]
        needs: dict[str, list[str]] = {}
        for one in them:
            said = str((one["Config"].get("Labels") or {}).get("com.docker.compose.depends_on", ""))
            needs[service_of(one)] = [part.partition(":")[0] for part in said.split(",") if part]
        known = {name: [on for on in on_them if on in needs] for name, on_them in needs.items()}
        try:
            order = [name for layer in waves(known) for name in layer]
        except CycleError:
            order = sorted(known)
        return [
            str(one["Id"]) for name in reversed(order) if name not in servers for one in them if service_of(one) == name
        ]

    def chain(self, item: Item) -> list[Command]:
        """What makes the plain stream of an item."""
        return commands.undo(item.filters, self._identity)

    def _prepare(self, target: Target) -> Swap | None:
        kind = target.item.kind
        if kind == "postgres":
            return self._postgres(target)
        if kind == "sqlite":
            return self._sqlite(target)
        if kind == "redis":
            return self._redis(target)
        if kind == "mongo":
            return self._mongo(target)
        return self._files(target)

    # --- PostgreSQL

    def _server(self, item: Item) -> Server:
        for source in self._b.sources_of("postgres"):
            if item.name == layout.item_name(source.name, str(item.details["name"])):
                if source.name not in self._servers:
                    self._servers[source.name] = reach(source, self._b.containers, f"landfall-restore-{self._set.id}")
                return self._servers[source.name]
        raise BackupError(f"{item.name}: no source of this stack is its server; name it in the configuration's sources")

    def _by_file(self, target: Target) -> bool:
        """Whether the archive is needed as a file: it is read more than once."""
        return bool(target.tables) or restore_postgres.by_file(self._server(target.item), self._b.config.jobs)

    def _postgres(self, target: Target) -> Swap | None:
        item, server = target.item, self._server(target.item)
        name = str(item.details["name"])
        new = target.place or restore_postgres.scratch_name(name, self._set.id)
        for one in self._set.items:
            if one.kind == "globals" and server_of(one) == server_of(item):
                restore_postgres.make_roles(server, self._text(one), self._b.say)
        if not target.place and new in server.databases:
            # Of a restore that was killed.
            restore_postgres.drop(server, new)
            server.databases.remove(new)
        jobs = self._b.config.jobs
        if self._by_file(target) and item.name not in self._archives:
            self._lay_down(item)
        archive = self._archives.get(item.name, "")
        restore_postgres.restore(
            self._store, item, server, new, self.chain(item), archive, jobs, self._b.say, target.tables
        )
        if archive:
            self._take_away(item.name)
        if target.place:
            return None
        before = f"{name[:40]}_before_{self._stamp}"

        def swap() -> None:
            restore_postgres.swap(server, new, name, before)
            if name in server.databases:
                self._keep(f"database {before}")

        return swap

    def _keep(self, what: str) -> None:
        self.kept.append(what)
        self._b.say(f"what was there is kept: {what}")

    def _text(self, item: Item) -> str:
        os.makedirs(self._b.scratch, mode=0o700, exist_ok=True)
        path = os.path.join(self._b.scratch, f"{item.name}.txt")
        spool(self._store, item, path, self.chain(item))
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        finally:
            os.unlink(path)

    # --- files

    def _sqlite(self, target: Target) -> Swap | None:
        item = target.item
        path = target.place or self._own_path(item)
        if target.place:
            restore_files.free_place(path)
        within = "" if target.place else self._within(path)
        if within:
            os.makedirs(os.path.dirname(within), exist_ok=True)
            for ending in ("", *restore_files.SIDE_FILES):
                restore_files.clear(within + ending)
            os.rename(restore_files.settle_sqlite(self._store, item, within, self.chain(item)), within)
            return None
        new = restore_files.settle_sqlite(self._store, item, path, self.chain(item))
        before = f"{path}.before-{self._stamp}"
        if target.place:
            os.rename(new, path)
            self._b.say(f"{path}: restored, checked, rows as in the backup")
            return None

        def swap() -> None:
            there = os.path.exists(path)
            restore_files.swap_sqlite(new, path, before)
            if there:
                self._keep(before)

        return swap

    def _within(self, path: str) -> str:
        """Where a path is within a directory that was laid beside: there it goes, and comes in with it. "" in none."""
        for place, new in self._laid.items():
            if path == place or path.startswith(f"{place}/"):
                return new + path[len(place) :]
        return ""

    def _own_path(self, item: Item) -> str:
        """Where an item lies on this host now, which need not be where it lay when it was taken."""
        if item.service:
            return self._b.containers.host_path(item.service, item.source)
        return str(item.details["path"])

    def _place_of(self, target: Target) -> str:
        item = target.item
        if target.place:
            beside = item.kind == "volume" and not target.place.startswith("/")
            place = self._b.containers.new_volume(target.place) if beside else target.place
            restore_files.free_place(place)
        elif item.kind == "volume":
            place = self._b.containers.new_volume(str(item.details["volume"]))
        elif item.kind == "project":
            place = self._b.stack_dir.path
        else:
            place = self._own_path(item)
        return place.rstrip("/")

    def _lay(self, item: Item, new: str) -> None:
        """Files of an item into a directory of their own."""
        if not snapshot_of(item):
            restore_files.unpack(self._store, item, new, self.chain(item))
            return
        parent = os.path.dirname(new)
        if not os.path.isdir(parent):
            raise BackupError(f"{parent} is not there; create it")
        restore_files.need_room(parent, item.plain_bytes)
        self._keeper().lay(item, new)

    def _files(self, target: Target) -> Swap | None:
        item, whole = target.item, bool(target.item.details["directory"])
        place = self._place_of(target)
        new = place + restore_files.NEW
        if not target.place:
            inner = next((one for one in self._laid if one.startswith(f"{place}/")), "")
            if inner:
                raise BackupError(
                    f"{item.name}: {inner} lies in it, and is restored too: restore this one first, by --item"
                )
            within = self._within(place)
            if within:
                self._join(item, new=within + restore_files.NEW, within=within)
                return None
        self._lay(item, new)
        source = new if whole else os.path.join(new, os.path.basename(str(item.details["path"])))
        before = f"{place}.before-{self._stamp}"

        def swap() -> None:
            empty = not os.path.lexists(place) or (os.path.isdir(place) and not os.listdir(place))
            restore_files.swap(source, place, before)
            if not whole:
                os.rmdir(new)
            if empty:
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(before)
            else:
                self._keep(before)

        def swap_project() -> None:
            restore_files.swap_entries(new, place, before, NOT_THE_PROJECT)
            self._keep(before)

        if target.place:
            swap()
            self._b.say(f"{place}: restored")
            return None
        if self._is_a_servers(item, new):
            return None
        if whole:
            self._laid[place] = new
        return swap_project if item.kind == "project" and os.path.isdir(place) else swap

    def _join(self, item: Item, new: str, within: str) -> None:
        """Files that lie in a directory which was laid beside, or are it: in the place of what that has there."""
        os.makedirs(os.path.dirname(new), exist_ok=True)
        self._lay(item, new)
        restore_files.clear(within)
        if item.details["directory"]:
            os.rename(new, within)
        else:
            os.rename(os.path.join(new, os.path.basename(str(item.details["path"]))), within)
            os.rmdir(new)

    def _is_a_servers(self, item: Item, new: str) -> bool:
        """Whether they are the files of a database server that goes on running; they are left out then, and said."""
        running = self._running_servers()
        server = restore_files.server_within(new) if running and item.service in {*running, ""} else ""
        if server:
            restore_files.clear(new)
            self._b.say(
                f"{item.name} is left out: it holds the data directory of {server}, copied while that ran; its "
                "databases are restored by themselves. The files as they are: --as DIRECTORY"
            )
        return bool(server)

    # --- MongoDB

    def _mongo(self, target: Target) -> Swap:
        item = target.item
        source = next((one for one in self._b.sources_of("mongo") if one.name == item.name), None)
        if source is None:
            raise BackupError(f"{item.name}: no source of this stack is its server; name it in its backup sources")
        container = self._b.containers.one(item.service)
        config, oplog = str(source.options.get("config_file", "")), bool(item.details.get("oplog"))
        databases = [str(one) for one in source.options.get("databases") or ()]
        before = os.path.join(self._b.config.state, self._b.config.stack, f"{item.name}.before-{self._stamp}.zst")

        def swap() -> None:
            restore_mongo.save(commands.mongo(container, config, databases), before)
            self._keep(f"{before} (a dump of {item.service})")
            loading = commands.mongo_load(container, config, oplog)
            archive = self._archives.get(item.name)
            try:
                if archive:
                    restore_mongo.load(loading, archive)
                else:
                    restore_mongo.stream(loading, self._store, item, self.chain(item))
            except BackupError as problem:
                back = " ".join(commands.mongo_load(item.service, config, not databases).argv[3:])
                raise BackupError(
                    f"{problem}. {item.name} is restored in part. What was there comes back by: zstd -dc {before} | "
                    f"docker exec -i {back}"
                ) from problem
            self._b.say(f"{item.name}: restored; collections that the backup does not know stay as they are")

        return swap

    # --- Redis

    def _redis(self, target: Target) -> Swap | None:
        item = target.item
        if target.place:
            restore_files.free_place(target.place)
            self._snapshot(item, target.place)
            self._b.say(f"{target.place}: the snapshot, for `redis-check-rdb` and a server of its own")
            return None
        container = self._b.containers.one(item.service)
        source = next((one for one in self._b.sources_of("redis") if one.name == item.name), Source("redis", item.name))
        ask = self._redis_asker(source, container)
        directory = self._b.containers.host_path(item.service, ask("CONFIG", "GET", "dir")[-1])
        appendonly = ask("CONFIG", "GET", "appendonly")[-1] == "yes"
        facts = os.stat(directory)
        restore_files.need_room(directory, item.plain_bytes * (2 if appendonly else 1))
        within = self._within(directory)
        rdb = os.path.join(within or directory, "landfall-new.rdb")
        self._snapshot(item, rdb)
        if within:
            for name in restore_files.REDIS_FILES:
                restore_files.clear(os.path.join(within, name))
            restore_files.redis_files(within, rdb, facts.st_uid, facts.st_gid, appendonly)
            return None

        def swap() -> None:
            for name in restore_files.REDIS_FILES:
                path = os.path.join(directory, name)
                if os.path.lexists(path):
                    os.rename(path, f"{path}.before-{self._stamp}")
                    self._keep(f"{path}.before-{self._stamp}")
            restore_files.redis_files(directory, rdb, facts.st_uid, facts.st_gid, appendonly)

        return swap

    def _snapshot(self, item: Item, path: str) -> None:
        """A snapshot as a server writes it: what followed it in the stream would spoil an append-only log."""
        spool(self._store, item, path, self.chain(item))
        with open(path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 512))
            file.truncate(size - commands.redis_mark(file.read()))

    def _redis_asker(self, source: Source, container: str) -> Callable[..., list[str]]:
        said = source.options
        password = read_secret(str(said["password_file"])) if said.get("password_file") else ""
        if said.get("password_env"):
            password = self._b.containers.env(container).get(str(said["password_env"]), "")
        base = commands.redis(container, password, int(said.get("port", 6379)))

        def ask(*words: str) -> list[str]:
            argv = [*base.argv[: base.argv.index("--rdb")], *words]
            rc, out, err = runner(60.0)(argv, "/", base.env)
            if rc or not out.strip():
                raise BackupError(f"Redis does not answer: {(err or out).strip()[:300]}")
            return out.split("\n")[:-1]

        return ask
