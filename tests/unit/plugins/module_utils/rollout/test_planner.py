# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: which containers stay, go, come, and in which steps."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import Route, StackRoutes, to_json
from ansible_collections.landfall.stack.plugins.module_utils.rollout import planner
from ansible_collections.landfall.stack.plugins.module_utils.rollout.health import Observation
from ansible_collections.landfall.stack.plugins.module_utils.rollout.planner import Step, Wanted, batches, weights
from ansible_collections.landfall.stack.plugins.module_utils.rollout.strategy import Strategy

ROLLING, RECREATE, JOB = Strategy("rolling", "r"), Strategy("recreate", "it is a database"), Strategy("job", "j")


def want(replicas=2, strategy=ROLLING, **more):
    return Wanted("web", "new", replicas, strategy, ("web",), **more)


def seen(number, config_hash="new", status="running", health="healthy", **more):
    return Observation(
        **{
            "name": f"toy-web-{number}",
            "id": f"id{number}",
            "service": "web",
            "status": status,
            "health": health,
            "config_hash": config_hash,
            "created": f"{number:04}",
            "aliases": ("web",),
            **more,
        }
    )


def planned(one, *containers, **more):
    """The plan of one service; None when nothing is to be done."""
    made = planner.plan({"web": one}, [["web"]], containers, **more)
    return made.services[0] if made.services else None


# --- steps


def walk(replicas, keep, old, strategy):
    """Take the steps: (most containers at once, fewest that serve at any moment, new at the end, old at the end)."""
    new, left = keep, old
    most = fewest = new + left
    for step in batches(replicas, keep, old, strategy):
        assert step.start >= 0 and step.retire >= 0 and (step.start or step.retire)
        most = max(most, new + step.start + left)
        new, left = new + step.start, left - step.retire
        fewest = min(fewest, new + left)
        assert left >= 0 and new <= replicas
    return most, fewest, new, left


@pytest.mark.parametrize("replicas", range(1, 7))
def test_batches_keep_their_promises(replicas):
    cases = itertools.product(range(replicas + 1), range(9), range(1, 5), range(5), range(5))
    for keep, old, batch, surge, unavailable in cases:
        if surge + unavailable < 1:
            continue
        strategy = Strategy("rolling", "", batch=batch, surge=surge, unavailable=unavailable)
        most, fewest, new, left = walk(replicas, keep, old, strategy)
        case = (replicas, keep, old, batch, surge, unavailable)
        assert (new, left) == (replicas, 0), case
        assert most <= max(replicas + surge, keep + old), case
        assert fewest >= min(replicas - unavailable, keep + old), case


def test_batches_by_example():
    def steps(**more):
        return batches(4, 0, 4, Strategy("rolling", "", **more))

    assert steps(batch=4, surge=4) == (Step(4, 4),)
    assert steps(batch=2, surge=2) == (Step(2, 2), Step(2, 2))
    assert steps(batch=1, surge=0, unavailable=1) == (Step(0, 1), Step(1, 0)) * 4
    assert batches(2, 2, 0, ROLLING) == ()


@pytest.mark.parametrize("kind", ["blue-green", "canary"])
def test_those_who_compare_versions_start_all_at_once(kind):
    assert batches(3, 1, 3, Strategy(kind, "", batch=1, surge=1)) == (Step(2, 3),)


# --- shares


def test_weights_give_the_share_that_was_asked_for():
    for new, old, percent in itertools.product(range(1, 5), range(1, 5), (1, 5, 10, 25, 33, 50, 75, 99)):
        names = [f"n{number}" for number in range(new)], [f"o{number}" for number in range(old)]
        found = dict(weights(*names, percent))
        total = sum(found.values())
        assert 100 * sum(found[name] for name in names[0]) == percent * total
        assert len({found[name] for name in names[0]}) == len({found[name] for name in names[1]}) == 1
        assert min(found.values()) >= 1 and max(found.values()) <= 65535


def test_weights_are_small_numbers():
    assert weights(["n"], ["o"], 50) == (("n", 1), ("o", 1))
    assert weights(["n1", "n2"], ["o1", "o2"], 10) == (("n1", 1), ("n2", 1), ("o1", 9), ("o2", 9))


@pytest.mark.parametrize("case", [([], ["o"], 10), (["n"], [], 10), (["n"], ["o"], 100)])
def test_no_weights_without_two_sides(case):
    assert weights(*case) == ()


# --- what stays, goes and comes


def test_nothing_to_do():
    made = planner.plan({"web": want()}, [["web"]], [seen(1), seen(2)])
    assert made.empty and made.stays == ("web",) and made.lines() == ["stays: web"]


def test_a_first_deployment():
    one = planned(want())
    assert (one.starts, one.old, one.keep, one.reasons) == (2, (), (), ("none runs",))


def test_an_upgrade():
    one = planned(want(reasons=("image app:1 -> app:2",)), seen(1, "old"), seen(2, "old"))
    assert (one.starts, one.old, one.reasons) == (2, ("toy-web-1", "toy-web-2"), ("image app:1 -> app:2",))


