"""A whole set there and back, by the program as a timer runs it."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup.lease import Lease
from ansible_collections.landfall.stack.plugins.module_utils.clients import backup_lock
from ansible_collections.landfall.stack.plugins.module_utils.clients.files import stacks
from ansible_collections.landfall.stack.plugins.module_utils.clients.store_local import LocalStore

from .ground import Ground


def test_a_set_there_and_back(ground: Ground):
    said = ground.good("run")
    (made,) = ground.sets()
    assert made["state"] == "verified" and made["level"] == "decoded", said
    kinds = [item["kind"] for item in made["items"]]
    assert kinds == ["globals", "postgres", "sqlite", "path", "project"]
    assert ground.metric("last_run_success") == 1
    assert abs(ground.metric("last_verified_timestamp_seconds") - time.time()) < 60

    # Nothing lies in the clear, and no secret stands in the manifest.
    raw = ground.store().get(f"app/{made['id']}/manifest.json").data
    assert b"very-secret" not in raw
    for item in json.loads(raw)["items"]:
        assert item["filters"][-1] == "age"
        head = next(iter(ground.store().read(item["objects"][0]["key"])))
        assert head.startswith(b"age-encryption.org/v1")

    # The database beside, equal in rows, settings, privileges, owners, large objects, extensions.
    ground.good("restore", "--item", "postgres-db-jarvis", "--as", "jarvis_copy")
    query = """SELECT array_agg(t ORDER BY id)::text FROM shop."Or der" t"""
    assert ground.sql(query, "jarvis_copy") == ground.sql(query)
    assert ground.sql("SELECT count(*) FROM part", "jarvis_copy") == [(100,)]
    assert ground.sql("SHOW work_mem", "jarvis_copy") == [("7MB",)]
    assert ground.sql("SHOW search_path", "jarvis_copy") == [("shop, public",)]
    assert ground.sql("SELECT convert_from(lo_get(oid), 'utf8') FROM pg_largeobject_metadata", "jarvis_copy") == [
        ("a large object",)
    ]
    acl = "SELECT unnest(datacl)::text AS one FROM pg_database WHERE datname = '{}' ORDER BY one"
    assert ground.sql(acl.format("jarvis_copy")) == ground.sql(acl.format("jarvis"))
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'Or der'"
    assert ground.sql(owner, "jarvis_copy") == [("app owner",)]
    again = ground.do("restore", "--item", "postgres-db-jarvis", "--as", "jarvis_copy")
    assert again.rc == 1 and "is there already" in again.err
    ground.sql("DROP DATABASE jarvis_copy")

    # Files and the SQLite database in place, what was there kept.
    before = {path.name: path.read_bytes() for path in ground.uploads.iterdir()}
    (ground.uploads / "000.bin").write_bytes(b"spoilt")
    (ground.uploads / "new.bin").write_bytes(b"later")
    with sqlite3.connect(ground.sqlite) as db:
        db.execute("DELETE FROM note")
    db.close()
    said = ground.good("restore", "--item", "path-uploads", "--item", "sqlite-notes", "--in-place")
    assert {path.name: path.read_bytes() for path in ground.uploads.iterdir()} == before
    with sqlite3.connect(ground.sqlite) as db:
        assert db.execute("SELECT count(*) FROM note").fetchone() == (500,)
    db.close()
    (kept,) = ground.root.glob("uploads.before-*")
    assert (kept / "new.bin").read_bytes() == b"later" and str(kept) in said

    # The project's secrets, by name only.
    ground.good("restore", "--item", "project", "--as", str(ground.root / "project"))
    assert (ground.root / "project" / "secrets" / "JWT").read_text() == "very-secret-value"
    assert not (ground.root / "project" / "data").exists()


def test_a_run_reads_what_is_known_of_older_sets_once(ground: Ground, proxy):
    for _set in range(2):
        ground.good("run")
    old = [one["id"] for one in ground.sets()]
    proxy.reset()
    ground.good("run")
    read = [one.path.split("/")[-2:] for one in proxy.seen if one.kind == "get"]
    for name in ("manifest.json", "verified.json"):
        assert [read.count([sid, name]) for sid in old] == [1, 1], read


def test_a_database_in_place_is_swapped_and_the_old_one_kept(ground: Ground, cluster):
    from .ground import fill

    fill(cluster, "inplace", 1000)
    ground.database = "inplace"
    ground.sources[0] = ground.postgres_source()
    ground.configure()
    ground.good("run")
    ground.sql('DELETE FROM shop."Or der" WHERE id > 10')
    ground.sql("CREATE TABLE since (id int)")
    # A session that is open does not keep it from being swapped.
    import psycopg

    link = psycopg.connect(cluster.dsn("inplace"))
    link.execute("SELECT 1")
    said = ground.good("restore", "--item", "postgres-db-inplace", "--in-place")
    link.close()
    assert ground.sql('SELECT count(*) FROM shop."Or der"') == [(1000,)]
    ((kept,),) = ground.sql("SELECT datname FROM pg_database WHERE datname LIKE 'inplace_before_%'")
    assert kept in said
    assert ground.sql('SELECT count(*) FROM shop."Or der"', kept) == [(10,)]
    assert ground.sql("SELECT count(*) FROM since", kept) == [(0,)]
    assert ground.sql("SELECT count(*) FROM pg_database WHERE datname LIKE '%_landfall_%'") == [(0,)]
    ground.sql(f'DROP DATABASE "{kept}"', "postgres")
    ground.sql("DROP DATABASE inplace", "postgres")


def test_the_rows_of_one_table_come_beside_and_from_there_back(ground: Ground, cluster):
    from .ground import fill

    fill(cluster, "onetable", 1000)
    ground.database = "onetable"
    ground.sources[0] = ground.postgres_source()
    ground.configure()
    ground.good("run")
    rows = 'SELECT array_agg(t ORDER BY id)::text FROM shop."Or der" t'
    before = ground.sql(rows)
    ground.sql('DELETE FROM shop."Or der" WHERE id BETWEEN 100 AND 300')
    ground.sql("""INSERT INTO shop."Or der" VALUES (5000, 'of after the backup')""")
    one = ("restore", "--item", "postgres-db-onetable", "--as", "rescue", "--table")
    planned = ground.good(*one, "Or der", "--plan")
    assert "only the rows of shop.Or der" in planned
    ground.good(*one, "Or der", "--table", "public.part_1")
    assert ground.sql(rows, "rescue") == before
    assert ground.sql("SELECT count(*) FROM part", "rescue") == [(100,)]
    # Another table's definition is there, too; its rows, and what rows would be held to, are not.
    assert ground.sql("SELECT count(*) FROM nothing", "rescue") == [(0,)]
    assert ground.sql("SELECT count(*) FROM pg_indexes WHERE schemaname IN ('shop', 'public')", "rescue") == [(0,)]
    # As the refusal below and the documentation say it.
    env = {**os.environ, "PGHOST": str(cluster.root), "PGPORT": str(cluster.port), "PGUSER": "postgres"}
    dump = """pg_dump --data-only --inserts --on-conflict-do-nothing -t '"Or der"' rescue"""
    path = f"{cluster.bin}:{env['PATH']}"
    subprocess.run(["sh", "-ec", f"{dump} | psql -qX onetable"], env={**env, "PATH": path}, check=True)
    assert ground.sql(rows.replace(" t", " t WHERE id < 5000")) == before
    assert ground.sql('SELECT count(*) FROM shop."Or der" WHERE id = 5000') == [(1,)]
    ground.sql("DROP DATABASE rescue", "postgres")
    for args, words in (
        ([*one, "nonesuch"], "it has: public.nothing, public.part_1, shop.Or der"),
        (["restore", "--item", "postgres-db-onetable", "--in-place", "--table", "Or der"], "--on-conflict-do-nothing"),
        (["restore", "--item", "path-uploads", "--as", "/x", "--table", "Or der"], "a database"),
    ):
        refused = ground.do(*args)
        assert refused.rc == 1 and words in refused.err, refused.err
    assert ground.sql("SELECT count(*) FROM pg_database WHERE datname = 'rescue'", "postgres") == [(0,)]
    ground.sql("DROP DATABASE onetable", "postgres")


def test_the_project_comes_back_and_its_data_stay(ground: Ground):
    """The directory of a stack has what its bind mounts hold, too: that is no part of the project."""
    ground.good("run")
    live = ground.stack_dir / "data" / "uploads"
    live.mkdir()
    (live / "one").write_text("written since")
    (ground.stack_dir / "secrets" / "JWT").write_text("spoilt")
    (ground.stack_dir / "since").write_text("x")
    lock = (ground.stack_dir / "lock").open("a")
    fcntl.flock(lock, fcntl.LOCK_EX)
    busy = ground.do("restore", "--item", "project", "--in-place")
    assert busy.rc == 3 and (ground.stack_dir / "secrets" / "JWT").read_text() == "spoilt", busy.said
    lock.close()
    inode = live.stat().st_ino
    said = ground.good("restore", "--item", "project", "--in-place")
    assert (ground.stack_dir / "secrets" / "JWT").read_text() == "very-secret-value"
    assert (live / "one").read_text() == "written since" and live.stat().st_ino == inode
    (kept,) = ground.stack_dir.parent.glob(f"{ground.stack}.before-*")
    assert (kept / "secrets" / "JWT").read_text() == "spoilt" and (kept / "since").exists() and str(kept) in said
    assert not (ground.stack_dir / "since").exists()
    assert not list(ground.stack_dir.parent.glob("*.landfall-new"))
    # What was put aside is no stack of this host.
    (kept / "releases").mkdir(exist_ok=True)
    (ground.stack_dir / "releases").mkdir(exist_ok=True)
    assert stacks(str(ground.stack_dir.parent)) == [ground.stack]


def test_missing_roles_are_made_with_the_database(ground: Ground, cluster, tmp_path):
    from lab.postgres import Cluster

    ground.good("run")
    other = Cluster({"fsync": "off"})
    try:
        ground.cluster = other
        ground.sources[0] = ground.postgres_source()
        ground.configure()
        said = ground.good("restore", "--item", "postgres-db-jarvis", "--in-place")
        assert "app owner" in said
        assert ground.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'Or der'", "jarvis") == [("app owner",)]
        assert ground.sql("SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = 'app owner'") == [(True,)]
    finally:
        other.remove()


def test_the_escrow_key_opens_it_and_another_does_not(ground: Ground):
    from .ground import age_key

    ground.good("run")
    (ground.root / "operation.age").unlink()
    refused = ground.do("restore", "--item", "path-uploads", "--in-place")
    assert refused.rc == 1 and "--identity" in refused.err
    age_key(ground.root / "stranger.age")
    before = sorted(path.name for path in ground.root.iterdir())
    wrong = ground.do(
        "restore", "--item", "path-uploads", "--in-place", "--identity", str(ground.root / "stranger.age")
    )
    assert wrong.rc == 1 and "no identity matched" in wrong.err
    assert sorted(path.name for path in ground.root.iterdir()) == before
    ground.good("restore", "--item", "path-uploads", "--as", str(ground.root / "back"), "--identity",
                str(ground.root / "escrow.age"))  # fmt: skip
    assert len(list((ground.root / "back").iterdir())) == 20
    # Without an identity bytes are still verified, and the level says that no more was done.
    said = ground.good("verify")
    assert "good (bytes)" in said


def test_the_second_store_has_it_too(ground: Ground, s3):
    other = ground.root / "second"
    other.mkdir()
    ground.configure()
    path = ground.root / "etc" / "app.json"
    config = json.loads(path.read_text())
    config["stores"].append({"name": "second", "path": str(other)})
    path.write_text(json.dumps(config))
    ground.good("run")
    (made,) = ground.sets()
    found = json.loads(ground.do("list", "--json", "--store", "second").out)
    assert [(one["id"], one["state"]) for one in found] == [(made["id"], "verified")]
    ground.good("restore", "--store", "second", "--item", "path-uploads", "--as", str(ground.root / "back"))
    # A second store that is away: the set is there, and the alarm too.
    other.rename(ground.root / "away")
    done = ground.do("run")
    assert done.rc == 1 and "second" in done.err and ground.metric("last_run_success") == 0


def test_restic_reads_what_a_path_restores(ground: Ground):
    """The bytes of every file, by another program's eyes."""
    ground.good("run")
    ground.good("restore", "--item", "path-uploads", "--as", str(ground.root / "back"))
    env = {**os.environ, "RESTIC_PASSWORD": "x", "RESTIC_REPOSITORY": str(ground.root / "restic")}
    trees = []
    subprocess.run(["restic", "init", "-q"], env=env, check=True)
    for name in ("uploads", "back"):
        subprocess.run(["restic", "backup", "-q", "."], cwd=ground.root / name, env=env, check=True)
        snapshot = subprocess.run(
            ["restic", "snapshots", "latest", "--json"], env=env, check=True, capture_output=True, text=True
        )
        trees.append(json.loads(snapshot.stdout)[-1])
    done = subprocess.run(
        ["restic", "diff", trees[0]["id"], trees[1]["id"]], env=env, check=True, capture_output=True, text=True
    )
    assert "0 new,     0 removed,     0 changed" in done.stdout


