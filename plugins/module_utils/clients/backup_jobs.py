# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a source to the items of a set: which programs make their streams, and what is recorded of them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..backup import commands, pgbackrest, postgres
from ..backup.commands import Command
from ..backup.config import Config
from ..backup.layout import RESTIC_KEY, item_name
from ..backup.ports import BackupError, Store
from ..backup.restic import Taken
from ..backup.run import Job, Stream
from ..backup.sources import Source
from ..migration.problems import Stopped
from . import snapshot, sqlite_file
from .pg_server import Server, reach
from .pipeline import Counter, Lister
from .process import runner
from .restic_repository import Restic
from .stack_containers import StackContainers, read_secret


@dataclass(frozen=True)
class Maker:
    """Makes the jobs. :param stack_dir: the stack's own directory; :param scratch: for copies of SQLite files"""

    config: Config
    containers: StackContainers
    stack_dir: str
    scratch: str

    def jobs(self, source: Source, sid: str) -> Sequence[Job]:
        """The items a source makes. :raises BackupError: it cannot be reached"""
        makers: dict[str, Callable[[Source, str], Sequence[Job]]] = {
            "postgres": self._postgres,
            "sqlite": self._sqlite,
            "volume": self._files,
            "path": self._files,
            "key": self._key,
            "project": self._project,
            "redis": self._redis,
            "mongo": self._mongo,
        }
        return makers[source.kind](source, sid)

    # --- PostgreSQL

    def _postgres(self, source: Source, sid: str) -> Sequence[Job]:
        server = reach(source, self.containers, f"landfall-{sid}")
        wanted = [str(name) for name in source.options.get("databases") or ()]
        missing = sorted(set(wanted) - set(server.databases))
        if missing:
            raise BackupError(f"{source.name}: the server has no database {', '.join(missing)}")
        # The maintenance database is empty on purpose; named, it is taken as any other.
        names = wanted or [name for name in server.databases if name != "postgres"] or ["postgres"]
        what = source.service or source.options.get("host") or "server"
        globals_ = Job(
            item_name("globals", source.name.removeprefix("postgres-")), "globals", source.service,
            f"roles of {what}", lambda: self._globals(server),
        )  # fmt: skip
        return [globals_, *(self._database(source, server, name) for name in names)]

    def _database(self, source: Source, server: Server, name: str) -> Job:
        return Job(
            item_name(source.name, name), "postgres", source.service, f"database {name}",
            lambda: self._dump(server, name, bool(source.options.get("allow_empty"))),
        )  # fmt: skip

    @contextlib.contextmanager
    def _globals(self, server: Server) -> Iterator[Stream]:
        # Passwords' hashes can be read by a superuser only, and are never stored in the clear.
        bare = not (self.config.recipients and server.facts["superuser"])
        args = ["--globals-only", "--no-password", *(["--no-role-passwords"] if bare else [])]
        ends = Counter(lambda head, tail, count: "" if b"dump complete" in tail else "pg_dumpall's output is cut off")
        details = {"server": server.facts["version"], "passwords": not bare}
        # pg_dumpall goes through every option of the connection itself.
        yield Stream(
            server.access.command("pg_dumpall", *args, PGAPPNAME=server.app, PGDATABASE=server.first),
            taps=[ends], details=lambda: details,
        )  # fmt: skip

    @contextlib.contextmanager
    def _dump(self, server: Server, name: str, allow_empty: bool) -> Iterator[Stream]:
        client = server.client_major()
        lister: Lister | None = None
        done = False
        with server.session(name) as session:
            taken = session.begin(self.config.statement_timeout)
            tables = session.tables()
            if not tables and not allow_empty:
                raise BackupError(
                    f"database {name} has no tables: the wrong database, or its data is gone. When it shall be so, set "
                    "allow_empty: true on the source"
                )
            facts = session.value(postgres.FACTS)
            counting = Counting(session, tables)
            lister = Lister(
                server.access.command("pg_restore", "--list"), lambda text: postgres.listing_fault(text, tables)
            )

            def details() -> Mapping[str, Any]:
                nonlocal done
                done = True
                return {
                    **facts,
                    "server": server.facts["version"],
                    "client": client,
                    "image": server.image,
                    "name": name,
                    "rows": counting.result(),
                }

            try:
                yield Stream(
                    server.access.command(
                        "pg_dump", *postgres.dump_args(taken, self.config.statement_timeout, client),
                        PGDATABASE=name, PGAPPNAME=server.app,
                    ),
                    compress=client < 16, taps=[lister], details=details,
                )  # fmt: skip
            except BackupError as problem:
                # Without its session the dump has no snapshot: that is what it would complain about.
                raise counting.error or BackupError(f"{problem}{postgres.hint(str(problem))}") from problem
            finally:
                lister.kill()
                if not done:
                    # A count that still runs would keep this one waiting, too.
                    with contextlib.suppress(BackupError):
                        server.end_sessions()
                counting.end()

    # --- files

    @contextlib.contextmanager
    def _sqlite_copy(self, path: str) -> Iterator[Stream]:
        target = os.path.join(self.scratch, f"{os.getpid()}.sqlite3")
        try:
            os.makedirs(self.scratch, mode=0o700, exist_ok=True)
            sqlite_file.examine(path)
            snapshot.copy(path, target, self.config.lock_timeout)
            details = look_at_sqlite(target)
            was = os.stat(path)
            details.update(path=path, mode=was.st_mode & 0o7777, uid=was.st_uid, gid=was.st_gid)
            yield Stream(Command(("cat", "--", target)), details=lambda: details)
        except (sqlite_file.Refused, Stopped) as problem:
            raise BackupError(str(problem)) from problem
        finally:
            for name in (target, f"{target}.partial"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)

    def _sqlite(self, source: Source, sid: str) -> Sequence[Job]:
        path = self.containers.host_path(source.service, source.where) if source.service else source.where
        copied, free = partial(self._sqlite_copy, path), partial(snapshot.free, path)
        return [Job(source.name, "sqlite", source.service, source.where, copied, free=free)]

    def _files(self, source: Source, sid: str) -> Sequence[Job]:
        if source.kind == "volume":
            path = self.containers.volume_path(source.where)
        elif source.service:
            path = self.containers.host_path(source.service, source.where)
        else:
            path = source.where
        if not os.path.exists(path):
            raise BackupError(f"{source.name}: {path} is not there")
        whole = os.path.isdir(path)
        command = commands.tar(
            path if whole else os.path.dirname(path), (".",) if whole else (os.path.basename(path),), source.exclude
        )
        details = {"path": path, "directory": whole, "volume": source.where if source.kind == "volume" else ""}
        if source.by_restic:
            if not self.config.recipients:
                raise BackupError(
                    f"{source.name}: engine restic needs recipients: its password goes into each set, encrypted"
                )

            def take(store: Store, sid: str) -> Taken:
                taken = Restic(self.config, store).take(path, source.exclude, (sid, source.name), time.time())
                return replace(taken, details={**taken.details, **details})

            return [Job(source.name, source.kind, source.service, source.where, take=take)]
        return [Job(source.name, source.kind, source.service, source.where, lambda: _plain(command, details))]

    def _key(self, source: Source, sid: str) -> Sequence[Job]:
        path = source.where
        if source.name.startswith(pgbackrest.SETTINGS):
            # A cluster that is gone is the watch's alarm; the other items are taken all the same.
            tar, details = commands.tar(path), {"path": path, "directory": True}
            there = os.path.isdir(path)
            return [Job(source.name, "key", "", path, lambda: _plain(tar, details), secret=True)] if there else []
        # restic's password is made by its first backup, before this is read.
        if source.name != RESTIC_KEY and not os.path.exists(path):
            raise BackupError(f"{source.name}: {path} is not there: set the backups up again (backup.yml)")
        return [
            Job(source.name, "key", "", path, lambda: _plain(Command(("cat", "--", path)), {"path": path}), secret=True)
        ]  # fmt: skip

    def _project(self, source: Source, sid: str) -> Sequence[Job]:
        command = commands.tar(self.stack_dir, exclude=("./data", "./lock", "./journal.new"))
        details = {"path": self.stack_dir, "directory": True, "volume": ""}
        return [
            Job(source.name, "project", "", self.stack_dir, lambda: _plain(command, details), secret=True)
        ]  # fmt: skip

    # --- others

    def _redis(self, source: Source, sid: str) -> Sequence[Job]:
        said = source.options
        container = self.containers.one(source.service) if source.service else ""
        password = read_secret(str(said["password_file"])) if said.get("password_file") else ""
        if said.get("password_env"):
            password = self.containers.env(container).get(str(said["password_env"]), "")
        port = int(said.get("port", 6379))
        dump = commands.redis(container, password, port)
        ask = Command(tuple("DBSIZE" if word == "-" else word for word in dump.argv if word != "--rdb"), dump.env)
        ends = Counter(commands.redis_fault)

        def stream() -> contextlib.AbstractContextManager[Stream]:
            rc, out, err = runner(60.0)(ask.argv, "/", ask.env)
            if rc or not out.strip().isdigit():
                raise BackupError(f"Redis does not answer: {(err or out).strip()[:300]}")
            return _plain(dump, {"keys": int(out)}, ends)

        return [Job(source.name, "redis", source.service, source.service or f"port {port}", stream)]

    def _mongo(self, source: Source, sid: str) -> Sequence[Job]:
        container = self.containers.one(source.service)
        databases = [str(one) for one in source.options.get("databases") or ()]
        if len(databases) > 1:
            raise BackupError(f"{source.name}: mongodump takes one database or all; leave databases out")
        command = commands.mongo(container, str(source.options.get("config_file", "")), databases)
        details = {"oplog": not databases, "image": self.containers.image(container)}
        return [Job(source.name, "mongo", source.service, source.service, lambda: _mongo_dump(command, details))]


