"""A cluster that pgBackRest keeps on S3: drills of it by the program itself, a store that fails, pruning by timer."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.s3 import S3
from lab.shell import wait_for

from .ground import Done
from .pitr_rig import Rig

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes clusters of its own")

RUNGS = ["room", "restore", "log", "checksums", "server", "amcheck", "smoke", "cipher", "deletion", "cleanup"]
SMOKE = [{"query": "SELECT count(*) FROM named WHERE name = 'after the backup'", "expect": 1}]
FAILS = "SELECT coalesce(last_failed_time > last_archived_time, failed_count > 0) FROM pg_stat_archiver"


class Wire:
    """A port that leads to another one, until it is cut."""

    def __init__(self, port: int) -> None:
        self._to, self.cut = port, False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _address = self._listener.accept()
                if self.cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        self._shut(one, other)

    @staticmethod
    def _shut(*sockets: socket.socket) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Nobody comes through for a while."""
        self.cut = True
        self._shut(*self._open)
        try:
            yield
        finally:
            self.cut = False

    def close(self) -> None:
        self._shut(*self._open)
        self._listener.close()


class Kept(Rig):
    """The rig on S3. :ivar wire: on the way to the store; ``asked``: what the dead-man's switch heard"""

    def __init__(self) -> None:
        super().__init__("--data-checksums")
        self.s3 = S3(tls=True)
        self.bucket = self.s3.bucket("kept")
        host, _colon, port = self.s3.tls_url.rpartition(":")
        self.wire = Wire(int(port))
        self.asked: list[str] = []
        self._switch = self._listen()
        self.ours()
        (self.root / "writer.json").write_text('{"access_key": "writer-key", "secret_key": "writer-secret"}')
        self.ground.configure(
            stores=[{"name": "main", "bucket": self.bucket, "endpoint": f"{host}:{self.wire.port}", "path_style": True,
                     "ca_file": str(self.s3.ca), "credentials_file": str(self.root / "writer.json"),
                     "delete_credentials_file": str(self.root / "deleting.json")}],
            drill={"max_age": "8d"},
            pgbackrest_ping_url=f"http://127.0.0.1:{self._switch.server_address[1]}/kept",
        )  # fmt: skip

    def ours(self) -> None:
        """The rights of the credential that uploads: docs/backups.md."""
        at = f"{self.stack}.pgbackrest"
        self.s3.keep(self.bucket, f"{self.stack}/*", f"{at}/archive/*", f"{at}/backup/*/2*")

    def deny(self) -> None:
        """The credential that uploads may do nothing any more."""
        statement = {
            "Effect": "Deny",
            "Principal": {"AWS": "arn:aws:iam::000000000000:user/writer"},
            "Action": ["s3:*"],
            "Resource": [f"arn:aws:s3:::{self.bucket}", f"arn:aws:s3:::{self.bucket}/*"],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.s3.client().put_bucket_policy(Bucket=self.bucket, Policy=policy)

    def _listen(self) -> http.server.HTTPServer:
        asked = self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def objects(self, part: str) -> list[tuple[str, int]]:
        """Keys below a part of the repository, with their sizes."""
        found = self.s3.client().list_objects_v2(Bucket=self.bucket, Prefix=f"{self.stack}.pgbackrest/{part}")
        return [(one["Key"], one["Size"]) for one in found.get("Contents", ())]

    @contextlib.contextmanager
    def changed(self, key: str, data: bytes | None) -> Iterator[None]:
        """An object with other bytes, or without it, for a while."""
        client = self.s3.client()
        was = client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        if data is None:
            client.delete_object(Bucket=self.bucket, Key=key)
        else:
            client.put_object(Bucket=self.bucket, Key=key, Body=data)
        try:
            yield
        finally:
            client.put_object(Bucket=self.bucket, Key=key, Body=was)

    def archived(self) -> str:
        """All that was written is in the repository: its last segment."""
        name: str = self.sql("SELECT pg_walfile_name(pg_switch_wal())")[0][0]
        wait_for(
            "the archive", lambda: self.sql("SELECT last_archived_wal FROM pg_stat_archiver")[0][0] >= name, 60, 0.1
        )
        return name

    def remove(self) -> None:
        super().remove()
        self.wire.close()
        self._switch.shutdown()
        self._switch.server_close()
        self.s3.remove()


@pytest.fixture(scope="module")
def rig() -> Iterator[Kept]:
    made = Kept()
    try:
        made.spaces.mkdir()
        shutil.chown(made.spaces, "postgres")
        made.sql("CREATE TABLE named (id bigserial PRIMARY KEY, name text)")
        made.sql(f"CREATE TABLESPACE fast LOCATION '{made.spaces}'")
        made.sql("CREATE TABLE elsewhere (id int PRIMARY KEY) TABLESPACE fast")
        made.sql("INSERT INTO elsewhere SELECT generate_series(1, 1000)")
        # What a copy must not take over.
        made.sql("ALTER SYSTEM SET listen_addresses = '*'")
        made.ground.configure(sources=[made.source(drill=SMOKE)])
        made.ground.good("setup")
        # It would go on asking for a minute before it says that nobody is there, or that a file is damaged.
        made.conf.write_text(made.conf.read_text().replace("[global]", "[global]\nio-timeout=1\njob-retry=0"))
        made.ground.good("run", "--engine", "pgbackrest", "--full")
        assert made.asked == ["/kept"]
        made.ground.good("run")
        made.add("after the backup")
        made.archived()
        yield made
    finally:
        made.remove()


def drill(rig: Kept, *args: str) -> tuple[Done, dict[str, Any]]:
    done = rig.ground.do("drill", "--json", "--engine", "pgbackrest", *args, timeout=120)
    assert done.out, done.err
    return done, json.loads(done.out)


def scratch(rig: Kept) -> Path:
    return rig.data.with_name(f"landfall-drill-{rig.stack}-postgres-main")


def at_work(rig: Kept) -> list[str]:
    """Servers whose data are a drill's."""
    done = subprocess.run(["pgrep", "-f", f"{scratch(rig)}/"], capture_output=True, text=True, check=False)
    return done.stdout.split()


def left(rig: Kept) -> list[str]:
    """What of a drill is still there."""
    state = rig.root / "state" / rig.stack
    found = [scratch(rig), *state.glob("drill"), *state.glob("drill-cluster-*")]
    return [*(str(path) for path in found if path.exists()), *at_work(rig)]


def metric(rig: Kept, name: str) -> float:
    for line in (rig.root / "backup-drill.prom").read_text().splitlines():
        if line.startswith(f'landfall_backup_{name}{{stack="{rig.stack}",cluster="postgres-main"}}'):
            return float(line.split()[-1])
    raise KeyError(name)


def red(rig: Kept, done: Done, record: dict[str, Any], rung: str, words: str) -> None:
    assert done.rc == 1 and not record["good"], done.said
    assert record["reason"].startswith(f"{rung}: ") and words in record["reason"], record["reason"]
    assert metric(rig, "last_drill_success") == 0
    assert not left(rig)
    assert "postgres-main: the last drill failed" in rig.ground.do("list").err


def test_the_whole_ladder(rig: Kept):
    others = set(rig.listed())
    # The set is drilled by the same command.
    done = rig.ground.do("drill", "--json", "--trigger", "test", timeout=120)
    both = json.loads(done.out)
    (record,) = both["others"]
    assert done.rc == 0 and both["good"] and both["cluster"] == "", done.said
    assert [one["name"] for one in record["rungs"]] == RUNGS
    assert {one["outcome"] for one in record["rungs"]} == {"passed"}, record
    found = {one["name"]: one["detail"] for one in record["rungs"]}
    assert "without a network" in found["server"] and "postgres: " in found["amcheck"] and "pages" in found["checksums"]
    assert record["cluster"] == "postgres-main" and record["set"] == rig.labels()[0]
    # Nothing was written since all of it was archived.
    assert record["rpo"] == 0 and 0 < record["rto"] < 60
    assert metric(rig, "last_drill_success") == 1 and metric(rig, "last_good_drill_rto_seconds") > 0
    assert not left(rig) and set(rig.listed()) == others
    assert rig.entries()[0]["drill"]["good"]
    page = (rig.root / "state" / rig.stack / "history.html").read_text()
    assert "postgres-main, backup" in page and "rung by rung" in page
    assert (rig.root / "cipher").read_text().strip() not in done.said


def test_what_the_scratch_server_can_reach(rig: Kept):
    """It listens to one socket of root's and its own, has no network, archives nothing; a backup goes on beside it."""
    rig.ground.configure(sources=[rig.source(drill=[*SMOKE, {"query": "SELECT pg_sleep(4) IS NOT NULL"}])])
    process = rig.ground.start("drill", "--engine", "pgbackrest")
    log = scratch(rig) / "log"
    try:
        # The second start is the one that is asked.
        wait_for("the server", lambda: log.exists() and log.read_text().count("ready to accept") == 2, 40, 0.05)
        pid = (scratch(rig) / "data" / "postmaster.pid").read_text().split("\n")[0]
        links = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in links] == ["lo"]
        assert not [line for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:] if " 0A " in line]
        assert (scratch(rig) / "data" / "postgresql.auto.conf").read_text() == ""
        assert scratch(rig).stat().st_mode & 0o077 == 0
        assert "archive_mode = 'off'" in (scratch(rig) / "data" / "postgresql.conf").read_text()
        rig.ground.good("run", "--engine", "pgbackrest")
    finally:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and not left(rig), out + err
    assert rig.sql("SELECT count(*) FROM elsewhere") == [("1000",)]


