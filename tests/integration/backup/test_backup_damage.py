"""Damage of every kind to what is stored is found; sources that change while they are read come out whole."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup import config, layout, parts
from ansible_collections.landfall.stack.plugins.module_utils.backup.manifest import Manifest, digest, from_json
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError
from ansible_collections.landfall.stack.plugins.module_utils.clients import backup_jobs, restore_files
from ansible_collections.landfall.stack.plugins.module_utils.clients.backup_host import Backup, load
from ansible_collections.landfall.stack.plugins.module_utils.clients.backup_verify import verify_set
from ansible_collections.landfall.stack.plugins.module_utils.clients.store_local import LocalStore
from lab.shell import wait_for

from .ground import Ground


class Kept:
    """A good set in a directory, whose files can be damaged."""

    def __init__(self, ground: Ground, path: Path) -> None:
        self.ground, self.path = ground, path
        self.backup: Backup = Backup(load(str(ground.root / "etc" / "app.json")), str(ground.root / "opt"))
        self.store = LocalStore(str(path), "disk")
        self.manifest: Manifest = self.backup.run().manifest
        self.dir = path / layout.set_prefix("app", self.manifest.id)
        self.raw = (self.dir / "manifest.json").read_bytes()

    def problems(self, item: str, manifest: Manifest | None = None) -> tuple[str, ...]:
        made = manifest or self.manifest
        identity = self.backup.config.identity_file
        return verify_set(self.store, made, self.raw, identity, self.backup.restorer, 0.0, [item]).problems


@pytest.fixture(scope="module")
def kept(tmp_path_factory, cluster, database) -> Kept:
    from ansible_collections.landfall.stack.plugins.module_utils.backup.config import S3Config

    root = tmp_path_factory.mktemp("kept")
    ground = Ground(root, cluster, S3Config("unused"), database)
    (root / "disk").mkdir()
    ground.configure(stores=[{"name": "disk", "path": str(root / "disk")}])
    return Kept(ground, root / "disk")


@pytest.fixture
def spoil(kept: Kept) -> Iterator[Kept]:
    shutil.copytree(kept.dir, kept.path / "copy")
    yield kept
    shutil.rmtree(kept.dir)
    (kept.path / "copy").rename(kept.dir)


ITEMS = ["globals-db", "postgres-db-jarvis", "sqlite-notes", "path-uploads", "project"]


@pytest.mark.parametrize("name", ITEMS)
def test_flipped_bits_and_truncations_are_found(spoil: Kept, name: str):
    assert spoil.problems(name) == ()
    path = spoil.dir / f"{name}.000"
    good = path.read_bytes()
    chance = random.Random(name)
    for _ in range(20):
        at, bit = chance.randrange(len(good)), chance.randrange(8)
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
        assert any("sha256" in one for one in spoil.problems(name)) or spoil.problems(name), (at, bit)
    for size in (0, 1, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        assert any(f"{size} bytes" in one or "age" in one for one in spoil.problems(name)), size
    path.write_bytes(good + b"x")
    assert spoil.problems(name)
    path.unlink()
    assert any("not there" in one for one in spoil.problems(name))


def test_an_object_cut_at_each_part_is_found(kept: Kept, tmp_path: Path):
    """Where an upload that was completed too early would end."""
    backup = Backup(
        replace(kept.backup.config, state=str(tmp_path / "state"), stores=(config.StoreConfig("disk", str(tmp_path)),)),
        str(kept.ground.root / "opt"),
    )
    large = kept.ground.uploads / "large.bin"
    large.write_bytes(random.Random(1).randbytes(35 * parts.MIB))
    try:
        made = backup.run().manifest
    finally:
        large.unlink()
    item = made.item("path-uploads")
    (sent,) = item.objects
    path = tmp_path / sent.key
    store, raw = LocalStore(str(tmp_path), "disk"), (tmp_path / made.key).read_bytes()

    def problems() -> tuple[str, ...]:
        return verify_set(store, made, raw, backup.config.identity_file, backup.restorer, 0.0, [item.name]).problems

    assert sent.parts == 5 and problems() == ()
    # From the last one on: the file is only ever made shorter.
    for number in range(sent.parts - 1, -1, -1):
        size = sum(parts.part_size(one + 1) for one in range(number))
        os.truncate(path, size)
        assert any(f"{size} bytes" in one or "age" in one for one in problems()), number


@pytest.mark.parametrize("name", ITEMS)
def test_damage_is_found_by_decoding_too(spoil: Kept, name: str):
    """As if the manifest had been written for the damaged bytes."""
    import hashlib

    item = spoil.manifest.item(name)
    path = spoil.dir / f"{name}.000"
    good = path.read_bytes()
    for bad in (good[: len(good) // 2], good[:-1], good[:-200] + bytes([good[-200] ^ 1]) + good[-199:]):
        path.write_bytes(bad)
        sent = replace(item.objects[0], bytes=len(bad), sha256=hashlib.sha256(bad).hexdigest())
        forged = replace(spoil.manifest, items=(replace(item, objects=(sent,)),))
        assert spoil.problems(name, forged)


def test_flips_without_encryption_are_found_by_sha256(kept: Kept, tmp_path: Path):
    """In an unencrypted dump a flipped bit changes data that pg_restore takes for good."""
    (tmp_path / "disk").mkdir()
    plain = replace(
        kept.backup.config, recipients=(), project=False, verify=False, state=str(tmp_path / "state"),
        stores=(config.StoreConfig("disk", str(tmp_path / "disk")),),
    )  # fmt: skip
    backup = Backup(plain, str(kept.ground.root / "opt"))
    made = backup.run().manifest
    store = LocalStore(str(tmp_path / "disk"))
    raw = store.get(made.key).data
    name = "postgres-db-jarvis"
    path = tmp_path / "disk" / made.item(name).objects[0].key
    good = path.read_bytes()
    chance = random.Random(1)
    for _ in range(100):
        at, bit = chance.randrange(len(good)), chance.randrange(8)
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
        # Without programs: by its bytes alone.
        found = verify_set(store, made, raw, "", lambda client: None, 0.0, [name])
        assert not found.good
    globals_ = (tmp_path / "disk" / made.item("globals-db").objects[0].key).read_bytes()
    done = subprocess.run(["zstd", "-dc"], input=globals_, capture_output=True, check=True)
    # In the clear no hashes of passwords.
    assert b"SCRAM-SHA-256" not in done.stdout and b"CREATE ROLE" in done.stdout


def test_a_restore_of_damaged_bytes_changes_nothing(spoil: Kept):
    path = spoil.dir / "path-uploads.000"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    before = sorted(one.name for one in spoil.ground.root.iterdir())
    done = spoil.ground.do("restore", "--item", "path-uploads", "--in-place")
    assert done.rc == 1 and "sha256 differs" in done.err
    assert sorted(one.name for one in spoil.ground.root.iterdir()) == before


def test_manifests_missing_forged_and_of_mixed_runs(spoil: Kept):
    ground = spoil.ground
    other = spoil.backup.run().manifest
    name = "path-uploads.000"
    shutil.copy(spoil.path / layout.set_prefix("app", other.id) / name, spoil.dir / name)
    assert spoil.problems("path-uploads")
    body = json.loads(spoil.raw)
    body["items"] = body["items"][:1]
    (spoil.dir / "manifest.json").write_text(json.dumps(body))
    states = {one["id"]: one["state"] for one in ground.sets()}
    assert states == {spoil.manifest.id: "damaged", other.id: "verified"}
    done = ground.do("restore", "--set", spoil.manifest.id, "--item", "project", "--as", "/tmp/nowhere")
    assert done.rc == 1 and "does not have its own digest" in done.err
    # With a key a manifest cannot be made by who only can write to the store.
    body["digest"] = digest(body, b"")
    with pytest.raises(BackupError):
        from_json(json.dumps(body).encode(), "app", spoil.manifest.id, b"key")
    (spoil.dir / "manifest.json").unlink()
    assert [one["id"] for one in ground.sets()] == [other.id]
    shutil.rmtree(spoil.path / layout.set_prefix("app", other.id))


WRITER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
db.execute("CREATE TABLE IF NOT EXISTS pair (id INTEGER PRIMARY KEY, a INT, b INT, pad TEXT)")
print("ready", flush=True)
n = 0
while True:
    n += 1
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO pair (a, b, pad) VALUES (?, 0, ?)", (n, "x" * 500))
    db.execute("UPDATE pair SET b = a WHERE id = last_insert_rowid()")
    db.execute("COMMIT")
    time.sleep(0.001)
"""


