# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgBackRest and points in time: what is declared, its configuration, the archive's lag, the choice of a backup."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup import pgbackrest, pitr
from ansible_collections.landfall.stack.plugins.module_utils.backup.config import S3Config, StoreConfig, from_dict
from ansible_collections.landfall.stack.plugins.module_utils.backup.pgbackrest import Info, Server, Taken
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError

SAID = {"kind": "postgres", "engine": "pgbackrest", "name": "main", "cluster": "17/main"}
MAIN = pgbackrest.parse(SAID)
SERVER = Server("/var/lib/postgresql/17/main", 5432, "/var/run/postgresql", "/etc/postgresql/17/main", "")
WANTED = pgbackrest.settings("app", MAIN)
NOW = 1795314000.0
S3 = S3Config("b", "deep/er/", "https://s3.example.com:8443", "eu", True, ca_file="/ca", access_key="k", secret_key="s")
SEGMENT = "000000010000000000000009"


def taken(label: str, ended: float, **more) -> Taken:
    return Taken(label, "full", ended - 60, ended, 1000, 100, **more)


GOOD = Info((taken("20261122-010000F", NOW - 3600),), SEGMENT, "77")


def facts(**changes):
    out = {
        "mode": "on", "command": WANTED["archive_command"], "timeout": 300, "recovering": False, "system": "77",
        "waiting": 0, "oldest": 0, "archived": SEGMENT, "failed": "", "archived_at": NOW - 20, "failed_at": 0,
    }  # fmt: skip
    return {**out, **changes}


def judged(seen=None, found: Info | None = GOOD, trouble=(), before=None, **changes) -> pitr.Seen:
    said = facts(**changes) if seen is None else None
    return pitr.judge(MAIN, WANTED, said, found, trouble, NOW, before or pitr.Seen("x"), 26 * 3600.0)


def test_a_cluster_is_declared_in_the_inventory():
    assert (MAIN.name, MAIN.id, MAIN.archive_timeout, MAIN.max_lag) == ("postgres-main", "17/main", 300, 900.0)
    raw = {"stack": "app", "stores": [{"name": "a", "bucket": "b"}], "recipients": ["age1x"], "sources": [SAID]}
    config = from_dict(raw)
    assert config.clusters == (MAIN,) and config.sources == ()
    with pytest.raises(BackupError, match="one name"):
        from_dict({**raw, "sources": [SAID, {**SAID, "name": "other"}]})
    with pytest.raises(BackupError, match="needs recipients"):
        from_dict({**raw, "recipients": [], "project": False})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cluster": "main"}, "version/name"),
        ({"cluster": "17/../x"}, "version/name"),
        ({"service": "db"}, "unknown: service"),
        ({"cluster": "12/main"}, "13 or newer"),
        ({"keep_full": 0}, "at least 1"),
        ({"max_lag": "5m"}, "at least twice"),
        ({"max_lag": "soon"}, "soon"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, why):
    with pytest.raises(BackupError, match=why):
        pgbackrest.parse({**SAID, **changes})


def test_the_configuration_lies_beside_the_sets():
    text = pgbackrest.conf("app", MAIN, SERVER, pgbackrest.repository("app", StoreConfig("m", s3=S3)), "geheim")
    lines = text.splitlines()
    for wanted in (
        "repo1-path=/deep/er/app.pgbackrest", "repo1-s3-endpoint=s3.example.com", "repo1-storage-port=8443",
        "repo1-s3-uri-style=path", "repo1-storage-ca-file=/ca", "repo1-s3-key=k", "repo1-s3-key-secret=s",
        "repo1-cipher-pass=geheim", "repo1-retention-full=4", "expire-auto=n", "[app-postgres-main]",
        "pg1-path=/var/lib/postgresql/17/main",
    ):  # fmt: skip
        assert wanted in lines, wanted
    assert pgbackrest.repository("app", StoreConfig("d", "/mnt/x/"))["repo1-path"] == "/mnt/x/app.pgbackrest"
    with pytest.raises(BackupError, match="HTTPS only"):
        pgbackrest.repository("app", StoreConfig("m", s3=replace(S3, endpoint="http://s3:80")))
    with pytest.raises(BackupError, match="line break"):
        pgbackrest.conf("app", MAIN, SERVER, {}, "a\nb")
    host_role = pgbackrest.repository("app", StoreConfig("m", s3=S3Config("b", region="eu")))
    assert (host_role["repo1-s3-key-type"], host_role["repo1-s3-endpoint"]) == ("auto", "s3.eu.amazonaws.com")


