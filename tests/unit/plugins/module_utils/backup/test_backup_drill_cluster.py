# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills of clusters: how far the log must lead, what would be lost, what is asked, what is seen of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup import (
    drill,
    drill_cluster,
    drill_state,
    pgbackrest,
    pitr,
)
from ansible_collections.landfall.stack.plugins.module_utils.backup.drill import (
    FAILED,
    NOT_APPLICABLE,
    NOT_RUN,
    PASSED,
    NotApplicable,
    Record,
    Rung,
)
from ansible_collections.landfall.stack.plugins.module_utils.backup.drill_cluster import Arrived
from ansible_collections.landfall.stack.plugins.module_utils.backup.drill_config import Check, DrillConfig
from ansible_collections.landfall.stack.plugins.module_utils.backup.drill_state import Drills
from ansible_collections.landfall.stack.plugins.module_utils.backup.pgbackrest import Taken
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError

SAID = {"kind": "postgres", "engine": "pgbackrest", "name": "main", "cluster": "17/main"}
MEGA = 1 << 20
NOW = 1795314000.0


def arrived(lsn: int, segment: int = 16 * MEGA, at: float = NOW - 60, next: int = 700) -> Arrived:
    return Arrived(lsn, segment, at, next, "off")


@pytest.mark.parametrize(
    ("lsn", "segment", "newest", "whole"),
    [
        (9 * 16 * MEGA + 200, 16 * MEGA, "000000010000000000000009", True),
        # The last record of a closed segment ends where the next one begins.
        (10 * 16 * MEGA, 16 * MEGA, "000000010000000000000009", True),
        (9 * 16 * MEGA, 16 * MEGA, "000000010000000000000009", False),
        (7 * 16 * MEGA + 5, 16 * MEGA, "000000010000000000000009", False),
        ((1 << 32) + 3 * 16 * MEGA + 5, 16 * MEGA, "000000020000000100000003", True),
        ((1 << 32) + 5, 16 * MEGA, "000000020000000100000003", False),
        ((1 << 32) + 3 * 64 * MEGA + 5, 64 * MEGA, "000000010000000100000003", True),
        ((1 << 32) + 3 * 16 * MEGA + 5, 64 * MEGA, "000000010000000100000003", False),
        (5, 16 * MEGA, "", True),
    ],
)
def test_a_log_that_ends_too_early_is_seen(lsn, segment, newest, whole):
    assert bool(drill_cluster.gap(arrived(lsn, segment), newest)) == (not whole)


def test_a_gap_names_both_ends():
    told = drill_cluster.gap(arrived((1 << 32) + 2 * 16 * MEGA + 5), "000000020000000100000003")
    assert "ends in segment 000000020000000100000002, and 000000020000000100000003" in told


def test_what_would_be_lost():
    ended = NOW - 3600
    assert drill_cluster.loss(arrived(1, next=700), 700, ended, NOW) == 0.0
    assert drill_cluster.loss(arrived(1, next=700), 701, ended, NOW) == 60.0
    # Without the original nobody knows whether anything came after.
    assert drill_cluster.loss(arrived(1, next=700), None, ended, NOW) == 60.0
    # All that was committed before the backup ended is in it.
    assert drill_cluster.loss(arrived(1, at=0.0), 900, ended, NOW) == 3600.0
    assert drill_cluster.loss(arrived(1, at=NOW + 5), 900, ended, NOW) == 0.0


def test_the_questions_of_a_cluster():
    made = pgbackrest.parse({**SAID, "drill": {"query": "SELECT 1", "expect": 1, "in": "shop"}})
    assert made.checks == (Check("SELECT 1", "1", "postgres-main", "", "shop"),)
    more = (Check("SELECT 2", item="postgres-main"), Check("SELECT 3", item="sqlite-notes"))
    assert [one.query for one in drill_cluster.checks_of(made, more)] == ["SELECT 1", "SELECT 2"]
    with pytest.raises(BackupError, match="a check is"):
        pgbackrest.parse({**SAID, "drill": {"question": "SELECT 1"}})
    assert drill_cluster.database_of(made.checks[0], ["crm", "postgres", "shop"]) == "shop"
    assert drill_cluster.database_of(Check("SELECT 1"), ["postgres", "shop"]) == "shop"
    assert drill_cluster.database_of(Check("SELECT 1"), ["postgres"]) == "postgres"
    for databases in (["crm", "postgres", "shop"], []):
        with pytest.raises(BackupError, match="in: NAME"):
            drill_cluster.database_of(Check("SELECT 1"), databases)


ASKED = (Check("SELECT 1"),)


def climbed(broken: str, reason: Exception, checks=ASKED) -> dict[str, Rung]:
    def do(name: str) -> str:
        if name == broken:
            raise reason
        return name

    steps = drill_cluster.plan(DrillConfig(), checks, True)
    return {one.name: one for one in drill.climb(steps, do, lambda: 1.0)}


