# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the stack file and the inventory to sources, in an order that keeps them consistent."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup import commands
from ansible_collections.landfall.stack.plugins.module_utils.backup.config import from_dict
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError
from ansible_collections.landfall.stack.plugins.module_utils.backup.sources import Source, of_stack, ordered, parse
from ansible_collections.landfall.stack.plugins.module_utils.compose.stack import Service, Stack

GOOD = {"stack": "app", "stores": [{"name": "a", "bucket": "b"}], "recipients": ["age1x"]}


def stack(**backups) -> Stack:
    services = {name: Service(name, extra={"backup": said}) for name, said in backups.items()}
    return Stack("app", (), services, (), {"files": "app_files"}, {})


def test_queues_databases_files_project():
    found = of_stack(
        stack(
            web={"volumes": ["files"], "exclude": ["*.tmp"]},
            db={"postgres": {"databases": ["jarvis"]}},
            queue={"redis": {}},
            notes={"sqlite": ["/data/a.sqlite3"]},
        )
    )
    order = [one.kind for one in ordered([*found, Source("project", "project")])]
    assert order == ["redis", "postgres", "sqlite", "volume", "project"]
    volume = next(one for one in found if one.kind == "volume")
    assert (volume.where, volume.exclude) == ("app_files", ("*.tmp",))


def test_chroma_is_held_still_for_its_rows_and_its_index():
    found = ordered([*of_stack(stack(chroma={"chroma": {}}, db={"postgres": {}})), Source("project", "project")])
    assert [(one.kind, one.quiesce) for one in found] == [
        ("postgres", "none"), ("sqlite", "stop"), ("path", "stop"), ("project", "none"),
    ]  # fmt: skip
    assert "./chroma.sqlite3-wal" in found[2].exclude


def test_pgbackrest_and_unknown_volumes_are_refused():
    with pytest.raises(BackupError, match="logical"):
        of_stack(stack(db={"postgres": {"engine": "pgbackrest"}}))
    with pytest.raises(BackupError, match="no volume 'other'"):
        of_stack(stack(web={"volumes": ["other"]}))


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ({"kind": "mysql"}, "kind is one of"),
        ({"kind": "path", "where": "relative"}, "absolute"),
        ({"kind": "volume"}, "docker volume ls"),
        ({"kind": "postgres", "passwort": "x"}, "unknown: passwort"),
        ({"kind": "path", "where": "/x", "quiesce": "stop"}, "needs a service"),
        ({"kind": "mongo"}, "service is missing"),
    ],
)
def test_sources_of_the_inventory_that_are_refused(raw, word):
    with pytest.raises(BackupError, match=word):
        parse(raw)


def test_two_of_one_name():
    one = parse({"kind": "path", "where": "/srv/x"})
    with pytest.raises(BackupError, match="path-srv-x"):
        ordered([one, one])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"stores": []}, "at least one"),
        ({"stores": [{"name": "a", "bucket": "b", "path": "/x"}]}, "either a bucket or a path"),
        ({"stores": [{"name": "a", "bucket": "b", "secret_key": "x"}]}, "secret_key is not known"),
        ({"stores": [{"name": "a", "path": "/x"}, {"name": "a", "path": "/y"}]}, "two have one name"),
        ({"recipients": []}, "only backed up encrypted"),
        ({"recipients": ["ssh-rsa x"]}, "no recipient of age"),
        ({"max_age": "1 day"}, "not a duration"),
        ({"retention": {"minimum": 0}}, "minimum"),
        ({"retention": {"hourly": 1}}, "retention"),
        ({"what": 1}, "what is not known"),
        ({"stack": "App"}, "no name of a stack"),
    ],
)
def test_configurations_that_are_refused(change, word):
    assert from_dict(GOOD).stack == "app"
    with pytest.raises(BackupError, match=word):
        from_dict({**GOOD, **change})


