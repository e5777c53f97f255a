"""make bench-backup: see README.md. SIZE=1100 VOLUME_MB=1000 (megabytes) ROUNDS=3 python -m bench.backup"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.lab import PROJECT
from lab.postgres import Cluster
from lab.s3 import S3

from .ground import BUCKET, DATABASE, SETTINGS, Ground, change_volume, fill, make_volume
from .meter import Cost, cpu_of, measure, used
from .pgbackrest import PgBackRest

SIZE = int(os.environ.get("SIZE", "1100"))
VOLUME = int(os.environ.get("VOLUME_MB", "1000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
PUT = f"{sys.executable} -m bench.backup.s3 put"
GET = f"{sys.executable} -m bench.backup.s3 get"
#: The document's script, and what it does not have: that its file goes elsewhere. Restored as the document says.
SCRIPT = (f'pg_dump {DATABASE} > "$W/f" && {PUT} "$W/f" script && rm "$W/f"',
          f'{GET} "$W/b" script && psql -q -X {{target}} < "$W/b/f" > /dev/null && rm -r "$W/b"')  # fmt: skip
DIRECTORY = (f'pg_dump -Fd -j2 -f "$W/d" {DATABASE} && {PUT} "$W/d" directory && rm -r "$W/d"',
             f'{GET} "$W/b" directory && pg_restore -j2 -d {{target}} "$W/b" && rm -r "$W/b"')  # fmt: skip


#: By plain tools. The last of each kind is what a backup, or a restore, is made of, with nothing checked or counted.
FLOORS = ("dump", "dump_plain", "put", "dump_and_put", "custom", "directory", "fetched")


class Bench:
    def __init__(self, ground: Ground) -> None:
        self.ground, self.costs = ground, dict[str, list[Cost]]()
        self.postmaster = int((ground.cluster.data / "postmaster.pid").read_text().split()[0])

    def _servers(self) -> float:
        return cpu_of(self.postmaster, children=True) + cpu_of(self.ground.s3.process.pid, children=False)

    def cost(self, name: str, argv: list[str] | str, **env: str) -> Cost:
        """Measure a command, or a line of shell. $W is an empty directory, which is watched."""
        work = self.ground.root / "work"
        work.mkdir()
        words = ["sh", "-e", "-c", argv] if isinstance(argv, str) else argv
        try:
            found = measure(words, {**self.ground.env, "W": str(work), **env}, self.ground.root, self._servers)
        finally:
            shutil.rmtree(work)
        self.costs.setdefault(name, []).append(found)
        numbers = f"{found.wall:7.2f} s {found.cpu:7.2f} CPU-s {found.rss_mb:6.0f} MB"
        print(f"{name:<22} {numbers} {found.temp / 1e6:8.1f} MB temporary", flush=True)
        return found

    def into(self, name: str, line: str) -> Cost:
        """Measure a restore into a new, empty database."""
        self.ground.cluster.database("target")
        return self.cost(name, line.format(target="target"))

    def median(self, name: str, what: str = "wall") -> float:
        return statistics.median(getattr(one, what) for one in self.costs[name])

    def peak(self, name: str, what: str) -> float:
        return max(getattr(one, what) for one in self.costs[name])


def size_of(ground: Ground, prefix: str) -> int:
    pages = ground.s3.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return sum(one["Size"] for page in pages for one in page.get("Contents", ()))


def drop(ground: Ground, prefix: str) -> None:
    client = ground.s3.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for one in page.get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=one["Key"])


def database(bench: Bench, peer: PgBackRest | None) -> dict[str, Any]:
    """A database there and back."""
    ground = bench.ground
    item = f"postgres-db-{DATABASE}"
    ground.configure("db", [ground.database])
    local, plain = Path(tempfile.mkdtemp()), f"pg_dump -Fc -Z0 {DATABASE}"
    dump, put = f"{plain} | zstd -1 --single-thread -q -c > /dev/null", f"{PUT} {local}/stored floor"
    unpack = f'age --decrypt -i "{ground.root}/age.key" "$W/b/stored" | zstd -d -q -c > "$W/a"'
    fetched = f'{GET} "$W/b" floor && {unpack} && pg_restore -j2 -d {{target}} "$W/a" && psql -q -c ANALYZE {{target}}'
    sizes: dict[str, int] = {}
    try:
        # The same bytes for the floor of the store, and files for that of the restore.
        bench.cost("warm-up", ground.argv("run", "db"))
        (key,) = [one.key for one in _keys(ground) if item in one.key]
        ground.s3.client().download_file(BUCKET, key, str(local / "stored"))
        bench.cost("file", f'{plain} -f "{local}/custom" && pg_dump -Fd -j2 -f "{local}/directory" {DATABASE}')
        for _round in range(ROUNDS):
            for prefix in ("ours/", "script/", "directory/", "floor/"):
                drop(ground, prefix)
            bench.cost("floor dump_plain", f"{plain} > /dev/null")
            bench.cost("floor dump", dump)
            bench.cost("floor put", put)
            bench.cost("floor dump_and_put", f"{dump} & dump=$!; {put}; wait $dump")
            bench.cost("backup ours", ground.argv("run", "db"))
            sizes["ours"] = size_of(ground, "ours/")
            bench.cost("backup script", SCRIPT[0])
            sizes["script"] = size_of(ground, "script/")
            bench.cost("backup directory", DIRECTORY[0])
            sizes["directory"] = size_of(ground, "directory/")
            bench.into("floor custom", f"pg_restore -j2 -d {{target}} {local}/custom")
            bench.into("floor directory", f"pg_restore -j2 -d {{target}} {local}/directory")
            bench.into("floor fetched", fetched)
            ground.cluster.drop("target")
            bench.cost("restore ours", ground.argv("restore", "db", "--item", item, "--as", "target"))
            bench.into("restore script", SCRIPT[1])
            bench.into("restore directory", DIRECTORY[1])
            ground.cluster.drop("target")
            if peer:
                with peer.archiving():
                    bench.cost("backup pgbackrest", peer.backup)
                sizes["pgbackrest"] = peer.size()
                bench.cost("restore pgbackrest", peer.restore)
                peer.forget_restore()
    finally:
        shutil.rmtree(local)
    backup_floor = max(bench.median("floor dump"), bench.median("floor put"))
    restore_floor = min(bench.median("floor custom"), bench.median("floor directory"))
    names = {"script": "document_000", "directory": "pg_dump_fd_j2", "pgbackrest": "pgbackrest"}
    return {
        "backup_ratio_floor": round(bench.median("backup ours") / backup_floor, 2),
        "backup_ratio_plain": round(bench.median("backup ours") / bench.median("floor dump_plain"), 2),
        "backup_ratio_same_work": round(bench.median("backup ours") / bench.median("floor dump_and_put"), 2),
        "restore_ratio_floor": round(bench.median("restore ours") / restore_floor, 2),
        "restore_ratio_same_work": round(bench.median("restore ours") / bench.median("floor fetched"), 2),
        "temp_bytes": int(bench.peak("backup ours", "temp")),
        "peak_rss_mb": round(max(bench.peak("backup ours", "rss_mb"), bench.peak("restore ours", "rss_mb"))),
        "floors": {name: round(bench.median(f"floor {name}"), 2) for name in FLOORS},
        "floors_cpu_s": {name: round(bench.median(f"floor {name}", "cpu"), 2) for name in FLOORS},
        "ours": _way(bench, "ours", sizes),
        "peers": {known: _way(bench, name, sizes) for name, known in names.items() if name in sizes},
    }


def _keys(ground: Ground) -> list[Any]:
    from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import Entry

    pages = ground.s3.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="ours/")
    return [Entry(one["Key"], one["Size"]) for page in pages for one in page.get("Contents", ())]


def _way(bench: Bench, name: str, sizes: dict[str, int]) -> dict[str, Any]:
    out: dict[str, Any] = {"bytes": sizes[name]}
    for verb in ("backup", "restore"):
        known = f"{verb} {name}"
        out |= {
            f"{verb}_s": round(bench.median(known), 2),
            f"{verb}_cpu_s": round(bench.median(known, "cpu"), 2),
            f"{verb}_rss_mb": round(bench.peak(known, "rss_mb")),
            f"{verb}_temp_bytes": int(bench.peak(known, "temp")),
        }
    return out


def volume(bench: Bench, _peer: PgBackRest | None) -> dict[str, Any]:
    """A volume kept by restic, twice; the same as a stream beside it."""
    ground, top = bench.ground, bench.ground.root.parent / "volume"
    make_volume(top, VOLUME)
    for number in range(ROUNDS):
        for engine in ("restic", "stream"):
            stack = f"{engine}-{number}"
            ground.configure(stack, [{"kind": "path", "name": "v", "where": str(top), "engine": engine}])
            bench.cost(f"volume {engine}", ground.argv("run", stack))
        change_volume(top, 0.01, number)
        for engine in ("restic", "stream"):
            bench.cost(f"volume {engine} again", ground.argv("run", f"{engine}-{number}"))
        back = ("restore", f"restic-{number}", "--item", "path-v", "--as", str(ground.root / "back"))
        bench.cost("volume restic back", ground.argv(*back))
        shutil.rmtree(ground.root / "back")
    ways = ("restic", "restic again", "restic back", "stream", "stream again")
    return {
        "volume_second_run_ratio": round(bench.median("volume restic again") / bench.median("volume restic"), 2),
        "volume_bytes": used(top),
        "volume_s": {name: round(bench.median(f"volume {name}"), 2) for name in ways},
        "volume_rss_mb": {name: round(bench.peak(f"volume {name}", "rss_mb")) for name in ways},
        "volume_temp_bytes": int(bench.peak("volume restic again", "temp")),
    }


def recover(_bench: Bench, _peer: PgBackRest | None) -> dict[str, Any]:
    """A lab's bare host, from a lost one's backups, by the end-to-end test of it and the playbook's own report."""
    test = "tests/e2e/test_5_recover.py::test_the_host_is_lost"
    with tempfile.TemporaryDirectory() as base:
        argv = [sys.executable, "-m", "pytest", "-q", "--no-header", f"--basetemp={base}/pytest", test]
        subprocess.run(argv, cwd=PROJECT, stdout=sys.stderr, check=True)
        (report,) = Path(base).rglob("recover-*.json")
        told = json.loads(report.read_text())
    return {"recover_s": told["total_s"], "recover_steps_s": told["steps"]}


PARTS: dict[str, Callable[[Bench, PgBackRest | None], dict[str, Any]]] = {
    "database": database,
    "volume": volume,
    "recover": recover,
}


def main() -> int:
    wanted = sys.argv[1:] or list(PARTS)
    root = Path(tempfile.mkdtemp(prefix="landfall-bench-"))
    result: dict[str, Any] = {}
    cluster = s3 = peer = None
    try:
        cluster = Cluster({**SETTINGS, **PgBackRest.settings()})
        s3 = S3()
        s3.bucket(BUCKET)
        ground = Ground(root / "ours", cluster, s3)
        size = fill(cluster, SIZE) if "database" in wanted else 0
        peer = PgBackRest(cluster) if size and shutil.which("pgbackrest") else None
        for name in wanted:
            result |= PARTS[name](Bench(ground), peer)
    finally:
        for made in (peer, s3, cluster):
            if made:
                made.remove()
        shutil.rmtree(root, ignore_errors=True)
    print(json.dumps({"database_bytes": size, "rounds": ROUNDS, **result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
