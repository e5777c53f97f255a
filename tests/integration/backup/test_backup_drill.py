"""Drills by the program itself: a set out of a real S3, into a real PostgreSQL in a container without a network."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from lab import images
from lab.shell import docker, wait_for

from .ground import Done, Ground, age_key

IMAGE = "landfall-lab/postgres:17"
RUNGS = [
    "room", "bytes", "decode", "server", "restore", "errors", "rows", "amcheck", "sqlite", "redis", "mongo", "smoke",
    "orphans", "escrow", "deletion", "cleanup",
]  # fmt: skip


def drill(ground: Ground, *args: str, path: str = "") -> tuple[Done, dict[str, Any]]:
    done = ground.do("drill", "--json", *args, path=path, timeout=120)
    assert done.out, done.err
    return done, json.loads(done.out)


def outcomes(record: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["outcome"] for one in record["rungs"]}


def left(ground: Ground) -> list[str]:
    """What of a drill is still there."""
    found = docker("ps", "-aq", "--filter", f"label=landfall.drill={ground.stack}").split()
    return [*found, *map(str, (ground.root / "state" / ground.stack).glob("drill"))]


def metric(ground: Ground, name: str) -> float:
    for line in (ground.root / "backup-drill.prom").read_text().splitlines():
        if line.startswith(f"landfall_backup_{name}{{"):
            return float(line.split()[-1])
    raise KeyError(name)


@pytest.fixture
def drilled(ground: Ground, s3) -> Ground:
    """A set, and a store whose uploader may not delete."""
    images.ensure(IMAGE)
    s3.keep(ground.s3.bucket)
    ground.configure(drill={"image": IMAGE, "max_age": "8d"})
    ground.good("run")
    return ground


def red(ground: Ground, done: Done, record: dict[str, Any], rung: str, words: str) -> None:
    """A drill that failed says so everywhere, and leaves nothing behind."""
    assert done.rc == 1 and not record["good"], done.said
    assert record["reason"].startswith(f"{rung}: ") and words in record["reason"], record["reason"]
    assert metric(ground, "last_drill_success") == 0
    assert record["rto"] is None or rung in ("escrow", "deletion", "cleanup")
    assert not left(ground)
    listed = ground.do("list")
    assert "the last drill failed" in listed.err


def test_the_whole_ladder(drilled: Ground):
    drilled.configure(
        drill={
            "image": IMAGE,
            "max_age": "8d",
            "checks": [
                {"item": "postgres-db-jarvis", "query": 'SELECT count(*) FROM shop."Or der"', "expect": 20000},
                {"item": "postgres-db-jarvis", "query": "SELECT max(at) = 9 FROM public.part"},
                {"item": "sqlite-notes", "query": "SELECT count(*), min(body) FROM note", "expect": "500|note 0"},
            ],
            "orphans": [
                {
                    "name": "uploads",
                    "of": {"item": "sqlite-notes", "query": "SELECT printf('%03d.bin', id) FROM note WHERE id < 20"},
                    "within": {"item": "path-uploads"},
                },
            ],
        }
    )
    done, record = drill(drilled, "--escrow", str(drilled.root / "escrow.age"), "--trigger", "test")
    assert done.rc == 0, done.said
    assert [one["name"] for one in record["rungs"]] == RUNGS
    assert {name for name, said in outcomes(record).items() if said != "passed"} == {"redis", "mongo"}
    found = {one["name"]: one["detail"] for one in record["rungs"]}
    assert "without a network" in found["server"] and "20600 rows" in found["rows"], found
    assert re.fullmatch(r"jarvis: [1-9]\d+ indexes", found["amcheck"])
    assert record["good"] and record["trigger"] == "test" and 0 < record["rto"] < 60 and 0 <= record["rpo"] < 120
    assert not left(drilled)
    assert metric(drilled, "last_drill_success") == 1 and metric(drilled, "last_good_drill_rto_seconds") > 0

    # Beside the set, on the host, in the list, on the page.
    (made,) = drilled.sets()
    assert made["drill"]["good"] and made["state"] == "verified"
    stored = json.loads(drilled.store().get(f"app/{made['id']}/drilled.json").data)
    assert stored == record
    assert json.loads((drilled.root / "state" / "app" / "drills" / f"{record['id']}.json").read_text()) == record
    assert "passed" in drilled.good("list")
    page = (drilled.root / "state" / "app" / "history.html").read_text()
    assert made["id"] in page and "restored and proven" in page
    # What was decrypted for it, and the keys, are told nowhere.
    assert "AGE-SECRET-KEY" not in done.said + page and "very-secret" not in done.said + page


def test_the_scratch_server_reaches_nothing_and_a_backup_runs_beside_it(drilled: Ground):
    process = drilled.start("drill", "--json")
    try:
        wait_for("the scratch server", lambda: left(drilled)[1:], 30, 0.05)
        found = left(drilled)[0]
        seen = docker("inspect", "-f", "{{.HostConfig.NetworkMode}} {{json .NetworkSettings.Networks}}", found)
        assert seen.startswith("none ")
        links = docker("exec", found, "sh", "-c", "ls /sys/class/net; cat /proc/net/route; cat /proc/net/tcp").split(
            "\n"
        )
        assert links[0] == "lo" and not [line for line in links if line.split()[1:2] == ["00000000"]]
        drilled.good("run")
    finally:
        process.communicate(timeout=60)
    assert process.returncode == 0 and not left(drilled) and len(drilled.sets()) == 2


def test_a_flipped_byte_in_the_store(drilled: Ground):
    store = drilled.store()
    key = next(key for key in drilled.keys() if "/postgres-db-jarvis." in key)  # noqa: SIM118
    data = bytearray(b"".join(store.read(key)))
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))
    assert drilled.sets()[0]["state"] == "verified", "what was verified before"
    done, record = drill(drilled)
    red(drilled, done, record, "bytes", "sha256 differs")
    found = outcomes(record)
    assert found["restore"] == "not run" and found["cleanup"] == "passed" and found["deletion"] == "passed"
    # The set counts no more, and the next one is taken for the newest that does.
    assert drilled.sets()[0]["state"] == "damaged"
    assert drilled.do("list").rc == 1


def test_what_fails_is_red(drilled: Ground):
    stranger = {
        "of": {"item": "sqlite-notes", "query": "SELECT 'x' || id FROM note"},
        "within": {"item": "path-uploads"},
    }
    for change, rung, words in (
        ({"image": "landfall-lab/there-is-none:1"}, "server", "cannot be started"),
        ({"checks": [{"item": "sqlite-notes", "query": "SELECT 41", "expect": "42"}]}, "smoke", "gave '41', not '42'"),
        ({"orphans": [{"name": "files", **stranger}]}, "orphans", "500 of 500 point to nothing"),
    ):
        drilled.configure(drill={"image": IMAGE, **change})
        done, record = drill(drilled)
        red(drilled, done, record, rung, words)


def test_what_could_not_run_is_red(drilled: Ground, proxy):
    done, record = drill(drilled, "--set", "20200101T000000Z-0000")
    red(drilled, done, record, "set", "no complete set")
    (drilled.root / "operation.age").rename(drilled.root / "away.age")
    done, record = drill(drilled)
    red(drilled, done, record, "decode", "no identity")
    # That is no damage of the set.
    assert drilled.sets()[0]["state"] == "verified"
    (drilled.root / "away.age").rename(drilled.root / "operation.age")
    proxy.rule = lambda seen: "403:AccessDenied"
    done = drilled.do("drill", "--json")
    assert done.rc == 1 and json.loads(done.out)["reason"].startswith("set: store main")
    assert metric(drilled, "last_drill_success") == 0


def test_errors_of_a_restore_against_the_allow_list(drilled: Ground):
    """What refers to a table by a search_path that a restore does not have: told, and allowed where it is known."""
    drilled.sql("CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM part'", "jarvis")
    drilled.sql("CREATE MATERIALIZED VIEW counts AS SELECT counted()")
    try:
        drilled.good("run")
        done, record = drill(drilled)
        red(drilled, done, record, "errors", 'relation "part" does not exist')
        drilled.configure(drill={"image": IMAGE, "allow_errors": ['relation "part" does not exist']})
        done, record = drill(drilled)
        assert done.rc == 0, done.said
        assert "1 errors, all of them allowed" in done.out
    finally:
        drilled.sql("DROP MATERIALIZED VIEW counts; DROP FUNCTION counted()")


def test_an_uploader_that_may_delete(ground: Ground):
    ground.configure(
        drill={"image": IMAGE}, sources=[{"kind": "path", "name": "uploads", "where": str(ground.uploads)}]
    )
    ground.good("run")
    done, record = drill(ground)
    red(ground, done, record, "deletion", "may also delete")
    assert record["rto"] is not None, "the data are proven all the same"
    assert outcomes(record)["server"] == "not applicable"
    ground.configure(drill={"uploader_may_delete": True})
    done, record = drill(ground)
    assert done.rc == 0 and outcomes(record)["deletion"] == "not applicable"
    # Without an escrow identity nothing is said to be proven.
    assert "not proven" in next(one["detail"] for one in record["rungs"] if one["name"] == "escrow")
    age_key(ground.root / "stranger.age")
    done, record = drill(ground, "--escrow", str(ground.root / "stranger.age"))
    red(ground, done, record, "escrow", "no identity matched")


def test_no_room_is_said_before_anything_is_laid_down(ground: Ground, tmp_path: Path):
    ground.good("run")
    made = ground.sets()[0]["id"]
    key = f"app/{made}/manifest.json"
    manifest = json.loads(ground.store().get(key).data)
    for item in manifest["items"]:
        item["plain_bytes"] = 1 << 60
    from ansible_collections.landfall.stack.plugins.module_utils.backup.manifest import digest

    manifest["digest"] = digest(manifest, b"")
    ground.store().put(key, json.dumps(manifest).encode())
    ground.configure(drill={"image": IMAGE})
    done, record = drill(ground)
    red(ground, done, record, "room", "bytes free")
    assert {one["outcome"] for one in record["rungs"][1:5]} == {"not run"}


def test_a_killed_drill_is_swept_and_red(drilled: Ground):
    process = drilled.start("drill")
    wait_for("the scratch server", lambda: left(drilled)[1:], 30, 0.05)
    # Only one at a time.
    other = drilled.do("drill")
    assert other.rc == 3 and "being worked on" in other.err
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left(drilled), "what a killed one leaves"
    # What the timer's service does at its end.
    said = drilled.good("drill", "--sweep")
    assert "a killed drill had left" in said and not left(drilled)
    assert metric(drilled, "last_drill_success") == 0
    assert "it was killed" in drilled.sets()[0]["drill"]["reason"]
    done, record = drill(drilled)
    assert done.rc == 0 and record["good"], done.said
    assert metric(drilled, "last_drill_success") == 1