def test_the_rest_of_a_killed_run():
    one = planned(want(), seen(1, "old"), seen(2, "old"), seen(3), seen(4, status="created", health=""))
    assert one.keep == ("toy-web-3",) and one.old == ("toy-web-1", "toy-web-2") and one.debris == ("toy-web-4",)
    assert one.starts == 1


def test_one_that_is_gone_is_made_again():
    one = planned(want(), seen(1))
    assert (one.keep, one.starts, one.reasons) == (("toy-web-1",), 1, ("1 of 2 run",))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"health": "unhealthy"}, "toy-web-2 is unhealthy"),
        ({"status": "paused", "health": ""}, "toy-web-2 is paused"),
        ({"status": "restarting", "health": ""}, "toy-web-2 is restarting"),
    ],
)
def test_a_sick_one_is_replaced(fault, words):
    one = planned(want(), seen(1), seen(2, **fault))
    assert (one.old, one.starts, one.reasons) == (("toy-web-2",), 1, (words,))


def test_one_that_ended_is_cleared_away():
    one = planned(want(), seen(1), seen(2, status="exited", exit_code=3))
    assert (one.debris, one.old, one.starts) == (("toy-web-2",), (), 1)
    assert one.reasons == ("toy-web-2 had ended with exit code 3",)


def test_the_youngest_go_when_there_are_too_many():
    one = planned(want(1), seen(1), seen(3), seen(2))
    assert (one.keep, one.old, one.starts) == (("toy-web-1",), ("toy-web-2", "toy-web-3"), 0)


def test_leaving_containers_do_not_count():
    made = planner.plan({"web": want()}, [["web"]], [seen(1, "old"), seen(2), seen(3)], frozenset({"id1"}))
    assert made.empty
    gone = seen(9, id="id9", service="other")
    assert planner.plan({"web": want()}, [["web"]], [seen(1), seen(2), gone], frozenset({"id9"})).empty


def test_a_service_that_is_no_longer_wanted():
    made = planner.plan({"web": want()}, [["web"]], [seen(1), seen(2), seen(5, service="api", name="toy-api-1")])
    assert not made.empty and made.removed == {"api": ("toy-api-1",)}
    assert made.lines()[0] == "removed: api (1 containers): no longer in the project"


def test_what_nobody_looked_at_yet_passes_the_gates():
    assert planned(want(), seen(1), seen(2, health="starting")).steps == (Step(0, 0),)
    routed = {"web": {"toy-web-1"}}
    one = planned(want(), seen(1), seen(2), routed=routed)
    assert one.keep == ("toy-web-1", "toy-web-2") and one.reasons == ("toy-web-2 did not pass the gates yet",)
    assert planned(want(), seen(1), seen(2), routed={"web": {"toy-web-1", "toy-web-2"}}) is None


def test_relayed_containers_hold_no_names():
    relayed = want(strategy=Strategy("rolling", "", relayed=True))
    assert planned(relayed, seen(1), seen(2, aliases=())).old == ("toy-web-1",)
    assert planned(relayed, seen(1, aliases=()), seen(2, aliases=())) is None
    assert planned(want(), seen(1), seen(2, aliases=())).old == ("toy-web-2",)


def test_in_place_a_stopped_one_is_not_in_the_way():
    one = planned(want(1, RECREATE), seen(1, status="exited", exit_code=1, health=""))
    assert (one.debris, one.old, one.starts) == ((), (), 1)


def test_jobs():
    assert planned(want(1, JOB), seen(1, status="exited", health="")) is None
    assert planned(want(1, JOB), seen(1, status="exited", exit_code=1, health="")).starts == 1
    assert planned(want(1, JOB), seen(1, "old", status="exited", health="")).old == ("toy-web-1",)
    # It still runs: others must wait for its end.
    assert planned(want(1, JOB), seen(1, health="")) is not None


# --- for people


@pytest.mark.parametrize(
    ("strategy", "line"),
    [
        (Strategy("rolling", "", batch=2, surge=2), "web: rolling, 2 new, then 2 old go (its configuration changed)"),
        (ROLLING, "web: rolling, 2 new, then 2 old go, 2 batches (its configuration changed)"),
        (
            Strategy("blue-green", ""),
            "web: blue-green, 2 new, one switch, 2 old kept warm (its configuration changed)",
        ),
        (
            Strategy("canary", "", steps=(10, 50)),
            "web: canary, 2 new get 10 %, 50 %, then 2 old go (its configuration changed)",
        ),
        (RECREATE, "web: stopped first, since it is a database (its configuration changed)"),
        (JOB, "web: run to its end (its configuration changed)"),
    ],
)
def test_a_plan_in_words(strategy, line):
    made = planner.plan({"web": want(strategy=strategy)}, [["web"]], [seen(1, "old"), seen(2, "old")])
    assert made.lines() == [f"wave 1: {line}"]


def test_upstreams_of_a_routes_file():
    route = Route("h", "/", "web", 80, upstreams=("a", "b"))
    text = to_json(StackRoutes("toy", ("h",), "n", (route, Route("h", "/x", "web", 81, upstreams=("c",)))))
    assert planner.upstreams_of(text) == {"web": {"a", "b", "c"}}
    assert planner.upstreams_of("") == planner.upstreams_of("nonsense") == {}
