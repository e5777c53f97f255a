"""make bench-migration: see README.md. python -m bench.migration [events] [typed] [whole] [awkward] [cutover]"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from lab.postgres import Cluster

from . import cutover, database

EVENTS = int(os.environ.get("EVENTS", "2000000"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
WORK = Path(os.environ.get("WORK", ".cache/bench-migration")).resolve()
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "'30min'"}


class Bench:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.times: dict[str, list[dict[str, float]]] = {}
        self.rss = 0.0

    def _server_cpu(self) -> float:
        """Seconds of processor time of all server processes that have ended."""
        pid = (self.cluster.data / "postmaster.pid").read_text().split()[0]
        words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[13]) + int(words[14])) / os.sysconf("SC_CLK_TCK")

    def _timed(self, name: str, argv: list[str]) -> str:
        before = self._server_cpu()
        began = time.monotonic()
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, errors = process.stdout, process.stderr
        assert out and errors
        said, problem = out.read(), errors.read()
        _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        if status:
            raise RuntimeError(f"{name}: {problem[-1500:]}{said[-500:]}")
        time.sleep(0.3)
        entry = {
            "wall": wall,
            "client_cpu": usage.ru_utime + usage.ru_stime,
            "server_cpu": self._server_cpu() - before,
            "rss_mb": usage.ru_maxrss / 1024,
        }
        self.times.setdefault(name, []).append(entry)
        print(f"{name:<18} {wall:7.2f} s  client {entry['client_cpu']:6.2f}  server {entry['server_cpu']:6.2f} CPU-s  "
              f"{entry['rss_mb']:.0f} MB", flush=True)  # fmt: skip
        return said

    def ours(self, name: str, path: Path, plan: str = "", options: Any = None, **settings: Any) -> dict[str, Any]:
        """Our migration. :param plan: name of a file that keeps the plan, where making it is not what is measured"""
        dsn = self.cluster.database("bench")
        told = {"path": str(path), "dsn": dsn, "options": options or {}, "plan": plan and str(WORK / plan)}
        told["settings"] = {"verify": "none", **settings}
        argv = [sys.executable, "-m", "bench.migration.ours", json.dumps(told)]
        result = json.loads(self._timed(name, argv))
        entry = self.times[name][-1]
        entry |= {"migrate": result["seconds"], "plan": result["plan_s"], "load": result["timings"]["load_s"]}
        self.rss = max(self.rss, result["peak_rss_bytes"] / 1e6)
        entry["rss_mb"] = result["peak_rss_bytes"] / 1e6
        print(f"    plan {result['plan_s']} s, {json.dumps(result['timings'])}, {entry['rss_mb']:.0f} MB", flush=True)
        return result

    def pgloader(self, name: str, path: Path) -> None:
        target = f"pgsql://postgres@127.0.0.1:{self.cluster.port}/bench"
        for left in (2, 1, 0):
            self.cluster.database("bench")
            try:
                self._timed(name, ["pgloader", "--quiet", f"sqlite://{path}", target])
                return
            except RuntimeError as problem:
                # Now and then it dies before it has begun.
                if not left or "Failed to start the monitor thread" not in str(problem):
                    raise

    def rows(self, tables: tuple[str, ...]) -> dict[str, int]:
        """Rows of tables in the database that is loaded; 0 of one that is not there."""
        found = {}
        with psycopg.connect(self.cluster.dsn("bench"), autocommit=True) as connection:
            for table in tables:
                there = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
                row = connection.execute(f"SELECT count(*) FROM {table}").fetchone() if there and there[0] else (0,)
                found[table] = row[0] if row else 0
        return found

    def floor(self, name: str, table: str, ddl: str, encoded: Path) -> None:
        dsn = self.cluster.database("bench")
        psql = [str(self.cluster.bin / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", dsn, "-c"]
        subprocess.run([*psql, ddl], check=True)
        self._timed(name, [*psql, f"\\copy {table} FROM '{encoded}' (FORMAT BINARY)"])

    def encode(self, table: str, encoded: Path) -> str:
        """Of the database that is loaded: the table as a file, and its bare CREATE TABLE."""
        dsn = self.cluster.dsn("bench")
        psql = [str(self.cluster.bin / "psql"), "-X", "-q", "-At", dsn, "-c"]
        subprocess.run([*psql, f"\\copy {table} TO '{encoded}' (FORMAT BINARY)"], check=True)
        columns = (
            "SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) "
            f"FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
        )
        done = subprocess.run([*psql, columns], check=True, capture_output=True, text=True)
        return f"CREATE TABLE {table} ({done.stdout.strip()})"

    def median(self, name: str, what: str = "wall") -> float:
        return statistics.median(entry[what] for entry in self.times[name])

    def ratio(self, above: str, below: str, what_above: str = "wall", what_below: str = "wall") -> float:
        """Median of the rounds' ratios: what else the machine does falls on both of a round."""
        pairs = zip(self.times[above], self.times[below], strict=True)
        return round(statistics.median(one[what_above] / other[what_below] for one, other in pairs), 2)


