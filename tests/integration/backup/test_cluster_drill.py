"""Drills of a cluster that pgBackRest keeps, by the program itself: beside the original, to the end of its log."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.shell import wait_for

from .ground import Done
from .pitr_rig import Rig

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("pgbackrest") or not shutil.which("pg_createcluster"),
    reason="needs root, and the packages pgbackrest and postgresql-common",
)

RUNGS = ["room", "restore", "log", "checksums", "server", "amcheck", "smoke", "cipher", "deletion", "cleanup"]
SMOKE = [{"query": "SELECT count(*) FROM named WHERE name = 'after the backup'", "expect": 1}]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig()
    try:
        made.restart("stop")
        made.run("runuser", "-u", "postgres", "--", f"/usr/lib/postgresql/{made.version}/bin/pg_checksums", "--enable",
                 "-D", str(made.data))  # fmt: skip
        made.restart("start")
        spaces = made.root / "fast disk"
        spaces.mkdir()
        shutil.chown(spaces, "postgres")
        made.spaces = spaces
        made.sql("CREATE TABLE named (id bigserial PRIMARY KEY, name text)")
        made.sql(f"CREATE TABLESPACE fast LOCATION '{spaces}'")
        made.sql("CREATE TABLE elsewhere (id int PRIMARY KEY) TABLESPACE fast")
        made.sql("INSERT INTO elsewhere SELECT generate_series(1, 1000)")
        # What a copy must not take over.
        made.sql("ALTER SYSTEM SET listen_addresses = '*'")
        made.ground.configure(
            sources=[made.source(drill=SMOKE)], drill={"max_age": "8d"}, pgbackrest_ping_url="", project=False
        )
        made.ground.good("setup")
        made.ground.good("run", "--engine", "pgbackrest", "--full")
        made.ground.good("run")
        made.add("after the backup")
        archived(made)
        yield made
    finally:
        made.remove()


def archived(rig: Rig) -> None:
    """All that was written is in the repository."""
    name = rig.sql("SELECT pg_walfile_name(pg_switch_wal())")[0][0]
    wait_for("the archive", lambda: rig.sql("SELECT last_archived_wal FROM pg_stat_archiver")[0][0] >= name, 30, 0.1)


def drill(rig: Rig, *args: str) -> tuple[Done, dict[str, Any]]:
    done = rig.ground.do("drill", "--json", "--engine", "pgbackrest", *args, timeout=120)
    assert done.out, done.err
    return done, json.loads(done.out)


def scratch(rig: Rig) -> Path:
    return rig.data.with_name(f"landfall-drill-{rig.stack}-postgres-main")


def at_work(rig: Rig) -> list[str]:
    """Servers whose data are a drill's."""
    done = subprocess.run(["pgrep", "-f", f"{scratch(rig)}/"], capture_output=True, text=True, check=False)
    return done.stdout.split()


def left(rig: Rig) -> list[str]:
    """What of a drill is still there."""
    state = rig.root / "state" / rig.stack
    found = [scratch(rig), *state.glob("drill"), *state.glob("drill-cluster-*")]
    return [*(str(path) for path in found if path.exists()), *at_work(rig)]


def metric(rig: Rig, name: str) -> float:
    for line in (rig.root / "backup-drill.prom").read_text().splitlines():
        if line.startswith(f'landfall_backup_{name}{{stack="{rig.stack}",cluster="postgres-main"}}'):
            return float(line.split()[-1])
    raise KeyError(name)


def red(rig: Rig, done: Done, record: dict[str, Any], rung: str, words: str) -> None:
    assert done.rc == 1 and not record["good"], done.said
    assert record["reason"].startswith(f"{rung}: ") and words in record["reason"], record["reason"]
    assert metric(rig, "last_drill_success") == 0
    assert not left(rig)
    assert "postgres-main: the last drill failed" in rig.ground.do("list").err