def test_a_killed_drill_is_swept_and_red(rig: Kept):
    process = rig.ground.start("drill", "--engine", "pgbackrest")
    wait_for("the scratch server", lambda: (scratch(rig) / "data" / "postmaster.pid").exists(), 40, 0.02)
    other = rig.ground.do("drill", "--engine", "pgbackrest")
    assert other.rc == 3 and "being worked on" in other.err
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert scratch(rig).exists(), "what a killed one leaves"
    said = rig.ground.good("drill", "--sweep")
    assert "a killed drill had left" in said and not left(rig)
    assert metric(rig, "last_drill_success") == 0


def test_what_fails_is_red(rig: Kept):
    # What nobody archived yet would be lost, and is told.
    rig.add("only on the host")
    cipher = rig.root / "cipher"
    right = cipher.read_text()
    cipher.unlink()
    # Another cipher than the sets have: the repository would be lost with the host.
    cipher.write_text("another\n")
    rig.ground.configure(sources=[rig.source(drill={"query": "SELECT 41", "expect": 42, "in": "postgres"})])
    try:
        done, record = drill(rig)
    finally:
        cipher.write_text(right)
    red(rig, done, record, "smoke", "gave '41', not '42'")
    assert record["rto"] is None and 0 < record["rpo"] < 300
    found = {one["name"]: one for one in record["rungs"]}
    assert found["cipher"]["outcome"] == "failed" and "take a set" in found["cipher"]["detail"]
    assert found["deletion"]["outcome"] == found["cleanup"]["outcome"] == "passed"
    rig.ground.configure(sources=[rig.source(drill=SMOKE)])
    done, record = drill(rig, "--set", "20200101-000000F")
    red(rig, done, record, "set", "there is no backup 20200101-000000F")