def test_what_needs_a_failed_rung_is_not_run():
    found = climbed("log", BackupError("a gap"))
    assert {name for name, one in found.items() if one.outcome == NOT_RUN} == {
        "checksums", "server", "amcheck", "smoke"
    }  # fmt: skip
    assert {found[name].outcome for name in ("cipher", "deletion", "cleanup")} == {PASSED}
    assert drill.judge(list(found.values())) == (False, "log: a gap")
    assert drill.recovered_after(list(found.values()), 0.0, drill_cluster.PROVEN_BY) is None
    without = climbed("checksums", NotApplicable("none"), ())
    assert without["checksums"].outcome == without["smoke"].outcome == NOT_APPLICABLE
    assert drill.judge(list(without.values())) == (True, "")
    assert drill.recovered_after(list(without.values()), 2.0, drill_cluster.PROVEN_BY) == 2.0


def test_nothing_of_the_originals_settings_is_left():
    made = pgbackrest.drop_in(drill_cluster.settings("/run/x", 'get %f "%p"', {"max_connections": "200"}))
    for line in ("listen_addresses = ''", "archive_mode = 'off'", "max_logical_replication_workers = '0'",
                 "hot_standby = 'off'", "max_connections = '200'", "restore_command = 'get %f \"%p\"'"):  # fmt: skip
        assert f"{line}\n" in made
    # The path of a socket has 107 bytes at most.
    where = drill_cluster.top("/a/very/long/place" * 8, "app", pgbackrest.parse(SAID))
    assert len(drill_cluster.sockets(where)) < 60 and drill_cluster.sockets(where) != drill_cluster.sockets(where + "x")


def test_a_set_with_another_cipher_is_a_fault():
    assert drill_cluster.cipher_fault(b"one\n", b"one") == ""
    assert "take a set" in drill_cluster.cipher_fault(b"one", b"two")


def record(at: str, good: bool, cluster: str = "") -> Record:
    reason = "" if good else "log: a gap"
    return Record(f"{at}-abcd", "app", "h", "timer", at, set="x", finished=at, good=good, reason=reason, rto=9.0,
                  rpo=3.0, rungs=(Rung("log", PASSED if good else FAILED),), cluster=cluster)  # fmt: skip


def test_monitoring_sees_each_cluster_for_itself():
    now = datetime(2026, 11, 22, 12, tzinfo=timezone.utc).timestamp()
    records = (
        record("20261122T020000Z", True), record("20261122T030000Z", True, "postgres-main"),
        record("20261122T040000Z", False, "postgres-main"),
    )  # fmt: skip
    drills = Drills("app", records, 8 * 86400.0, 0.0, ("postgres-main", "postgres-new"))
    assert drill_state.problems(drills, now) == [
        "postgres-main: the last drill failed: log: a gap",
        "postgres-new: no drill has passed yet: run 'landfall backup drill app'",
    ]
    first, second, third = drill_state.lines(drills, now)
    assert first.startswith("drill: set x restored") and second.startswith("drill: postgres-main, backup x restored")
    assert third == "drill: none has passed of postgres-new"
    text = drill_state.textfile(drills)
    assert 'last_drill_success{stack="app"} 1\n' in text
    assert 'last_drill_success{stack="app",cluster="postgres-main"} 0\n' in text
    assert 'last_good_drill_rto_seconds{stack="app",cluster="postgres-main"} 9.0\n' in text
    assert text.count("# TYPE landfall_backup_last_drill_success gauge") == 1
    # What was written before there were drills of clusters is read as one of a set.
    raw = json.loads(records[0].to_json())
    del raw["cluster"]
    assert drill.record_from_json(json.dumps(raw)) == records[0]


def test_a_cluster_with_tablespaces_is_not_restored_in_place():
    said = {"backup": [{"label": "x", "tablespace": [{"name": "fast", "destination": "/mnt/ssd", "oid": 1}]}]}
    spaces = pgbackrest.tablespaces(json.dumps([said]))
    assert spaces == {"fast": "/mnt/ssd"} and pgbackrest.tablespaces('[{"backup": [{"label": "x"}]}]') == {}
    with pytest.raises(BackupError, match="cannot be read"):
        pgbackrest.tablespaces("[]")
    wanted = pitr.Restore(Taken("x", "full", 1.0, 2.0, 3, 4), tablespaces=spaces)
    with pytest.raises(BackupError, match=r"fast in /mnt/ssd.*--as NAME"):
        pitr.refuse(wanted, "17/main")
    pitr.refuse(replace(wanted, cluster="beside"), "17/main")
    pitr.refuse(replace(wanted, tablespaces={}), "17/main")
