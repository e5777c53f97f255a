# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays, what goes, and what a killed run left."""

from __future__ import annotations

from ansible_collections.landfall.stack.plugins.module_utils.rollout import journal, store
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import (
    ABANDONED,
    FAILED,
    PENDING,
    SEALED,
    Release,
)


def rel(number: int, outcome: str = SEALED, digest: str = "") -> Release:
    return Release(f"r{number:02}", "toy", digest or f"d{number}", "", outcome=outcome)


def image(name: str) -> dict:
    return {"web": {"image": f"app:{name}", "pinned": f"app@{name}", "id": f"id-{name}"}}


def test_last_good_is_sealed():
    assert store.last_good([rel(1), rel(2), rel(3, FAILED)]).id == "r02"
    assert store.last_good([rel(1), rel(2)], before="r02").id == "r01"
    assert store.last_good([rel(1, PENDING)]) is None


def test_a_killed_run_with_the_same_content_is_resumed_and_others_abandoned():
    releases = [rel(1), rel(2, PENDING, "old"), rel(3, PENDING, "same"), rel(4, PENDING, "same")]
    assert store.recover(releases, "same") == store.Recovery("r04", ("r02", "r03"))
    assert store.recover(releases, "new") == store.Recovery(None, ("r02", "r03", "r04"))


def test_prune_keeps_what_was_asked():
    releases = [rel(n) for n in range(1, 8)]
    plan = store.plan_prune(releases, "r07", 3, {r.id: image(r.id) for r in releases})
    assert plan.releases == ("r01", "r02", "r03", "r04")
    assert plan.images[0] == ("app@r01", "id-r01")
    assert ("app:r04", "id-r04") in plan.images


def test_the_current_and_the_last_good_release_always_stay():
    releases = [rel(1), *(rel(n, FAILED) for n in range(2, 9))]
    plan = store.plan_prune(releases, "r01", 1, {})
    assert "r01" not in plan.releases
    assert plan.releases == ("r02", "r03", "r04", "r05")
    assert "r01" not in store.plan_prune([rel(1), rel(2), rel(3)], "r01", 1, {}).releases


def test_keep_zero_still_keeps_one():
    assert store.plan_prune([rel(1), rel(2)], None, 0, {}).releases == ("r01",)


def test_an_image_that_a_kept_release_uses_stays():
    plan = store.plan_prune([rel(1), rel(2)], "r02", 1, {"r01": image("x"), "r02": image("x")})
    assert plan == store.PrunePlan(("r01",), ())


def test_a_tag_that_a_kept_release_uses_stays_though_it_moved():
    old = {"web": {"image": "app:latest", "pinned": "app@old", "id": "old"}}
    new = {"web": {"image": "app:latest", "pinned": "app@new", "id": "new"}}
    plan = store.plan_prune([rel(1), rel(2)], "r02", 1, {"r01": old, "r02": new})
    assert plan.images == (("app@old", "old"),)


def test_images_of_other_stacks_stay():
    plan = store.plan_prune([rel(1), rel(2)], "r02", 1, {"r01": image("x")}, protected={"id-x"})
    assert plan.images == ()


def test_running_and_abandoned_releases():
    releases = [rel(1, PENDING), *(rel(n, ABANDONED) for n in range(2, 7)), rel(7)]
    assert store.plan_prune(releases, "r07", 1, {}).releases == ("r02", "r03")


def test_journal_survives_a_torn_line():
    lines = [
        journal.Entry("t1", "r1", "pulled", {}).line(),
        journal.Entry("t2", "r1", "started", {"n": 1}).line(),
        '{"at": "t3", "rel',
    ]
    entries = journal.parse(lines)
    assert [entry.step for entry in entries] == ["pulled", "started"]
    assert entries[1].detail == {"n": 1}
    assert journal.last_step(entries, "r1") == "started"
    assert journal.last_step(entries, "r2") is None