def test_no_secret_in_what_the_server_and_a_process_list_show():
    assert "--config=/etc/pgbackrest/landfall/app-postgres-main.conf" in WANTED["archive_command"]
    assert not any("cipher" in word or "key" in word for word in pgbackrest.command("app", MAIN, "backup"))
    assert pgbackrest.drop_in({"a": "it's"}).endswith("a = 'it''s'\n")


def info_json(code: int = 0, message: str = "ok", backups=()) -> str:
    repo = {"key": 1, "status": {"code": code, "message": message}}
    return json.dumps(
        [{"archive": [{"id": "17-1", "max": SEGMENT, "min": None}], "backup": list(backups), "repo": [repo],
          "db": [{"id": 1, "system-id": 77, "version": "17"}], "status": {"code": code, "message": "other"}}]
    )  # fmt: skip


def test_what_info_says():
    one = {
        "label": "20261122-022030F", "type": "full", "timestamp": {"start": 10, "stop": 15}, "error": False,
        "info": {"size": 22956398, "repository": {"delta": 2821568, "size": 2821568}}, "reference": None,
        "archive": {"start": "0000000B0000000000000002", "stop": "0000000B0000000000000002"},
    }  # fmt: skip
    found = pgbackrest.info(info_json(backups=[one]))
    assert found.backups == (Taken("20261122-022030F", "full", 10.0, 15.0, 22956398, 2821568, timeline=11),)
    assert (found.wal, found.system, found.version) == (SEGMENT, "77", "17")
    assert not pgbackrest.info(info_json(1, "missing stanza path")).stanza
    with pytest.raises(BackupError, match="the cipher does not open") as problem:
        pgbackrest.info(info_json(99, "[FormatError] x: key/value found outside of section at line 1: \x01\x7f"))
    assert "\x01" not in str(problem.value)
    raw = info_json(99, "x: key/value found outside of section at line 1: BYTES")
    for bytes_ in ("\x01\x02", '\\q"'):
        with pytest.raises(BackupError, match="the cipher does not open"):
            pgbackrest.info(raw.replace("BYTES", bytes_))
    with pytest.raises(BackupError, match="cannot be read"):
        pgbackrest.info("[]")


def test_what_verify_says_though_it_ends_with_0():
    good = "stanza: s\nstatus: ok\n  backup: 20261122-022030F, status: valid, total files checked: 961\n"
    assert pgbackrest.verified(0, good) == (frozenset({"20261122-022030F"}), ())
    bad = good.replace("ok", "error").replace("status: valid", "status: invalid")
    whole, faults = pgbackrest.verified(0, bad + "P01   INFO: invalid checksum '15-1/00000001'")
    assert not whole and faults[0] == "backup 20261122-022030F is invalid" and "15-1/00000001" in faults[1]
    assert pgbackrest.verified(0, "")[1] and pgbackrest.verified(30, good)[1]


def test_an_archive_that_is_well():
    seen = judged()
    assert (seen.problems, seen.lag, seen.newest, seen.backups) == ((), 300.0, "20261122-010000F", 1)
    # A quiet server archives nothing, and that is well.
    assert judged(archived_at=NOW - 40000).problems == ()
    assert pitr.problems([seen], NOW + 60) == []
    assert "is the timer" in pitr.problems([seen], NOW + 4000)[0]
    assert "nobody looked" in pitr.problems([pitr.Seen("postgres-main")], NOW)[0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"waiting": 3, "oldest": 700}, "1000 s behind (900 are allowed), 3 segments wait"),
        ({"waiting": 1, "oldest": 2, "failed": "X", "failed_at": NOW - 1}, "archiving fails at X"),
        ({"mode": "off"}, "archive_mode is 'off'"),
        ({"command": "/bin/true"}, "archive_command is '/bin/true'"),
        ({"timeout": 0}, "archive_timeout is 0"),
        ({"system": "78"}, "another cluster"),
        ({"archived": "00000001000000000000000A"}, "the newest in the repository"),
    ],
)
def test_an_archive_that_is_not(changes, why):
    assert any(why in one for one in judged(**changes).problems), judged(**changes).problems


def test_no_answer_is_no_good_news():
    seen = judged(seen=False, trouble=["the server does not answer"], before=judged())
    assert seen.problems == ("the server does not answer",) and seen.lag is None and seen.newest
    assert 'archive_lag_seconds{stack="app",cluster="postgres-main"} NaN' in pitr.textfile("app", [seen])
    assert 'archive_success{stack="app",cluster="postgres-main"} 0' in pitr.textfile("app", [seen])
    lost = judged(found=None, trouble=["no store"], before=judged())
    assert lost.newest == "20261122-010000F" and lost.problems == ("no store",)


