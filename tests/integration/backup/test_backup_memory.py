"""The bound on memory: 200 MB for all processes of a backup together, also with a store that is slow."""

from __future__ import annotations

import os
from typing import Any

import pytest
from bench.backup.meter import measure

from lab.lab import PROJECT

from .ground import Ground

BOUND_MB = 200
BYTES = 300_000_000


def peak(ground: Ground) -> float:
    env = {"PYTHONPATH": str(PROJECT / ".build" / "collections")}
    ground.configure(verify=False, restic_password_file=str(ground.root / "restic.key"))
    return measure(ground.argv("run"), env, ground.root / "etc", lambda: 0.0).rss_mb


def source(ground: Ground, **more: Any) -> dict[str, Any]:
    top = ground.root / "large"
    top.mkdir()
    for number in range(30):
        (top / str(number)).write_bytes(os.urandom(BYTES // 30))
    return {"kind": "path", "name": "large", "where": str(top), **more}


@pytest.mark.parametrize("engine", ["stream", "restic"])
def test_a_volume(ground: Ground, proxy, engine: str):
    proxy.rule = lambda seen: 0.5 if seen.kind == "part" else None
    ground.sources = [source(ground, engine=engine)]
    found = peak(ground)
    assert 30 < found <= BOUND_MB
    assert ground.sets()[0]["bytes"] > BYTES


def test_a_database(ground: Ground, proxy):
    """Bytes that cannot be compressed; a dump has them in hexadecimal, so that half of them make it as large."""
    proxy.rule = lambda seen: 0.5 if seen.kind == "part" else None
    path = ground.cluster.root / "random"
    path.write_bytes(os.urandom(BYTES // 2))
    path.chmod(0o644)
    ground.database = "large"
    ground.cluster.database("large")
    ground.sql("CREATE TABLE blob (n int, data bytea)")
    ground.sql("ALTER TABLE blob ALTER data SET STORAGE EXTERNAL")
    size = 1_000_000
    ground.sql(
        f"INSERT INTO blob SELECT n, pg_read_binary_file('{path}', n::bigint * {size}, {size}) "
        f"FROM generate_series(0, {BYTES // 2 // size - 1}) n"
    )
    path.unlink()
    ground.sources = [ground.postgres_source()]
    found = peak(ground)
    ground.cluster.drop("large")
    assert 30 < found <= BOUND_MB
    assert ground.sets()[0]["bytes"] > BYTES // 2
