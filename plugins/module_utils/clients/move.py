# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The move of a running application's data from SQLite to PostgreSQL, and back: see docs/decisions/0008.

One side takes writes at any moment, the other refuses them. What says which is in the databases themselves (triggers
that refuse), so that a run which was killed anywhere is gone on with; ``state.json`` says it to people and programs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..migration import move_state, plan_lines, plan_store, planner
from ..migration.catchup import CHANGES, GUARD, followed
from ..migration.chunks import Chunk
from ..migration.options import options
from ..migration.plan import Plan
from ..migration.problems import Stopped
from . import changelog, json_load, migrate, migration_plan, pg_changes, snapshot, sqlite
from .bring_back import Incomplete, Outcome, bring_back, columns_of
from .files import write_atomic
from .migration_report import write_report
from .pg_target import Target
from .postgres import connect
from .verifier import Verifier, numbers_only

#: Changes that may be left when the writes are stopped.
ENOUGH = 50
#: Up to so many bytes of SQLite every row is compared at the cutover, above only the numbers of rows.
COMPARE = 64 << 20
#: Seconds to wait for another run, as one whose controller was killed.
PATIENCE = 60.0


@dataclass(frozen=True)
class Request:
    """What is moved.

    :ivar directory: of the state, the backups and the report, :ivar sources: paths of SQLite files
    :ivar registries: parameters of json_to_postgres, :ivar options: see migration.options, with ``mode``
    :ivar settings: fields of migrate.Settings, :ivar verify: at the cutover: auto, rows, counts or none
    :ivar incomplete: go back without what cannot go back
    """

    directory: str
    sources: tuple[str, ...]
    dsn: str
    registries: tuple[Mapping[str, Any], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "create"
    library: str = "auto"
    lock_timeout: float = 30.0
    verify: str = "auto"
    restart: bool = False
    incomplete: bool = False

    @property
    def digest(self) -> str:
        """Of what is moved, and how."""
        told = [self.sources, [dict(one, dsn="") for one in self.registries], dict(self.options), self.mode]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


class Move:
    """One move. :param clock: seconds since 1970"""

    def __init__(self, request: Request, clock: Callable[[], float] = time.time) -> None:
        self.request, self.clock = request, clock

    # -- state -----------------------------------------------------------------------------------------------------
    def path(self, *names: str) -> str:
        return os.path.join(self.request.directory, *names)

    def state(self) -> dict[str, Any]:
        """What state.json says, {"state": "none"} without one."""
        return read_state(self.request.directory)

    def save(self, state: str, **more: Any) -> None:
        """Write the state down, on the disk, before going on."""
        told = move_state.entered(self.state(), state, self.clock(), more)
        self._write("state.json", json.dumps(told, indent=1) + "\n")

    def _write(self, name: str, text: str) -> None:
        os.makedirs(self.request.directory, mode=0o700, exist_ok=True)
        write_atomic(self.path(name), text, 0o600, os.geteuid(), os.getegid())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Nobody else works on this move. :raises Stopped: somebody does. The lock dies with its process."""
        os.makedirs(self.request.directory, mode=0o700, exist_ok=True)
        until = time.monotonic() + PATIENCE
        with open(self.path("lock"), "a", encoding="utf-8") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > until:
                        raise Stopped("another run works on this move; wait for its end, and run again") from None
                    time.sleep(0.2)
            yield

    def plan(self) -> Plan:
        """The plan that the load was made by."""
        try:
            with open(self.path("plan.json"), encoding="utf-8") as file:
                return plan_store.load(file.read())
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise Stopped(
                f"{self.path('plan.json')} cannot be read ({problem}); begin again with restart: true"
            ) from problem

    def make_plan(self, paths: Sequence[str] = ()) -> Plan:
        """A plan of the files as they are. Changes nothing. :raises Stopped: with what does not fit, and what to do"""
        told = self.request
        chosen = options(told.options)
        plan, _notes = migration_plan.make(
            paths or told.sources, chosen, told.mode, told.dsn, told.library, told.lock_timeout
        )
        found = planner.violations(plan)
        if found and told.settings.get("on_violation", "fail") == "fail":
            first = "; ".join(plan_lines.violation_line(where, one) for where, one in found[:5])
            raise Stopped(f"nothing was changed: {len(found)} kinds of values do not fit: {first}")
        return plan

    # -- load ------------------------------------------------------------------------------------------------------
    def load(self) -> dict[str, Any]:
        """Backup, schema, load, verification, catch-up; the services go on. {changed, applied, result}"""
        told, state = self.request, self.state()
        now = str(state["state"])
        _no_rollback(now)
        if now in move_state.ON_POSTGRES:
            return {"changed": False, "result": {}}
        fresh = told.restart or now not in ("loading", "following") or bool(state.get("stale"))
        if not fresh and state.get("digest") != told.digest:
            raise Stopped(
                "sources, registries or options are not those of the load that is there. Set restart: true to load "
                "anew, or undo the change"
            )
        if fresh:
            self._begin()
        plan = self.plan()
        result: dict[str, Any] = {"changed": False}
        if self.state()["state"] != "following":
            result = migrate.migrate(plan, told.dsn, self._settings(plan))
            self._registries()
            with contextlib.closing(connect(told.dsn)) as connection:
                pg_changes.guard(connection, plan)
            self._write("result.json", json.dumps(result) + "\n")
            self._report(plan, result, {})
            self.save("following", digest=told.digest, rows=result["rows"], load_s=result["seconds"])
        applied = self._drain(plan)
        return {"changed": bool(result["changed"] or applied), "applied": applied, "result": result}

    def _settings(self, plan: Plan) -> migrate.Settings:
        told = {**self.request.settings, "library": self.request.library, "work_dir": self.path("work")}
        with contextlib.closing(connect(self.request.dsn)) as connection:
            there = [table.target for table in plan.tables]
            sql = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename = ANY(%s)"
            taken = [row[0] for row in connection.execute(sql, (plan.schema, there)).fetchall()]
            if taken and pg_changes.ours(connection, plan, taken):
                # Of an earlier move: the rows stand in SQLite, too.
                told["on_existing"] = "replace"
                if plan.mode == "existing":
                    pg_changes.release(connection, plan)
        return migrate.Settings(**{**told, "progress_file": self.path("progress.json")})

    def _begin(self) -> None:
        """Triggers, then copies of the sources, which are the backup and what is loaded; the plan is of them."""
        told = self.request
        for path in told.sources:
            with sqlite.connect(path, told.library, told.lock_timeout) as db:
                if changelog.own_triggers(db, GUARD):
                    raise Stopped(
                        f"{path} refuses writes: it has moved to PostgreSQL, and {self.request.directory} does not "
                        "know of it. Put the directory back from a backup; nothing was changed"
                    )
                sqlite.require_sound(db)
        plan = self.make_plan()
        faults = [fault for number in range(len(told.sources)) for fault in followed(plan, number)[1]]
        if faults:
            raise Stopped(
                "; ".join(faults) + ". Leave them out with exclude, or use sqlite_to_postgres with the "
                "application stopped; nothing was changed"
            )
        settings = self._settings(plan)
        target = Target(told.dsn, plan, on_existing=settings.on_existing)
        with contextlib.closing(target.connection) as connection:
            problems = target.problems()
            mine = {table.target for table in plan.tables} | {str(one["table"]) for one in told.registries}
            columns = columns_of(connection, plan.schema)
        others = sorted(set(columns) - mine)
        if told.mode == "existing":
            others += [f"{table}.{column}" for table in sorted(mine & set(columns)) for column in columns[table]]
        if problems:
            raise Stopped("; ".join(problems))
        self.save("preparing", digest=told.digest, sources=list(told.sources), others=others, stale=False)
        for path in told.sources:
            changelog.remove(path, told.library, told.lock_timeout)
        for number, path in enumerate(told.sources):
            changelog.install(path, plan, told.library, told.lock_timeout, number)
        copies = self._backup()
        again = self.make_plan(copies)
        if [(one.name, one.key) for one in again.tables] != [(one.name, one.key) for one in plan.tables]:
            raise Stopped("the application has changed its tables meanwhile; run again")
        self._write("plan.json", plan_store.dump(again))
        self.save("loading", backup=os.path.dirname(copies[0]))

    def _backup(self) -> list[str]:
        """Copies of all that is moved, with their checksums, in a directory that is kept."""
        told = self.request
        where = self.path("backup", time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.clock())))
        shutil.rmtree(where, ignore_errors=True)
        os.makedirs(where, mode=0o700)
        copies, lines = [], []
        for number, path in enumerate(told.sources):
            copies.append(os.path.join(where, f"{number}-{os.path.basename(path)}"))
            snapshot.copy(path, copies[-1], told.lock_timeout)
            changelog.remove(copies[-1], told.library, told.lock_timeout)
        for number, one in enumerate(told.registries):
            shutil.copy2(one["src"], os.path.join(where, f"json-{number}-{os.path.basename(one['src'])}"))
        for name in sorted(os.listdir(where)):
            digest = hashlib.sha256()
            with open(os.path.join(where, name), "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            lines.append(f"{digest.hexdigest()}  {name}\n")
        write_atomic(os.path.join(where, "SHA256SUMS"), "".join(lines), 0o600, os.geteuid(), os.getegid())
        return copies

    def _registries(self, keep: bool = True) -> list[dict[str, Any]]:
        found = []
        for one in self.request.registries:
            try:
                plan, counts = json_load.load({**one, "dsn": self.request.dsn}, keep)
            except (OSError, UnicodeDecodeError, ValueError) as problem:
                raise Stopped(f"{one['src']}: {problem}") from problem
            found.append({"src": one["src"], "table": plan.table, **counts})
        return found

    # -- following -------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _followers(self, plan: Plan) -> Iterator[list[changelog.Follower]]:
        told = self.request
        target = Target(told.dsn, plan)
        made: list[changelog.Follower] = []
        try:
            pg_changes.as_mover(target.connection)
            for number, path in enumerate(told.sources):
                made.append(
                    changelog.Follower(plan, target, path, plan.schema, told.library, told.lock_timeout, number)
                )
            yield made
        finally:
            for one in made:
                one.close()
            target.connection.close()

    def _drain(self, plan: Plan) -> int:
        with self._followers(plan) as followers:
            return sum(one.drain(ENOUGH) for one in followers)

    # -- cutover ---------------------------------------------------------------------------------------------------
    def cut_over(self) -> dict[str, Any]:
        """SQLite takes no more writes, PostgreSQL has all and takes them. {changed, applied, seconds, verify_s}

        seconds: for so long writers waited; from then on they are refused, until the services work on PostgreSQL.
        """
        state = self.state()["state"]
        if state in ("cut_over", "moved", "finished"):
            return {"changed": False, "applied": 0, "seconds": 0.0}
        _no_rollback(str(state))
        if state != "following":
            raise Stopped(f"nothing is loaded that could be cut over to (the state is {state}); load first")
        plan = self.plan()
        with self._followers(plan) as followers:
            for one in followers:
                one.drain(ENOUGH)

            def switch() -> None:
                self._same_tables(plan, followers)
                self._registries()
                tables = [table for one in followers for table in one.tables.values()]
                pg_changes.note(followers[0].connection, plan, tables)

            began = self.clock()
            done = changelog.cutover(followers, switch)
            try:
                verified = self._verify(plan, followers)
            except BaseException:
                self._open_again(plan, followers)
                raise
        self.save("cut_over", hold_s=done["seconds"], verify_s=verified, refused_since=began)
        return {"changed": True, **done, "verify_s": verified}

    def _same_tables(self, plan: Plan, followers: Sequence[changelog.Follower]) -> None:
        """:raises Stopped: a table of a source is not what was loaded"""
        told = self.request
        sql = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name <> ?"
        for one, source in zip(followers, plan.sources, strict=True):
            with sqlite.connect(source.path, told.library, told.lock_timeout) as db:
                before = set(db.rows(sql, (CHANGES,)))
            # Through the connection that holds the lock: to open the file once more would drop it.
            names = ", ".join(sorted({row[0] for row in before ^ set(one.db.rows(sql, (CHANGES,)))}))
            if names:
                raise Stopped(
                    f"{one.db.path}: tables were changed since the load: {names}. Load anew with restart: true"
                )

    def _open_again(self, plan: Plan, followers: Sequence[changelog.Follower]) -> None:
        pg_changes.guard(followers[0].connection, plan)
        for one in followers:
            one.db.execute("BEGIN IMMEDIATE")
            for name in changelog.own_triggers(one.db, GUARD):
                one.db.execute(f"DROP TRIGGER {sqlite.quoted(name)}")
            one.db.execute("COMMIT")

    def _verify(self, plan: Plan, followers: Sequence[changelog.Follower]) -> float:
        """Nobody writes now: both sides are compared. :raises Stopped: they differ, after what REPLACE took is gone"""
        began, wrong = self.clock(), self._differ(plan, followers)
        if wrong:
            for one in followers:
                one.sweep()
            wrong = self._differ(plan, followers)
        if wrong:
            raise Stopped(
                f"PostgreSQL has other rows than SQLite: {'; '.join(wrong)}. The services go on with SQLite. Load anew "
                "with restart: true"
            )
        return round(self.clock() - began, 3)

    def _differ(self, plan: Plan, followers: Sequence[changelog.Follower]) -> list[str]:
        how = self.request.verify
        size = sum(os.path.getsize(os.path.realpath(path)) for path in self.request.sources)
        aside = 0
        with contextlib.suppress(OSError, ValueError):
            with open(self.path("result.json"), encoding="utf-8") as file:
                aside = json.load(file)["quarantined"]
        if how == "auto":
            how = "rows" if size <= COMPARE and not aside else "counts"
        wrong: list[str] = []
        if how == "none":
            return wrong
        with contextlib.closing(connect(self.request.dsn)) as connection:
            numbers_only(connection)
            verifier = Verifier(connection, plan.schema)
            for one in followers:
                for followed_ in one.tables.values():
                    table = followed_.table
                    if how == "rows":
                        found = verifier.compare(one.db, table, Chunk(followed_.number, 0), ())
                        if found["differ"] or found["source_hash"] != found["target_hash"]:
                            wrong.append(f"{table.name}: {found['differ']} rows ({', '.join(found['named'][:3])})")
                        continue
                    here = int(one.db.value(f"SELECT count(*) FROM {sqlite.quoted(table.name)}"))
                    there = one.target.count(table, plan.schema)
                    if here != there and not (aside and 0 < here - there <= aside):
                        wrong.append(f"{table.name}: {here} rows in SQLite, {there} in PostgreSQL")
        return wrong

    def seal(self, **more: Any) -> dict[str, Any]:
        """The services work where the data is. Writes the report."""
        state = self.state()
        now = str(state["state"])
        if now == "cut_over":
            refused = round(self.clock() - float(state.get("refused_since", self.clock())), 1)
            self.save("moved", refused_s=refused, **more)
        elif now == "returned":
            refused = round(self.clock() - float(state.get("refused_since", self.clock())), 1)
            self.save("following", refused_s=refused, **more)
        else:
            return {"changed": False}
        with contextlib.suppress(OSError, ValueError):
            with open(self.path("result.json"), encoding="utf-8") as file:
                self._report(self.plan(), json.load(file), self.state())
        return {"changed": True, "refused_s": refused}

    def _report(self, plan: Plan, result: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        told = {**result, "move": dict(state)}
        timings = {name: state[name] for name in ("hold_s", "verify_s", "refused_s") if state.get(name) is not None}
        told["timings"] = {**result["timings"], **timings}
        write_report(self.path("report.html"), plan, told, False)

    # -- back ------------------------------------------------------------------------------------------------------
    def bring_back(self) -> dict[str, Any]:
        """PostgreSQL takes no more writes, SQLite has what was written since and takes them.

        {changed, written, deleted, left, registries, seconds}. From its beginning on writes are refused, until the
        services work on SQLite again.

        :raises Stopped: what cannot be brought back, unless told ``incomplete``; PostgreSQL then takes writes again
        """
        state = self.state()
        now = str(state["state"])
        if now not in ("cut_over", "moved", "returning"):
            done = now in ("following", "returned")
            if done:
                return {"changed": False, "written": 0, "deleted": 0, "left": [], "registries": []}
            raise Stopped(f"there is nothing to bring back (the state is {now})")
        plan, told = self.plan(), self.request
        began = self.clock()
        with contextlib.closing(connect(told.dsn)) as connection:
            numbers_only(connection)
            if now != "returning":
                self.save("returning", before=now, refused_since=began)
            pg_changes.guard(connection, plan)
            try:
                outcome = bring_back(
                    plan,
                    connection,
                    told.sources,
                    told.library,
                    told.lock_timeout,
                    told.incomplete,
                    [*state.get("others", ()), *(str(one["table"]) for one in told.registries)],
                )
            except Incomplete as problem:
                pg_changes.unguard(connection, plan)
                self.save(str(self.state().get("before", "moved")))
                raise Stopped(_cannot(problem)) from problem
            registries = [one for one in self._registries(keep=False) if one["inserted"] or one["updated"]]
            pg_changes.leave(connection, plan, outcome.left)
        self._write("left.json", json.dumps(outcome.left, indent=1, default=str) + "\n")
        self.save("returned", stale=bool(outcome.left), written=outcome.written, deleted=outcome.deleted)
        return self._returned(outcome, registries, began)

    def _returned(self, outcome: Outcome, registries: Sequence[Mapping[str, Any]], began: float) -> dict[str, Any]:
        return {
            "changed": True,
            "written": outcome.written,
            "deleted": outcome.deleted,
            "left": [{name: one[name] for name in ("table", "key", "reason")} for one in outcome.left],
            "registries": [f"{one['table']} differs from {one['src']}, which is as it was" for one in registries],
            "seconds": round(self.clock() - began, 3),
        }

    def finish(self) -> dict[str, Any]:
        """Nobody wants to go back, or to move: PostgreSQL notes nothing more, or SQLite does not. The data stays."""
        state = str(self.state()["state"])
        if state == "moved":
            with contextlib.closing(connect(self.request.dsn)) as connection:
                pg_changes.release(connection, self.plan())
            self.save("finished")
            return {"changed": True}
        if state in ("preparing", "loading", "following"):
            for path in self.request.sources:
                changelog.remove(path, self.request.library, self.request.lock_timeout)
            self.save("none")
            return {"changed": True}
        if state in ("none", "finished"):
            return {"changed": False}
        raise Stopped(f"the move is in the middle of a switch (the state is {state}); end the cutover or the rollback")


def _no_rollback(state: str) -> None:
    """:raises Stopped: a rollback is under way"""
    if state in ("returning", "returned"):
        raise Stopped("a rollback is not at its end; run phase=rollback again, then this")


def _cannot(problem: Incomplete) -> str:
    said = "; ".join(f"{one['table']} {one['key']}: {one['reason']}" for one in problem.left[:5])
    return (
        f"{len(problem.left)} things cannot be brought back to SQLite: {said}. The services go on with PostgreSQL. "
        "Take them away there, or go back without them (migration_incomplete: true): they then stay in PostgreSQL and "
        "are listed in landfall_migration.left_behind"
    )


def read_state(directory: str) -> dict[str, Any]:
    """What state.json of a move says, {"state": "none"} without one."""
    try:
        with open(os.path.join(directory, "state.json"), encoding="utf-8") as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {"state": "none"}
