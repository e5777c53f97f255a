# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest that is damaged, forged or of another set is not trusted; names never reach a neighbour."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.landfall.stack.plugins.module_utils.backup import layout, parts
from ansible_collections.landfall.stack.plugins.module_utils.backup.catalogue import group
from ansible_collections.landfall.stack.plugins.module_utils.backup.lease import Lease, dead, parse, takeable
from ansible_collections.landfall.stack.plugins.module_utils.backup.manifest import (
    Item,
    Manifest,
    SentObject,
    Untrusted,
    Verdict,
    digest,
    from_json,
    verdict_from_json,
)
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError, Entry

SID = "20261121T023000Z-1f3a"
ITEM = Item("files", "path", "", "/x", (SentObject(f"app/{SID}/files.000", 9, "ab", 1),), 9, ("zstd", "age"), 0.1)
MADE = Manifest(SID, "app", "host", "timer", "a", "b", (ITEM,))


def test_there_and_back():
    assert from_json(MADE.to_json(), "app", SID) == MADE
    assert from_json(MADE.to_json(b"k"), "app", SID, b"k") == MADE


@given(st.integers(0, len(MADE.to_json()) * 8 - 1))
def test_no_flipped_bit_changes_what_is_read(bit):
    raw = bytearray(MADE.to_json())
    raw[bit // 8] ^= 1 << (bit % 8)
    with contextlib.suppress(Untrusted):
        assert from_json(bytes(raw), "app", SID) == MADE  # white space alone


@given(st.integers(0, len(MADE.to_json()) - 3))
def test_no_truncation_is_read(size):
    with pytest.raises(Untrusted):
        from_json(MADE.to_json()[:size], "app", SID)


def test_forged_with_a_plain_digest_is_refused_where_a_key_is_used():
    with pytest.raises(Untrusted, match="another key"):
        from_json(MADE.to_json(), "app", SID, b"key")
    with pytest.raises(Untrusted):
        from_json(MADE.to_json(b"other"), "app", SID, b"key")


def test_of_another_set_or_stack_or_with_anothers_objects():
    with pytest.raises(Untrusted, match="says that it is of"):
        from_json(MADE.to_json(), "app", "20261121T023000Z-ffff")
    with pytest.raises(Untrusted, match="says that it is of"):
        from_json(MADE.to_json(), "app_staging", SID)
    body = json.loads(MADE.to_json())
    body["items"][0]["objects"][0]["key"] = "app_staging/x"
    body["digest"] = digest(body, b"")
    with pytest.raises(Untrusted, match="not its own"):
        from_json(json.dumps(body).encode(), "app", SID)


def test_a_verdict_belongs_to_one_text_of_the_manifest():
    import hashlib

    raw = MADE.to_json()
    verdict = Verdict(SID, True, "decoded", "now", hashlib.sha256(raw).hexdigest())
    assert verdict_from_json(verdict.to_json(), SID, raw) == verdict
    assert verdict_from_json(verdict.to_json(), SID, raw + b" ") is None
    assert verdict_from_json(b"{}", SID, raw) is None


def test_app_never_sees_app_staging():
    entries = [Entry(f"{stack}/{SID}/manifest.json", 1) for stack in ("app", "app_staging", "app2")]
    assert [entry.key for one in group(entries, "app") for entry in one.entries] == [f"app/{SID}/manifest.json"]
    for key in ("app/lease.json", f"app/{SID}/", f"app/{SID}", "app/nonsense/x", f"other/app/{SID}/x"):
        assert layout.parts_of(key, "app") is None
    with pytest.raises(BackupError):
        layout.stack_prefix("../x")
    with pytest.raises(BackupError):
        layout.set_prefix("app", "../../x")


def test_names_of_items_can_stand_in_a_key():
    assert layout.item_name("postgres", "db", "Ärger/x y") == "postgres-db-rger-x-y"
    assert layout.ITEM.match(layout.item_name("path", "web", "/srv/../etc"))


def test_parts_hold_enough_and_never_too_much_at_a_time():
    sizes = [parts.part_size(number) for number in range(1, parts.MAX_PARTS + 1)]
    assert sizes == sorted(sizes) and sum(sizes) > 29 << 30
    assert min(sizes) >= 5 << 20 and max(sizes) * 3 <= parts.BUDGET  # two are sent while one is read


def test_sizes_that_cannot_be():
    assert parts.implausible("postgres", 20, None)
    assert parts.implausible("postgres", 100_000, 5 << 20)
    assert not parts.implausible("postgres", 600_000, 5 << 20)
    assert not parts.implausible("path", 100, 900_000)


def test_a_lease_is_taken_over_when_it_is_free_dead_or_old_by_the_stores_clock():
    held = Lease("n", "h", 1, "backup", "t")
    assert not takeable(held, 1000.0, 1100.0)
    assert takeable(held, 1000.0, 1301.0)
    assert takeable(held, 1000.0, 1001.0, dead=True)
    assert takeable(Lease("n", "h", 1, "backup", "t", free=True), 1000.0, 1000.0)
    assert not takeable(None, 1000.0, 1001.0)
    assert parse(b"broken") is None and parse(held.to_json()) == held


def test_who_died_with_its_process_or_its_boot_is_not_waited_for():
    held = Lease("n", "here", 7, "backup", "now", "installed/boot1")
    assert not dead(held, "here", "installed/boot1", lambda pid: pid == 7)
    assert dead(held, "here", "installed/boot1", lambda pid: False)
    # A number is given out again after a reboot.
    assert dead(held, "here", "installed/boot2", lambda pid: True)
    # Another host, a clone of this one, one that says nothing of itself.
    assert not dead(held, "elsewhere", "installed/boot2", lambda pid: False)
    assert not dead(held, "here", "other/boot1", lambda pid: False)
    assert not dead(Lease("n", "here", 7, "backup", "now"), "here", "installed/boot1", lambda pid: False)
    assert not dead(None, "here", "installed/boot1", lambda pid: False)