def test_secrets_never_stand_in_a_command_line():
    command = commands.redis("c1", "hunter2")
    assert "hunter2" not in " ".join(command.argv) and command.env["REDISCLI_AUTH"] == "hunter2"
    assert "-t" not in command.argv and "-it" not in command.argv


def test_snapshots_of_redis_that_are_not_whole():
    whole = b"REDIS0011" + b"x" * 40 + b"\xff" + b"12345678"
    assert commands.redis_fault(whole[:512], whole[-512:], len(whole)) == ""
    marked = whole + b"0123456789abcdef0123456789abcdef01234567"
    assert commands.redis_fault(marked[:512], marked[-512:], len(marked)) == "" and commands.redis_mark(marked) == 40
    assert commands.redis_mark(whole) == 0
    assert "cut off" in commands.redis_fault(whole[:512], whole[:-1], len(whole) - 1)
    assert "no snapshot" in commands.redis_fault(b"ERR", b"ERR", 3)


def test_programs_of_mongodb_and_what_they_say():
    assert commands.mongo("c1", "").argv == ("docker", "exec", "-i", "c1", "mongodump", "--archive", "--oplog")
    assert commands.mongo("c1", "/c.yaml", ["app"]).argv[4:] == (
        "mongodump",
        "--archive",
        "--db=app",
        "--config=/c.yaml",
    )
    whole = ("mongorestore", "--archive", "--drop", "--stopOnError")
    assert commands.mongo_load("c1", "", False).argv[4:] == whole
    assert commands.mongo_load("c1", "/c.yaml", True).argv[4:] == (*whole, "--oplogReplay", "--config=/c.yaml")
    assert commands.mongo_load("c1", "", True).name == "mongorestore"
    said = "51 document(s) restored successfully. 0 document(s) failed to restore."
    assert commands.mongo_documents(f"7 document(s) restored successfully\n{said}") == 51
    assert commands.mongo_documents("done") == -1
    assert "rs.initiate()" in commands.mongo_hint("Failed: error getting oplog start: mongo: no documents in result")
    assert "rs.initiate()" in commands.mongo_hint("(NotYetInitialized) Replication has not yet been configured")
    assert "roles" in commands.mongo_hint("(Unauthorized) command listDatabases requires authentication")
    assert commands.mongo_hint("no space left on device") == ""
    assert commands.mongo_fault(b"\x6d\xe2\x99\x81..", b"", 9) == "" and commands.mongo_fault(b"x", b"", 1)


def test_of_a_chroma_restic_keeps_the_directory_and_its_database_stays_a_stream():
    rows, vectors = ordered(of_stack(stack(chroma={"chroma": {}, "engine": "restic"})))
    assert (rows.kind, rows.by_restic, vectors.kind, vectors.by_restic) == ("sqlite", False, "path", True)
    assert {rows.quiesce, vectors.quiesce} == {"stop"} and "./chroma.sqlite3" in vectors.exclude


def test_an_engine_is_one_that_is_known():
    assert parse({"kind": "path", "where": "/a", "engine": "restic"}).by_restic
    for wrong in (
        {"kind": "path", "where": "/a", "engine": "borg"},
        {"kind": "sqlite", "where": "/a", "engine": "restic"},
    ):
        with pytest.raises(BackupError):
            parse(wrong)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"sse": "aes256"}, "sse is 'aes256', and is one of AES256, aws:kms"),
        ({"kms_key": "alias/x"}, "kms_key needs sse: aws:kms"),
        ({"sse": "AES256", "kms_key": "alias/x"}, "kms_key needs sse: aws:kms"),
    ],
)
def test_encryption_by_the_store_is_asked_for_in_s3s_words(more, why):
    raw = {"stack": "app", "project": False, "stores": [{"name": "main", "bucket": "b", **more}]}
    with pytest.raises(BackupError, match=why):
        from_dict(raw)
    assert from_dict({**raw, "stores": [{"name": "main", "bucket": "b", "sse": "aws:kms"}]}).stores[0].s3.kms_key == ""
