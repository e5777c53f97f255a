"""The host of a cluster that pgBackRest keeps is lost: on a bare one it comes back, with its configuration."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pitr_rig import Rig

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes clusters of its own")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig()
    try:
        made.sql("CREATE TABLE named (id bigserial PRIMARY KEY, name text)")
        # What the data need, and nothing in the repository has.
        conf(made, "postgresql.conf").open("a").write("max_connections = 130\nwork_mem = '7MB'\n")
        conf(made, "pg_hba.conf").open("a").write("host app app 10.11.12.13/32 scram-sha-256\n")
        made.restart("restart")
        made.ground.good("setup")
        made.ground.good("run", "--engine", "pgbackrest", "--full")
        made.add("first")
        made.ground.good("run")
        yield made
    finally:
        made.remove()


def conf(rig: Rig, name: str) -> Path:
    return Path("/etc/postgresql", rig.version, rig.name, name)


def lose(rig: Rig) -> None:
    """All that the host had; what is committed is in the archive, which is what a copy at the last moment has."""
    rig.sql("SELECT pg_switch_wal()")
    rig.run("pg_dropcluster", "--stop", rig.version, rig.name)
    rig.conf.unlink()
    (rig.root / "cipher").unlink()


def recover(rig: Rig, *words: str):
    return rig.ground.do("recover", "--identity", str(rig.root / "escrow.age"), *words, timeout=120)


def beside(rig: Rig) -> list[str]:
    return sorted(path.name for path in rig.data.parent.glob(f"{rig.name}.*"))


def test_the_host_is_lost_twice(rig: Rig):
    rig.add("last")
    lose(rig)
    planned = recover(rig, "--plan")
    assert planned.rc == 0 and "comes back" in planned.out and rig.name not in rig.listed()
    refused = rig.ground.do("recover", "--identity", "/nowhere.age")
    assert refused.rc == 1 and "--identity FILE" in refused.err and rig.name not in rig.listed()

    done = recover(rig)
    assert done.rc == 0 and "take a full backup" in done.out, done.said
    assert rig.rows() == ["first", "last"] and beside(rig) == []
    assert rig.sql("SHOW max_connections") == [("130",)] and rig.sql("SHOW work_mem") == [("7MB",)]
    assert "10.11.12.13" in conf(rig, "pg_hba.conf").read_text()
    assert (rig.root / "cipher").stat().st_mode & 0o777 == 0o400
    # It archives already, without a restart, along a new timeline of the same stanza.
    began = rig.sql("SELECT pg_postmaster_start_time()")
    assert "all is as it should be" in rig.ground.good("setup")
    assert rig.sql("SELECT pg_postmaster_start_time()") == began
    again = recover(rig)
    assert again.rc == 0 and "nothing to bring back" in again.out and "take a full backup" in again.out
    assert rig.sql("SELECT pg_postmaster_start_time()") == began

    # Lost before anybody took another backup: the log alone leads over both timelines.
    rig.add("after the first loss")
    lose(rig)
    assert recover(rig).rc == 0
    assert rig.rows() == ["first", "last", "after the first loss"]
    rig.ground.good("run", "--engine", "pgbackrest", "--full")
    settled = recover(rig)
    assert settled.rc == 0 and settled.out.strip() == "pgbackrest: nothing to bring back"
    rig.ground.good("watch")


def test_to_a_moment_and_without_the_old_configuration(rig: Rig):
    time.sleep(1)  # A backup's end is told in whole seconds: no moment within that second is surely behind it.
    wanted = rig.add("wanted")
    rig.add("a mistake")
    lose(rig)
    # A package or a playbook has made an empty one with settings of its own, too low for this log.
    rig.run("pg_createcluster", "--pgoption", "add_include_dir=conf.d", rig.version, rig.name)
    conf(rig, "postgresql.conf").open("a").write("max_connections = 20\n")
    state = recover(rig, "--to-time", wanted)
    assert state.rc == 0, state.said
    assert rig.rows()[-1] == "wanted" and rig.sql("SHOW max_connections") == [("130",)]
    (kept,) = (rig.root / "state").glob("*.conf.before-*")
    assert "max_connections = 20" in (kept / "postgresql.conf").read_text()
    shutil.rmtree(kept)


def test_data_of_somebody_else_are_not_overwritten(rig: Rig):
    kept = rig.rows()
    lose(rig)
    rig.run("pg_createcluster", "--pgoption", "add_include_dir=conf.d", rig.version, rig.name)
    rig.restart("start")
    rig.sql("CREATE TABLE precious AS SELECT 1 AS one")
    refused = recover(rig)
    assert refused.rc == 1 and "relation precious" in refused.err and "--overwrite" in refused.err
    assert rig.sql("SELECT one FROM precious") == [("1",)]
    # Its own settings stay; what the log needs is added.
    done = recover(rig, "--overwrite")
    assert done.rc == 0, done.said
    assert rig.rows() == kept and rig.sql("SHOW max_connections") == [("130",)]
    assert "10.11.12.13" not in conf(rig, "pg_hba.conf").read_text()
    (before,) = beside(rig)
    assert before in done.out and (rig.data.parent / before / "PG_VERSION").exists()
    shutil.rmtree(rig.data.parent / before)
    rig.ground.good("setup")


def test_another_major_version_is_refused(rig: Rig):
    other = str(int(rig.version) + 1)
    rig.ground.configure(sources=[rig.source(cluster=f"{other}/{rig.name}")])
    try:
        done = recover(rig)
        assert done.rc == 1 and f"apt-get install postgresql-{other}" in done.err, done.said
    finally:
        rig.ground.configure(sources=[rig.source()])


def test_an_extension_that_the_host_lacks_is_told(rig: Rig):
    control = Path("/usr/share/postgresql", rig.version, "extension", "pg_trgm.control")
    if not control.exists():
        pytest.fail(f"{control} is not there: postgresql-contrib is a part of every server")
    away = control.with_name("pg_trgm.control.landfall-away")
    rig.sql("CREATE EXTENSION pg_trgm")
    lose(rig)
    control.rename(away)
    try:
        done = recover(rig)
        assert done.rc == 1 and "postgres: pg_trgm" in done.err, done.said
    finally:
        away.rename(control)
    assert recover(rig).rc == 0
