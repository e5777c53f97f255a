# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a set is restored in a drill, and what is asked there: a directory, and servers without a network."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Sequence

from ..backup import commands, drill, layout, postgres
from ..backup.drill_config import Check, Side
from ..backup.manifest import Item, Manifest
from ..backup.ports import BackupError, Store
from ..backup.restic import snapshot_of
from ..backup.restore import server_of
from . import restore_postgres
from .backup_host import Backup
from .backup_jobs import check_sqlite, sqlite_rows
from .backup_verify import Hashed, through
from .process import runner
from .restic_repository import Damaged, opened
from .restore_files import need_room
from .scratch_mongo import ScratchMongo
from .scratch_postgres import ScratchServer, image_of

#: How the directories of scratch servers begin.
SERVER, MONGO = "pg-", "mongo-"
_TREES = ("volume", "path", "project")


class Ground:
    """One set, laid out. Each method is a rung: it says what it found, and raises BackupError when that is not right.

    :ivar damage: what of the set's bytes is not what was sent
    """

    def __init__(self, backup: Backup, store: Store, made: Manifest, identity: str, scratch: str) -> None:
        self._b, self._store, self._set, self._identity, self._scratch = backup, store, made, identity, scratch
        self._databases = [item for item in made.items if item.kind == "postgres"]
        self._servers: dict[str, ScratchServer] = {}
        self._undecoded: list[str] = []
        self._said: list[str] = []
        self.damage: list[str] = []

    # --- bytes

    def room(self) -> str:
        """Room for all of it, before anything is laid down."""
        os.makedirs(self._scratch, mode=0o700, exist_ok=True)
        os.chmod(self._scratch, 0o700)
        need = drill.room_needed(self._set)
        need_room(self._scratch, need)
        os.mkdir(os.path.join(self._scratch, "files"), 0o700)
        return f"{need} bytes at most"

    def read(self) -> str:
        """Every byte against its sha256; in the same pass every stream is decoded, and laid down."""
        problems: list[str] = []
        kept = [item for item in self._set.items if snapshot_of(item)]
        for item in self._set.items:
            if item in kept:
                continue
            stream = Hashed(self._store, item)
            fault = ""
            try:
                self._lay(item, stream)
            except (BackupError, OSError) as problem:
                fault = str(problem)
                if not stream.problems:
                    # Whether its bytes are right is another question than whether they can be decoded.
                    for _chunk in stream:
                        pass
            problems += [f"{item.name}: {one}" for one in stream.problems]
            if stream.problems and not stream.unread:
                self.damage += [f"{item.name}: {one}" for one in stream.problems]
            elif fault:
                self._undecoded.append(f"{item.name}: {fault}")
        problems += self._lay_kept(kept)
        if problems:
            raise BackupError("; ".join(problems[:5]))
        return f"{sum(len(item.objects) for item in self._set.items)} objects, {self._set.stored} bytes"

    def _lay_kept(self, items: Sequence[Item]) -> list[str]:
        """What restic keeps, every blob of it, opened with the password that the set carries."""
        problems = []
        for item in items:
            try:
                with open(self._file(self._set.item(layout.RESTIC_KEY)), "rb") as file:
                    password = file.read()
                with opened(self._b.config, self._store, password, self._scratch) as keeper:
                    keeper.lay(item, self._file(item), lock=True)
            except Damaged as problem:
                problems.append(f"{item.name}: {problem}")
            except (BackupError, OSError) as problem:
                self._undecoded.append(f"{item.name}: {problem}")
        self.damage += problems
        return problems

    def _lay(self, item: Item, stream: Hashed) -> None:
        if "age" in item.filters and not os.path.exists(self._identity):
            raise BackupError(f"it is encrypted, and there is no identity at {self._identity or 'identity_file'}")
        chain = commands.undo(item.filters, self._identity)
        path = self._file(item)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        if item.kind in _TREES:
            os.mkdir(path, 0o700)
            through(stream, [*chain, commands.untar(path)])
            return
        with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            through(stream, chain, file)

    def _file(self, item: Item) -> str:
        if item.kind == "postgres":
            return os.path.join(self._directory(server_of(item)), f"{item.name}.dump")
        return os.path.join(self._scratch, "files", item.name)

    def _directory(self, server: str) -> str:
        return os.path.join(self._scratch, f"{SERVER}{server}")

    def decoded(self) -> str:
        """Every stream to its end, with the identity of the host."""
        if self._undecoded:
            raise BackupError("; ".join(self._undecoded[:5]))
        return f"{len(self._set.items)} items, {sum(item.plain_bytes for item in self._set.items)} bytes"

    def escrow(self, identity: str) -> str:
        """The smallest encrypted item, opened by the escrow identity alone."""
        item = min((one for one in self._set.items if "age" in one.filters), key=lambda one: one.stored)
        through(Hashed(self._store, item), commands.undo(item.filters, identity))
        return f"it opens {item.name}"

    # --- PostgreSQL

    def serve(self) -> str:
        """A server for each that the set is of."""
        told = []
        for name in dict.fromkeys(server_of(item) for item in self._databases):
            mine = [item for item in self._databases if server_of(item) == name]
            image = self._image(mine[0])
            made = ScratchServer(self._b.docker, self._set.stack, name, image, self._directory(name))
            self._servers[name] = made
            wanted = max(postgres.major(int(item.details["server"])) for item in mine)
            if made.server.major < wanted:
                raise BackupError(
                    f"{image} is PostgreSQL {made.server.major}, the set is of {wanted}: set backup_drill_image to an "
                    "image of that version"
                )
            told.append(f"PostgreSQL {made.server.major} from {image}, without a network")
        return "; ".join(told)

    def _image(self, item: Item) -> str:
        """What the database runs in now, or ran in when it was backed up."""
        if self._b.config.drill.image:
            return self._b.config.drill.image
        for source in self._b.sources_of("postgres"):
            if source.name.removeprefix("postgres-") != server_of(item):
                continue
            if source.options.get("image"):
                return str(source.options["image"])
            found = self._image_now(source.service)
            if found:
                return found
        recorded = str(item.details.get("image", ""))
        if recorded:
            return recorded
        wanted = postgres.major(int(item.details["server"]))
        raise BackupError(f"no image is known for {item.name}: set backup_drill_image, for example postgres:{wanted}")

    def _image_now(self, service: str) -> str:
        """What the containers of a service are made from, "" when there are none."""
        with contextlib.suppress(BackupError):
            for one in self._b.containers.of(service) if service else ():
                found = image_of(self._b.docker, one)
                if found:
                    return found
        return ""

    def _target(self, item: Item) -> str:
        name = str(item.details["name"])
        return name if name not in ("postgres", "template1") else f"{name}_drill"

    def _each(self) -> list[tuple[Item, ScratchServer, str]]:
        return [(item, self._servers[server_of(item)], self._target(item)) for item in self._databases]

    def restore(self) -> str:
        """Roles, databases, their settings; what pg_restore complains of is judged by the next rung."""
        for item, made, target in self._each():
            for one in self._set.items:
                if one.kind == "globals" and server_of(one) == server_of(item):
                    with open(self._file(one), encoding="utf-8", errors="surrogateescape") as file:
                        restore_postgres.make_roles(made.server, file.read(), self._b.say)
            restore_postgres.create(made.server, item, target)
            rc, said = made.load(os.path.basename(self._file(item)), target, self._b.config.jobs)
            found = drill.restore_errors(said)
            if rc and not found:
                raise BackupError(f"{item.name}: pg_restore ended with {rc}: {said.strip()[-400:]}")
            self._said += [f"{item.name}: {one}" for one in found]
            with made.server.session() as session:
                session.ask(*restore_postgres.properties(target, item))
        return f"{len(self._databases)} databases"

    def errors(self) -> str:
        """What pg_restore complained of, against the allow-list."""
        wrong = drill.not_allowed(self._said, self._b.config.drill.allow_errors)
        if wrong:
            raise BackupError(f"{len(wrong)} errors: {'; '.join(wrong[:5])}")
        return f"{len(self._said)} errors, all of them allowed" if self._said else "none"

    def rows(self) -> str:
        """Exact rows of every table against those that the snapshot had."""
        total = tables = 0
        for item, made, target in self._each():
            found = restore_postgres.compare(made.server, item, target, self._b.say)
            tables, total = tables + len(found), total + sum(found.values())
        for item in self._set.items:
            if item.kind != "sqlite":
                continue
            rows = sqlite_rows(self._file(item))
            wrong = postgres.compare_counts(item.details["rows"], rows)
            if wrong:
                raise BackupError(f"{item.name}: {'; '.join(wrong[:5])}")
            tables, total = tables + len(rows), total + sum(rows.values())
        return f"{tables} tables, {total} rows, as in the backup"

    def amcheck(self) -> str:
        """Every index and every page, by PostgreSQL's own eyes."""
        return "; ".join(f"{target}: {made.check_indexes(target)}" for _item, made, target in self._each())

    # --- others

    def sqlite(self) -> str:
        """SQLite's own check of every page."""
        found = [item for item in self._set.items if item.kind == "sqlite"]
        for item in found:
            try:
                check_sqlite(self._file(item))
            except BackupError as problem:
                raise BackupError(f"{item.name}: {problem}") from problem
        return f"{len(found)} files"

    def redis(self) -> str:
        """The snapshots' ends, and what redis-check-rdb says where it is there."""
        checker = next((one for one in ("redis-check-rdb", "valkey-check-rdb") if shutil.which(one)), "")
        found = [item for item in self._set.items if item.kind == "redis"]
        for item in found:
            path = self._file(item)
            with open(path, "rb") as file:
                head = file.read(512)
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 512))
                tail = file.read()
            fault = commands.redis_fault(head, tail, size)
            if fault:
                raise BackupError(f"{item.name}: {fault}")
            if checker:
                os.truncate(path, size - commands.redis_mark(tail))
                rc, out, err = runner(3600.0)([checker, path], "/", {})
                if rc:
                    raise BackupError(f"{item.name}: {checker}: {(out + err).strip()[-300:]}")
        return (
            f"{len(found)} snapshots, {f'read by {checker}' if checker else 'magic and end only: no redis-check-rdb'}"
        )

    def mongo(self) -> str:
        """Each dump, loaded by mongorestore into a server of its own; what it could not write ends it."""
        told = []
        for item in self._set.items:
            if item.kind != "mongo":
                continue
            image = self._image_now(item.service) or str(item.details.get("image", ""))
            if not image:
                raise BackupError(f"no image is known for {item.name}: take a new backup of it while it runs")
            name = f"{MONGO}{item.name.removeprefix(MONGO)}"
            made = ScratchMongo(self._b.docker, self._set.stack, name, image, os.path.join(self._scratch, name))
            written = made.load(self._file(item), bool(item.details.get("oplog")))
            told.append(f"{item.name}: {written} documents, from {image}, without a network")
        return "; ".join(told)

    # --- the application's own questions

    def smoke(self, checks: Sequence[Check]) -> str:
        """Each declared query against its expected answer."""
        for check in checks:
            item = drill.asked_of(check, self._set.items)
            fault = drill.answer_fault(check, "\n".join(self._ask(item, check.query)))
            if fault:
                raise BackupError(f"{item.name}: {fault}")
        return f"{len(checks)} queries"

    def orphans(self) -> str:
        """Each declared pair: what points to nothing."""
        counted = 0
        for one in self._b.config.drill.orphans:
            of = self._names(one.of)
            lost = drill.missing_names(of, self._names(one.within))
            counted += len(of)
            if lost:
                raise BackupError(f"{one.name}: {len(lost)} of {len(of)} point to nothing: {', '.join(lost[:5])}")
        return f"{counted} names, all of them there"

    def _names(self, side: Side) -> list[str]:
        item = self._set.item(side.item)
        if side.query:
            return self._ask(item, side.query)
        if item.kind not in _TREES:
            raise BackupError(f"orphans: {item.name} is a {item.kind}: give a query")
        top = self._file(item)
        return [os.path.relpath(os.path.join(at, name), top) for at, _dirs, names in os.walk(top) for name in names]

    def _ask(self, item: Item, query: str) -> list[str]:
        if item.kind == "postgres":
            return self._servers[server_of(item)].ask(self._target(item), query)
        if item.kind != "sqlite":
            raise BackupError(f"{item.name} is a {item.kind}: it answers no query")
        with contextlib.closing(sqlite3.connect(f"file:{self._file(item)}?mode=ro", uri=True)) as db:
            try:
                rows = db.execute(query).fetchall()
            except sqlite3.Error as problem:
                raise BackupError(f"{item.name}: {query!r}: {problem}") from problem
        return ["|".join("" if value is None else str(value) for value in row) for row in rows]