def test_the_whole_ladder(rig: Rig):
    others = set(rig.listed())
    done, record = drill(rig, "--trigger", "test")
    assert done.rc == 0, done.said
    assert [one["name"] for one in record["rungs"]] == RUNGS
    assert {one["name"] for one in record["rungs"] if one["outcome"] != "passed"} == {"deletion"}, record
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
    # What nobody archived yet would be lost, and is told.
    rig.add("only on the host")
    done, record = drill(rig)
    assert done.rc == 0 and 0 < record["rpo"] < 300, done.said
    # The set is drilled by the same command, and both are in its answer.
    done = rig.ground.do("drill", "--json", timeout=120)
    both = json.loads(done.out)
    assert done.rc == 0 and both["cluster"] == "" and both["others"][0]["good"], done.said
    assert (rig.root / "cipher").read_text().strip() not in done.said


def test_what_the_scratch_server_can_reach(rig: Rig):
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


def test_a_killed_drill_is_swept_and_red(rig: Rig):
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
    rig.ground.configure(sources=[rig.source(drill=SMOKE)])
    done, _record = drill(rig)
    assert done.rc == 0 and metric(rig, "last_drill_success") == 1, done.said


def test_what_fails_is_red(rig: Rig):
    rig.ground.configure(sources=[rig.source(drill={"query": "SELECT 41", "expect": 42, "in": "postgres"})])
    done, record = drill(rig)
    red(rig, done, record, "smoke", "gave '41', not '42'")
    assert record["rto"] is None
    rig.ground.configure(sources=[rig.source(drill={"query": "SELECT 41", "in": "there_is_none"})])
    done, record = drill(rig, "--set", "20200101-000000F")
    red(rig, done, record, "set", "there is no backup 20200101-000000F")
    rig.ground.configure(sources=[rig.source()])
    # Another cipher than the sets have: the repository would be lost with the host.
    cipher = rig.root / "cipher"
    right = cipher.read_text()
    cipher.unlink()
    try:
        cipher.write_text("another\n")
        done, record = drill(rig)
        red(rig, done, record, "cipher", "take a set")
    finally:
        cipher.write_text(right)


def test_a_gap_in_the_archive_is_red(rig: Rig):
    """PostgreSQL takes a missing segment for the end of the log, starts, and says nothing."""
    rig.add("before the gap")
    archived(rig)
    rig.add("in the gap")
    archived(rig)
    rig.add("behind the gap")
    archived(rig)
    segments = sorted(path for path in (rig.repo / "archive").rglob("0000*") if path.is_file() and "-" in path.name)
    away = segments[-2].with_name("away")
    segments[-2].rename(away)
    try:
        done, record = drill(rig)
        red(rig, done, record, "log", "the log ends in segment")
    finally:
        away.rename(segments[-2])
    # A file of the backup that was changed: pgBackRest sees it by its checksum.
    victim = max((rig.repo / "backup").rglob("*F/pg_data/base/*/*"), key=lambda path: path.stat().st_size)
    data = victim.read_bytes()
    victim.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
    try:
        done, record = drill(rig)
        red(rig, done, record, "restore", "pgbackrest restore")
    finally:
        victim.write_bytes(data)
    done, _record = drill(rig)
    assert done.rc == 0, done.said


def test_tablespaces(rig: Rig):
    """Beside: of its own. In place: refused before anything is done."""
    files = sorted(str(path) for path in rig.spaces.rglob("*"))
    began = rig.sql("SELECT pg_postmaster_start_time()")
    for words in ((), ("--plan",)):
        done = rig.ground.do("restore", "--item", "postgres-main", "--in-place", *words)
        assert done.rc == 1 and f"fast in {rig.spaces}" in done.err and "--as NAME" in done.err, done.said
    assert (
        rig.sql("SELECT pg_postmaster_start_time()") == began
    assert not rig.data.with_name(f"{rig.name}.partial").exists()
    )
    place = rig.copy()
    said = rig.ground.good("restore", "--item", "postgres-main", "--as", place)
    own = rig.data.with_name(f"{place}.tablespaces")
    assert f"lie in {own}" in said
    assert rig.sql("SELECT count(*) FROM elsewhere", place) == [("1000",)]
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