def rows(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as db:
        return db.execute("SELECT count(*) FROM pair").fetchone()[0]


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_sqlite_under_writes(kept: Kept, tmp_path: Path, mode: str):
    path = tmp_path / "busy.sqlite3"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), mode], stdout=subprocess.PIPE)
    maker = backup_jobs.Maker(kept.backup.config, kept.backup.containers, "", str(tmp_path / "scratch"))
    try:
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        counts = []
        for _ in range(25):
            with maker._sqlite_copy(str(path)) as stream:
                copy = stream.producer.argv[-1]
                with contextlib.closing(sqlite3.connect(copy)) as db:
                    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                    assert db.execute("SELECT count(*) FROM pair WHERE a <> b").fetchone() == (0,)
                    counts.append(db.execute("SELECT count(*) FROM pair").fetchone()[0])
            assert not os.path.exists(copy)
            # Without write-ahead log the writer waits for readers: it must get its turn before the next.
            wait_for("the writer", lambda: rows(path) > counts[-1], 20)
        assert counts == sorted(counts) and counts[-1] > counts[0]
    finally:
        writer.kill()
        writer.wait()


def test_a_damaged_sqlite_file_is_no_backup(kept: Kept, tmp_path: Path):
    path = tmp_path / "bad.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (?)", [("y" * 900,)] * 200)
        db.commit()
    raw = bytearray(path.read_bytes())
    raw[5 * 4096 : 6 * 4096] = os.urandom(4096)
    path.write_bytes(raw)
    maker = backup_jobs.Maker(kept.backup.config, kept.backup.containers, "", str(tmp_path / "scratch"))
    with pytest.raises(BackupError, match="damaged"), maker._sqlite_copy(str(path)):
        pass


