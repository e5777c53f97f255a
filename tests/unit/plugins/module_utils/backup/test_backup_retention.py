# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention counts verified sets only: bad days, clocks and empty listings never push the last good one out."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.landfall.stack.plugins.module_utils.backup import layout
from ansible_collections.landfall.stack.plugins.module_utils.backup.catalogue import Catalogue, Found, KnownSet, choose
from ansible_collections.landfall.stack.plugins.module_utils.backup.manifest import Manifest, Verdict
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError, Entry
from ansible_collections.landfall.stack.plugins.module_utils.backup.retention import Policy, plan

START = datetime(2026, 1, 1, 2, 30, tzinfo=timezone.utc)
POLICY = Policy(daily=7, weekly=4, monthly=3, minimum=3)


def known(day: float, state: str = "verified") -> KnownSet:
    sid = layout.set_id((START + timedelta(days=day)).timestamp(), "aaaa")
    manifest = Manifest(sid, "app", "h", "timer", "", "", ())
    if state == "unverified":
        return KnownSet(sid, manifest)
    return KnownSet(sid, manifest, Verdict(sid, state == "verified", "decoded", "", ""))


def days(plan_, keep: bool = True) -> list[int]:
    found = [layout.taken_at(one.id) for one in plan_.decisions if one.keep is keep]
    return [round((moment - START.timestamp()) / 86400) for moment in found]


def test_days_weeks_and_months():
    made = plan(Catalogue(tuple(known(day) for day in range(200))), POLICY, 0)
    kept = days(made)
    assert kept[-7:] == [193, 194, 195, 196, 197, 198, 199]
    # Sundays end the weeks, the last days of months the months.
    assert kept == [150, 180, 185, 192, *range(193, 200)] or len(kept) <= 7 + 4 + 3
    assert {180, 199} <= set(kept)
    assert len(made.goes) == 200 - len(kept)


def test_thirty_days_of_failures_leave_the_last_good_one():
    sets = [known(0), *(known(day, "damaged") for day in range(1, 31))]
    made = plan(Catalogue(tuple(sets)), POLICY, 0)
    assert 0 in days(made)
    assert days(made, keep=False) == []
    later = plan(Catalogue((*sets, known(31))), POLICY, 0)
    assert {0, 31} <= set(days(later))
    assert days(later, keep=False) == list(range(1, 31))


def test_a_year_forward_and_back_deletes_by_no_age():
    sets = (known(0), known(1), known(2), known(366), known(3), known(4))
    made = plan(Catalogue(tuple(sorted(sets, key=lambda one: one.id))), POLICY, 0)
    assert made.goes == []


def test_several_of_one_day_keep_the_newest():
    made = plan(Catalogue((known(0.0), known(0.2), known(0.4))), Policy(1, 0, 0, 1), 0)
    assert [one.keep for one in made.decisions] == [False, False, True]


def test_unverified_sets_wait_a_week():
    sets = (known(0, "unverified"), known(5, "unverified"), known(8), known(9, "unverified"))
    made = plan(Catalogue(sets), Policy(1, 0, 0, 1), 0)
    assert days(made) == [5, 8, 9]


def test_nothing_is_deleted_when_nothing_is_verified():
    for sets in ((), (known(0, "unverified"),), (known(0, "damaged"),)):
        with pytest.raises(BackupError, match="nothing is deleted"):
            plan(Catalogue(sets), POLICY, 0)


def test_leavings_are_swept_after_a_day_only():
    sid = layout.set_id(START.timestamp(), "bbbb")
    left = Found(sid, (Entry(f"app/{sid}/x.000", 1, 1000.0),))
    for now, keep in ((1000.0 + 3600, True), (1000.0 + 90000, False)):
        made = plan(Catalogue((known(1),), (left,)), POLICY, now)
        assert next(one.keep for one in made.decisions if one.id == sid) is keep


@given(
    st.lists(st.tuples(st.integers(0, 800), st.sampled_from(["verified", "unverified", "damaged"])), max_size=60),
    st.integers(0, 9), st.integers(0, 6), st.integers(1, 6), st.integers(1, 5),
)  # fmt: skip
def test_what_always_holds(rows, daily, weekly, monthly, minimum):
    sets = tuple(sorted({known(day, state).id: known(day, state) for day, state in rows}.values(), key=lambda s: s.id))
    verified = [one.id for one in sets if one.state == "verified"]
    if not verified:
        return
    made = plan(Catalogue(sets), Policy(daily, weekly, monthly, minimum), 0)
    kept = {one.id for one in made.decisions if one.keep}
    assert verified[-1] in kept
    assert len(kept & set(verified)) >= min(minimum, len(verified))
    assert {one.id for one in made.decisions} == {one.id for one in sets}
    # What is newer than the newest verified one is never judged by it.
    assert all(one.id in kept for one in sets if one.id > verified[-1])


def test_latest_is_the_newest_verified_one():
    sets = (known(0), known(1), known(2, "damaged"), known(3, "unverified"))
    assert choose(sets, "latest", "app") == sets[1]
    assert choose(sets[2:], "latest", "app") == sets[3]
    with pytest.raises(BackupError, match="all damaged"):
        choose(sets[2:3], "latest", "app")
    with pytest.raises(BackupError, match="no complete set"):
        choose(sets, "20200101T000000Z-0000", "app")
