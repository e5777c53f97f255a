# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that read the source and fill PostgreSQL. They die with the process that made them.

They are forked before the parent opens any SQLite file or connection of its own for the load: neither may be carried
over a fork. Each answers one request at a time: (command, arguments…) gives ("ok", value) or ("error", problem).
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any, cast

from ..migration.chunks import Chunk, even, rows_a_chunk
from ..migration.plan import Plan
from ..migration.problems import Stopped
from . import postgres, sqlite
from .loader import Loader
from .pg_journal import QUARANTINE
from .source_rows import borders, rowids
from .sqlite_file import Refused
from .verifier import Verifier, numbers_only, ordered

PR_SET_PDEATHSIG = 1


class Worker:
    """What runs in the child."""

    def __init__(self, plan: Plan, dsn: str, options: dict[str, Any]) -> None:
        self.plan, self.dsn, self.options = plan, dsn, options
        self.sources: dict[int, sqlite.Database] = {}
        self.encodings: dict[int, str] = {}
        self._loader: Loader | None = None
        self._verifier: Verifier | None = None

    def open(self, number: int, path: str) -> None:
        """Open a source and take its snapshot now."""
        library = self.options.get("library", "auto")
        db = sqlite.connect(path, library, self.options.get("lock_timeout", 5.0), one_thread=True)
        db.begin()
        self.sources[number] = db
        self.encodings[number] = str(db.value("PRAGMA encoding"))

    def borders(self, table: int) -> list[int]:
        """Where a table is cut."""
        one = self.plan.tables[table]
        size = self.options.get("chunk_rows") or rows_a_chunk(one.rows, one.bytes)
        db = self.sources[one.source]
        found = even(one.rows, *ends, size) if (ends := rowids(db, one)) else None
        return borders(db, one, size) if found is None else found

    def load(self, chunk: Chunk) -> dict[str, int]:
        """Load a chunk."""
        if self._loader is None:
            connection = postgres.connect(self.dsn, "landfall migration: load")
            # What a crash loses is done again: the journal is lost with it. The swap at the end waits for the disk.
            connection.execute("SET synchronous_commit = off")
            quarantine = self.options.get("on_violation") == "quarantine"
            self._loader = Loader(connection, self.plan.staging, quarantine, self.options.get("fast", True))
        one = self.plan.tables[chunk.table]
        return self._loader.load(self.sources[one.source], one, chunk, self.encodings[one.source])

    def ordered(self, table: int) -> bool:
        """Whether a table is verified in the order of its key, and so piece by piece."""
        one = self.plan.tables[table]
        return bool(ordered(self.sources[one.source], one))

    def verify(self, chunk: Chunk, schema: str) -> dict[str, Any]:
        """Compare a piece of a table."""
        if self._verifier is None or self._verifier.schema != schema:
            connection = postgres.connect(self.dsn, "landfall migration: verify")
            numbers_only(connection)
            self._verifier = Verifier(connection, schema)
        one = self.plan.tables[chunk.table]
        rows = self._verifier.connection.execute(
            f"SELECT row_key FROM {postgres.quote(self.plan.staging)}.{QUARANTINE} WHERE table_name = %s", (one.name,)
        )
        aside = [row[0] for row in rows.fetchall()]
        try:
            return self._verifier.compare(self.sources[one.source], one, chunk, aside)
        except self.sources[one.source].errors as problem:
            raise Stopped(f"table {one.name}: the source cannot be read again: {problem}") from problem

    def rows(self, table: int) -> int:
        """Rows of a table, in the snapshot."""
        one = self.plan.tables[table]
        return int(self.sources[one.source].value(f"SELECT count(*) FROM {sqlite.quoted(one.name)}"))

    def memory(self) -> int:
        """Peak of the resident memory, in bytes."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _child(pipe: Pipe, parent: int, make: Callable[[], Worker]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    worker = make()
    while True:
        try:
            command, *arguments = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        if command == "stop":
            os._exit(0)
        try:
            answer = ("ok", getattr(worker, command)(*arguments))
        except (Stopped, Refused) as problem:
            answer = ("error", problem if isinstance(problem, Stopped) else Stopped(str(problem)))
        except Exception as problem:
            answer = ("error", Stopped(f"{type(problem).__name__}: {problem}".strip()))
        try:
            pipe.send(answer)
        except Exception as problem:
            pipe.send(("error", Stopped(str(answer[1]) or str(problem))))


class Pool:
    """Some workers."""

    def __init__(self, count: int, plan: Plan, dsn: str, options: dict[str, Any]) -> None:
        context = multiprocessing.get_context("fork")
        with contextlib.suppress(AttributeError):
            # What the plan has freed goes back to the system (glibc keeps it), or each child has it once more.
            ctypes.CDLL(None).malloc_trim(0)
        self.workers: list[tuple[Any, Pipe]] = []
        parent = os.getpid()
        for _number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_child, args=(theirs, parent, lambda: Worker(plan, dsn, options)), daemon=True
            )
            process.start()
            theirs.close()
            self.workers.append((process, ours))

    def all(self, *request: Any) -> list[Any]:
        """The same request to all, at once. :raises Stopped: of the first that fails"""
        for _process, pipe in self.workers:
            pipe.send(request)
        answers = [self._answer(process, pipe) for process, pipe in self.workers]
        return [self._value(answer) for answer in answers]

    def one(self, *request: Any) -> Any:
        """A request to the first."""
        process, pipe = self.workers[0]
        pipe.send(request)
        return self._value(self._answer(process, pipe))

    def each(self, requests: Iterable[tuple]) -> Iterator[tuple[tuple, Any]]:
        """Requests shared out as workers get free: (request, value) as they are done.

        After a failure no more are begun; it is raised when those that run have ended.
        """
        todo, busy, failed = iter(requests), {}, None
        for process, pipe in self.workers:
            if (request := next(todo, None)) is not None:
                pipe.send(request)
                busy[pipe] = (process, request)
        while busy:
            for one in wait(list(busy)):
                ready = cast(Pipe, one)
                process, request = busy.pop(ready)
                kind, value = self._answer(process, ready)
                if kind == "error":
                    failed = failed or value
                    continue
                # Before the caller looks at the answer: the worker need not wait for that.
                if failed is None and (following := next(todo, None)) is not None:
                    ready.send(following)
                    busy[ready] = (process, following)
                yield request, value
        if failed is not None:
            raise failed

    @staticmethod
    def _answer(process: Any, pipe: Pipe) -> tuple[str, Any]:
        try:
            return pipe.recv()
        except (EOFError, OSError):
            process.join(5)
            return "error", Stopped(f"a worker process ended (exit code {process.exitcode}); run again to go on")

    @staticmethod
    def _value(answer: tuple[str, Any]) -> Any:
        if answer[0] == "error":
            raise answer[1]
        return answer[1]

    def close(self) -> None:
        """End the workers. What they had open and not committed is undone."""
        for process, pipe in self.workers:
            # Its end alone would not tell: the other workers have inherited it.
            with contextlib.suppress(OSError):
                pipe.send(("stop",))
                pipe.close()
            process.join(2)
            if process.is_alive():
                process.kill()
                process.join()