def events(bench: Bench) -> dict[str, Any]:
    path, encoded = database.make(WORK / f"events-{EVENTS}.db", EVENTS, "events"), WORK / "events.copy"
    bench.ours("events warm-up", path)
    ddl = bench.encode("events", encoded)
    for _round in range(ROUNDS):
        bench.floor("events floor", "events", ddl, encoded)
        bench.ours("events ours", path, analyze=False)
        bench.pgloader("events pgloader", path)
        bench.ours("events default", path)
    # pgloader makes no statistics (ANALYZE), nor does psql: beside them ours makes none either. Our default makes them.
    ours, default, peer = "events ours", "events default", "events pgloader"
    return {
        "events_ratio_floor": bench.ratio(ours, "events floor", "load"),
        "events_speedup_pgloader": bench.ratio(peer, ours, "wall", "migrate"),
        "events_speedup_pgloader_default": bench.ratio(peer, default, "wall", "migrate"),
        "events_speedup_pgloader_with_plan": bench.ratio(peer, default),
        "events_load_s": round(bench.median(ours, "load"), 2),
        "events_s": round(bench.median(ours, "migrate"), 2),
        "events_default_s": round(bench.median(default, "migrate"), 2),
        "events_plan_s": round(bench.median(ours, "plan"), 2),
        "events_floor_s": round(bench.median("events floor"), 2),
        "events_pgloader_s": round(bench.median(peer), 2),
    }


def typed(bench: Bench) -> dict[str, Any]:
    path, encoded = database.make(WORK / f"typed-{EVENTS}.db", EVENTS, "typed"), WORK / "typed.copy"
    plan, options = f"typed-{EVENTS}.plan", {"json_type": "jsonb"}
    (WORK / plan).unlink(missing_ok=True)
    made = bench.ours("typed warm-up", path, plan, options)
    ddl = bench.encode("typed", encoded)
    for _round in range(ROUNDS):
        bench.floor("typed floor", "typed", ddl, encoded)
        bench.ours("typed ours", path, plan, options)
    return {
        "typed_ratio_floor": bench.ratio("typed ours", "typed floor", "load"),
        "typed_load_s": round(bench.median("typed ours", "load"), 2),
        "typed_floor_s": round(bench.median("typed floor"), 2),
        "typed_plan_s": made["plan_s"],
    }


def whole(bench: Bench) -> dict[str, Any]:
    path = database.make(WORK / f"whole-{EVENTS}.db", EVENTS, "whole")
    for _round in range(ROUNDS):
        bench.ours("whole ours", path)
        bench.ours("whole verified", path, verify="rows")
        bench.pgloader("whole pgloader", path)
    peer = "whole pgloader"
    return {
        "full_speedup_pgloader": bench.ratio(peer, "whole ours"),
        "full_speedup_pgloader_without_plan": bench.ratio(peer, "whole ours", "wall", "migrate"),
        "verified_speedup_pgloader": bench.ratio(peer, "whole verified"),
        "full_s": round(bench.median("whole ours"), 2),
        "full_plan_s": round(bench.median("whole ours", "plan"), 2),
        "verified_s": round(bench.median("whole verified"), 2),
        "pgloader_s": round(bench.median(peer), 2),
        "pgloader_rss_mb": round(bench.median("whole pgloader", "rss_mb")),
    }


def awkward(bench: Bench) -> dict[str, Any]:
    """The form that pgloader cannot load whole: how long ours takes, and what becomes of the rows on both sides."""
    path = database.make(WORK / f"awkward-{EVENTS}.db", EVENTS, "awkward")
    source = EVENTS + database.USERS + database.SESSIONS
    done = bench.ours("awkward ours", path, verify="rows", on_violation="quarantine")
    there = sum(bench.rows(database.TABLES).values())
    result = {
        "awkward_verified_s": round(bench.median("awkward ours"), 2),
        "awkward_quarantined": done["quarantined"],
        "awkward_lost": source - there - done["quarantined"],
    }
    try:
        bench.pgloader("awkward pgloader", path)
        result["awkward_pgloader_s"] = round(bench.median("awkward pgloader"), 2)
    except RuntimeError as problem:
        print(f"awkward pgloader   {problem}", flush=True)
    result["awkward_pgloader_lost"] = source - sum(bench.rows(database.TABLES).values())
    return result


def cut(bench: Bench) -> dict[str, Any]:
    path = database.make(WORK / f"whole-{EVENTS}.db", EVENTS, "whole")
    return cutover.measure(path, bench.cluster.database("bench"), WORK)


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "events": events, "typed": typed, "whole": whole, "awkward": awkward, "cutover": cut,
}  # fmt: skip


def main() -> int:
    if shutil.which("pgloader") is None:
        print("pgloader is not installed: apt-get install pgloader", file=sys.stderr)
        return 1
    WORK.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:] or list(PARTS)
    cluster = Cluster(SETTINGS)
    bench, result = Bench(cluster), {}
    try:
        for name in wanted:
            result |= PARTS[name](bench)
    finally:
        cluster.remove()
    result["peak_rss_mb"] = round(bench.rss)
    print(json.dumps({"events": EVENTS, "rounds": ROUNDS, **result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
