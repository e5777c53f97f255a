"""What goes wrong with backups, done to them: each time the exit code is not 0, the metric says so, no new set appears,
and the set before is still there, verified."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup.config import S3Config
from ansible_collections.landfall.stack.plugins.module_utils.backup.lease import Busy, Lease, Lost
from ansible_collections.landfall.stack.plugins.module_utils.clients import backup_lock
from ansible_collections.landfall.stack.plugins.module_utils.clients.store_s3 import S3Store

from .ground import Ground

BIN = Path("/usr/lib/postgresql")
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def standing(tmp_path_factory, cluster, s3, _proxy, database) -> Ground:
    """One good set of a database alone; every test leaves it as it was."""
    config = S3Config(
        bucket=s3.bucket("faults"), prefix="backups", endpoint=_proxy.url, path_style=True,
        access_key="writer-key", secret_key="writer-secret",
        delete_access_key="admin-key", delete_secret_key="admin-secret",
    )  # fmt: skip
    made = Ground(tmp_path_factory.mktemp("standing"), cluster, config, database)
    made.sources = [made.postgres_source()]
    made.configure(project=False)
    made.good("run")
    made.first = made.sets()[0]["id"]  # type: ignore[attr-defined]
    return made


@pytest.fixture
def ground(standing: Ground, proxy, cluster) -> Iterator[Ground]:
    before = (list(standing.sources), dict(standing.extra), standing.s3)
    yield standing
    proxy.reset()
    standing.sources, standing.extra, standing.s3 = before
    standing.configure()


def fails(ground: Ground, *words: str, rc: int = 1, path: str = "", timeout: float = 60) -> str:
    """A run that must fail, and leave all as it was."""
    store = S3Store(replace(ground.s3, endpoint=_straight(ground)))
    before = [entry.key for entry in store.list("app/") if entry.key.endswith(".json")]
    done = ground.do("run", path=path, timeout=timeout)
    assert done.rc == rc, done.said
    for word in words:
        assert word in done.err, done.err
    after = [entry.key for entry in store.list("app/") if entry.key.endswith(".json")]
    assert after == before
    assert list(store.orphans("app/")) == []
    assert ground.metric("last_run_success") == 0
    assert ground.metric("last_verified_timestamp_seconds") > 0
    return done.err


def _straight(ground: Ground) -> str:
    return ground.straight if hasattr(ground, "straight") else ground.s3.endpoint


@pytest.fixture(autouse=True)
def _direct(standing: Ground, s3) -> None:
    standing.straight = s3.url  # type: ignore[attr-defined]


def programs(ground: Ground, **scripts: str) -> str:
    """A directory with the server's programs, some of them replaced by scripts; $REAL is the real one."""
    where = ground.root / f"bin{next(_NUMBERS)}"
    where.mkdir()
    real = ground.cluster.bin
    for name in ("psql", "pg_dump", "pg_dumpall", "pg_restore"):
        if name in scripts:
            file = where / name
            file.write_text(f"#!/bin/bash\nREAL={real / name}\n{scripts[name]}\n")
            file.chmod(file.stat().st_mode | stat.S_IXUSR)
        else:
            (where / name).symlink_to(real / name)
    return str(where)


def with_programs(ground: Ground, **scripts: str) -> None:
    ground.sources = [ground.postgres_source(bin_dir=programs(ground, **scripts))]
    ground.configure()


VERSION = '[ "$1" = --version ] && exec $REAL --version'


@pytest.mark.parametrize("percent", [10, 50, 99])
def test_producer_killed(ground: Ground, percent: int):
    manifest = json.loads(ground.store().get(f"app/{ground.sets()[-1]['id']}/manifest.json").data)
    whole = next(item["plain_bytes"] for item in manifest["items"] if item["kind"] == "postgres")
    with_programs(ground, pg_dump=f'{VERSION}\n$REAL "$@" | head -c {whole * percent // 100}\nkill -9 $$')
    fails(ground, "pg_dump was killed by signal 9")