@pytest.mark.parametrize("what", ["no place", "two for one name", "no item"])
def test_a_restore_that_makes_no_sense_is_refused(ground: Ground, what):
    ground.good("run")
    args = {
        "no place": ["--item", "path-uploads"],
        "two for one name": ["--as", "x"],
        "no item": ["--item", "nothing", "--in-place"],
    }[what]
    done = ground.do("restore", *args)
    assert done.rc == 1 and done.err.startswith("landfall backup restore:")


def test_each_store_is_pruned_by_what_was_verified_there(ground: Ground, tmp_path: Path):
    (tmp_path / "second").mkdir(0o700)
    bucket = json.loads((ground.root / "etc" / "app.json").read_text())["stores"][0]
    ground.sources = [{"kind": "sqlite", "name": "notes", "where": str(ground.sqlite)}]
    ground.configure(stores=[bucket, {"name": "second", "path": str(tmp_path / "second")}], prune=True)

    def there(store: str) -> list[str]:
        return [one["id"] for one in json.loads(ground.do("list", "--json", "--store", store).out)]

    ground.good("run")
    assert ground.good("run").count("is deleted") == 2
    assert there("main") == there("second") and len(there("second")) == 1
    # Where it may not delete, nothing is tried: somebody else prunes there.
    ground.configure(
        stores=[{**bucket, "delete_credentials_file": ""}, {"name": "second", "path": str(tmp_path / "second")}]
    )
    ground.good("run")
    assert len(there("main")) == 2 and len(there("second")) == 1
    said = ground.good("prune", "--plan")
    assert "store second" not in said and "store main" not in said
    # By name it is, and says what is missing.
    done = ground.do("prune", "--store", "main")
    assert done.rc == 1 and "delet" in done.err and len(there("main")) == 2, done.said
    # One that is not mounted keeps no set from the first.
    (tmp_path / "second").rename(tmp_path / "elsewhere")
    done = ground.do("run")
    assert done.rc == 1 and "is not in second: store second" in done.err and "mount it" in done.err, done.said
    assert len(there("main")) == 3 and ground.sets()[-1]["state"] == "verified"
    assert not ground.state()["run_good"] and "second" in ground.state()["problem"]


