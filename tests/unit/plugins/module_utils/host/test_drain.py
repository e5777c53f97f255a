# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stopped in which order, what is started again, and what is told of it."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.host import drain


def inspected(name, project="shop", needs="", running=True, grace=None, policy="unless-stopped", health="", **labels):
    """As `docker inspect` says it; the service is the name without its number."""
    return {
        "Id": f"id-{name}",
        "Name": f"/{name}",
        "State": {"Running": running, **({"Health": {"Status": health}} if health else {})},
        "HostConfig": {"RestartPolicy": {"Name": policy}},
        "Config": {
            "StopTimeout": grace,
            "Labels": {
                "com.docker.compose.project": project,
                "com.docker.compose.service": name.rpartition("-")[0] or name,
                "com.docker.compose.depends_on": needs,
                **{key.replace("_", "."): value for key, value in labels.items()},
            },
        },
    }


EDGE = inspected("landfall-edge", "landfall-edge", grace=5, landfall_edge_spec="x")
RELAY = inspected("relay", "landfall-relay-shop", grace=5, landfall_relay_spec="x", landfall_relay_stack="shop")
SHOP = [
    inspected("db-1", grace=60),
    inspected("web-1", needs="api:service_healthy:false,db:service_started:true"),
    inspected("api-1", needs="db:service_healthy:false"),
    inspected("worker-1", needs="db:service_healthy:false", grace=1800),
    RELAY,
]


def planned(*found, edge_drain=300.0):
    return drain.plan([one for one in map(drain.container, found) if one is not None], edge_drain)


def names(layers):
    return [[one.name for one in layer] for layer in layers]


def test_what_depends_on_others_ends_first_and_the_edge_last():
    plan = planned(EDGE, *SHOP, inspected("job-1", "jobs", grace=30))
    assert names(plan.projects["shop"]) == [["web-1"], ["api-1", "worker-1"], ["db-1"], ["relay"]]
    assert names(plan.projects["jobs"]) == [["job-1"]]
    record = drain.record(plan, "boot", 1.0)
    assert [[one["name"] for one in layer] for layer in record["waves"]] == [
        ["job-1", "web-1"], ["api-1", "worker-1"], ["db-1"], ["relay"], ["landfall-edge"],
    ]  # fmt: skip
    # Each at its own longest, one after the other; the projects side by side.
    assert plan.longest == (300 + 5 + 2 * drain.SLACK) + (10 + 1800 + 60 + 5 + 4 * drain.SLACK)
    assert plan.lines()[0].startswith("landfall-edge: show the maintenance page")
    assert plan.lines()[-1] == "edge: stop landfall-edge"


def test_what_is_not_stopped():
    assert drain.container(inspected("gone-1", running=False)) is None
    assert drain.container(inspected("task-1", com_docker_swarm_task="x")) is None
    assert drain.container({"Id": "1", "State": {"Running": True}, "Config": {"Labels": None}}) is None
    assert planned().containers == [] and planned().longest == 0 and planned().lines() == []


def test_containers_of_two_releases_that_name_each_other():
    plan = planned(inspected("a-1", needs="b:x:true"), inspected("b-1", needs="a:x:true"))
    assert names(plan.projects["shop"]) == [["a-1", "b-1"]]


def test_a_drain_that_begins_where_one_was_killed():
    before = drain.record(planned(EDGE, *SHOP), "boot", 1.0)
    before |= {"asked": ["id-web-1", "id-api-1"], "maintenance": ["shop"]}
    # web was stopped and is down still; the others run.
    again = drain.record(planned(EDGE, *SHOP[:1], *SHOP[2:]), "boot", 2.0, before)
    flat = [one["name"] for layer in again["waves"] for one in layer]
    assert sorted(flat) == ["api-1", "db-1", "landfall-edge", "relay", "web-1", "worker-1"]
    assert again["asked"] == ["id-web-1"] and again["maintenance"] == ["shop"]


def there(*found):
    return {one["Id"]: one for one in found}


def test_started_again_in_the_other_direction():
    kept = drain.record(planned(EDGE, *SHOP), "boot", 1.0)
    down = [{**one, "State": {"Running": False}} for one in SHOP]
    layers = drain.to_start(kept, there(EDGE, *down), "boot")
    assert [sorted(one["Name"] for one in layer) for layer in layers] == [
        ["/relay"], ["/db-1"], ["/api-1", "/worker-1"], ["/web-1"],
    ]  # fmt: skip
    assert drain.to_start(kept, there(*SHOP), "boot") == []
    assert drain.to_start(kept, {}, "boot") == []


def test_without_a_restart_policy_it_stays_down_after_a_reboot_only():
    kept = drain.record(planned(inspected("a-1", policy="no")), "boot", 1.0)
    down = inspected("a-1", policy="no", running=False)
    assert drain.to_start(kept, there(down), "another boot") == []
    assert drain.to_start(kept, there(down), "boot") == [[down]]


def test_who_was_told_to_end_and_has_not_yet():
    kept = drain.record(planned(*SHOP), "boot", 1.0) | {"asked": ["id-web-1", "id-worker-1"]}
    now = there(*SHOP[:1], {**SHOP[1], "State": {"Running": False}}, *SHOP[2:])
    assert [one.name for one in drain.still_ending(kept, now, "boot")] == ["worker-1"]
    assert drain.still_ending(kept, now, "another boot") == []


def test_who_is_not_well_yet():
    found = there(inspected("a-1", health="starting"), inspected("b-1", health="healthy"), inspected("c-1"))
    assert drain.starting(found) == ["a-1"] and drain.starting(found, ["id-a-1"]) == []


def test_what_status_says():
    kept = drain.record(planned(inspected("a-1")), "boot", 0.0)
    refused = {"boot": "boot", "at": 0.0, "due": "linux-image", "why": "a backup of shop goes on"}
    assert drain.status_lines(None, None, "boot") == []
    (line,) = drain.status_lines(kept, None, "boot")
    assert "a-1" in line and "landfall recover" in line
    (line,) = drain.status_lines(None, refused, "boot")
    assert "linux-image" in line and "1970-01-01 00:00:00Z: a backup of shop goes on" in line
    assert drain.status_lines(None, refused, "another boot") == []
    (line,) = drain.status_lines(kept, refused, "boot", busy=True)
    assert "being drained" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "an upgrade"), ("a\na\nb\n", "a, b"), ("a\nb\nc\nd\ne\nf\n", "a, b, c, d and 2 more")],
)
def test_what_asks_for_a_reboot(text, said):
    assert drain.packages(text) == said
