"""A stack in containers: PostgreSQL by its own programs, volumes, and services that are held still and go on again."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import snapshot
from lab import images
from lab.shell import docker, wait_for

from .ground import Ground, ground_of, standing

IMAGE = "landfall-lab/postgres:17"


class Containers:
    def __init__(self) -> None:
        self.name = f"app{uuid.uuid4().hex[:8]}"
        self.volume = f"{self.name}-files"

    def up(self) -> None:
        label = "com.docker.compose."
        common = ["run", "-d", "--label", f"{label}project={self.name}", "--label", f"{label}oneoff=False"]
        docker(*common, "--label", f"{label}service=db", "--name", f"{self.name}-db",
               "-v", f"{self.name}-db:/var/lib/postgresql/data", IMAGE)  # fmt: skip
        docker(*common, "--label", f"{label}service=web", "--label", f"{label}depends_on=db:service_started:false",
               "--name", f"{self.name}-web", "-v", f"{self.volume}:/files", "--user", "root", IMAGE, "sh",
               "-c", "echo one > /files/one; trap exit TERM; sleep 1000 & wait")  # fmt: skip
        wait_for("PostgreSQL", lambda: self.sql("SELECT 1", "postgres", check=False) == "1", 60)
        self.sql("CREATE DATABASE shop", "postgres")
        self.sql("CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 1000) n")

    def sql(self, statement: str, database: str = "shop", check: bool = True) -> str:
        return docker("exec", f"{self.name}-db", "psql", "-Atc", statement, database, check=check).strip()

    def status(self, service: str) -> str:
        return docker("inspect", "-f", "{{.State.Status}}", f"{self.name}-{service}").strip()

    def down(self) -> None:
        docker("rm", "-f", "-v", f"{self.name}-db", f"{self.name}-web", check=False)
        docker("volume", "rm", "-f", self.volume, f"{self.name}-db", check=False)


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    images.ensure(IMAGE)
    with standing(Containers()) as made:
        yield made


@pytest.fixture
def ground(tmp_path: Path, cluster, s3_config, containers: Containers) -> Ground:
    sources = [
        {"kind": "postgres", "service": "db"},
        {"kind": "volume", "service": "web", "where": containers.volume, "name": "files", "quiesce": "pause"},
        {"kind": "path", "service": "web", "where": "/files", "name": "web-files"},
    ]
    return ground_of(tmp_path, cluster, s3_config, containers.name, sources)


def test_there_and_back(ground: Ground, containers: Containers):
    ground.sources.append({"kind": "volume", "service": "db", "where": f"{containers.name}-db", "name": "server"})
    ground.configure()
    said = ground.good("run")
    (made,) = ground.sets()
    assert (made["state"], made["level"]) == ("verified", "decoded"), said
    manifest = json.loads(ground.store().get(f"{ground.stack}/{made['id']}/manifest.json").data)
    dump = next(item for item in manifest["items"] if item["kind"] == "postgres")
    # PostgreSQL 17 compresses within the archive.
    assert dump["filters"] == ["age"] and dump["details"]["client"] == 17
    assert containers.status("web") == "running"
    containers.sql("DELETE FROM t WHERE n > 3")
    docker("exec", f"{containers.name}-web", "sh", "-c", "echo two > /files/one; echo new > /files/new")
    started = docker("inspect", "-f", "{{.State.StartedAt}}", f"{containers.name}-web")
    # Two items of one directory, too; and one that would take a running server's files away under it.
    said = ground.good("restore", "--in-place")
    assert "volume-server is left out: it holds the data directory of PostgreSQL" in said
    assert containers.sql("SELECT count(*) FROM t") == "1000"
    assert containers.status("web") == "running" and containers.status("db") == "running"
    assert docker("inspect", "-f", "{{.State.StartedAt}}", f"{containers.name}-web") != started
    assert "shop_before_" in said and "_data.before-" in said
    # The service wrote its file again when it started; what came since the backup is gone, and kept beside.
    assert docker("exec", f"{containers.name}-web", "ls", "/files").split() == ["one"]
    ground.good("restore", "--item", "volume-files", "--as", f"{containers.volume}-copy")
    docker("volume", "rm", f"{containers.volume}-copy")
    # The rows of one table, by the programs in the container.
    ground.good("restore", "--item", "postgres-db-shop", "--as", "rescue", "--table", "t")
    assert containers.sql("SELECT count(*) FROM t", "rescue") == "1000"
    containers.sql("DROP DATABASE rescue")


#: All vectors to the last digit, and the neighbours of one by looking at each: an index of this kind only comes near.
VECTORS = """SELECT count(*), md5(string_agg(id || embedding::text || half::text, ',' ORDER BY id)) FROM documents"""
NEAREST = """WITH wanted AS MATERIALIZED (SELECT embedding FROM documents WHERE id = 42),
found AS (SELECT id, d.embedding <=> w.embedding AS far FROM documents d, wanted w ORDER BY far, id LIMIT 10)
SELECT string_agg(id::text, ' ' ORDER BY far, id) FROM found"""


def test_vectors_come_back_with_their_index_and_are_drilled(ground: Ground, containers: Containers, s3):
    """pgvector, as the agents' memory has it."""
    containers.sql("CREATE EXTENSION vector")
    containers.sql(
        """CREATE TABLE documents (id int PRIMARY KEY, embedding vector(64) NOT NULL, half halfvec(64) NOT NULL);
        INSERT INTO documents SELECT id, many::vector, many::halfvec FROM (
            SELECT id, (SELECT array_agg(sin(id * k)::real ORDER BY k) FROM generate_series(1, 64) k) AS many
            FROM generate_series(1, 2000) id) made;
        CREATE INDEX near ON documents USING hnsw (embedding vector_cosine_ops) WITH (m = 8, ef_construction = 32)"""
    )
    before = containers.sql(VECTORS), containers.sql(NEAREST)
    assert before[0].startswith("2000|") and len(set(before[1].split())) == 10
    s3.keep(ground.s3.bucket)
    ground.sources = ground.sources[:1]
    check = {"item": "postgres-db-shop", "query": NEAREST, "expect": before[1]}
    ground.configure(drill={"checks": [check]})
    ground.good("run")
    record = json.loads(ground.do("drill", "--json").out)
    found = {one["name"]: one for one in record["rungs"]}
    assert record["good"] and found["smoke"]["outcome"] == "passed", record
    assert found["server"]["detail"].startswith("PostgreSQL 17 from sha256:")
    containers.sql("UPDATE documents SET embedding = embedding + embedding WHERE id < 100; DROP INDEX near")
    assert containers.sql(VECTORS) != before[0]
    ground.good("restore", "--in-place")
    assert (containers.sql(VECTORS), containers.sql(NEAREST)) == before
    # The index is there, and used.
    plan = containers.sql(
        "SET enable_seqscan = off; EXPLAIN SELECT id FROM documents"
        " ORDER BY embedding <=> (SELECT embedding FROM documents WHERE id = 42) LIMIT 5"
    )
    assert "Index Scan using near on documents" in plan, plan
    ground.good("restore", "--item", "postgres-db-shop", "--as", "memory", "--table", "documents")
    assert containers.sql(VECTORS, "memory") == before[0]
    containers.sql("DROP DATABASE memory")


