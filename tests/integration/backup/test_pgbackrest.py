"""pgBackRest keeps a cluster: points in time, the archive's lag, restores beside and in place."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator

import pytest

from lab.s3 import S3

from .fault_proxy import Proxy
from .pitr_rig import Rig

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes clusters of its own")


FAILS = "SELECT coalesce(last_failed_time > last_archived_time, failed_count > 0) FROM pg_stat_archiver"


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig()
    try:
        made.sql("CREATE TABLE named (id bigserial PRIMARY KEY, name text)")
        planned = made.ground.good("setup", "--plan")
        assert "restarted once" in planned and not made.conf.exists() and not (made.root / "cipher").exists()
        said = made.ground.good("setup")
        assert "restarted once" in said and (made.root / "cipher").read_text().strip() not in said
        made.add("first")
        made.ground.good("run", "--engine", "pgbackrest", "--full")
        # The set has what opens the repository.
        made.ground.good("run")
        made.ground.good("restore", "--item", "pgbackrest-key", "--to-file", str(made.root / "again"))
        assert (made.root / "again").read_text() == (made.root / "cipher").read_text()
        yield made
    finally:
        made.remove()


def test_the_set_up_is_done_once(rig: Rig):
    began = rig.sql("SELECT pg_postmaster_start_time()")
    assert "all is as it should be" in rig.ground.good("setup")
    assert rig.sql("SELECT pg_postmaster_start_time()") == began
    facts = rig.conf.stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_uid) == (0o640, 0)
    assert stat.S_IMODE((rig.root / "cipher").stat().st_mode) == 0o400
    assert rig.sql("SHOW archive_timeout") == [("5min",)]
    # A lost setting comes back, without a restart.
    rig.ground.configure(sources=[rig.source(archive_timeout="60s")])
    assert "archive_timeout" in rig.ground.good("setup")
    assert rig.sql("SHOW archive_timeout") == [("1min",)]
    rig.ground.configure(sources=[rig.source()])
    rig.ground.good("setup")
    assert rig.sql("SELECT pg_postmaster_start_time()") == began


def test_just_before_and_just_after_a_row(rig: Rig):
    before = rig.add("before the marker")
    rig.add("marker")
    after = rig.now()
    rig.sql("DELETE FROM named WHERE name <> 'marker'")
    live = rig.rows()
    earlier, later = rig.copy(), rig.copy()
    rig.ground.good("restore", "--item", "postgres-main", "--to-time", before, "--as", earlier)
    rig.ground.good("restore", "--item", "postgres-main", "--to-time", after, "--as", later)
    assert rig.rows(earlier)[-1] == "before the marker" and rig.rows(earlier)[0] == "first"
    assert rig.rows(later) == [*rig.rows(earlier), "marker"]
    assert rig.rows() == live
    # A copy never writes into the original's archive.
    assert rig.sql("SHOW archive_mode", earlier) == [("off",)]
    segments = sorted(path.name for path in rig.repo.rglob("0000*") if path.is_file())
    rig.sql("CREATE TABLE more AS SELECT generate_series(1, 1000)", earlier)
    rig.sql("SELECT pg_switch_wal()", earlier)
    time.sleep(1)
    mine = sorted(path.name for path in rig.repo.rglob("0000*") if path.is_file())
    assert [one for one in mine if one.startswith("00000002")] == [] and mine[: len(segments)] == segments
    done = rig.ground.do("restore", "--item", "postgres-main", "--to-time", after, "--as", later)
    assert done.rc == 1 and "choose another name" in done.err


def test_what_is_no_point_in_time_is_refused(rig: Rig):
    for words, why in (
        (("--to-time", "2026-01-01 03:00:00", "--as", "x"), "offset from UTC"),
        (("--to-time", "2020-01-01 03:00:00Z", "--as", "x"), "no whole backup ended before"),
        (("--to-time", "2999-01-01 03:00:00Z", "--as", "x"), "in the future"),
        (
            (
                "--to-time",
                rig.now(),
            ),
            "--in-place",
        ),
        (("--to-time", rig.now(), "--as", "../x"), "no name for a cluster"),
        (("--item", "postgres-main", "--set", "20200101-000000F", "--as", "x"), "there is no backup"),
        (("--item", "postgres-main", "--item", "other", "--as", "x"), "which cluster"),
    ):
        done = rig.ground.do("restore", *words)
        assert done.rc == 1 and why in done.err, done.said


def test_an_archive_that_breaks_is_an_alarm(rig: Rig):
    rig.ground.good("watch")
    assert rig.metric("archive_success") == 1 and rig.metric("archive_lag_seconds") <= 300
    before = rig.labels()
    away = rig.repo.with_name("away")
    rig.repo.rename(away)
    try:
        rig.sql("SELECT pg_current_xact_id()")
        rig.sql("SELECT pg_switch_wal()")
        rig.ground.wait("a failure", lambda: rig.sql(FAILS) == [("t",)], 60)
        done = rig.ground.do("watch")
        assert done.rc == 1 and "archiving fails" in done.err
        assert rig.metric("archive_success") == 0 and rig.metric("archive_waiting_segments") >= 1
        assert rig.ground.do("list").rc == 1
        done = rig.ground.do("run", "--engine", "pgbackrest")
        assert done.rc == 1 and rig.ground.do("verify").rc == 1
    finally:
        shutil.rmtree(rig.repo, ignore_errors=True)
        away.rename(rig.repo)
    assert rig.labels() == before
    rig.sql("SELECT pg_switch_wal()")
    rig.ground.wait(
        "the archive",
        lambda: rig.sql(FAILS) == [("f",)],
        90,
    )
    assert "the last backup failed" in rig.ground.do("watch").err
    rig.ground.good("run", "--engine", "pgbackrest")
    assert "the last verification failed" in rig.ground.do("watch").err
    rig.ground.good("verify")
    rig.ground.good("list")
    assert rig.entries()[0]["type"] == "incr"


def test_a_wrong_cipher_is_refused(rig: Rig):
    cipher = rig.root / "cipher"
    right, was = cipher.read_text(), rig.rows()
    place = rig.copy()
    try:
        cipher.chmod(0o600)
        cipher.write_text("another one, which opens nothing\n")
        for words in (("--as", place), ("--in-place",)):
            done = rig.ground.do("restore", "--item", "postgres-main", *words)
            assert done.rc == 1 and "the cipher does not open" in done.err, done.said
        assert rig.ground.do("setup").rc == 1
        assert place not in rig.listed() and rig.rows() == was
        cipher.unlink()
        done = rig.ground.do("setup")
        assert done.rc == 1 and "--item pgbackrest-key" in done.err and not cipher.exists()
    finally:
        cipher.write_text(right)
        cipher.chmod(0o400)
        rig.ground.good("setup")


def test_no_room(rig: Rig):
    place = rig.copy()
    partial = rig.data.with_name(f"{place}.partial")
    partial.mkdir()
    rig.run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(partial))
    try:
        done = rig.ground.do("restore", "--item", "postgres-main", "--as", place)
        assert done.rc == 1 and "no room" in done.err and list(partial.iterdir()) == []
    finally:
        rig.run("umount", str(partial))
        partial.rmdir()
    assert place not in rig.listed()


def before_dirs(rig: Rig) -> list[str]:
    return sorted(path.name for path in rig.data.parent.glob(f"{rig.name}.before-*"))


def test_in_place_keeps_what_was_there(rig: Rig):
    wanted = rig.add("wanted")
    rig.add("a mistake")
    kept = before_dirs(rig)
    # A target behind the end of the log cannot be reached: all stays.
    rig.restart("stop")
    time.sleep(1)  # A time of whole seconds, all of it after the last row.
    done = rig.ground.do("restore", "--item", "postgres-main", "--to-time", rig_time(), "--in-place")
    assert done.rc == 1 and "as it was before" in done.err, done.said
    rig.restart("start")
    assert rig.rows()[-1] == "a mistake" and before_dirs(rig) == kept
    said = rig.ground.good("restore", "--item", "postgres-main", "--to-time", wanted, "--in-place")
    assert rig.rows()[-1] == "wanted"
    (old,) = set(before_dirs(rig)) - set(kept)
    assert old in said and (rig.data.parent / old / "PG_VERSION").exists()
    # It archives on, along its new timeline.
    rig.ground.good("run", "--engine", "pgbackrest", "--full")
    rig.ground.good("watch")
    shutil.rmtree(rig.data.parent / old)


def rig_time() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())


@pytest.mark.parametrize("moment", ["fetch", "swap"])
def test_a_killed_restore_in_place(rig: Rig, moment: str):
    wanted = rig.add(f"kept {moment}")
    rig.add("too much")
    rig.sql("SELECT pg_switch_wal()")
    kept = before_dirs(rig)
    partial = rig.data.with_name(f"{rig.name}.partial")
    process = rig.ground.start("restore", "--item", "postgres-main", "--to-time", wanted, "--in-place")
    seen = (lambda: (partial / "global").exists()) if moment == "fetch" else (lambda: before_dirs(rig) != kept)
    until = time.monotonic() + 60
    while not seen() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    if moment == "fetch":
        assert rig.rows()[-1] == "too much" and before_dirs(rig) == kept
    rig.ground.good("resume")
    last = rig.rows()[-1]
    assert last in ("too much", f"kept {moment}")
    assert (last == "too much") == (before_dirs(rig) == kept)
    if last == "too much":
        rig.ground.good("restore", "--item", "postgres-main", "--to-time", wanted, "--in-place")
    assert rig.rows()[-1] == f"kept {moment}" and not partial.exists()
    for name in set(before_dirs(rig)) - set(kept):
        shutil.rmtree(rig.data.parent / name)


def test_damage_is_found_and_old_backups_go(rig: Rig):
    rig.ground.good("run", "--engine", "pgbackrest", "--full")
    newest = rig.labels()[0]
    assert rig.ground.do("verify").rc == 0 and rig.entries()[0]["state"] == "verified"
    victim = max((rig.repo / "backup").rglob(f"{newest}/pg_data/base/*/*"), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    done = rig.ground.do("verify")
    assert done.rc == 1 and newest in done.said
    assert rig.entries()[0]["state"] == "damaged" and rig.ground.do("watch").rc == 1
    planned = rig.ground.good("restore", "--item", "postgres-main", "--as", "other", "--plan")
    assert newest not in planned
    rig.ground.good("run", "--engine", "pgbackrest", "--full")
    rig.ground.configure(sources=[rig.source(keep_full=1)])
    rig.ground.good("setup")
    there = rig.labels()
    assert "goes" in rig.ground.good("prune", "--plan") and rig.labels() == there
    assert newest in rig.ground.good("prune")
    assert rig.labels() == there[:1]
    assert rig.ground.do("verify").rc == 0
    rig.ground.good("watch")
    rig.ground.configure(sources=[rig.source()])
    rig.ground.good("setup")


def test_on_s3(rig: Rig):
    """HTTPS with an authority of its own, path style, a prefix, a writer that may delete no backup."""
    s3 = S3(tls=True)
    local = rig.ground.extra["stores"]
    try:
        bucket = s3.bucket("pitr")
        # pgBackRest replaces one name by deleting it first.
        s3.keep(bucket, f"deep/er/{rig.stack}.pgbackrest/archive/*", f"deep/er/{rig.stack}.pgbackrest/backup/*/2*")
        (rig.root / "writer.json").write_text('{"access_key": "writer-key", "secret_key": "writer-secret"}')
        store = {"name": "main", "bucket": bucket, "prefix": "deep/er", "endpoint": s3.tls_url, "path_style": True,
                 "ca_file": str(s3.ca), "credentials_file": str(rig.root / "writer.json")}  # fmt: skip
        rig.ground.configure(stores=[{**store, "endpoint": s3.url}])
        done = rig.ground.do("setup")
        assert done.rc == 1 and "HTTPS only" in done.err
        rig.ground.configure(stores=[store])
        rig.ground.good("setup")
        rig.ground.good("run", "--engine", "pgbackrest")
        time.sleep(1)  # A backup's end is told in whole seconds: no moment within that second is surely behind it.
        moment = rig.add("on S3")
        rig.ground.good("run", "--engine", "pgbackrest")
        rig.add("behind it")
        assert [one["type"] for one in rig.entries()] == ["incr", "full"]
        place = rig.copy()
        rig.ground.good("restore", "--item", "postgres-main", "--to-time", moment, "--as", place)
        assert rig.rows(place)[-1] == "on S3"
        keys = [one["Key"] for one in s3.client().list_objects_v2(Bucket=bucket)["Contents"]]
        assert keys and all(key.startswith(f"deep/er/{rig.stack}.pgbackrest/") for key in keys)
        # SeaweedFS has no KMS: what pgBackRest asks for is seen on the wire, and the refusal is the proxy's.
        proxy = Proxy(s3.port, tls=(str(s3.ca), str(s3.key)))
        proxy.rule = lambda seen: "403:AccessDenied" if seen.kind == "put" else None
        there = proxy.url.replace("127.0.0.1", "localhost")
        rig.ground.configure(
            stores=[{**store, "prefix": "kms", "endpoint": there, "sse": "aws:kms", "kms_key": "alias/backups"}]
        )
        done = rig.ground.do("setup")
        assert done.rc == 1 and "403 (Forbidden)" in done.err, done.said
        assert {one.sse for one in proxy.seen if one.kind == "put"} == {("aws:kms", "alias/backups")}
        proxy.close()
    finally:
        rig.ground.configure(stores=local)
        rig.ground.do("setup")
        s3.remove()


def test_two_at_once(rig: Rig):
    """A backup by hand beside the timer's: one of them is taken, whichever came first, and the other ends with 3."""
    first = rig.ground.start("run", "--engine", "pgbackrest", "--full")
    second = rig.ground.do("run", "--engine", "pgbackrest", "--full")
    first.communicate()
    assert sorted((first.returncode, second.rc)) == [0, 3], second.said
