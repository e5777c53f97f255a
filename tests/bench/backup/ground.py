"""What is measured: a database, a volume, and this project's configuration for both."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from lab.lab import PROJECT
from lab.postgres import Cluster
from lab.s3 import S3

MAIN = "import sys; from {}.cli.main import main; sys.exit(main())".format(
    "ansible_collections.landfall.stack.plugins.module_utils"
)
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "'30min'"}
DATABASE, BUCKET, STACK = "bench", "bench", "bench"
#: Of a row with its part of the indexes.
ROW = 340


def fill(cluster: Cluster, megabytes: int) -> int:
    """A database of about that size, in four tables; its bytes."""
    cluster.database(DATABASE)
    rows = megabytes * 1_000_000 // ROW // 4
    with psycopg.connect(cluster.dsn(DATABASE), autocommit=True) as link:
        for name in ("events", "messages", "orders", "visits"):
            link.execute(
                f"""CREATE TABLE {name} (id bigint NOT NULL, person int NOT NULL, at timestamptz NOT NULL, kind text,
                data jsonb, note text);
                INSERT INTO {name} SELECT n, n::bigint * 7919 % 50000, '2024-01-01'::timestamptz + n * interval '37 s',
                'kind-' || n % 17, jsonb_build_object('n', n, 'tags', ARRAY['a', 'b'], 'sum', n % 1000 * 1.25),
                'a note that says in words what happened, reference ' || md5(n::text) || md5((n * 7)::text)
                FROM generate_series(1, {rows}) n;
                ALTER TABLE {name} ADD PRIMARY KEY (id); CREATE INDEX ON {name} (person, at)"""
            )
        link.execute("VACUUM (FREEZE, ANALYZE)")
        link.execute("CHECKPOINT")
        row = link.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row
    return int(row[0])


def make_volume(path: Path, megabytes: int) -> None:
    """Files as a vector store and its neighbours have them: many small ones, some large, half of it compressible."""
    dice = random.Random(7)
    path.mkdir(parents=True)
    left = megabytes * 1_000_000
    number = 0
    while left > 0:
        size = min(left, dice.choice((2_000, 8_000, 20_000, 60_000, 4_000_000)))
        directory = path / f"{number % 50:02}"
        directory.mkdir(exist_ok=True)
        (directory / f"{number:06}.bin").write_bytes(dice.randbytes(size // 2) + bytes(size - size // 2))
        left, number = left - size, number + 1


def change_volume(path: Path, part: float, seed: int) -> None:
    """Write some of its files anew, as a day does."""
    dice = random.Random(seed)
    files = sorted(one for one in path.rglob("*") if one.is_file())
    for one in dice.sample(files, max(1, int(len(files) * part))):
        one.write_bytes(dice.randbytes(one.stat().st_size))


class Ground:
    """This project's program, configured. :ivar root: all that it writes on this host lies below"""

    def __init__(self, root: Path, cluster: Cluster, s3: S3) -> None:
        self.root, self.cluster, self.s3 = root, cluster, s3
        root.mkdir(parents=True)
        subprocess.run(["age-keygen", "-o", str(root / "age.key")], capture_output=True, check=True)
        said = subprocess.run(["age-keygen", "-y", str(root / "age.key")], capture_output=True, check=True, text=True)
        self.recipient = said.stdout.strip()
        (root / "keys.json").write_text('{"access_key": "admin-key", "secret_key": "admin-secret"}')

    def configure(self, stack: str, sources: list[dict[str, Any]]) -> None:
        """A stack of its own for each thing that is measured."""
        (self.root / "etc").mkdir(exist_ok=True)
        config = {
            "stack": stack,
            "stores": [{"name": "main", "bucket": BUCKET, "prefix": "ours", "endpoint": self.s3.url,
                        "path_style": True, "credentials_file": str(self.root / "keys.json")}],
            "recipients": [self.recipient],
            "identity_file": str(self.root / "age.key"),
            "sources": sources,
            "project": False,
            "verify": False,
            "state": str(self.root / "state"),
            "restic_password_file": str(self.root / "restic.key"),
        }  # fmt: skip
        path = self.root / "etc" / f"{stack}.json"
        path.write_text(json.dumps(config))
        path.chmod(0o600)

    @property
    def database(self) -> dict[str, Any]:
        return {"kind": "postgres", "name": "db", "host": str(self.cluster.root), "port": self.cluster.port,
                "user": "postgres", "databases": [DATABASE]}  # fmt: skip

    def argv(self, verb: str, stack: str, *args: str) -> list[str]:
        return [sys.executable, "-c", MAIN, "--root", str(self.root / "opt"), "backup", "--config-dir",
                str(self.root / "etc"), verb, stack, *args]  # fmt: skip

    @property
    def env(self) -> dict[str, str]:
        """For all commands: temporary files go where they are seen."""
        return {
            "PYTHONPATH": f"{PROJECT / '.build' / 'collections'}:{PROJECT / 'tests'}",
            "TMPDIR": str(self.root),
            # As on a host, where the program's bytecode is kept: the warm-up writes it.
            "PYTHONPYCACHEPREFIX": str(self.root.parent / "bytecode"),
            "PYTHONDONTWRITEBYTECODE": "",
            "S3_URL": self.s3.url,
            "S3_BUCKET": BUCKET,
            "AWS_ACCESS_KEY_ID": "admin-key",
            "AWS_SECRET_ACCESS_KEY": "admin-secret",
            "PGHOST": str(self.cluster.root),
            "PGPORT": str(self.cluster.port),
            "PGUSER": "postgres",
            "PATH": f"{self.cluster.bin}:{os.environ['PATH']}",
        }