def test_producer_fails_after_its_last_byte(ground: Ground):
    with_programs(ground, pg_dump=f'{VERSION}\n$REAL "$@"; echo disk on fire >&2; exit 1')
    fails(ground, "pg_dump ended with 1", "disk on fire")


@pytest.mark.parametrize("program", ["age", "zstd"])
def test_a_filter_that_dies(ground: Ground, program: str):
    where = ground.root / f"filter{next(_NUMBERS)}"
    where.mkdir()
    (where / program).write_text("#!/bin/sh\nhead -c 3000\nexit 3\n")
    (where / program).chmod(0o755)
    fails(ground, path=str(where))


def test_server_restarted_while_it_is_dumped(ground: Ground, cluster):
    with_programs(ground, pg_dump=f'{VERSION}\ntouch {ground.root}/dumping; sleep 1.5; exec $REAL "$@"')
    flag = ground.root / "dumping"

    def restart() -> None:
        ground.wait("the dump", flag.exists)
        cluster.stop()
        cluster.start()

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        fails(ground, "postgres-db-jarvis")
    finally:
        thread.join()
        flag.unlink()


def test_a_lock_that_is_held(ground: Ground, cluster):
    with psycopg.connect(cluster.dsn("jarvis")) as link:
        link.execute("LOCK TABLE part IN ACCESS EXCLUSIVE MODE")
        fails(ground, "pg_locks")
        link.rollback()
    # Nothing of the run is left on the server.
    assert ground.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'landfall%'") == [(0,)]


def test_row_security(ground: Ground):
    ground.cluster.database("rls")
    ground.sql(
        "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2); ALTER TABLE t ENABLE ROW LEVEL SECURITY; "
        "CREATE POLICY p ON t USING (id = 1)", "rls",
    )  # fmt: skip
    if not ground.sql("SELECT FROM pg_roles WHERE rolname = 'weak'"):
        ground.sql("CREATE ROLE weak LOGIN IN ROLE pg_read_all_data")
    ground.sources = [ground.postgres_source(databases=["rls"], user="weak")]
    ground.configure()
    fails(ground, "row-level security", "BYPASSRLS")


@pytest.mark.parametrize("version", [14, 99])
def test_a_client_of_another_version(ground: Ground, version: int):
    with_programs(ground, pg_dump=f'echo "pg_dump (PostgreSQL) {version}.1"')
    fails(ground, f"the client {version}", "postgresql-client-15")


def test_a_database_without_tables(ground: Ground):
    ground.cluster.database("hollow")
    ground.sources = [ground.postgres_source(databases=["hollow"])]
    ground.configure()
    fails(ground, "has no tables", "allow_empty")


def test_a_dump_without_tables_of_a_database_that_has_some(ground: Ground):
    with_programs(ground, pg_dump=f"{VERSION}\nexec $REAL \"$@\" '--exclude-table=*.*'")
    fails(ground, "lacks the data of")


def test_a_dump_without_one_table(ground: Ground):
    with_programs(ground, pg_dump=f'{VERSION}\nexec $REAL "$@" \'--exclude-table=shop."Or der"\'')
    fails(ground, "lacks the data of 1 of 3 tables: shop.Or der")