def test_a_second_store_in_which_somebody_is_at_work(ground: Ground, tmp_path: Path):
    (tmp_path / "second").mkdir(0o700)
    bucket = json.loads((ground.root / "etc" / "app.json").read_text())["stores"][0]
    ground.sources = [{"kind": "sqlite", "name": "notes", "where": str(ground.sqlite)}]
    ground.configure(stores=[bucket, {"name": "second", "path": str(tmp_path / "second")}], lock_timeout="2s")
    pruning = Lease("abc", "elsewhere", 1, "prune", "2026-11-22T02:30:00Z", "other/machine")
    with backup_lock.leased(LocalStore(str(tmp_path / "second"), "second"), "app", pruning):
        done = ground.do("run")
        assert done.rc == 1 and "is not in second" in done.err and "elsewhere" in done.err, done.said
    # What is ended within lock_timeout is waited for.
    ground.configure(lock_timeout="20s")
    with backup_lock.leased(LocalStore(str(tmp_path / "second"), "second"), "app", pruning):
        process = ground.start("run")
        ground.wait("the set", lambda: len(ground.sets()) == 2)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "is complete in second" in out, out + err
    # The first is away: what is asked of it says where else to look.
    away = {**bucket, "endpoint": "http://127.0.0.1:9", "name": "away"}
    ground.configure(stores=[away, {"name": "second", "path": str(tmp_path / "second")}])
    done = ground.do("restore", "--in-place", timeout=120)
    assert done.rc == 1 and "The sets are in second, too: say --store second" in done.err, done.said
    ground.good("restore", "--in-place", "--store", "second")
