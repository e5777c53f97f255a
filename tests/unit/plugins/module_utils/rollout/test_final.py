# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is what runs what was wanted."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.rollout.final import mismatches
from ansible_collections.landfall.stack.plugins.module_utils.rollout.health import Observation
from ansible_collections.landfall.stack.plugins.module_utils.rollout.planner import Wanted
from ansible_collections.landfall.stack.plugins.module_utils.rollout.strategy import Strategy


def wanted(replicas=2, kind="rolling", **more):
    return {"web": Wanted("web", "new", replicas, Strategy(kind, "", **more), ("web",))}


def seen(number, **more):
    default = {"status": "running", "health": "healthy", "config_hash": "new", "service": "web", "aliases": ("web",)}
    return Observation(**{"name": f"toy-web-{number}", "id": f"id{number}", **default, **more})


def test_all_is_well():
    assert mismatches(wanted(), [seen(1), seen(2)], ()) == []
    assert mismatches(wanted(), [seen(1), seen(2, health="")], ()) == []


@pytest.mark.parametrize(
    ("containers", "words"),
    [
        ([seen(1)], "web has 1 good containers, 2 are wanted"),
        ([seen(1), seen(2), seen(3)], "web has 3 good containers, 2 are wanted"),
        ([seen(1), seen(2), seen(3, config_hash="old")], "toy-web-3 is still there: its configuration changed"),
        ([seen(1), seen(2), seen(3, status="created")], "toy-web-3 is created"),
        ([seen(1), seen(2), seen(3, status="exited")], "toy-web-3 is exited"),
        ([seen(1), seen(2, health="unhealthy")], "toy-web-2 is unhealthy"),
        ([seen(1), seen(2), seen(3, service="api")], "toy-web-3 belongs to no service of the project"),
    ],
)
def test_what_is_not_as_it_should_be(containers, words):
    assert words in mismatches(wanted(), containers, ())


def test_what_is_spared():
    old = [seen(3, config_hash="old"), seen(4, service="api")]
    assert mismatches(wanted(), [seen(1), seen(2), *old], {"id3", "id4"}) == []
    assert len(mismatches(wanted(), [seen(1), seen(2), *old], {"id3"})) == 1


def test_names_of_relayed_services():
    assert mismatches(wanted(relayed=True), [seen(1, aliases=()), seen(2, aliases=())], ()) == []
    assert "relay" in mismatches(wanted(relayed=True), [seen(1, aliases=()), seen(2)], ())[0]


def test_jobs():
    job = wanted(1, "job")
    assert mismatches(job, [seen(1, status="exited", health="")], ()) == []
    assert mismatches(job, [seen(1, health="")], ()) == ["web has 0 good containers, 1 are wanted"]
    assert mismatches(job, [seen(1, status="exited", exit_code=1, health="")], ()) != []


def test_a_service_of_none():
    assert mismatches(wanted(0), [], ()) == []
    assert mismatches(wanted(0), [seen(1)], ()) != []