def test_wrong_password(ground: Ground, cluster):
    if not ground.sql("SELECT FROM pg_roles WHERE rolname = 'keyed'"):
        ground.sql("CREATE ROLE keyed LOGIN SUPERUSER PASSWORD 'right'")
    hba = cluster.data / "pg_hba.conf"
    if "keyed" not in hba.read_text():
        hba.write_text("local all keyed scram-sha-256\nhost all keyed 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        ground.sql("SELECT pg_reload_conf()")
    (ground.root / "url").write_text(f"postgresql://keyed:wr%40ng-secret@127.0.0.1:{cluster.port}/postgres\n")
    ground.sources = [{"kind": "postgres", "name": "db", "url_file": str(ground.root / "url"), "databases": ["jarvis"]}]
    ground.configure()
    said = fails(ground, "password authentication failed")
    assert "ng-secret" not in said
    (ground.root / "url").write_text(f"postgresql://keyed:right@127.0.0.1:{cluster.port}/postgres\n")
    # Right, it would go through: the password is what was wrong.
    assert ground.do("restore", "--item", "postgres-db-jarvis", "--as", "by_url").rc == 0
    ground.sql("DROP DATABASE by_url")


def test_no_such_host_or_database(ground: Ground):
    ground.sources = [ground.postgres_source(host="127.0.0.1", port=9)]
    ground.configure()
    fails(ground, "Connection refused")
    ground.sources = [ground.postgres_source(databases=["nobody"])]
    ground.configure()
    fails(ground, "has no database nobody")


@pytest.mark.parametrize("fault", ["500", "503", "reset", "error200"])
def test_a_store_that_fails_to_the_end(ground: Ground, proxy, fault: str):
    proxy.rule = lambda seen: fault if seen.kind == "complete" else None
    fails(ground)


def test_a_store_that_does_not_take_the_manifest(ground: Ground, proxy):
    proxy.rule = lambda seen: "500" if seen.path.endswith("manifest.json") and seen.method == "PUT" else None
    fails(ground)


@pytest.mark.parametrize(
    ("code", "word"),
    [("AccessDenied", "may not do that"), ("ExpiredToken", "run out"), ("RequestTimeTooSkewed", "timedatectl")],
)
def test_refusals_of_the_store(ground: Ground, proxy, code: str, word: str):
    proxy.rule = lambda seen: f"403:{code}" if seen.kind in ("part", "begin") else None
    fails(ground, word)


def test_a_slow_store_is_waited_for(ground: Ground, proxy):
    proxy.rule = lambda seen: 1.5 if seen.kind == "part" else None
    before = len(ground.sets())
    ground.good("run")
    assert len(ground.sets()) == before + 1


def test_bucket_missing_or_read_only(ground: Ground):
    right = ground.s3
    ground.s3 = replace(right, bucket="nobody-has-this")
    ground.configure()
    done = ground.do("run")
    assert done.rc == 1 and "nobody-has-this" in done.err
    ground.s3 = right
    credentials = ground.root / "credentials.json"
    was = credentials.read_text()
    credentials.write_text(json.dumps({"access_key": "reader-key", "secret_key": "reader-secret"}))
    ground.configure()
    try:
        fails(ground, "AccessDenied")
        # It still restores: nothing but reading is needed for that.
        ground.good("restore", "--item", "globals-db", "--to-file", str(ground.root / "globals.sql"))
    finally:
        credentials.write_text(was)


def test_the_uploader_killed_and_the_next_run(ground: Ground):
    with_programs(ground, pg_dump=f'{VERSION}\n$REAL "$@" | head -c 9000; touch {ground.root}/dumping; sleep 60')
    process = ground.start("run")
    ground.wait("the dump", (ground.root / "dumping").exists)
    before = [one["id"] for one in ground.sets()]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (ground.root / "dumping").unlink()
    # Its producers died with it, and hold nothing on the server.
    ground.wait(
        "the sessions to end",
        lambda: ground.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'landfall%'") == [(0,)],
    )
    assert [one["id"] for one in ground.sets()] == before
    ground.sources = [ground.postgres_source()]
    ground.configure()
    # The next one takes over at once, since it knows that the pid is gone.
    ground.good("run")
    assert len(ground.sets()) == len(before) + 1
    assert list(ground.store().orphans("app/")) == []


def test_timer_controller_and_hand_at_once(ground: Ground):
    before = len(ground.sets())
    with_programs(ground, pg_dump=f'{VERSION}\nsleep 2; exec $REAL "$@"')
    three = [ground.start("run", "--trigger", who) for who in ("timer", "playbook", "hand")]
    said = [process.communicate(timeout=60) for process in three]
    assert sorted(process.returncode for process in three) == [0, 3, 3], said
    assert len(ground.sets()) == before + 1


def test_the_lease_of_another_host(ground: Ground, monkeypatch):
    store = ground.store()
    there = store.get("app/lease.json")
    other = Lease("other", "elsewhere", 1, "backup", "now", "another-machine")
    store.put("app/lease.json", other.to_json(), match=there.tag)
    fails(ground, "elsewhere", rc=3)
    # It has run out by the store's clock: taken over; who had it notices, and cannot give it back.
    held = Lease("mine", "here", os.getpid(), "backup", "now")
    time.sleep(1.1)
    with backup_lock.leased(store, "app", held, ttl=1.0) as first:
        first.check()
        second = replace(held, nonce="second")
        with pytest.raises(Busy):
            backup_lock.HeldLease(store, "app", second, ttl=300.0)
        tag = store.get("app/lease.json").tag
        store.put("app/lease.json", second.to_json(), match=tag)
        with pytest.raises(Lost, match="lost"):
            first.check()
    found = json.loads(store.get("app/lease.json").data)
    assert found["nonce"] == "second" and not found["free"]
    tag = store.get("app/lease.json").tag
    store.put("app/lease.json", replace(second, free=True).to_json(), match=tag)


def test_a_run_that_lost_its_lease_writes_no_manifest(ground: Ground):
    with_programs(ground, pg_dump=f'{VERSION}\ntouch {ground.root}/dumping; sleep 1.5; exec $REAL "$@"')
    flag = ground.root / "dumping"

    def steal() -> None:
        ground.wait("the dump", flag.exists)
        store = ground.store()
        other = Lease("thief", "elsewhere", 1, "backup", "now", "another-machine")
        store.put("app/lease.json", other.to_json())

    thread = threading.Thread(target=steal)
    thread.start()
    try:
        fails(ground, "lease was lost")
    finally:
        thread.join()
        flag.unlink()
        ground.store().put("app/lease.json", Lease("x", "x", 1, "x", "x", free=True).to_json())


def test_prune_while_somebody_restores(ground: Ground):
    with_programs(ground, pg_restore='case "$*" in *--dbname*) touch $0.busy; sleep 3;; esac; exec $REAL "$@"')
    flag = Path(ground.sources[0]["bin_dir"]) / "pg_restore.busy"
    process = ground.start("restore", "--item", "postgres-db-jarvis", "--as", "slowly")
    ground.wait("the restore", flag.exists)
    done = ground.do("prune")
    assert done.rc == 3 and "restore" in done.err
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    ground.sql("DROP DATABASE slowly")


def test_a_killed_restore_leaves_the_database_and_the_next_finishes(ground: Ground):
    with_programs(ground, pg_restore='case "$*" in *--dbname*) touch $0.busy; sleep 60;; esac; exec $REAL "$@"')
    flag = Path(ground.sources[0]["bin_dir"]) / "pg_restore.busy"
    process = ground.start("restore", "--item", "postgres-db-jarvis", "--in-place")
    ground.wait("the restore", flag.exists)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert ground.sql('SELECT count(*) FROM shop."Or der"') == [(20000,)]
    ground.sources = [ground.postgres_source()]
    ground.configure()
    ground.good("restore", "--item", "postgres-db-jarvis", "--in-place")
    names = [row[0] for row in ground.sql("SELECT datname FROM pg_database")]
    assert not [name for name in names if "_landfall_" in name]
    for name in names:
        if "_before_" in name:
            ground.sql(f'DROP DATABASE "{name}"', "postgres")


def test_the_size_that_cannot_be(ground: Ground):
    files = ground.root / "files"
    files.mkdir()
    (files / "big").write_bytes(os.urandom(2 << 20))
    ground.sources = [{"kind": "path", "name": "files", "where": str(files)}]
    ground.configure()
    ground.good("run")
    (files / "big").unlink()
    fails(ground, "in the set before", "--accept-size")
    ground.good("run", "--accept-size")


def test_pruning_nothing_and_the_neighbour(ground: Ground, s3):
    store = S3Store(replace(ground.s3, endpoint=s3.url))
    neighbour = "app_staging/20200101T000000Z-aaaa/manifest.json"
    store.put(neighbour, b"theirs")
    bucket = s3.bucket("empty")
    right = ground.s3
    ground.s3 = replace(right, bucket=bucket)
    ground.configure()
    done = ground.do("prune")
    assert done.rc == 1 and "nothing is deleted" in done.err
    ground.s3 = right
    ground.sources = [ground.postgres_source()]
    ground.configure(retention={"daily": 1, "weekly": 0, "monthly": 0, "minimum": 1})
    ground.good("run")
    newest = [one["id"] for one in ground.sets() if one["state"] == "verified"][-1]
    said = ground.good("prune", "--plan")
    assert f"keep    {newest}" in said and "delete" in said
    assert len(ground.sets()) >= 2
    ground.good("prune")
    assert [one["id"] for one in ground.sets()] == [newest]
    ground.first = newest  # type: ignore[attr-defined]
    assert store.get(neighbour).data == b"theirs"
    store.delete(neighbour)


def test_pruning_without_the_right_to_delete(ground: Ground):
    ground.good("run")
    ids = [one["id"] for one in ground.sets()]
    (ground.root / "deleting.json").rename(ground.root / "elsewhere.json")
    try:
        ground.configure(retention={"daily": 1, "weekly": 0, "monthly": 0, "minimum": 1})
        done = ground.do("prune")
        assert done.rc == 1 and "no credential for deletion" in done.err
        assert [one["id"] for one in ground.sets()] == ids
    finally:
        (ground.root / "elsewhere.json").rename(ground.root / "deleting.json")


def test_a_listing_that_fails_is_no_empty_one(ground: Ground, proxy):
    proxy.rule = lambda seen: "503" if seen.kind == "list" else None
    assert ground.do("prune").rc == 1
    assert ground.do("list").rc == 1
    fails(ground)


def test_the_ping_and_what_it_hears(ground: Ground):
    import http.server

    heard = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with contextlib.closing(server.socket):
        ground.configure(ping_url=f"http://127.0.0.1:{server.server_address[1]}/ping/abc")
        ground.good("run")
        with_programs(ground, pg_dump=f"{VERSION}\nexit 1")
        fails(ground)
        server.shutdown()
    assert heard == ["/ping/abc", "/ping/abc/fail"]


@pytest.mark.parametrize("what", ["too little room", "store full"])
def test_disk_full(ground: Ground, what: str):
    small = ground.root / f"small{next(_NUMBERS)}"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        if what == "store full":
            config = json.loads((ground.root / "etc" / "app.json").read_text())
            config["stores"] = [{"name": "disk", "path": str(small)}]
            (ground.root / "etc" / "app.json").write_text(json.dumps(config))
            done = ground.do("run")
            assert done.rc == 1 and "No space left" in done.err
            assert not list(small.rglob("*manifest*")) and not list(small.rglob(".partial*"))
        else:
            done = ground.do("restore", "--item", "globals-db", "--to-file", str(small / "x"))
            assert done.rc == 0
            files = ground.root / "more"
            files.mkdir()
            (files / "x").write_bytes(os.urandom(1 << 20))
            ground.sources = [{"kind": "path", "name": "more", "where": str(files)}]
            ground.configure()
            ground.good("run")
            done = ground.do("restore", "--item", "path-more", "--as", str(small / "more"))
            assert done.rc == 1 and "bytes free" in done.err and "Nothing was changed" in done.err
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_afterwards_the_first_set_still_restores(ground: Ground):
    ground.configure()
    ground.good("verify", "--all")
    first = ground.first  # type: ignore[attr-defined]
    ground.good("restore", "--set", first, "--item", "postgres-db-jarvis", "--as", "at_last")
    assert ground.sql('SELECT count(*) FROM shop."Or der"', "at_last") == [(20000,)]
    ground.sql("DROP DATABASE at_last")