def test_a_gap_in_the_archive_and_damage_are_red(rig: Kept):
    """PostgreSQL takes a missing segment for the end of the log, starts, and says nothing."""
    rig.add("in the gap")
    lost = rig.archived()
    rig.add("behind the gap")
    rig.archived()
    (key,) = [key for key, _size in rig.objects("archive") if lost in key]
    with rig.changed(key, None):
        done, record = drill(rig)
        red(rig, done, record, "log", "the log ends in segment")
    key, size = max(rig.objects("backup"), key=lambda one: one[1] * ("/pg_data/base/" in one[0]))
    with rig.changed(key, os.urandom(size)):
        done, record = drill(rig)
        red(rig, done, record, "restore", "pgbackrest restore")


def fails(rig: Kept) -> None:
    """Archiving has been seen to fail, and everybody is told."""
    rig.sql("SELECT pg_switch_wal()")
    wait_for("a failure", lambda: rig.sql(FAILS) == [("t",)], 60, 0.1)
    done = rig.ground.do("run", "--engine", "pgbackrest")
    assert done.rc == 1 and "landfall backup run: postgres-main: " in done.err, done.said
    assert rig.asked[-1] == "/kept/fail"
    done = rig.ground.do("watch")
    assert done.rc == 1 and "archiving fails" in done.err and "the last backup failed" in done.err, done.said
    assert rig.metric("archive_success") == 0 and rig.metric("archive_waiting_segments") >= 1


