# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ladder of a drill: what is climbed, what is not run after a failure, and what comes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup import drill, drill_config, drill_state
from ansible_collections.landfall.stack.plugins.module_utils.backup.drill import (
    FAILED,
    NOT_APPLICABLE,
    NOT_RUN,
    PASSED,
    Record,
    Rung,
)
from ansible_collections.landfall.stack.plugins.module_utils.backup.drill_config import Check, DrillConfig
from ansible_collections.landfall.stack.plugins.module_utils.backup.drill_state import Drills
from ansible_collections.landfall.stack.plugins.module_utils.backup.manifest import Item, Manifest
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError

SID = "20261121T023000Z-1f3a"


def item(kind: str, service: str = "db", name: str = "shop", **details: object) -> Item:
    return Item(f"{kind}-{service}-{name}", kind, service, f"database {name}", (), 100, ("age",), 1.0, (),
                {"name": name, **details})  # fmt: skip


def made(*items: Item) -> Manifest:
    return Manifest(SID, "app", "h", "timer", "2026-11-21T02:30:00Z", "2026-11-21T02:31:00Z", items)


def climbed(manifest: Manifest, broken: str = "", config: DrillConfig | None = None, checks=(), escrow=True):
    ticks = iter(range(1000))

    def do(name: str) -> str:
        if name == broken:
            raise BackupError("broken")
        return name

    steps = drill.plan(manifest, config or DrillConfig(), checks, escrow, True)
    return {one.name: one for one in drill.climb(steps, do, lambda: float(next(ticks)))}


def test_what_does_not_apply_says_why():
    found = climbed(made(item("path")), escrow=False)
    assert {name for name, one in found.items() if one.outcome == PASSED} == {
        "room", "bytes", "decode", "deletion", "cleanup"
    }  # fmt: skip
    assert all(one.detail for one in found.values() if one.outcome == NOT_APPLICABLE)
    assert found["escrow"].detail.startswith("not proven")
    assert drill.judge(list(found.values())) == (True, "")


@pytest.mark.parametrize(
    ("broken", "not_run"),
    [
        ("room", {"bytes", "decode", "server", "restore", "errors", "rows", "amcheck", "smoke", "escrow"}),
        ("bytes", {"decode", "restore", "errors", "rows", "amcheck", "smoke", "escrow"}),
        ("server", {"restore", "errors", "rows", "amcheck", "smoke"}),
        ("rows", {"smoke"}),
        ("amcheck", set()),
        ("cleanup", set()),
    ],
)
def test_what_needs_a_failed_rung_is_not_run_and_the_rest_is(broken, not_run):
    found = climbed(made(item("postgres")), broken, checks=[Check("SELECT 1", item="postgres-db-shop")])
    assert {name for name, one in found.items() if one.outcome == NOT_RUN} == not_run
    assert found[broken].outcome == FAILED
    good, reason = drill.judge(list(found.values()))
    assert not good and reason == f"{broken}: broken"
    if broken != "cleanup":
        assert found["cleanup"].outcome == PASSED


def test_the_time_to_recover_is_that_of_the_data_and_only_when_they_are_proven():
    whole = list(climbed(made(item("postgres"))).values())
    passed = [one for one in whole if one.outcome == PASSED]
    after = {"escrow", "deletion", "cleanup"}
    assert drill.recovered_after(whole, 2.5) == 2.5 + sum(one.seconds for one in passed if one.name not in after)
    assert drill.recovered_after(list(climbed(made(item("postgres")), "deletion").values()), 0) is not None
    assert drill.recovered_after(list(climbed(made(item("postgres")), "rows").values()), 0) is None
    assert drill.recovered_after([Rung("set", FAILED)], 0) is None
    assert drill.judge([]) == (False, "")


def test_a_set_is_proven_by_its_bytes_its_decoding_and_its_restore():
    assert drill.proves_set(list(climbed(made(item("postgres")), "smoke").values()))
    assert drill.proves_set(list(climbed(made(item("path"))).values()))
    for broken in ("bytes", "decode", "restore", "server"):
        assert not drill.proves_set(list(climbed(made(item("postgres")), broken).values()))
    assert drill.proves_set(list(climbed(made(item("mongo"))).values()))
    assert not drill.proves_set(list(climbed(made(item("mongo")), "mongo").values()))
    assert drill.recovered_after(list(climbed(made(item("mongo")), "mongo").values()), 0) is None


def test_a_record_is_read_as_it_was_written():
    record = Record("20261122T043000Z-aaaa", "app", "h", "timer", "2026-11-22T04:30:00Z", rungs=(Rung("room", PASSED),))
    assert drill.record_from_json(record.to_json()) == record
    assert drill.record_from_json(b"{}") is None and drill.record_from_json("") is None


def test_room_is_for_the_archives_and_for_the_databases_they_become():
    assert drill.room_needed(made(item("path"))) == 100
    assert drill.room_needed(made(item("postgres", size=1000))) == 100 + 1200 + drill.SERVER_BYTES
    assert drill.room_needed(made(item("mongo"), item("mongo"))) == 2 * (100 + 120 + drill.SERVER_BYTES)