def test_a_service_goes_on_when_its_backup_fails(ground: Ground, containers: Containers, tmp_path: Path):
    where = tmp_path / "bin"
    where.mkdir()
    look = f"docker inspect -f '{{{{.State.Status}}}}' {containers.name}-web >> {tmp_path}/seen"
    (where / "tar").write_text(f"#!/bin/sh\n{look}\nexit 2\n")
    (where / "tar").chmod(0o755)
    ground.sources = ground.sources[1:2]
    for how, seen in (("pause", "paused"), ("stop", "exited")):
        ground.sources[0]["quiesce"] = how
        ground.configure()
        done = ground.do("run", path=str(where))
        assert done.rc == 1 and "tar ended with 2" in done.err
        assert (tmp_path / "seen").read_text().split()[-1] == seen
        assert containers.status("web") == "running"


def test_a_service_goes_on_after_the_run_that_held_it_was_killed(
    ground: Ground, containers: Containers, tmp_path: Path
):
    where = tmp_path / "bin"
    where.mkdir()
    (where / "tar").write_text("#!/bin/sh\nsleep 60\n")
    (where / "tar").chmod(0o755)
    ground.sources = ground.sources[1:2]
    ground.configure()
    process = ground.start("run", path=str(where))
    ground.wait("the pause", lambda: containers.status("web") == "paused")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert containers.status("web") == "paused"
    # What ExecStopPost of the timer's service does.
    said = ground.good("resume")
    assert containers.status("web") == "running" and f"{containers.name}-web" in said


#: It has its database to itself most of the time, in the mode in which that locks readers out.
BUSY = """
import sqlite3, time
db = sqlite3.connect("/files/busy.sqlite3", isolation_level=None)
db.execute("PRAGMA journal_mode = DELETE")
db.execute("CREATE TABLE t (n int)")
while True:
    db.execute("BEGIN EXCLUSIVE")
    db.execute("INSERT INTO t VALUES (1)")
    time.sleep(0.4)
    db.execute("COMMIT")
    time.sleep(0.1)
"""


