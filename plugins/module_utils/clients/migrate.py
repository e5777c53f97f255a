# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration from beginning to end: processes, snapshot, target, engine, put together."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..migration.engine import Engine
from ..migration.plan import Plan
from ..migration.progress import Progress
from . import snapshot
from .files import write_atomic
from .pg_journal import Journal, locked
from .pg_swap import swap
from .pg_target import Target
from .workers import Pool

#: Sources below this many bytes are loaded by one process.
SMALL = 16 << 20


@dataclass
class Settings:
    """How a plan is carried out.

    :ivar library: apsw, sqlite3 or auto, :ivar snapshot: see snapshot.KINDS, :ivar work_dir: for copies
    :ivar on_violation: fail or quarantine, :ivar on_existing: refuse, replace or append
    :ivar verify: rows, counts or none, :ivar analyze: make the planner's statistics
    :ivar triggers: disable or fire (in the application's own tables)
    :ivar processes: 0 for as many as make sense, :ivar chunk_rows: 0 for as many as make 4 MB
    :ivar progress_file: JSON that says how far it is, "" for none, :ivar pause_file: stops it while it is there
    """

    library: str = "auto"
    snapshot: str = "auto"
    work_dir: str = "/var/lib/landfall/migration"
    on_violation: str = "fail"
    on_existing: str = "refuse"
    verify: str = "rows"
    analyze: bool = True
    triggers: str = "disable"
    restart: bool = False
    caught_up: bool = False
    processes: int = 0
    chunk_rows: int = 0
    lock_timeout: float = 5.0
    progress_file: str = ""
    pause_file: str = ""
    fast: bool = True
    on_progress: Callable[[Progress], None] | None = None
    before_verify: Callable[[], None] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def processes(plan: Plan, wanted: int) -> int:
    """How many processes read and load."""
    if wanted:
        return wanted
    return 2 if (os.cpu_count() or 1) > 1 and sum(table.bytes for table in plan.tables) > SMALL else 1


def migrate(plan: Plan, dsn: str, settings: Settings) -> dict[str, Any]:
    """Carry a plan out. The result, with ``changed``; see engine.Engine.run.

    :raises Stopped: with what to do; the target is as it was
    """
    began = time.monotonic()
    holder = f"landfall migration on {socket.gethostname()}, pid {os.getpid()}"
    options = {
        "library": settings.library,
        "lock_timeout": settings.lock_timeout,
        "on_violation": settings.on_violation,
        "chunk_rows": settings.chunk_rows,
        "fast": settings.fast,
    }
    # First the processes: connections and open databases may not be carried over a fork.
    count = processes(plan, settings.processes)
    with contextlib.closing(Pool(count, plan, dsn, options)) as pool:
        planning = _new_peak()  # What the plan took is given back by now.
        target = Target(dsn, plan, holder, settings.on_existing)
        with contextlib.closing(target.connection), locked(target.connection, plan.staging):
            journal = Journal(target.connection, plan)
            marks = open_sources(plan, pool, settings, journal.read())
            engine = Engine(
                plan,
                target,
                journal,
                pool,
                swap=lambda result: swap(target, journal, result, settings.triggers, settings.analyze),
                clock=time.monotonic,
                tell=_teller(settings),
                pause=lambda: bool(settings.pause_file) and os.path.exists(settings.pause_file),
                verify=settings.verify,
                analyze=settings.analyze,
                connections=2 if (os.cpu_count() or 1) > 1 else 1,
                before_verify=settings.before_verify or (lambda: None),
            )
            result = engine.run(marks, settings.restart, settings.caught_up)
        memory = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, *pool.all("memory")]
    if result["changed"]:
        for mark in marks:
            if mark.get("copy"):
                with contextlib.suppress(OSError):
                    os.unlink(mark["copy"]["path"])
    # What the processes share is counted in each of them: the true sum is less. The plan was made before they were.
    result["peak_rss_bytes"] = max(planning, sum(memory))
    result["seconds"] = round(time.monotonic() - began, 3)
    return result


def _new_peak() -> int:
    """The peak of this process's resident memory until now, in bytes. The kernel counts anew from here (proc(5))."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as counters:
        counters.write("5")
    return peak


def open_sources(plan: Plan, pool: Pool, settings: Settings, run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Have the workers open every source at one moment of it. What tells that it is still that: see journal.decide."""
    found = []
    for number, source in enumerate(plan.sources):
        before = (run.get("marks") or [])[number : number + 1]
        old = before[0].get("copy") if before and run.get("state") == "loading" and not settings.restart else None
        kind = snapshot.choose(source, settings.snapshot)
        if old and os.path.exists(old["path"]) and snapshot.marks(old["path"]) == old:
            kind, here = "copy", old["path"]
            mark = {"source": before[0]["source"]}
        elif kind == "copy":
            os.makedirs(settings.work_dir, mode=0o700, exist_ok=True)
            here = os.path.join(os.path.realpath(settings.work_dir), f"{plan.staging}-{number}.sqlite")
            mark = {"source": snapshot.marks(source.path)}
            snapshot.copy(source.path, here, settings.lock_timeout)
        if kind == "copy":
            pool.all("open", number, here)
            found.append({**mark, "copy": snapshot.marks(here)})
            continue

        def begin(number: int = number, path: str = source.path) -> None:
            pool.all("open", number, path)

        wal = source.journal_mode.lower() == "wal"
        found.append({"source": snapshot.take(source.path, wal, settings.library, settings.lock_timeout, begin)})
    return found


def _teller(settings: Settings) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        if settings.progress_file:
            text = json.dumps(progress.state(time.monotonic()))
            write_atomic(settings.progress_file, text + "\n", 0o644, os.geteuid(), os.getegid())
        if settings.on_progress:
            settings.on_progress(progress)

    return tell