def test_uploads_that_change_while_they_are_read(kept: Kept, tmp_path: Path):
    files = tmp_path / "files"
    files.mkdir()
    for number in range(20):
        (files / f"{number}").write_bytes(os.urandom(4_000_000))
    ground = kept.ground
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            for number in range(20):
                with (files / f"{number}").open("ab") as file:
                    file.write(b"more")
            done.wait(0.001)

    thread = threading.Thread(target=change)
    sources, extra = ground.sources, dict(ground.extra)
    ground.sources = [{"kind": "path", "name": "files", "where": str(files)}]
    ground.configure(project=False)
    thread.start()
    try:
        # On a busy machine the writer may not get its turn while tar reads, which takes a moment only.
        for _run in range(5):
            said = ground.good("run")
            if "changed as we read it" in said:
                break
    finally:
        done.set()
        thread.join()
        ground.sources, ground.extra = sources, extra
        ground.configure()
    assert "changed as we read it" in said
    newest = ground.sets()[-1]
    assert newest["state"] == "verified"
    manifest = json.loads((kept.path / f"app/{newest['id']}/manifest.json").read_text())
    assert "changed as we read it" in manifest["items"][0]["warnings"][0]
    for one in ground.sets():
        if one["id"] != kept.manifest.id:
            shutil.rmtree(kept.path / f"app/{one['id']}")


def redis(directory: Path, *args: str) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", "", *args],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(200):
        if ask(port, "PING") == "PONG":
            return process, port
        time.sleep(0.05)
    raise AssertionError("redis-server does not answer")


def ask(port: int, *words: str) -> str:
    env = {**os.environ, "REDISCLI_AUTH": "hunter2"}
    argv = ["redis-cli", "--no-auth-warning", "-p", str(port), *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False).stdout.strip()


@pytest.mark.parametrize("appendonly", ["yes", "no"])
def test_redis_there_and_back(kept: Kept, tmp_path: Path, appendonly: str):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    args = ("--appendonly", appendonly, "--requirepass", "hunter2")
    server, port = redis(first, *args)
    ground = kept.ground
    sources, extra = ground.sources, dict(ground.extra)
    try:
        ask(port, "EVAL", "for i = 1, 5000 do redis.call('SET', 'k' .. i, i) end", "0")
        assert ask(port, "DBSIZE") == "5000"
        (ground.root / "redis-password").write_text("hunter2\n")
        ground.sources = [
            {"kind": "redis", "name": "queue", "port": port, "password_file": str(ground.root / "redis-password")}
        ]
        ground.configure(project=False)
        said = ground.good("run")
        assert "hunter2" not in said
        ground.good("restore", "--set", ground.sets()[-1]["id"], "--item", "redis-queue", "--as",
                    str(tmp_path / "new.rdb"))  # fmt: skip
        # With a wrong password there is no set.
        (ground.root / "redis-password").write_text("wrong")
        count = len(ground.sets())
        assert ground.do("run").rc == 1 and len(ground.sets()) == count
    finally:
        server.kill()
        server.wait()
        ground.sources, ground.extra = sources, extra
        ground.configure()
    checked = subprocess.run(
        ["redis-check-rdb", str(tmp_path / "new.rdb")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0 and "RDB looks OK" in checked.stdout
    restore_files.redis_files(str(second), str(tmp_path / "new.rdb"), os.getuid(), os.getgid(), appendonly == "yes")
    server, port = redis(second, *args)
    try:
        assert ask(port, "DBSIZE") == "5000" and ask(port, "GET", "k77") == "77"
    finally:
        server.kill()
        server.wait()
    shutil.rmtree(kept.path / f"app/{ground.sets()[-1]['id']}")
