# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restic: what is asked of it, how its words are read, which of its snapshots a set names."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup import pgbackrest, restic
from ansible_collections.landfall.stack.plugins.module_utils.backup.manifest import (
    Item,
    Manifest,
    SentObject,
    Untrusted,
    from_json,
)
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError, Place
from ansible_collections.landfall.stack.plugins.module_utils.backup.sources import Source, with_keys

SID = "20261121T023000Z-1f3a"
DETAILS = {"engine": "restic", "repository": "0a1b2c3d", "snapshot": "a" * 64, "tree": "b" * 64, "added": 7}
ITEM = Item("volume-web-files", "volume", "web", "app_files", (), 900, (), 0.1, (), DETAILS)
MADE = Manifest(SID, "app", "host", "timer", "a", "b", (ITEM,))
SUMMARY = {
    "message_type": "summary", "snapshot_id": "abcd1234", "total_files_processed": 3, "total_bytes_processed": 900,
    "data_added": 7,
}  # fmt: skip


def said(**error) -> str:
    return json.dumps({"message_type": "error", "during": "archival", "item": "/x/a", "error": error})


def test_a_manifest_names_a_snapshot_instead_of_objects():
    assert from_json(MADE.to_json(), "app", SID) == MADE
    assert (ITEM.stored, ITEM.weight) == (7, 900)
    objects = (SentObject(f"app/{SID}/volume-web-files.000", 9, "ab", 1),)
    for wrong in (
        replace(ITEM, objects=objects),
        replace(ITEM, details={}),
        replace(ITEM, kind="postgres"),
    ):
        with pytest.raises(Untrusted):
            from_json(replace(MADE, items=(wrong,)).to_json(), "app", SID)


@pytest.mark.parametrize("name", ["repository", "snapshot", "tree"])
def test_a_snapshot_that_makes_no_sense_is_refused(name):
    with pytest.raises(BackupError):
        restic.snapshot_of(replace(ITEM, details={**DETAILS, name: "../x"}))


def test_the_newest_whole_repository_is_gone_on_with():
    found = [
        ("app/restic/0a1b2c3d/config", 10.0),
        ("app/restic/ffffffff/keys/" + "a" * 64, 30.0),
        ("app/restic/11111111/config", 20.0),
        ("app/restic/11111111/data/aa/" + "a" * 64, 40.0),
    ]
    assert restic.newest("app", found) == "11111111"
    assert restic.newest("app", found[1:2]) == ""


def test_what_names_others_is_copied_after_them():
    start, name = "app/restic/0a1b2c3d/", "c" * 64
    parts = [f"{kind}/{name}" for kind in ("snapshots", "locks", "index", "data/cc", "keys")]
    keys = [start + part for part in (*parts, f"data/cc/{name}-tmp-1", "config")]
    assert [key.removeprefix(start).split("/")[0] for key in restic.copied("app", "0a1b2c3d", keys)] == [
        "config", "keys", "data", "index", "snapshots",
    ]  # fmt: skip


def test_no_secret_stands_in_a_command_line():
    place = Place("s3:http://x/b", {"AWS_SECRET_ACCESS_KEY": "very-secret"}, ("-o", "s3.bucket-lookup=path"))
    made = restic.command(place, "/etc/key", "", "snapshots")
    assert "very-secret" not in " ".join(made.argv) and made.env["RESTIC_PASSWORD_FILE"] == "/etc/key"


def test_patterns_are_those_of_tar():
    words = restic.backup_words("/v/a[1]", "app", ("t",), ("./x", "*.tmp"), 100_000)
    assert words[words.index("--exclude") + 1] == "/v/a\\[1]/x" and "*.tmp" in words
    assert words[-4:] == ["--limit-upload", "97", "--", "/v/a[1]"]


def test_all_packs_are_read_in_so_many_days():
    asked = {restic.check_words(day * 86400 + 5, 7)[-1] for day in range(20000, 20007)}
    assert asked == {f"--read-data-subset={part}/7" for part in range(1, 8)}
    assert restic.check_words(1e9, 1)[-1] == "--read-data-subset=1/1"


def test_a_file_that_vanishes_is_a_warning_and_any_other_fault_is_none():
    out = json.dumps(SUMMARY)
    assert restic.summary(0, out, "").added == 7
    for gone in (said(Op="lstat", Err=2), said(message="open /x/a: no such file or directory")):
        assert restic.summary(3, out, gone).vanished == ("/x/a",)
    # Of some that go restic does not say why: that is for one who can look.
    unsaid = restic.summary(3, out, said())
    assert (unsaid.vanished, unsaid.unexplained) == ((), ("/x/a",))
    for rc, lines, errors in (
        (3, out, said(Op="open", Err=13)),
        (3, out, ""),
        (0, out, said(message="input/output error")),
        (1, out, ""),
        (0, "", ""),
    ):
        with pytest.raises(BackupError):
            restic.summary(rc, lines, errors)


def test_damage_is_not_a_host_that_does_not_answer():
    assert restic.is_damage("Fatal: repository contains errors")
    assert not restic.is_damage("Fatal: unable to open config file: dial tcp 127.0.0.1:1: connection refused")
    assert not restic.is_damage("Fatal: wrong password or no key found")


def test_only_what_no_set_names_is_forgotten():
    wanted = restic.named([MADE, replace(MADE, items=(replace(ITEM, details={**DETAILS, "snapshot": "c" * 64}),))])
    assert wanted == {"0a1b2c3d": {"a" * 64, "c" * 64}}
    assert restic.unwanted(["a" * 64, "d" * 64], wanted["0a1b2c3d"]) == ["d" * 64]


def test_the_password_is_in_each_set_that_needs_it():
    plain = Source("path", "a", where="/a")
    kept = Source("path", "b", where="/b", options={"engine": "restic"})
    assert with_keys([plain], "p", "") == [plain]
    assert [one.kind for one in with_keys([plain, kept], "p", "")] == ["path", "path", "key"]
    own = with_keys([plain], "p", "/cipher", [pgbackrest.Cluster("postgres-main", 17, "main")])[1:]
    assert [(one.name, one.where) for one in own] == [
        ("pgbackrest-key", "/cipher"),
        ("pgbackrest-conf-main", "/etc/postgresql/17/main"),
    ]


def test_an_index_names_packs():
    assert restic.packs_of('{"supersedes": [], "packs": [{"id": "aa", "blobs": []}]}') == {"aa"}
    assert restic.packs_of('{"packs": null}') == set()
    with pytest.raises(BackupError):
        restic.packs_of("Fatal")


def test_indexes_that_were_read_are_remembered():
    assert restic.remembered(json.dumps({"a" * 64: ["b" * 64]})) == {"a" * 64: ["b" * 64]}
    for text in ("", "{", "[]", "null", '{"a": 3}'):
        assert restic.remembered(text) == {}
