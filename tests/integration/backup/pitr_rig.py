"""A cluster of Debian's that pgBackRest keeps, with a local repository, and the program run on it."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.landfall.stack.plugins.module_utils.backup.config import S3Config
from lab.postgres import binaries

from .ground import Ground


class Rig:
    """One cluster, one stack. :ivar ground: its program; nothing of it is left after remove()

    :param initdb: options of the cluster's making
    """

    def __init__(self, *initdb: str) -> None:
        self.version = binaries().parent.name
        self.name = f"lf{secrets.token_hex(3)}"
        self.stack = f"pitr{secrets.token_hex(3)}"
        self.root = Path(tempfile.mkdtemp(prefix="landfall-pitr-"))
        self.root.chmod(0o755)
        self.copies: list[str] = []
        self.spaces = self.root / "fast disk"
        self.run("pg_createcluster", "--pgoption", "add_include_dir=conf.d", self.version, self.name, "--", *initdb)
        self.run("pg_ctlcluster", self.version, self.name, "start")
        (self.root / "store").mkdir()
        self.ground = Ground(
            self.root,
            None,
            S3Config(bucket="", access_key="", secret_key=""),
            "",
            stack=self.stack,
            sources=[self.source()],
            extra={
                "stores": [{"name": "disk", "path": str(self.root / "store")}],
                "pgbackrest_cipher_file": str(self.root / "cipher"),
                "project": False,
            },
        )

    @staticmethod
    def run(*argv: str) -> str:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def source(self, **more: Any) -> dict[str, Any]:
        return {
            "kind": "postgres",
            "engine": "pgbackrest",
            "name": "main",
            "cluster": f"{self.version}/{self.name}",
            **more,
        }

    @property
    def data(self) -> Path:
        return Path("/var/lib/postgresql", self.version, self.name)

    @property
    def repo(self) -> Path:
        return self.root / "store" / f"{self.stack}.pgbackrest"

    @property
    def conf(self) -> Path:
        return Path("/etc/pgbackrest/landfall", f"{self.stack}-postgres-main.conf")

    def listed(self) -> dict[str, Any]:
        return {one["cluster"]: one for one in json.loads(self.run("pg_lsclusters", "--json"))}

    def sql(self, statement: str, cluster: str = "") -> list[tuple[Any, ...]]:
        """As the user postgres would; the test is root, and peer authentication wants that user."""
        port = self.listed()[cluster or self.name]["port"]
        done = subprocess.run(
            ["psql", "-XAtq", "-F", "\t", "-h", "/var/run/postgresql", "-p", str(port), "-c", statement, "postgres"],
            user="postgres", cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [tuple(line.split("\t")) for line in done.stdout.splitlines()]

    def rows(self, cluster: str = "") -> list[str]:
        return [row[0] for row in self.sql("SELECT name FROM named ORDER BY id", cluster)]

    def add(self, name: str) -> str:
        """A row, and the moment behind it."""
        self.sql(f"INSERT INTO named (name) VALUES ('{name}')")
        return self.now()

    def now(self) -> str:
        return self.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || 'Z'")[0][0]

    def copy(self) -> str:
        name = f"lf{secrets.token_hex(3)}"
        self.copies.append(name)
        return name

    def restart(self, action: str) -> None:
        self.run("pg_ctlcluster", self.version, self.name, action)

    def labels(self) -> list[str]:
        return [one["id"] for one in self.entries()]

    def entries(self) -> list[dict[str, Any]]:
        return [one for one in self.ground.sets() if one.get("engine") == "pgbackrest"]

    def metric(self, name: str) -> float:
        for line in (self.root / "backup-archive.prom").read_text().splitlines():
            if line.startswith(f"landfall_backup_{name}{{"):
                return float(line.split()[-1])
        raise KeyError(name)

    def remove(self) -> None:
        for name in (self.name, *self.copies):
            if name in self.listed():
                subprocess.run(
                    ["pg_dropcluster", "--stop", self.version, name], cwd="/", capture_output=True, check=False
                )
        for path in Path("/var/lib/postgresql", self.version).glob("*"):
            if path.name.split(".")[0] in (self.name, *self.copies):
                shutil.rmtree(path, ignore_errors=True)
            shutil.rmtree(Path("/etc/postgresql", self.version, name), ignore_errors=True)
        for path in Path("/var/log/postgresql").glob(f"postgresql-{self.version}-lf*"):
            if any(name in path.name for name in (self.name, *self.copies)):
                path.unlink()
        with contextlib.suppress(FileNotFoundError):
            self.conf.unlink()
        shutil.rmtree(self.root, ignore_errors=True)
