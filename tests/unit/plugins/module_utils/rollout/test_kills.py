# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 before every change a run makes to its host, each step of the journal among them; then the next run.

The central questions are asked at every such point; their variations at every third, with LANDFALL_LONG=1 at every one.
"""

from __future__ import annotations

import functools
import os

import pytest
from fake_host import UNHEALTHY, after, assert_settled, service, stack_file
from fake_time import Killed

from ansible_collections.landfall.stack.plugins.module_utils.rollout.plan import Refused
from ansible_collections.landfall.stack.plugins.module_utils.rollout.run import DeployFailed

#: More changes than any run here makes.
ENOUGH = 300
SOME = 1 if os.environ.get("LANDFALL_LONG") else 3


def waves(version, web=None):
    """Two waves with all hooks."""
    hooks = {kind: {"command": kind} for kind in ("migrate", "smoke", "post_deploy", "pre_stop")}
    return stack_file(
        api=service(f"app:{version}", 2, path="/api", hooks=hooks),
        web=service(f"app:{web or version}", 2, path="/", depends_on=after("api")),
    )


def rolled(version, **rollout):
    """One service, two instances."""
    return stack_file(web=service(f"app:{version}", 2, path="/", rollout=rollout))


def relayed(version):
    """``api`` is called by ``web`` by its name."""
    return stack_file(
        api=service(f"app:{version}", 2),
        web=service(f"app:{version}", 2, path="/", environment={"API": "http://api:8080"}),
    )


def mixed(version):
    """A database, a job, and a service that waits for both."""
    return stack_file(
        db=service("redis:1", environment={"V": str(version)}),
        job=service("job:1", environment={"V": str(version)}, depends_on=after("db")),
        web=service(f"app:{version}", 2, path="/", depends_on=after("job", condition="service_completed_successfully")),
    )


SHAPES = {
    "two waves with hooks": (waves, {"api": 2, "web": 2}),
    "batches": (functools.partial(rolled, batch=1), {"web": 2}),
    "no surge": (functools.partial(rolled, max_surge=0, max_unavailable=1), {"web": 2}),
    "canary": (functools.partial(rolled, strategy="canary", hold="5s"), {"web": 2}),
    "relayed": (relayed, {"api": 2, "web": 2}),
}


def each_point(new_world, before, run, stride=1):
    """A world for each point a run can be killed at, killed there."""
    for point in range(0, ENOUGH, stride):
        world = new_world()
        world.unchecked = {"job"}
        before(world)
        world.events.clear()
        if not world.killed(point, functools.partial(run, world)):
            break
        yield world
    assert 10 < point < ENOUGH - 1


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_again_after_a_kill(new_world, name):
    shape, counts = SHAPES[name]
    hooks = ["sh -c migrate", "sh -c post_deploy"] if shape is waves else []
    for world in each_point(
        new_world, lambda world: world.deploy(compose=shape(1)), lambda world: world.deploy(compose=shape(2))
    ):
        # Whenever it dies, requests have somewhere to go, and nowhere else.
        for upstreams in ({"web": world.routed("web")}, world.relay_upstreams):
            for them in upstreams.values():
                assert them and all(world.there[one].well(world.clock) for one in them), world.events[-8:]
        world.deploy(compose=shape(2))
        assert_settled(world, "app:2", **counts)
        assert sorted(line for _kind, _name, line in world.happened("hook")) == hooks
        assert world.deploy(compose=shape(2)) is None


@pytest.mark.parametrize("name", SHAPES)
def test_a_kill_in_the_first_deployment(new_world, name):
    shape, counts = SHAPES[name]
    for world in each_point(new_world, lambda world: None, lambda world: world.deploy(compose=shape(1)), SOME):
        world.deploy(compose=shape(1))
        assert_settled(world, "app:1", **counts)


@pytest.mark.parametrize("name", SHAPES)
def test_the_old_version_after_a_kill(new_world, name):
    shape, counts = SHAPES[name]
    for world in each_point(
        new_world, lambda world: world.deploy(compose=shape(1)), lambda world: world.deploy(compose=shape(2)), SOME
    ):
        world.deploy(compose=shape(1))
        assert_settled(world, "app:1", **counts)


@pytest.mark.parametrize("second", [2, 6, 11, 17])
def test_two_kills_one_after_the_other(new_world, second):
    for world in each_point(
        new_world, lambda world: world.deploy(compose=waves(1)), lambda world: world.deploy(compose=waves(2)), SOME
    ):
        world.killed(second, functools.partial(world.deploy, compose=waves(2)))
        world.deploy(compose=waves(2))
        assert_settled(world, "app:2", api=2, web=2)


def test_what_is_stopped_first_is_there_again_after_a_kill(new_world):
    for world in each_point(
        new_world, lambda world: world.deploy(compose=mixed(1)), lambda world: world.deploy(compose=mixed(2))
    ):
        world.deploy(compose=mixed(2))
        assert world.of("db", "running") == world.of("db") == ["toy-db-1"]
        assert world.of("job", "exited") == world.of("job") == ["toy-job-1"]
        assert len(world.of("web", "running")) == len(world.of("web")) == 2
        assert {world.there[name].image for name in world.of("web")} == {world.local["app:2"]}
        assert world.deploy(compose=mixed(2)) is None


def test_blue_green_after_a_kill(new_world):
    def shape(version):
        return rolled(version, strategy="blue-green")

    for world in each_point(
        new_world, lambda world: world.deploy(compose=shape(1)), lambda world: world.deploy(compose=shape(2)), SOME
    ):
        world.deploy(compose=shape(2))
        new = [name for name in world.of("web") if world.there[name].image == world.local["app:2"]]
        assert len(new) == 2 and world.routed() == sorted(new)
        # Whether the old ones are still warm depends on when it died; there are never more of them, nor half.
        assert len(world.of("web", "running")) == len(world.of("web")) in (2, 4)
        assert world.deploy(compose=shape(2)) is None


def test_a_hook_that_runs_on_after_a_kill_is_waited_for(world):
    world.deploy(compose=waves(1))
    world.events.clear()
    world.hook_takes = 60.0

    def die():
        if world.happened("hook"):
            world.schedule.on_sleep = None
            world.schedule.die()

    world.schedule.on_sleep = die
    with pytest.raises(Killed):
        world.deploy(compose=waves(2))
    began = world.clock
    world.deploy(compose=waves(2))
    assert [line for _kind, _name, line in world.happened("hook")] == ["sh -c migrate", "sh -c post_deploy"]
    assert min(world.there[name].started for name in world.of("api")) >= began + 59.0
    assert_settled(world, "app:2", api=2, web=2)


def test_a_migration_that_was_killed_before_it_ran_is_started(world):
    world.deploy(compose=waves(1))
    world.events.clear()
    world.hook_stuck = True
    world.schedule.on_sleep = lambda: world.schedule.die() if world.happened("hook") else None
    with pytest.raises(Killed):
        world.deploy(compose=waves(2))
    world.schedule.on_sleep, world.hook_stuck = None, False
    world.deploy(compose=waves(2))
    hook = next(name for _kind, name, line in world.happened("hook") if line == "sh -c migrate")
    assert world.happened("start")[0] == ("start", hook)
    assert_settled(world, "app:2", api=2, web=2)


# --- ways back


def half_broken(world):
    """The second wave fails, so the first one has to go back."""
    world.fates["app:3"] = UNHEALTHY
    try:
        world.deploy(compose=waves(2, web=3))
    except DeployFailed:
        return


def each_point_of_a_way_back(new_world, stride=1):
    for point in range(0, ENOUGH, stride):
        world = new_world()
        world.deploy(compose=waves(1))
        world.light = ("rolled back", point)
        if not world.killed(None, functools.partial(half_broken, world)):
            break
        yield world
    assert 8 < point < ENOUGH - 1


def test_a_way_back_that_was_killed_is_finished_by_the_good_version(new_world):
    for world in each_point_of_a_way_back(new_world):
        world.deploy(compose=waves(1))
        assert_settled(world, "app:1", api=2, web=2)
        assert world.deploy(compose=waves(1)) is None


def test_a_way_back_that_was_killed_is_finished_by_the_bad_version(new_world):
    for world in each_point_of_a_way_back(new_world, SOME):
        half_broken(world)
        assert_settled(world, "app:1", api=2, web=2)


def test_a_way_back_that_was_killed_does_not_stop_the_next_version(new_world):
    for world in each_point_of_a_way_back(new_world, SOME):
        world.deploy(compose=waves(2))
        assert_settled(world, "app:2", api=2, web=2)


def two_releases(world):
    world.deploy(compose=waves(1), version="1")
    world.deploy(compose=waves(2), version="2")


def test_a_rollback_that_was_killed_is_finished_by_a_second_one(new_world):
    for world in each_point(new_world, two_releases, lambda world: world.back()):
        first, second = (one.id for one in world.store.releases())
        if world.store.current() == second:
            world.back(first)
        assert_settled(world, "app:1", api=2, web=2)
        assert world.deploy(compose=waves(1), version="1") is None


def test_a_rollback_that_was_killed_is_undone_by_the_version_that_ran(new_world):
    for world in each_point(new_world, two_releases, lambda world: world.back(), SOME):
        world.deploy(compose=waves(2), version="2")
        assert_settled(world, "app:2", api=2, web=2)


# --- the operator's interrupt


@pytest.mark.parametrize("name", SHAPES)
def test_an_interrupt_before_any_change_goes_back(new_world, name):
    shape, counts = SHAPES[name]
    for point in range(0, ENOUGH, SOME):
        world = new_world()
        world.deploy(compose=shape(1))
        good = world.store.current()
        world.events.clear()
        world.signal = point
        try:
            world.deploy(compose=shape(2))
        except DeployFailed as problem:
            assert "interrupted (SIGTERM)" in str(problem)
            assert problem.result["rolled_back_to"] == good and world.store.current() == good
        except Refused as problem:
            assert "before anything that runs was touched" in str(problem)
            assert {event[0] for event in world.events} <= {"step"}
        else:
            break
        assert_settled(world, "app:1", **counts)
        assert world.deploy(compose=shape(1)) is None
    assert 10 < point < ENOUGH - 1


def test_an_interrupt_of_a_rollback_brings_back_what_ran(new_world):
    for point in range(ENOUGH):
        world = new_world()
        two_releases(world)
        second = world.store.current()
        world.signal = point
        try:
            world.back()
        except (DeployFailed, Refused):
            assert world.store.current() == second
        else:
            break
        assert_settled(world, "app:2", api=2, web=2)
        assert world.deploy(compose=waves(2), version="2") is None
    assert 10 < point < ENOUGH - 1