def well_again(rig: Kept) -> None:
    rig.add("when it was back")
    rig.archived()
    rig.ground.good("run", "--engine", "pgbackrest")
    assert rig.asked[-1] == "/kept" and rig.metric("archive_success") == 1


def test_the_store_goes_down_while_the_archive_runs(rig: Kept):
    with rig.wire.down():
        rig.add("while it was down")
        fails(rig)
    well_again(rig)


def test_the_right_to_the_store_is_revoked(rig: Kept):
    older = rig.labels()
    rig.deny()
    try:
        rig.add("while it was denied")
        fails(rig)
        done, record = drill(rig)
        assert done.rc == 1 and record["reason"].startswith("set: "), done.said
        assert "403" in done.said or "AccessDenied" in done.said
    finally:
        rig.ours()
    well_again(rig)
    assert rig.labels()[1:] == older


def test_the_oldest_backup_with_tablespaces(rig: Kept):
    """Beside: of its own, and nothing of what the store did not take at first is lost. In place: refused at once."""
    files = sorted(str(path) for path in rig.spaces.rglob("*"))
    began = rig.sql("SELECT pg_postmaster_start_time()")
    done = rig.ground.do("restore", "--item", "postgres-main", "--in-place")
    assert done.rc == 1 and f"fast in {rig.spaces}" in done.err and "--as NAME" in done.err, done.said
    assert rig.sql("SELECT pg_postmaster_start_time()") == began
    assert not rig.data.with_name(f"{rig.name}.partial").exists()
    place = rig.copy()
    said = rig.ground.good("restore", "--item", "postgres-main", "--as", place, "--set", rig.labels()[-1])
    own = rig.data.with_name(f"{place}.tablespaces")
    assert f"lie in {own}" in said
    assert rig.sql("SELECT count(*) FROM elsewhere", place) == [("1000",)]
    assert rig.rows(place) == rig.rows() and {"while it was down", "while it was denied"} <= set(rig.rows(place))
    assert rig.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast'", place) == [
        (f"{own}/fast",)
    ]
    rig.sql("DELETE FROM elsewhere", place)
    rig.sql("CHECKPOINT", place)
    assert rig.sql("SELECT count(*) FROM elsewhere") == [("1000",)]
    assert sorted(str(path) for path in rig.spaces.rglob("*")) == files
    rig.run("pg_dropcluster", "--stop", rig.version, place)
    done = rig.ground.do("restore", "--item", "postgres-main", "--as", place)
    assert done.rc == 1 and "remove it" in done.err, done.said


def test_pruning_after_a_backup(rig: Kept):
    """With the credential for deletion, and after good backups alone."""
    before = rig.labels()
    rig.ground.configure(prune=True, sources=[rig.source(keep_full=1)])
    rig.ground.good("setup")
    away = rig.root / "away.json"
    (rig.root / "deleting.json").rename(away)
    done = rig.ground.do("run", "--engine", "pgbackrest", "--full")
    assert done.rc == 1 and "no credential for deletion" in done.err and rig.asked[-1] == "/kept/fail", done.said
    away.rename(rig.root / "deleting.json")
    said = rig.ground.good("run", "--engine", "pgbackrest")
    assert before[-1] in said and rig.asked[-1] == "/kept"
    assert [one["type"] for one in rig.entries()] == ["incr", "full"]
