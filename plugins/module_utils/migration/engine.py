# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan carried out: staging, load, keys and indexes, verification, swap. Each step is in the journal when it is done,
and a run goes on where the one before has ended. All that talks to the outside is handed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .chunks import Chunk, cut
from .journal import DONE, FRESH, RESUME, decide
from .plan import Plan
from .problems import Paused, Stopped, VerifyFailed
from .progress import Progress

ROWS, COUNTS, NONE = "rows", "counts", "none"


@dataclass
class Engine:
    """Carries out a plan.

    :ivar target: clients.pg_target.Target, :ivar journal: clients.pg_journal.Journal, :ivar pool: clients.workers.Pool
        whose workers have the sources open, at one moment
    :ivar swap: takes the result's record, puts what was loaded in its place
    :ivar clock: seconds, :ivar tell: is told the progress, :ivar pause: whether to stop after the chunks that run
    :ivar verify: rows, counts or none, :ivar analyze: whether the planner's statistics are made of new tables (of the
        application's own tables the swap makes them, since they are filled there)
    """

    plan: Plan
    target: Any
    journal: Any
    pool: Any
    swap: Callable[[dict[str, Any]], None]
    clock: Callable[[], float]
    tell: Callable[[Progress], None] = lambda progress: None
    pause: Callable[[], bool] = lambda: False
    verify: str = ROWS
    analyze: bool = True
    connections: int = 2
    before_verify: Callable[[], None] = lambda: None
    timings: dict[str, float] = field(default_factory=dict)

    def run(self, marks: list[Any], restart: bool = False, caught_up: bool = False) -> dict[str, Any]:
        """Carry it out. :param marks: of the sources now. The result (see module sqlite_to_postgres); ``changed`` says
        whether anything was done.

        :raises Stopped: with what to do; the target is as it was
        """
        run = self.journal.read()
        how = decide(run, self.plan.digest, marks, restart, caught_up)
        if how == DONE and self.target.complete():
            return {**run["result"], "changed": False}
        if how in (FRESH, DONE):
            problems = self.target.problems()
            if problems:
                raise Stopped("; ".join(problems))
            self.journal.begin(marks)
        self._prepare()
        progress = self._timed("load", self._load)
        progress.phase = "index"
        self.tell(progress)
        self._timed("index", lambda: self.target.finish(self.journal, self.connections))
        self.before_verify()
        progress.phase = "verify"
        self.tell(progress)
        tables = self._timed("verify", self._verify)
        if self.analyze and self.plan.mode != "existing":
            self._timed("analyze", lambda: self.target.analyze(self.journal, self.connections))
        result = {
            "digest": self.plan.digest,
            "resumed": how == RESUME,
            "tables": tables,
            "rows": sum(table["rows"] for table in tables),
            "quarantined": sum(table["quarantined"] for table in tables),
            "verify": self.verify,
            "analyzed": self.analyze,
            "timings": self.timings,
        }
        self._timed("swap", lambda: self.swap(result))
        progress.phase = "done"
        self.tell(progress)
        return {**result, "changed": True}

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        began = self.clock()
        try:
            return work()
        finally:
            self.timings[f"{name}_s"] = round(self.clock() - began, 3)

    def _prepare(self) -> None:
        steps = self.journal.steps()
        if "create" not in steps:
            self.target.create(self.journal)
        if "chunks" not in steps:
            chunks: list[Chunk] = []
            for number in range(len(self.plan.tables)):
                chunks += cut(number, self.pool.one("borders", number))
            self.journal.plan_chunks(chunks)

    def _load(self) -> Progress:
        before = self.journal.counts()
        total = sum(table.rows for table in self.plan.tables)
        progress = Progress(total, self.clock(), sum(rows for _table, rows, _bytes, _aside in before))
        self.tell(progress)
        paused = False

        def requests() -> Iterator[tuple[Any, ...]]:
            nonlocal paused
            # The largest tables first: nobody waits in the end for one that was begun last.
            chunks = sorted(self.journal.chunks(), key=lambda chunk: -self.plan.tables[chunk.table].bytes)
            for chunk in chunks:
                if self.pause():
                    paused = True
                    return
                yield ("load", chunk)

        for _request, done in self.pool.each(requests()):
            progress.loaded(done["rows"], done["bytes"], done["quarantined"])
            self.tell(progress)
        if paused:
            raise Paused("paused as told; what is loaded is kept. Run again to go on")
        return progress

    def _verify(self) -> list[dict[str, Any]]:
        tables = []
        counted = {number: (rows, aside) for number, rows, _bytes, aside in self.journal.counts()}
        for number, table in enumerate(self.plan.tables):
            rows, aside = counted.get(number, (0, 0))
            entry = {"table": table.name, "target": table.target, "rows": rows, "quarantined": aside}
            entry["verified"] = self.verify
            tables.append(entry)
            if self.verify == NONE:
                continue
            there = self.pool.one("rows", number)
            entry["source_rows"], entry["differ"], entry["named"] = there, 0, []
            if self.verify == COUNTS:
                entry["target_rows"] = self.target.count(table, self.plan.staging)
                if not there == rows + aside == entry["target_rows"] + aside:
                    entry["differ"] = abs(there - aside - entry["target_rows"]) or 1
        if self.verify == ROWS:
            self._compare(tables)
        wrong = [table for table in tables if table.get("differ")]
        if wrong:
            said = "; ".join(
                f"{t['table']}: {t['differ']} rows ({', '.join(t['named'][:3]) or 'counts'})" for t in wrong
            )
            raise VerifyFailed(
                f"PostgreSQL has other rows than the source; the target was left as it was: {said}. Set restart: true "
                "to load anew; if it happens again, that is a defect of this module",
                tables,
            )
        return tables

    def _compare(self, tables: list[dict[str, Any]]) -> None:
        pieces: list[Chunk] = []
        every = self.journal.chunks(open_only=False)
        for number in range(len(self.plan.tables)):
            own = [chunk for chunk in every if chunk.table == number]
            pieces += own if self.pool.one("ordered", number) else [Chunk(number, 0)]
        pieces.sort(key=lambda chunk: -self.plan.tables[chunk.table].bytes)
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for request, done in self.pool.each(("verify", piece, self.plan.staging) for piece in pieces):
            found[(request[1].table, request[1].number)] = done
        for number, entry in enumerate(tables):
            parts = [found[key] for key in sorted(found) if key[0] == number]
            for side in ("source_hash", "target_hash"):
                entry[side] = _together([part[side] for part in parts])
            entry["differ"] = sum(part["differ"] for part in parts)
            entry["named"] = [line for part in parts for line in part["named"]][:10]
            read = sum(part["rows"] for part in parts)
            if not entry["differ"] and (
                entry["source_hash"] != entry["target_hash"]
                or read + entry["quarantined"] != entry["source_rows"]
                or read != entry["rows"]
            ):
                entry["differ"] = 1
                entry["named"] = [f"{entry['source_rows']} rows in the source, {read} compared, {entry['rows']} loaded"]


def _together(hashes: list[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.blake2b("".join(hashes).encode(), digest_size=16).hexdigest()
