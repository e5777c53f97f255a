"""The cutover: a writer of 500 writes a second, its own log, and the pause that it saw."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from ansible_collections.landfall.stack.plugins.module_utils.clients import changelog, migrate, migration_plan
from ansible_collections.landfall.stack.plugins.module_utils.clients.pg_target import Target
from ansible_collections.landfall.stack.plugins.module_utils.migration.options import options

WRITER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
db.execute("PRAGMA synchronous = NORMAL")
began, number = time.monotonic(), 0
with open(sys.argv[2], "w", buffering=1) as log:
    while True:
        number += 1
        wait = began + number / 500 - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        asked = time.monotonic()
        try:
            if number % 3:
                db.execute("INSERT INTO events VALUES (?,1,1,'live','/',?,0.5,1,NULL,'x')", (10**9 + number, number))
                key = 10**9 + number
            else:
                key = number * 7919 % int(sys.argv[3]) + 1
                db.execute("UPDATE events SET at = ? WHERE id = ?", (number, key))
        except sqlite3.Error as problem:
            log.write(f"refused {asked} {problem}\\n")
            break
        log.write(f"taken {key} {number} {asked} {time.monotonic()}\\n")
"""


def measure(path: Path, dsn: str, work: Path) -> dict[str, Any]:
    """Move a copy of the whole database while it is written to. {cutover_pause_s, lost, doubled, writes}"""
    live, log = work / "live.db", work / "writer.log"
    for name in (live, Path(f"{live}-wal"), Path(f"{live}-shm")):
        name.unlink(missing_ok=True)
    shutil.copy(path, live)
    before = sqlite3.connect(live).execute("SELECT count(*), max(id) FROM events").fetchone()
    plan, _notes = migration_plan.make([str(live)], options({}))
    changelog.install(str(live), plan)
    updated = min(before[1], 100_000)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(live), str(log), str(updated)])
    try:
        time.sleep(1)
        migrate.migrate(plan, dsn, migrate.Settings(caught_up=True))
        follower = changelog.Follower(plan, Target(dsn, plan), str(live), "public")
        follower.drain()
        done = follower.cutover()
        follower.close()
        writer.wait(30)
    finally:
        writer.kill()
        writer.wait()
    lines = [line.split() for line in log.read_text().splitlines()]
    taken = [line for line in lines if line[0] == "taken"]
    wanted = {int(key): int(number) for _word, key, number, *_times in taken}
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT id, at FROM events WHERE id >= 1000000000 OR id <= 100000").fetchall()
        count = connection.execute("SELECT count(*) FROM events").fetchone()
    there = dict(found)
    lost = sum(there.get(key) != number for key, number in wanted.items())
    inserts = sum(key > 10**9 for key in wanted)
    assert count is not None
    # The write that was in the air when the lock was taken waited from then on, until it was refused.
    pause = max(done["seconds"], *(float(end) - float(start) for *_rest, start, end in taken[-50:]))
    return {
        "cutover_pause_s": round(pause, 3),
        "lost": lost,
        "doubled": abs(count[0] - before[0] - inserts),
        "writes": len(taken),
        "writes_a_second": round(len(taken) / (float(taken[-1][-1]) - float(taken[0][-2]))),
    }
