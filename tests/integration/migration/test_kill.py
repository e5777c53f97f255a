"""Killed at every phase, and run again: nothing twice, nothing lost."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.migration.problems import Stopped
from lab.postgres import Server

from . import ground


def drive(path: Path, dsn: str, library: str, **told) -> subprocess.CompletedProcess:
    words = json.dumps({"path": str(path), "dsn": dsn, "library": library, **told})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "integration.migration.driver", words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("phase", "rows"), [("load", 0), ("load", 1), ("load", 3000), ("index", 0), ("verify", 0)])
def test_the_module_is_killed(tmp_path: Path, dsn: str, library: str, phase: str, rows: int) -> None:
    path = ground.shop(tmp_path / "shop.db")
    killed = drive(path, dsn, library, phase=phase, rows=rows)
    assert killed.returncode == -9, killed.stderr
    assert ground.tables(dsn) == set()
    done = ground.query(dsn, "SELECT count(*) FILTER (WHERE rows IS NOT NULL), count(*) FROM landfall_migration.chunk")[
        0
    ]
    assert done[0] < done[1] if phase == "load" else done[0] == done[1]
    again = drive(path, dsn, library)
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout)
    assert result["resumed"] and result["rows"] == 6450
    ground.shop_is_there(dsn)
    # The chunks of the run before were not loaded again.
    if rows:
        times = ground.query(dsn, "SELECT count(DISTINCT date_trunc('second', at)) FROM landfall_migration.chunk")
        assert times[0][0] >= 1 and done[0] > 0


def test_killed_after_the_end_nothing_is_done_again(tmp_path: Path, dsn: str, library: str) -> None:
    path = ground.shop(tmp_path / "shop.db")
    assert drive(path, dsn, library, phase="done").returncode == -9
    ground.shop_is_there(dsn)
    again = drive(path, dsn, library)
    assert again.returncode == 0 and not json.loads(again.stdout)["changed"]


def test_postgres_is_killed(tmp_path: Path, cluster: Server, library: str) -> None:
    mine = type(cluster)()
    try:
        dsn = mine.database("crash")
        path = ground.shop(tmp_path / "shop.db")
        made = ground.plan(path, library)
        for phase in ("load", "index", "verify"):
            told = []

            def crash(state, phase: str = phase, told: list = told) -> None:
                if state.phase == phase and (state.rows >= 1000 or phase != "load" or state.rows_before) and not told:
                    told.append(1)
                    mine.kill()

            with pytest.raises(Exception):  # noqa: B017 - whatever a lost server raises
                ground.run(made, dsn, library, on_progress=crash)
            assert told
            mine.start()
            assert ground.tables(dsn) == set()
        result = ground.run(made, dsn, library)
        assert result["resumed"]
        ground.shop_is_there(dsn)
    finally:
        mine.remove()


def test_a_worker_is_killed(tmp_path: Path, dsn: str, library: str) -> None:
    path = ground.shop(tmp_path / "shop.db")
    made = ground.plan(path, library)

    def kill_one(state) -> None:
        if state.phase == "load" and state.rows:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            os.kill(int(children[0]), 9)

    with pytest.raises(Stopped, match=r"worker process ended|closed|Broken"):
        ground.run(made, dsn, library, on_progress=kill_one)
    assert ground.run(made, dsn, library)["resumed"]
    ground.shop_is_there(dsn)


@pytest.mark.parametrize("wal", [True, False])
def test_a_live_writer_never_tears_the_copy(tmp_path: Path, dsn: str, library: str, wal: bool) -> None:
    """Transfers between accounts go on during the load: the sum is the same at every moment, and in the copy."""
    path = tmp_path / "bank.db"
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
    db.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)")
    db.executemany("INSERT INTO account VALUES (?, 100)", ((n,) for n in range(4000)))
    db.commit()
    db.close()
    end, transfers = threading.Event(), []
    code = (
        "import sqlite3, sys, random\n"
        "db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)\n"
        "db.execute('PRAGMA synchronous = OFF')\n"
        "while True:\n"
        "    a, b = random.randrange(4000), random.randrange(4000)\n"
        "    db.execute('BEGIN IMMEDIATE')\n"
        "    db.execute('UPDATE account SET amount = amount - 7 WHERE id = ?', (a,))\n"
        "    db.execute('UPDATE account SET amount = amount + 7 WHERE id = ?', (b,))\n"
        "    db.execute('COMMIT')\n"
        "    print(flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)

    def count() -> None:
        assert writer.stdout
        for _line in writer.stdout:
            transfers.append(time.monotonic())

    counter = threading.Thread(target=count)
    counter.start()
    try:
        for _round in range(3):
            while not transfers:
                time.sleep(0.01)
            began = time.monotonic()
            result = ground.run(
                ground.plan(path, library), dsn, library, on_existing="replace", restart=True, chunk_rows=300,
                work_dir=str(tmp_path / "work"), lock_timeout=20,
            )  # fmt: skip
            assert result["tables"][0]["differ"] == 0
            assert ground.query(dsn, "SELECT sum(amount), count(*) FROM account") == [(400_000, 4000)]
            assert [moment for moment in transfers if moment > began], "nothing was written meanwhile"
    finally:
        end.set()
        writer.kill()
        writer.wait()
        counter.join()