def test_backups_that_are_missing_old_damaged_or_failed():
    assert "no backup yet" in judged(found=replace(GOOD, backups=())).problems[0]
    old = replace(GOOD, backups=(taken("20261120-010000F", NOW - 30 * 3600),))
    assert "30 hours old" in judged(found=old).problems[0]
    broken = replace(GOOD, backups=(taken("20261122-010000F", NOW - 60, error=True),))
    assert "no backup yet" in judged(found=broken).problems[0]
    before = pitr.Seen("x", faults=("f is invalid",), failure="no room", verified={"gone": 1.0})
    seen = judged(before=before)
    assert len(seen.problems) == 2 and seen.verified == {}
    assert pitr.from_json(pitr.to_json([seen])) == (seen,)
    assert pitr.from_json("{") == ()


@pytest.mark.parametrize(
    ("text", "is_"),
    [
        ("2026-11-22 03:00:00Z", (3, 0, 0, 0)),
        ("2026-11-22T04:00:00.5+01:00", (3, 0, 0, 500000)),
        ("2026-11-22 03:00+00", (3, 0, 0, 0)),
        ("2026-11-21 21:30:00.000001 -0530", (3, 0, 0, 1)),
    ],
)
def test_moments(text, is_):
    assert pitr.moment(text) == datetime(2026, 11, 22, *is_, tzinfo=timezone.utc)


@pytest.mark.parametrize("text", ["2026-11-22 03:00:00", "yesterday", "2026-13-01 00:00:00Z", ""])
def test_what_is_no_moment(text):
    with pytest.raises(BackupError, match="no point in time"):
        pitr.moment(text)


def at(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, timezone.utc)


def test_the_newest_whole_backup_before_the_moment():
    full, diff, late = "20261101-000000F", "20261101-000000F_20261102-000000I", "20261103-000000F"
    found = Info((taken(full, 1000), taken(diff, 2000, needs=(full,)), taken(late, 3000)))
    assert pitr.choose(found, "latest", None, (), 9000).label == late
    assert pitr.choose(found, "latest", at(3000.5), (), 9000).label == diff
    assert pitr.choose(found, "latest", at(3001), (), 9000).label == late
    assert pitr.choose(found, full, at(3001), (), 9000).label == full
    # Damage of what it hangs on is its own.
    assert pitr.choose(found, "latest", None, (late,), 9000).label == diff
    for label, target, damaged, why in (
        ("latest", at(1000), (), "the first point in time is 1970-01-01T00:16:41Z"),
        ("latest", at(9001), (), "in the future"),
        (late, at(2500), (), "no whole backup ended before"),
        ("20200101-000000F", None, (), "there is no backup"),
        ("latest", None, (full, late), "no whole backup in the repository"),
    ):
        with pytest.raises(BackupError, match=why):
            pitr.choose(found, label, target, damaged, 9000)


def test_a_copy_never_archives():
    one = taken("20261101-000000F", 1000)
    beside = pitr.Restore(one, at(2000.25), "copy")
    assert beside.words() == [
        "restore", "--set=20261101-000000F", "--type=time", "--target=1970-01-01 00:33:20.250000+00",
        "--target-action=promote", "--archive-mode=off",
    ]  # fmt: skip
    assert pitr.Restore(one).words() == ["restore", "--set=20261101-000000F"]
    assert beside.room == 1100


def test_a_copy_has_the_settings_that_recovery_needs():
    said = "pg_control version number: 1300\nmax_connections setting:  300\nmax_locks_per_xact setting: 64\n"
    assert pitr.recovery_settings(said) == {"max_connections": "300", "max_locks_per_transaction": "64"}


def test_clusters_of_debian():
    said = [{"version": 17, "cluster": "main", "pgdata": "/d", "port": "5433", "configdir": "/c", "running": 1}]
    assert pgbackrest.listed(json.dumps(said)) == {"17/main": Server("/d", 5433, "/var/run/postgresql", "/c", "", True)}
    assert pgbackrest.listed("[]") == {}
    with pytest.raises(BackupError, match="cannot be read"):
        pgbackrest.listed("[{}]")


def test_what_expires():
    said = "INFO: repo1: expire full backup 20261122-022030F\nINFO: repo1: remove expired backup 20261122-022030F\n"
    assert pgbackrest.expired(said) == "goes: 20261122-022030F"
    assert pgbackrest.expired("INFO: expire command end") == "nothing goes"