def test_errors_of_a_restore_and_the_allow_list():
    said = (
        'pg_restore: error: could not execute query: ERROR:  role "x" does not exist\n'
        "Command was: ALTER TABLE a OWNER TO x;\n"
        "pg_restore: warning: errors ignored on restore: 1\n"
    )
    errors = drill.restore_errors(said)
    assert errors == ['could not execute query: ERROR:  role "x" does not exist']
    assert drill.not_allowed(errors, ["role .x. does not exist"]) == []
    assert drill.not_allowed(errors, ["role .y."]) == errors


def test_which_database_is_asked():
    one, two = item("postgres"), item("postgres", name="crm")
    files = replace(item("sqlite", "web"), source="/data/app.sqlite3")
    items = [one, two, files, item("volume", "web")]
    assert drill.asked_of(Check("q", service="web"), items) is files
    assert drill.asked_of(Check("q", service="db", within="crm"), items) is two
    assert drill.asked_of(Check("q", item="postgres-db-shop"), items) is one
    with pytest.raises(BackupError, match="postgres-db-shop, postgres-db-crm"):
        drill.asked_of(Check("q", service="db"), items)
    with pytest.raises(BackupError, match="none"):
        drill.asked_of(Check("q", service="web", within="/data/other"), items)


@pytest.mark.parametrize(
    ("expect", "answer", "good"),
    [("", "t", True), ("", "f", False), ("", "", False), ("", "0", False), ("", "17", True), ("3|a", "3|a", True),
     ("3", "4", False), ("0", "0", True)],
)  # fmt: skip
def test_an_answer(expect, answer, good):
    assert bool(drill.answer_fault(Check("q", expect), answer)) is not good


def test_names_that_point_to_nothing():
    assert drill.missing_names(["/a/b", "./c", "", "d "], ["a/b", "c"]) == ["d"]


def test_the_configuration():
    wrong: list[str] = []
    found = drill_config.parse(
        {"checks": [{"item": "a", "query": "q", "expect": True}], "max_age": "8d",
         "orphans": [{"of": {"item": "a", "query": "q"}, "within": {"item": "b"}}]},
        wrong,
    )  # fmt: skip
    assert not wrong and found.max_age == 8 * 86400
    assert found.checks[0].expect == "t" and found.orphans[0].name == "a" and found.orphans[0].within.query == ""
    drill_config.parse(
        {"image": "x", "imago": "x", "checks": [{"item": "a"}], "orphans": [{"of": "a"}], "allow_errors": ["("],
         "max_age": "soon"},
        wrong,
    )  # fmt: skip
    assert len(wrong) == 5
    assert drill_config.checks_of("web", {"query": "q", "in": "x"}) == [Check("q", service="web", within="x")]
    assert len(drill_config.checks_of("web", [{"query": "q"}, {"query": "r"}])) == 2
    with pytest.raises(BackupError):
        drill_config.checks_of("web", {"expect": "x"})


DAY = 86400.0


def at(day: int, good: bool = True, finished: bool = True) -> Record:
    when = f"2026-11-{day:02d}T04:30:00Z"
    return Record(f"202611{day:02d}T043000Z-aaaa", "app", "h", "timer", when, "main", SID, 1,
                  when if finished else "", good, "" if good else "rows: wrong\nmore", 12.0, 3600.0)  # fmt: skip


def test_what_monitoring_sees():
    now = drill_state.began(at(10)) + DAY
    assert drill_state.problems(Drills("app"), now) == [] and drill_state.lines(Drills("app"), now) == []
    waited = Drills("app", (), 8 * DAY)
    assert drill_state.problems(waited, now) == ["no drill has passed yet: run 'landfall backup drill app'"]
    assert drill_state.problems(replace(waited, since=now - DAY), now) == [], "set up a day ago"
    good = Drills("app", (at(9, False), at(10)), 8 * DAY)
    assert drill_state.problems(good, now) == []
    assert "24 hours ago, recovery 12 s, loss at most 60 minutes" in drill_state.lines(good, now)[0]
    assert drill_state.problems(good, now + 9 * DAY) == [
        "the last drill that passed is 10 days old (8 days are allowed)"
    ]
    bad = Drills("app", (at(9), at(10, False)), 8 * DAY)
    assert drill_state.problems(bad, now) == ["the last drill failed: rows: wrong"]
    text = drill_state.textfile(bad)
    assert 'last_drill_success{stack="app"} 0' in text
    assert f'last_good_drill_timestamp_seconds{{stack="app"}} {drill_state.began(at(9))}' in text
    # One that goes on is not the last one yet; one that was killed is found.
    goes_on = Drills("app", (at(9), at(10, False, finished=False)), 0)
    assert goes_on.last == at(9) and drill_state.killed(goes_on.records) == [at(10, False, finished=False)]
