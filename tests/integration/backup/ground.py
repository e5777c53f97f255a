"""A stack's data, its stores and its configuration, and the program run on them as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psycopg

from ansible_collections.landfall.stack.plugins.module_utils.backup.config import S3Config
from ansible_collections.landfall.stack.plugins.module_utils.clients.store_s3 import S3Store
from lab.lab import PROJECT
from lab.postgres import Cluster

MAIN = "import sys; from {}.cli.main import main; sys.exit(main())".format(
    "ansible_collections.landfall.stack.plugins.module_utils"
)


def age_key(path: Path) -> str:
    """A new identity; its recipient back."""
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    done = subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass
class Done:
    rc: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass
class Ground:
    """`app`: a database, a SQLite file, a directory of uploads; S3 by way of a proxy or straight."""

    root: Path
    cluster: Cluster
    s3: S3Config
    database: str
    extra: dict[str, Any] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    stack: str = "app"

    def __post_init__(self) -> None:
        self.recipients = [age_key(self.root / "operation.age"), age_key(self.root / "escrow.age")]
        self.stack_dir.mkdir(parents=True)
        (self.stack_dir / "secrets").mkdir()
        (self.stack_dir / "secrets" / "JWT").write_text("very-secret-value")
        (self.stack_dir / "data").mkdir()
        self.uploads = self.root / "uploads"
        self.uploads.mkdir()
        for number in range(20):
            (self.uploads / f"{number:03d}.bin").write_bytes(os.urandom(5000))
        self.sqlite = self.root / "app.sqlite3"
        with sqlite3.connect(self.sqlite) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT)")
            db.executemany("INSERT INTO note (body) VALUES (?)", [(f"note {n}",) for n in range(500)])
        db.close()
        (self.root / "credentials.json").write_text(
            json.dumps({"access_key": self.s3.access_key, "secret_key": self.s3.secret_key})
        )
        (self.root / "deleting.json").write_text(json.dumps({"access_key": "admin-key", "secret_key": "admin-secret"}))
        self.sources = self.sources or [
            self.postgres_source(),
            {"kind": "sqlite", "name": "notes", "where": str(self.sqlite)},
            {"kind": "path", "name": "uploads", "where": str(self.uploads)},
        ]
        self.configure()

    @property
    def stack_dir(self) -> Path:
        return self.root / "opt" / self.stack

    def postgres_source(self, **more: Any) -> dict[str, Any]:
        return {
            "kind": "postgres",
            "name": "db",
            "host": str(self.cluster.root),
            "port": self.cluster.port,
            "user": "postgres",
            "databases": [self.database],
            **more,
        }

    def configure(self, **changes: Any) -> None:
        """Write the configuration; `changes` stay for the next ones."""
        self.extra.update(changes)
        config = {
            "stack": self.stack,
            "stores": [
                {
                    "name": "main",
                    "bucket": self.s3.bucket,
                    "prefix": "backups",
                    "endpoint": self.s3.endpoint,
                    "path_style": True,
                    "credentials_file": str(self.root / "credentials.json"),
                    "delete_credentials_file": str(self.root / "deleting.json"),
                }
            ],
            "recipients": self.recipients,
            "identity_file": str(self.root / "operation.age"),
            "sources": self.sources,
            "state": str(self.root / "state"),
            "metrics_file": str(self.root / "backup.prom"),
            "lock_timeout": "1s",
            "statement_timeout": "2s",
            "retention": {"daily": 3, "weekly": 0, "monthly": 0, "minimum": 1},
            **self.extra,
        }
        (self.root / "etc").mkdir(exist_ok=True)
        path = self.root / "etc" / f"{self.stack}.json"
        path.write_text(json.dumps(config, indent=1))
        path.chmod(0o600)

    # --- the program

    def argv(self, verb: str, *args: str) -> list[str]:
        return [
            sys.executable, "-c", MAIN, "--root", str(self.root / "opt"), "backup", "--config-dir",
            str(self.root / "etc"), verb, self.stack, *args,
        ]  # fmt: skip

    def start(self, verb: str, *args: str, path: str = "") -> subprocess.Popen[str]:
        env = {**os.environ, "PYTHONPATH": str(PROJECT / ".build" / "collections")}
        if path:
            env["PATH"] = f"{path}:{env['PATH']}"
        return subprocess.Popen(
            self.argv(verb, *args), env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def do(self, verb: str, *args: str, path: str = "", timeout: float = 60) -> Done:
        process = self.start(verb, *args, path=path)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"{verb} did not end: {out} {err}") from None
        return Done(process.returncode, out, err)

    def good(self, verb: str, *args: str) -> str:
        done = self.do(verb, *args)
        assert done.rc == 0, done.said
        return done.said

    # --- what can be seen

    def store(self) -> S3Store:
        return S3Store(self.s3, "main")

    def sets(self) -> list[dict[str, Any]]:
        done = self.do("list", "--json")
        assert done.out, done.err
        found: list[dict[str, Any]] = json.loads(done.out)
        return found

    def metric(self, name: str) -> float:
        for line in (self.root / "backup.prom").read_text().splitlines():
            if line.startswith(f"landfall_backup_{name}{{"):
                return float(line.split()[-1])
        raise KeyError(name)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "state" / f"{self.stack}.json").read_text())
        return found

    def keys(self) -> list[str]:
        return [one.key for one in self.store().list("app/")]

    def sql(self, statement: str, database: str = "") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.cluster.dsn(database or self.database), autocommit=True) as link:
            done = link.execute(statement)
            return done.fetchall() if done.description else []

    def wait(self, what: str, probe, seconds: float = 20) -> None:
        until = time.monotonic() + seconds
        while not probe():
            assert time.monotonic() < until, f"waited in vain for {what}"
            time.sleep(0.02)


def ground_of(root: Path, cluster: Cluster, s3: S3Config, stack: str, sources: list[dict[str, Any]]) -> Ground:
    """A stack of containers: its sources are in them."""
    made = Ground(root, cluster, s3, "unused", stack=stack, sources=sources)
    made.configure(restic_password_file=str(root / "restic.key"))
    return made


class Stands(Protocol):
    def up(self) -> None: ...

    def down(self) -> None: ...


S = TypeVar("S", bound=Stands)


@contextlib.contextmanager
def standing(made: S) -> Iterator[S]:
    """Containers, for as long as they are needed."""
    try:
        made.up()
        yield made
    finally:
        made.down()


def fill(cluster: Cluster, name: str, rows: int = 20000) -> None:
    """A database with what dumps are known to lose."""
    cluster.database(name)
    with psycopg.connect(cluster.dsn(name), autocommit=True) as link:
        roles = {row[0] for row in link.execute("SELECT rolname FROM pg_roles")}
        if "app owner" not in roles:
            link.execute("CREATE ROLE \"app owner\" LOGIN PASSWORD 'x'")
        link.execute(f"ALTER DATABASE \"{name}\" SET work_mem = '7MB'")
        link.execute(f'ALTER DATABASE "{name}" SET search_path = shop, public')
        link.execute("CREATE SCHEMA shop; CREATE EXTENSION pg_trgm")
        link.execute(f'GRANT CONNECT ON DATABASE "{name}" TO "app owner"')
        link.execute(
            f"""CREATE TABLE shop."Or der" (id bigint PRIMARY KEY, body text);
            INSERT INTO shop."Or der" SELECT n, md5(n::text) || md5((n * 7)::text) FROM generate_series(1, {rows}) n;
            ALTER TABLE shop."Or der" OWNER TO "app owner";
            CREATE TABLE part (at int, v text) PARTITION BY RANGE (at);
            CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
            INSERT INTO part SELECT n % 10, 'x' FROM generate_series(1, 100) n;
            CREATE TABLE nothing (id int);
            CREATE INDEX ON shop."Or der" USING gin (body gin_trgm_ops)"""
        )
        link.execute("SELECT lo_from_bytea(0, 'a large object')")