def test_a_service_that_is_paused_with_a_lock_goes_on_for_a_moment(ground: Ground, containers: Containers):
    image, name, label = "landfall-lab/python:3.13-slim", f"{containers.name}-busy", "com.docker.compose."
    images.ensure(image)
    docker("run", "-d", "--name", name, "-v", f"{containers.volume}:/files", "--label", f"{label}service=busy",
           "--label", f"{label}project={containers.name}", "--label", f"{label}oneoff=False", image,
           "python", "-c", BUSY)  # fmt: skip
    try:
        place = docker("volume", "inspect", "-f", "{{.Mountpoint}}", containers.volume).strip()
        wait_for("the database", lambda: Path(place, "busy.sqlite3").exists())
        ground.sources = [
            {"kind": "sqlite", "service": "busy", "where": "/files/busy.sqlite3", "quiesce": "pause", "name": "busy"}
        ]
        ground.configure(lock_timeout="30s")
        for _run in range(5):
            ground.good("run")
        assert containers.status("busy") == "running"
        # One that never lets go is refused with what to do, and goes on.
        docker("rm", "-f", name)
        docker("run", "-d", "--name", name, "-v", f"{containers.volume}:/files", "--label", f"{label}service=busy",
               "--label", f"{label}project={containers.name}", "--label", f"{label}oneoff=False", image,
               "python", "-c", BUSY.replace("CREATE TABLE t (n int)", "SELECT 1").replace("0.4", "60"))  # fmt: skip
        wait_for("its transaction", lambda: not snapshot.free(f"{place}/busy.sqlite3"))
        ground.configure(lock_timeout="1s")
        refused = ground.do("run")
        assert refused.rc == 1 and "take quiesce: stop" in refused.err, refused.said
        assert containers.status("busy") == "running"
        # Stopped, it holds none; it is stopped once, however long somebody else does.
        ground.sources[0]["quiesce"] = "stop"
        ground.configure()
        with contextlib.closing(sqlite3.connect(f"{place}/busy.sqlite3", isolation_level=None, timeout=30)) as other:
            docker("kill", name)
            other.execute("BEGIN EXCLUSIVE")
            docker("start", name)
            refused = ground.do("run")
        assert refused.rc == 1 and "no copy can be made of it" in refused.err, refused.said
    finally:
        docker("rm", "-f", name, check=False)


def test_what_lies_on_no_volume_is_refused(ground: Ground):
    ground.sources = [{"kind": "path", "service": "web", "where": "/srv/files"}]
    ground.configure()
    done = ground.do("run")
    assert done.rc == 1 and "lies on no volume" in done.err
    ground.sources = [{"kind": "redis", "service": "nobody"}]
    ground.configure()
    done = ground.do("run")
    assert done.rc == 1 and "does not run" in done.err


REDIS = "landfall-lab/redis:8"


@pytest.mark.parametrize(("appendonly", "volume"), [("yes", False), ("no", False), ("yes", True)])
def test_redis_in_a_container(ground: Ground, appendonly: str, volume: bool):
    """All keys come back into the same container, whose log of appends would begin empty otherwise.

    With the volume they lie in taken besides, both come back together.
    """
    images.ensure(REDIS)
    stack = f"app{uuid.uuid4().hex[:8]}"
    label = "com.docker.compose."
    docker("run", "-d", "--label", f"{label}project={stack}", "--label", f"{label}oneoff=False",
           "--label", f"{label}service=queue", "--name", f"{stack}-queue", "-v", f"{stack}-queue:/data",
           "-e", "REDIS_PASSWORD=hunter2", REDIS, "redis-server", "--dir", "/data", "--appendonly", appendonly,
           "--requirepass", "hunter2")  # fmt: skip

    def ask(*words: str) -> str:
        return docker("exec", "-e", "REDISCLI_AUTH=hunter2", f"{stack}-queue", "redis-cli", *words, check=False).strip()

    try:
        wait_for("Redis", lambda: ask("PING") == "PONG")
        ask("EVAL", "for i = 1, 5000 do redis.call('SET', 'k' .. i, i) end", "0")
        ground.stack = stack
        ground.stack_dir.mkdir(parents=True)
        ground.sources = [{"kind": "redis", "name": "queue", "service": "queue", "password_env": "REDIS_PASSWORD"}]
        ground.sources += [{"kind": "volume", "name": "queue", "where": f"{stack}-queue"}] if volume else []
        ground.configure(project=False)
        assert "hunter2" not in ground.good("run")
        ask("FLUSHALL")
        ask("SET", "later", "1")
        assert ask("DBSIZE") == "1"
        said = ground.good("restore", "--in-place")
        wait_for("Redis", lambda: ask("PING") == "PONG")
        assert ask("DBSIZE") == "5000" and ask("GET", "k77") == "77" and "what was there is kept" in said
        # What comes now is kept over a restart, too.
        ask("SET", "new", "1")
        docker("restart", "-t", "2", f"{stack}-queue")
        wait_for("Redis", lambda: ask("PING") == "PONG")
        assert ask("DBSIZE") == "5001"
    finally:
        docker("rm", "-f", "-v", f"{stack}-queue", check=False)
        docker("volume", "rm", "-f", f"{stack}-queue", check=False)
