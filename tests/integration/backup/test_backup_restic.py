"""Volumes that restic keeps: real restic, a real S3 server, and what may go wrong with both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.lab import PROJECT
from lab.s3 import S3
from lab.shell import wait_for

from .ground import Ground


@pytest.fixture
def kept(ground: Ground) -> Ground:
    """Only the uploads, kept by restic."""
    ground.sources = [{"kind": "path", "name": "uploads", "where": str(ground.uploads), "engine": "restic"}]
    ground.configure(restic_password_file=str(ground.root / "restic.key"), restic_read_days=1)
    (ground.uploads / "deep").mkdir()
    (ground.uploads / "deep" / "link").symlink_to("../000.bin")
    (ground.uploads / "large.bin").write_bytes(os.urandom(3_000_000))
    return ground


def item_of(ground: Ground, sid: str) -> dict:
    made = json.loads(ground.store().get(f"app/{sid}/manifest.json").data)
    return next(item for item in made["items"] if item["name"] == "path-uploads")


def files(top: Path) -> dict[str, bytes | str]:
    return {
        str(one.relative_to(top)): os.readlink(one) if one.is_symlink() else one.read_bytes()
        for one in top.rglob("*")
        if one.is_symlink() or one.is_file()
    }


def ask(ground: Ground, *words: str, key: str = "admin") -> str:
    """restic itself, in the store's only repository."""
    done = subprocess.run(["restic", "--no-cache", *words], env=env_of(ground, key), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def env_of(ground: Ground, key: str = "admin") -> dict[str, str]:
    found = [key.split("/") for key in list(ground.keys())]
    (name,) = {words[2] for words in found if words[1] == "restic" and words[3:] == ["config"]}
    return {
        **os.environ,
        "AWS_ACCESS_KEY_ID": f"{key}-key",
        "AWS_SECRET_ACCESS_KEY": f"{key}-secret",
        "RESTIC_PASSWORD_FILE": str(ground.root / "restic.key"),
        "RESTIC_REPOSITORY": f"s3:{ground.s3.endpoint}/{ground.s3.bucket}/backups/app/restic/{name}",
    }


def snapshots(ground: Ground) -> set[str]:
    return {one["id"] for one in json.loads(ask(ground, "snapshots", "--json"))}


def packs(ground: Ground) -> list[tuple[str, int]]:
    """Key and size of each, the largest first."""
    found = [(one.key, one.size) for one in ground.store().list("app/restic/") if "/data/" in one.key]
    return sorted(found, key=lambda pair: -pair[1])


def test_there_and_back(kept: Ground):
    said = kept.good("run")
    (first,) = kept.sets()
    assert (first["state"], first["level"]) == ("verified", "sampled"), said
    assert [item["name"] for item in first["items"]] == ["path-uploads", "restic-key", "project"]
    assert oct((kept.root / "restic.key").stat().st_mode & 0o777) == "0o400"
    before = files(kept.uploads)
    (kept.uploads / "new.bin").write_bytes(os.urandom(40_000))
    kept.good("run")
    second = kept.sets()[1]
    was, now = item_of(kept, first["id"])["details"], item_of(kept, second["id"])["details"]
    assert was["added"] > 3_000_000 and 40_000 < now["added"] < 100_000
    assert was["snapshot"] != now["snapshot"] and was["tree"] != now["tree"]
    assert snapshots(kept) == {was["snapshot"], now["snapshot"]}

    # The first, beside; the second, in place, and what was there is kept.
    kept.good("restore", "--set", first["id"], "--item", "path-uploads", "--as", str(kept.root / "back"))
    assert files(kept.root / "back") == before
    (kept.uploads / "000.bin").write_bytes(b"spoilt")
    kept.good("restore", "--item", "path-uploads", "--in-place")
    assert files(kept.uploads) == {**before, "new.bin": (kept.uploads / "new.bin").read_bytes()}
    (aside,) = kept.root.glob("uploads.before-*")
    assert (aside / "000.bin").read_bytes() == b"spoilt"
    assert not list(kept.root.glob("*.landfall-new*"))

    # A host that is new: no password, but an identity. It gets the password back, and goes on in the repository.
    (kept.root / "restic.key").rename(kept.root / "lost.key")
    done = kept.do("run")
    assert done.rc == 1 and "--to-file" in done.err and len(kept.sets()) == 2
    kept.good(
        "restore",
        "--item",
        "path-uploads",
        "--as",
        str(kept.root / "more"),
        "--identity",
        str(kept.root / "escrow.age"),
    )
    assert (kept.root / "restic.key").read_text() == (kept.root / "lost.key").read_text()
    kept.good("run")
    # The password is nowhere in the clear.
    secret = (kept.root / "restic.key").read_bytes()
    assert not any(secret in kept.store().get(key).data for key in list(kept.keys()) if "/restic/" not in key)


def test_excluded_and_single_files(kept: Ground):
    (kept.uploads / "cache.tmp").write_text("x")
    (kept.uploads / "[odd]").mkdir()
    (kept.uploads / "[odd]" / "a").write_text("a")
    kept.sources[0]["exclude"] = ["*.tmp", "./large.bin"]
    one = kept.uploads / "001.bin"
    kept.sources.append({"kind": "path", "name": "one", "where": str(one), "engine": "restic"})
    kept.configure()
    kept.good("run")
    kept.good("restore", "--item", "path-uploads", "--as", str(kept.root / "back"))
    assert set(files(kept.uploads)) - set(files(kept.root / "back")) == {"cache.tmp", "large.bin"}
    was = one.read_bytes()
    one.write_text("spoilt")
    kept.good("restore", "--item", "path-one", "--in-place")
    assert one.read_bytes() == was


def test_a_directory_and_a_second_store(kept: Ground):
    """A copy has its own repository, whose files are those of the first."""
    for name in ("one", "two"):
        (kept.root / name).mkdir()
    kept.configure(stores=[{"name": name, "path": str(kept.root / name)} for name in ("one", "two")])
    kept.good("run")
    (kept.uploads / "000.bin").write_text("changed")
    kept.good("run")
    found = json.loads(kept.do("list", "--json", "--store", "two").out)
    assert [one["state"] for one in found] == ["verified", "verified"]
    # The first store is gone.
    (kept.root / "one").rename(kept.root / "gone")
    kept.good("restore", "--store", "two", "--item", "path-uploads", "--as", str(kept.root / "back"))
    assert files(kept.root / "back") == files(kept.uploads)


def test_a_wrong_password_is_refused(kept: Ground):
    kept.good("run")
    key = kept.root / "restic.key"
    key.chmod(0o600)
    key.write_text("another")
    done = kept.do("run")
    assert done.rc == 1 and "--item restic-key" in done.err and "another" not in done.said
    assert len(kept.sets()) == 1 and kept.metric("last_run_success") == 0
    # The set has its own.
    kept.good("restore", "--item", "path-uploads", "--as", str(kept.root / "back"))


def test_without_recipients_it_is_refused(kept: Ground):
    kept.configure(recipients=[], project=False)
    done = kept.do("run")
    assert done.rc == 1 and "recipients" in done.err and not kept.keys()[1:]


def test_without_restic_it_is_refused(kept: Ground):
    bare = kept.root / "bin"
    bare.mkdir()
    for name in ("age", "zstd", "tar", "cat"):
        (bare / name).symlink_to(subprocess.check_output(["which", name], text=True).strip())
    env = {**os.environ, "PATH": str(bare), "PYTHONPATH": str(PROJECT / ".build" / "collections")}
    done = subprocess.run(kept.argv("run"), env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "apt-get install restic" in done.stderr


def wrapper(ground: Ground, body: str) -> str:
    """A restic on the PATH that does something around the real one."""
    real = subprocess.check_output(["which", "restic"], text=True).strip()
    top = ground.root / "wrapped"
    top.mkdir(exist_ok=True)
    (top / "restic").write_text(f"#!/bin/sh\nreal={real}\n{body}\n")
    (top / "restic").chmod(0o755)
    return str(top)


def test_killed_between_snapshot_and_manifest(kept: Ground):
    """The snapshot is there, the set is not; the next run goes on, and pruning forgets it."""
    marker = kept.root / "taken"
    path = wrapper(kept, f'"$real" "$@"; rc=$?; case "$*" in *backup*) touch {marker}; sleep 60;; esac; exit $rc')
    process = kept.start("run", path=path)
    kept.wait("the snapshot", marker.exists, 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert kept.sets() == [] and len(snapshots(kept)) == 1
    kept.good("run")
    (made,) = kept.sets()
    named = item_of(kept, made["id"])["details"]["snapshot"]
    assert len(snapshots(kept)) == 2
    kept.good("prune")
    assert snapshots(kept) == {named}
    assert kept.good("verify")


def test_killed_in_mid_run(kept: Ground):
    """In the middle of the data, and with restic itself killed alone."""
    kept.configure(rate=400_000)
    process = kept.start("run")
    kept.wait("the repository", lambda: any("/locks/" in key for key in list(kept.keys())), 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert kept.sets() == []
    kept.configure(rate=0)
    path = wrapper(
        kept, 'case "$*" in *backup*) "$real" "$@" & sleep 0.3; kill -9 $!; wait $!;; *) "$real" "$@";; esac'
    )
    done = kept.do("run", path=path)
    assert (done.rc == 1 and kept.sets() == []) or done.rc == 0  # it may have ended before
    kept.good("run")
    kept.good("prune")
    assert kept.good("verify")
    kept.good("restore", "--item", "path-uploads", "--as", str(kept.root / "back"))
    assert files(kept.root / "back") == files(kept.uploads)


def test_retention_forgets_what_no_set_names(kept: Ground):
    kept.configure(retention={"daily": 1, "weekly": 0, "monthly": 0, "minimum": 2})
    for number in range(3):
        (kept.uploads / "changing.bin").write_bytes(os.urandom(1_200_000))
        kept.good("run")
        assert len(snapshots(kept)) == number + 1
    size = sum(size for _key, size in packs(kept))
    kept.good("prune")
    wanted = {item_of(kept, one["id"])["details"]["snapshot"] for one in kept.sets()}
    assert len(wanted) == 2 and snapshots(kept) == wanted
    assert sum(size for _key, size in packs(kept)) < size - 1_000_000
    assert all("good" in kept.good("verify", "--set", one["id"]) for one in kept.sets())


def test_a_running_backup_is_not_pruned_away(kept: Ground):
    """restic's own lock of somebody else's run keeps every pack; that of a dead one does not."""
    kept.good("run")
    before = packs(kept)
    # It waits for its input, and holds a lock.
    other = subprocess.Popen(
        ["restic", "--no-cache", "backup", "--stdin"],
        env=env_of(kept),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        kept.wait("its lock", lambda: any("/locks/" in key for key in list(kept.keys())), 60)
        done = kept.do("prune")
        assert done.rc == 1 and "already locked" in done.err
        assert packs(kept) == before
    finally:
        other.kill()
        other.wait()
    kept.good("prune")
    assert packs(kept) == before and kept.good("verify")


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_damage_is_found(kept: Ground, how: str):
    kept.good("run")
    (made,) = kept.sets()
    key, _size = packs(kept)[0]
    client = kept_client(kept)
    full = f"backups/{key}"
    data = bytearray(client.get_object(Bucket=kept.s3.bucket, Key=full)["Body"].read())
    if how == "flipped":
        data[len(data) // 3] ^= 1
        client.put_object(Bucket=kept.s3.bucket, Key=full, Body=bytes(data))
    else:
        client.delete_object(Bucket=kept.s3.bucket, Key=full)
    was = files(kept.uploads)
    done = kept.do("restore", "--item", "path-uploads", "--in-place")
    assert done.rc == 1 and files(kept.uploads) == was and not list(kept.root.glob("uploads.*")), done.said
    done = kept.do("drill")
    assert done.rc == 1 and "bytes" in done.said, done.said
    assert kept.sets()[0]["state"] == "damaged"
    done = kept.do("verify")
    assert done.rc == 1 and kept.sets()[0]["state"] == "damaged", done.said
    assert made["id"] in done.said


def kept_client(ground: Ground):
    import boto3

    return boto3.session.Session().client(
        "s3", endpoint_url=ground.s3.endpoint, region_name="us-east-1", aws_access_key_id="admin-key",
        aws_secret_access_key="admin-secret",
    )  # fmt: skip


def test_a_drill_restores_it(kept: Ground, s3: S3):
    """Also where the uploader may delete nothing but restic's locks; without that it is refused, and not waited for."""
    s3.keep(kept.s3.bucket)
    done = kept.do("run")
    assert done.rc == 1 and "/locks/" in done.err and kept.sets() == []
    top = "backups/app/"
    s3.keep(kept.s3.bucket, *(f"{top}{one}" for one in ("2*", "may*", "restic/*/data/*", "restic/*/snapshots/*")))
    kept.good("run")
    kept.good("run")
    done = kept.do("drill", "--escrow", str(kept.root / "escrow.age"))
    assert done.rc == 0, done.said
    assert not (kept.root / "state" / "app" / "drill").exists()
    assert not any("/locks/" in key and not key.endswith("deleted") for key in list(kept.keys()))
    assert kept.good("prune")


#: Files come and go all the time, often enough to meet each of the moments at which one can go while restic reads it.
PASSING = """
import contextlib, itertools, os, sys
for number in itertools.count():
    with open(f"{sys.argv[1]}/passing{number % 400}", "wb") as file:
        file.write(bytes(3000))
    for other in (7, 200):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{sys.argv[1]}/passing{(number + other) % 400}")
"""


def test_files_that_change_meanwhile_are_told(kept: Ground):
    writer = subprocess.Popen([sys.executable, "-c", PASSING, str(kept.uploads)])
    try:
        wait_for("its files", lambda: len(list(kept.uploads.glob("passing*"))) > 50, 10)
        kept.good("run")
    finally:
        writer.kill()
        writer.wait()
    (made,) = kept.sets()
    assert any("changed while" in one for one in item_of(kept, made["id"])["warnings"])
    kept.good("restore", "--item", "path-uploads", "--as", str(kept.root / "back"))
    assert (kept.root / "back" / "large.bin").read_bytes() == (kept.uploads / "large.bin").read_bytes()