class Counting:
    """Rows are counted while the dump goes on, in its snapshot."""

    def __init__(self, session: Any, tables: Sequence[Sequence[str]]) -> None:
        self._found: dict[str, int] = {}
        self.error: BackupError | None = None

        def count() -> None:
            try:
                self._found = session.counts(tables)
            except BackupError as problem:
                self.error = problem

        self._thread = threading.Thread(target=count, name="counts", daemon=True)
        self._thread.start()

    def result(self) -> dict[str, int]:
        """Rows by table. :raises BackupError: they could not be counted"""
        self._thread.join()
        if self.error:
            raise self.error
        return self._found

    def end(self) -> None:
        """Wait for it, whatever comes of it."""
        self._thread.join(10)


@contextlib.contextmanager
def _plain(command: Command, details: Mapping[str, Any], *taps: Counter) -> Iterator[Stream]:
    yield Stream(command, taps=taps, details=lambda: details)


@contextlib.contextmanager
def _mongo_dump(command: Command, details: Mapping[str, Any]) -> Iterator[Stream]:
    try:
        yield Stream(command, taps=[Counter(commands.mongo_fault)], details=lambda: details)
    except BackupError as problem:
        raise BackupError(f"{problem}{commands.mongo_hint(str(problem))}") from problem


def look_at_sqlite(path: str) -> dict[str, Any]:
    """Check a copy, and count its rows. :raises BackupError: it is damaged"""
    check_sqlite(path)
    return {"rows": sqlite_rows(path)}


def check_sqlite(path: str) -> None:
    """SQLite's own check of every page. :raises BackupError: it is damaged"""
    with _sqlite_read(path) as db:
        found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(5)")]
    if found != ["ok"]:
        raise BackupError(f"the database is damaged: {'; '.join(found)}. Restore the last good backup of it")


def sqlite_rows(path: str) -> dict[str, int]:
    """Rows of each table, by :func:`..backup.postgres.table_key`. :raises BackupError: it is damaged"""
    rows = {}
    with _sqlite_read(path) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            # A virtual table may need an extension that is not here; its shadow tables are counted.
            with contextlib.suppress(sqlite3.OperationalError):
                quoted = str(name).replace('"', '""')
                rows[postgres.table_key("main", name)] = db.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]
    return rows


@contextlib.contextmanager
def _sqlite_read(path: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        try:
            yield db
        except sqlite3.DatabaseError as problem:
            raise BackupError(f"the database is damaged: {problem}. Restore the last good backup of it") from problem
