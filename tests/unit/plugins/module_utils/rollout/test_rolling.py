# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout does, in which order: waves, batches, blue-green, canary, hooks, ways back."""

from __future__ import annotations

import json
from datetime import datetime
from types import SimpleNamespace

import pytest
from fake_host import (
    CRASH,
    STACK,
    UNHEALTHY,
    Project,
    ToolError,
    after,
    assert_settled,
    request,
    service,
    stack_file,
)
from fake_time import Killed

from ansible_collections.landfall.stack.plugins.module_utils.rollout.deploy import Deployment
from ansible_collections.landfall.stack.plugins.module_utils.rollout.errors import Interrupted
from ansible_collections.landfall.stack.plugins.module_utils.rollout.plan import Refused
from ansible_collections.landfall.stack.plugins.module_utils.rollout.run import DeployFailed

DONE = "service_completed_successfully"


def web(version, replicas=2, rollout=None, **more):
    """A stack of one routed service."""
    return stack_file(web=service(f"app:{version}", replicas, path="/", rollout=rollout, **more))


def shop(version, api=None, web=None):
    """Two waves: ``web`` waits for ``api``; both are routed."""
    return stack_file(
        api=service(f"app:{version}", 2, path="/api", **(api or {})),
        web=service(f"app:{version}", 2, path="/", depends_on=after("api"), **(web or {})),
    )


def switches(world, name="web"):
    """Where the edge led to after each switch, one entry for each difference."""
    found = []
    for _kind, upstreams, _weights in world.happened("switch"):
        if upstreams.get(name) not in found[-1:]:
            found.append(upstreams.get(name))
    return found


def since(world):
    """Forget what happened; later looks see the next deployment only."""
    world.events.clear()


# --- waves


def test_a_first_deployment_that_fails_late_takes_its_routes_back(world):
    """The first wave got its routes; nobody may be sent to it once it is stopped."""
    world.fates["app:2"] = UNHEALTHY
    late = stack_file(api=service("app:1", 2, path="/api"), web=service("app:2", 2, path="/", depends_on=after("api")))
    with pytest.raises(DeployFailed, match="first deployment"):
        world.deploy(compose=late)
    assert switches(world, "api")[0] == ("toy-api-1", "toy-api-2")
    assert not world.routes
    assert world.of("api", "exited") == ["toy-api-1", "toy-api-2"]
    world.fates.clear()
    world.deploy(compose=shop(1))
    assert_settled(world, api=2, web=2)


def test_a_first_deployment_goes_in_waves(world):
    result = world.deploy(compose=shop(1))
    started = [name for _kind, name in world.happened("start")]
    assert sorted(started[:2]) == ["toy-api-1", "toy-api-2"] and sorted(started[2:]) == ["toy-web-1", "toy-web-2"]
    # The second wave is started when the first one is healthy and gets requests.
    first_switch = next(at for at, event in enumerate(world.events) if event[0] == "switch")
    assert world.events[first_switch][1] == {"api": ("toy-api-1", "toy-api-2"), "web": ()}
    assert world.index("start", "toy-api-2") < first_switch < world.index("start", "toy-web-1")
    assert [wave["services"] for wave in result["waves"]] == [["api"], ["web"]]
    assert result["plan"] == [
        "wave 1: api: rolling, 2 new (none runs)",
        "wave 2: web: rolling, 2 new (none runs)",
    ]
    assert_settled(world, api=2, web=2)


def test_a_first_deployment_is_not_watched_afterwards(world):
    assert "baked" not in world.deploy(compose=web(1))["steps"]


def test_a_job_has_ended_before_those_who_wait_for_it_start(world):
    def stack(version):
        return stack_file(
            job=service("job:1", environment={"V": str(version)}),
            web=service(f"app:{version}", 2, path="/", depends_on=after("job", condition=DONE)),
        )  # fmt: skip

    world.unchecked = {"job"}
    world.deploy(compose=stack(1))
    ended = world.there["toy-job-1"]
    assert (ended.status, ended.code) == ("exited", 0)
    assert min(world.there[name].started for name in world.of("web")) >= ended.started + 1.0
    assert world.deploy(compose=stack(1)) is None
    since(world)
    world.deploy(compose=stack(2))
    assert world.index("start", "toy-job-1") < world.index("start", "toy-web-3")
    assert world.of("job", "exited") == ["toy-job-1"]


# --- rolling


def test_new_instances_start_before_old_ones_stop(world):
    world.deploy(compose=web(1))
    since(world)
    result = world.deploy(compose=web(2))
    assert switches(world)[-1] == ("toy-web-3", "toy-web-4")
    switch = next(
        at for at, event in enumerate(world.events) if event[0] == "switch" and "toy-web-1" not in event[1]["web"]
    )
    for name in ("toy-web-3", "toy-web-4"):
        assert world.index("start", name) < switch
    for name in ("toy-web-1", "toy-web-2"):
        assert switch < world.index("stop", name) < world.index("remove", name)
    row = result["services"][0]
    assert (row["old"], row["new"]) == (["toy-web-1", "toy-web-2"], ["toy-web-3", "toy-web-4"])
    assert len(row["changes"]) == 1 and row["changes"][0].startswith("image ")
    assert_settled(world, "app:2", web=2)


def test_later_waves_are_created_while_the_first_starts(world):
    world.deploy(compose=shop(1))
    since(world)
    world.deploy(compose=shop(2))
    began = next(at for at, event in enumerate(world.events) if event[:2] == ("step", "wave 1 started"))
    assert world.index("create", "api", 3) < began < world.index("create", "web", 3) < world.index("start", "toy-web-3")
    assert_settled(world, "app:2", api=2, web=2)


def test_a_later_wave_that_cannot_be_created_takes_the_first_back(world, monkeypatch):
    good = world.deploy(compose=shop(1))["release"]
    create = Project._create

    def without_web(self, scales, services):
        create(self, scales, [name for name in services if name != "web"])
        if scales["web"] > 2:
            raise ToolError("no space left on device")

    monkeypatch.setattr(Project, "_create", without_web)
    with pytest.raises(DeployFailed, match="no space left on device") as caught:
        world.deploy(compose=shop(2))
    assert caught.value.result["rolled_back_to"] == good
    assert_settled(world, "app:1", api=2, web=2)


def test_a_failure_waits_for_what_is_still_being_created(world, monkeypatch):
    world.deploy(compose=shop(1))
    since(world)
    create = Project._create

    def slowly(self, scales, services):
        if scales["web"] > 2:
            # Longer than the first wave is waited for.
            world.sleep(300.0)
        create(self, scales, services)

    monkeypatch.setattr(Project, "_create", slowly)
    world.fates["app:2"] = CRASH
    with pytest.raises(DeployFailed, match="exited with code 3"):
        world.deploy(compose=shop(2))
    failed = next(at for at, event in enumerate(world.events) if event[:2] == ("step", "failed"))
    assert world.index("create", "web", 3) < world.index("create", "web", 4) < failed
    assert_settled(world, "app:1", api=2, web=2)


def test_an_unchanged_service_stays_as_it_is(world):
    world.deploy(compose=shop(1))
    since(world)
    stack = json.loads(shop(1))
    stack["services"]["web"]["image"] = "app:2"
    result = world.deploy(compose=json.dumps(stack).encode())
    assert {name for _kind, name in world.happened("start", "stop")} == {
        "toy-web-1", "toy-web-2", "toy-web-3", "toy-web-4",
    }  # fmt: skip
    assert result["plan"][-1] == "stays: api"
    assert world.of("api") == ["toy-api-1", "toy-api-2"]


def test_batches_of_one(world):
    world.deploy(compose=web(1, replicas=3))
    since(world)
    most = []
    world.schedule.on_sleep = lambda: most.append(len(world.of("web", "running")))
    world.deploy(compose=web(2, replicas=3, rollout={"batch": 1}))
    assert switches(world) == [
        ("toy-web-2", "toy-web-3", "toy-web-4"),
        ("toy-web-3", "toy-web-4", "toy-web-5"),
        ("toy-web-4", "toy-web-5", "toy-web-6"),
    ]
    assert max(most) > 3
    assert_settled(world, "app:2", web=3)


def test_without_surge_one_goes_first(world):
    world.deploy(compose=web(1))
    since(world)
    seen = []
    world.schedule.on_sleep = lambda: seen.append(len(world.of("web", "running")))
    world.deploy(compose=web(2, rollout={"max_surge": 0, "max_unavailable": 1}))
    assert switches(world)[:3] == [("toy-web-2",), ("toy-web-2", "toy-web-3"), ("toy-web-3",)]
    assert max(seen) <= 2
    assert_settled(world, "app:2", web=2)


def test_scaling_down_lets_the_youngest_go(world):
    world.deploy(compose=web(1, replicas=3))
    since(world)
    result = world.deploy(compose=web(1, replicas=1))
    assert world.of("web") == ["toy-web-1"] and not world.happened("start")
    assert "3 containers where 1 are wanted" in result["plan"][0]
    assert_settled(world, web=1)


def test_scaling_up_keeps_what_runs(world):
    world.deploy(compose=web(1, replicas=1))
    since(world)
    world.deploy(compose=web(1, replicas=3))
    assert world.of("web") == ["toy-web-1", "toy-web-2", "toy-web-3"] and not world.happened("stop")
    assert_settled(world, web=3)


def test_an_old_instance_finishes_its_requests(world):
    world.deploy(compose=web(1, replicas=1))
    since(world)
    world.busy["toy-web-1"] = world.clock + 12.0
    until = world.clock + 12.0
    stopped = []
    stop = world.stop_one
    world.stop_one = lambda key, grace: (stopped.append(world.clock), stop(key, grace))
    result = world.deploy(compose=web(2, replicas=1, rollout={"drain": "40s"}))
    assert until <= stopped[0] < until + 1.0
    assert result["services"][0]["drain"]["toy-web-1"]["drained"] is True


def test_a_drain_has_an_end(world):
    world.deploy(compose=web(1, replicas=1))
    world.busy["toy-web-1"] = world.clock + 1000.0
    result = world.deploy(compose=web(2, replicas=1, rollout={"drain": "20s"}))
    drain = result["services"][0]["drain"]["toy-web-1"]
    assert drain["drained"] is False and 20.0 <= drain["drain_s"] < 21.0
    assert_settled(world, "app:2", web=1)


def test_the_next_wave_does_not_wait_for_a_drain(world):
    world.deploy(compose=shop(1))
    since(world)
    world.busy["toy-api-1"] = world.clock + 25.0
    world.deploy(compose=shop(2))
    assert world.index("start", "toy-web-3") < world.index("stop", "toy-api-1")
    assert_settled(world, "app:2", api=2, web=2)


def test_a_changed_number_of_a_service_that_lingers(world):
    # Containers that were told to end are still there: Compose counts them, and must not be told too few.
    worker = {"wait": False}
    world.deploy(compose=stack_file(web=service("app:1", path="/"), worker=service("app:1", 2, rollout=worker)))
    world.lingers = 10_000.0
    world.deploy(compose=stack_file(web=service("app:1", path="/"), worker=service("app:2", 2, rollout=worker)))
    assert world.of("worker", "running") == [f"toy-worker-{number}" for number in (1, 2, 3, 4)]
    world.deploy(compose=stack_file(web=service("app:1", path="/"), worker=service("app:3", 2, rollout=worker)))
    assert world.of("worker", "running") == [f"toy-worker-{number}" for number in (1, 2, 3, 4, 5, 6)]
    assert {world.there[name].image for name in world.of("worker")[-2:]} == {world.local["app:3"]}


# --- stopped first


def test_a_database_is_stopped_first_and_said_to_be(world):
    world.deploy(compose=stack_file(db=service("redis:1")))
    since(world)
    result = world.deploy(compose=stack_file(db=service("redis:2")))
    assert world.index("compose stops", "toy-db-1") < world.index("start", "toy-db-1")
    row = result["services"][0]
    assert row["strategy"] == "recreate" and "redis is a database" in row["reason"]
    assert "wave 1: db: stopped first, since redis is a database" in result["plan"][0]
    assert_settled(world, "redis:2", db=1)


def test_a_sick_database_is_replaced(world):
    world.deploy(compose=stack_file(db=service("redis:1")))
    world.there["toy-db-1"].fate = UNHEALTHY
    assert world.deploy(compose=stack_file(db=service("redis:1")))["why"] == "repair: toy-db-1 is unhealthy"
    assert world.there["toy-db-1"].health(world.clock) == "healthy"
    assert_settled(world, "redis:1", db=1)


def test_a_stopped_database_is_started_again(world):
    world.deploy(compose=stack_file(db=service("redis:1")))
    made = world.there["toy-db-1"].id
    world.there["toy-db-1"].status = "exited"
    assert world.deploy(compose=stack_file(db=service("redis:1")))["why"] == "repair: toy-db-1 is exited"
    assert world.there["toy-db-1"].id == made
    assert_settled(world, "redis:1", db=1)


# --- blue-green

BLUE_GREEN = {"strategy": "blue-green"}


def test_blue_green_switches_once_and_keeps_the_old_warm(world):
    world.deploy(compose=web(1, rollout=BLUE_GREEN))
    since(world)
    world.deploy(compose=web(2, rollout=BLUE_GREEN))
    assert switches(world) == [("toy-web-1", "toy-web-2"), ("toy-web-3", "toy-web-4")]
    assert world.of("web", "running") == ["toy-web-1", "toy-web-2", "toy-web-3", "toy-web-4"]
    assert not world.happened("stop")
    assert world.deploy(compose=web(2, rollout=BLUE_GREEN)) is None


def test_the_next_blue_green_removes_what_was_warm(world):
    for version in (1, 2, 3):
        world.deploy(compose=web(version, rollout=BLUE_GREEN))
    assert world.of("web") == ["toy-web-3", "toy-web-4", "toy-web-5", "toy-web-6"]
    assert world.routed() == ["toy-web-5", "toy-web-6"]


def test_going_back_uses_what_is_warm(world):
    first = world.deploy(compose=web(1, rollout=BLUE_GREEN))["release"]
    world.deploy(compose=web(2, rollout=BLUE_GREEN))
    since(world)
    assert world.back()["release"] == first
    assert not world.happened("start", "create")
    assert world.routed() == ["toy-web-1", "toy-web-2"] and world.store.current() == first


def test_two_blue_green_services_switch_together(world):
    world.deploy(compose=shop(1, api={"rollout": BLUE_GREEN}, web={"rollout": BLUE_GREEN}))
    since(world)
    world.deploy(compose=shop(2, api={"rollout": BLUE_GREEN}, web={"rollout": BLUE_GREEN}))
    both = [(event[1]["api"], event[1]["web"]) for event in world.happened("switch")]
    assert both[-1] == (("toy-api-3", "toy-api-4"), ("toy-web-3", "toy-web-4"))
    assert set(both[:-1]) == {(("toy-api-1", "toy-api-2"), ("toy-web-1", "toy-web-2"))}


def test_a_blue_green_that_fails_under_traffic_leaves_nothing_of_itself(world):
    world.deploy(compose=web(1, rollout=BLUE_GREEN))
    world.answers = failing_from(world, "app:2")
    with pytest.raises(DeployFailed, match="requests failed"):
        world.deploy(compose=web(2, rollout=BLUE_GREEN))
    assert world.routed() == ["toy-web-1", "toy-web-2"]
    assert_settled(world, "app:1", web=2)


# --- canary

CANARY = {"strategy": "canary", "steps": [10, 50, 100], "hold": "30s"}


def answered(world, name, status):
    """One request, answered by a container at this moment."""
    return SimpleNamespace(
        time=world.clock, service=world.there[name].service, path="/", status=status, seconds=0.01,
        upstream=f"{world.there[name].address}:8080", upstream_status=status,
    )  # fmt: skip


def failing_from(world, image):
    """30 requests at each look, spread over all that serve; containers of one image answer with 500."""

    def requests(_since):
        return [
            answered(world, name, 500 if world.there[name].image == world.local.get(image) else 200)
            for name in world.serving()
            for _each in range(30)
        ]

    return requests


def test_a_canary_gets_its_share_step_by_step(world):
    world.deploy(compose=web(1, rollout=CANARY))
    since(world)
    began = world.clock
    world.deploy(compose=web(2, rollout=CANARY))
    shares = []
    for _kind, upstreams, weights in world.happened("switch"):
        if weights:
            new = sum(weights["web"][name] for name in ("toy-web-3", "toy-web-4"))
            shares.append(round(100 * new / sum(weights["web"].values())))
            assert len(upstreams["web"]) == 4
    assert shares == [10, 50]
    assert world.clock - began >= 60.0
    assert world.index("stop", "toy-web-1") > world.index("switch", {"web": ("toy-web-3", "toy-web-4")}, {})
    assert_settled(world, "app:2", web=2)


def test_a_canary_that_fails_goes_back(world):
    world.deploy(compose=web(1, rollout=CANARY))
    since(world)
    world.answers = failing_from(world, "app:2")
    with pytest.raises(DeployFailed, match=r"canary at 10 %.*of.*requests failed") as caught:
        world.deploy(compose=web(2, rollout=CANARY))
    assert len(caught.value.result["evidence"]["requests"]) == 5
    assert world.of("web") == ["toy-web-1", "toy-web-2"]
    assert_settled(world, "app:1", web=2)


def test_the_old_version_s_failures_do_not_judge_the_canary(world):
    world.deploy(compose=web(1, rollout=CANARY))
    world.answers = failing_from(world, "app:1")
    world.deploy(compose=web(2, rollout={**CANARY, "bake": "0s"}))
    assert_settled(world, "app:2", web=2)


def test_a_canary_that_crashes_goes_back(world):
    world.deploy(compose=web(1, rollout=CANARY))

    def crash():
        if world.happened("switch") and world.happened("switch")[-1][2]:
            world.there["toy-web-3"].fate = CRASH
            world.schedule.on_sleep = None

    world.schedule.on_sleep = crash
    with pytest.raises(DeployFailed, match="canary at 10 %: service web: ended with exit code 3"):
        world.deploy(compose=web(2, rollout=CANARY))
    assert_settled(world, "app:1", web=2)


# --- watched afterwards


def test_errors_after_the_switch_roll_back(world):
    world.deploy(compose=web(1))
    world.answers = failing_from(world, "app:2")
    with pytest.raises(DeployFailed, match=r"after the switch: service web: .* requests failed"):
        world.deploy(compose=web(2))
    assert_settled(world, "app:1", web=2)


def test_a_restart_after_the_switch_rolls_back(world):
    world.deploy(compose=web(1))

    def crash():
        if "toy-web-3" in world.routed():
            world.there["toy-web-3"].fate = CRASH
            world.schedule.on_sleep = None

    world.schedule.on_sleep = crash
    with pytest.raises(DeployFailed, match="ended with exit code 3"):
        world.deploy(compose=web(2))
    assert_settled(world, "app:1", web=2)


# --- ways back


def test_a_gate_that_fails_in_the_second_wave_takes_the_first_back(world):
    good = world.deploy(compose=shop(1))["release"]
    since(world)
    stack = json.loads(shop(2))
    stack["services"]["web"]["image"] = "app:3"
    world.fates["app:3"] = UNHEALTHY
    with pytest.raises(DeployFailed, match="service web: its healthcheck fails") as caught:
        world.deploy(compose=json.dumps(stack).encode())
    result = caught.value.result
    assert result["rolled_back_to"] == good and result["step"] == "wave 2 gated"
    assert result["evidence"]["containers"][0]["service"] == "web"
    assert result["evidence"]["containers"][0]["health"][0]["output"] == "nope"
    record = world.store.releases()[-1]
    assert json.loads(world.store.read(record.id, "evidence.json"))["message"] == record.evidence["message"]
    # What was replaced last goes back first.
    plan = next(event[2]["plan"] for event in reversed(world.events) if event[:2] == ("step", "planned"))
    assert [line.split(":")[1].strip() for line in plan] == ["web", "api"]
    assert_settled(world, "app:1", api=2, web=2)


def test_what_still_drains_serves_again_after_a_failure(world):
    world.deploy(compose=shop(1))
    since(world)
    stack = json.loads(shop(2))
    stack["services"]["web"]["image"] = "app:3"
    world.fates["app:3"] = UNHEALTHY
    world.busy = dict.fromkeys(("toy-api-1", "toy-api-2"), world.clock + 1000.0)
    with pytest.raises(DeployFailed):
        world.deploy(compose=json.dumps(stack).encode())
    assert world.of("api") == ["toy-api-1", "toy-api-2"]
    assert_settled(world, "app:1", api=2, web=2)


def test_a_switch_that_is_refused_rolls_back(world):
    world.deploy(compose=web(1))
    since(world)
    world.refuse_switch = True
    with pytest.raises(DeployFailed, match="nginx refuses the configuration"):
        world.deploy(compose=web(2))
    assert world.of("web") == ["toy-web-1", "toy-web-2"] and not {("stop", "toy-web-1")} & set(world.happened("stop"))
    assert_settled(world, "app:1", web=2)


def test_a_container_that_does_not_start_rolls_back(world):
    world.deploy(compose=web(1))
    start = world.start

    def refuse(name):
        if name == "toy-web-4":
            raise ToolError("port is already allocated")
        start(name)

    world.start = refuse
    with pytest.raises(DeployFailed, match="port is already allocated"):
        world.deploy(compose=web(2))
    assert_settled(world, "app:1", web=2)


def test_what_runs_is_read_back_and_not_believed(world):
    world.deploy(compose=web(1))
    # Removing says it did, and did not.
    remove = world.remove_one
    world.remove_one = lambda key, force=False: None
    with pytest.raises(DeployFailed, match="what runs is not what was wanted: toy-web-1 is still there") as caught:
        world.deploy(compose=web(2, rollout={"bake": "0s"}))
    assert "FAILED too" in str(caught.value)
    world.remove_one = remove
    world.deploy(compose=web(2))
    assert_settled(world, "app:2", web=2)


def test_an_interrupt_rolls_back(world):
    world.deploy(compose=shop(1))
    since(world)

    def interrupt():
        if any(name == "toy-web-3" for _kind, name in world.happened("start")):
            world.schedule.on_sleep = None
            raise Interrupted("SIGINT")

    world.schedule.on_sleep = interrupt
    with pytest.raises(DeployFailed, match=r"interrupted \(SIGINT\)") as caught:
        world.deploy(compose=shop(2))
    assert caught.value.result["rolled_back_to"] and world.late
    assert_settled(world, "app:1", api=2, web=2)


def test_an_interrupt_anywhere_rolls_back(new_world):
    for point in range(1000):
        world = new_world()
        world.deploy(compose=web(1))
        left = [point]

        def interrupt(world=world, left=left):
            left[0] -= 1
            if left[0] < 0 and not world.late:
                world.schedule.on_sleep = None
                raise Interrupted("SIGINT")

        world.schedule.on_sleep = interrupt
        try:
            world.deploy(compose=web(2, rollout={"bake": "1s"}))
        except DeployFailed:
            assert_settled(world, "app:1", web=2)
        else:
            break
    assert 5 < point < 999


# --- on purpose


def test_back_to_the_release_before(world):
    first = world.deploy(compose=web(1), version="1")["release"]
    second = world.deploy(compose=web(2), version="2")["release"]
    result = world.back()
    assert (result["release"], result["previous"]) == (first, second)
    assert world.store.current() == first
    assert_settled(world, "app:1", web=2)
    assert world.deploy(compose=web(1), version="1") is None
    with pytest.raises(Refused, match="there is no release before"):
        world.back()


def moment(release):
    return datetime.fromisoformat(release.created.replace("Z", "+00:00")).timestamp()


def test_no_way_back_to_a_database_that_refuses_writes(world):
    for version in ("1", "2", "3"):
        world.deploy(compose=web(version), version=version)
    first, second, third = world.store.releases()
    cut = (moment(first) + moment(second)) / 2
    world.moves[STACK] = {"serves": "postgresql", "history": [["following", 5.0], ["cut_over", cut], ["moved", cut]]}
    assert world.back()["release"] == second.id
    with pytest.raises(
        Refused, match=f"{first.id} is from a time .* SQLite; now it is in PostgreSQL.*-e version=1.*phase=rollback"
    ):
        world.back()
    assert world.store.current() == second.id
    world.moves[STACK]["serves"] = "sqlite"
    world.moves[STACK]["history"] += [["returning", moment(third) + 1], ["returned", moment(third) + 2]]
    with pytest.raises(Refused, match=r"is from a time .* PostgreSQL; now it is in SQLite.*phase=cutover"):
        world.back(third.id)
    assert world.back(first.id)["release"] == first.id


def test_back_to_a_release_by_its_id(world):
    ids = [world.deploy(compose=web(version))["release"] for version in (1, 2, 3)]
    assert world.back(ids[0])["release"] == ids[0]
    assert_settled(world, "app:1", web=2)
    assert world.back(ids[2])["release"] == ids[2]
    assert_settled(world, "app:3", web=2)
    with pytest.raises(Refused, match=f"release nonsense is not kept.*{ids[2]}"):
        world.back("nonsense")


def test_back_to_a_version(world):
    ids = [world.deploy(compose=web(number), version=f"1.{number}")["release"] for number in (1, 2, 3)]
    assert world.back("1.1")["release"] == ids[0]
    assert_settled(world, "app:1", web=2)


def test_back_brings_the_environment_of_then(world):
    stack = stack_file(web=service("app:1", path="/", environment={"A": "${A}"}))
    world.deploy(compose=stack, env={"A": "one"})
    before = world.there["toy-web-1"].config_hash
    world.deploy(compose=stack, env={"A": "two"})
    world.back()
    assert [world.there[name].config_hash for name in world.of("web")] == [before]


def test_a_way_back_that_fails_leaves_what_ran(world):
    world.deploy(compose=web(1))
    second = world.deploy(compose=web(2))["release"]
    world.fates["app:1"] = UNHEALTHY
    with pytest.raises(DeployFailed) as caught:
        world.back()
    assert caught.value.result["rolled_back_to"] == second and world.store.current() == second
    assert_settled(world, "app:2", web=2)


def test_a_release_whose_image_is_gone_cannot_come_back(world):
    world.deploy(compose=web(1))
    world.deploy(compose=web(2))
    world.images.discard("app:1")
    for ref in [ref for ref in world.local if world.local[ref] == world.local["app:1"]]:
        world.remove_image(ref)
    with pytest.raises(Refused, match="of service web is gone"):
        world.back()


def test_the_version_that_runs_is_kept_when_none_is_given(world):
    stack = stack_file(web=service("app:${VERSION}", path="/"))
    world.deploy(compose=stack, version="2")
    assert world.deploy(compose=stack) is None
    assert world.deploy(compose=stack, env={"OTHER": "1"})["why"] == "the content changed"
    assert_settled(world, "app:2", web=1)


# --- what is no longer there


def test_a_service_that_is_taken_out_goes_last(world):
    world.deploy(compose=shop(1))
    since(world)
    result = world.deploy(compose=stack_file(web=service("app:1", 2, path="/")))
    assert "removed: api (2 containers): no longer in the project" in result["plan"]
    assert [event[1] for event in world.happened("switch")][-1] == {"web": ("toy-web-1", "toy-web-2")}
    assert world.index("switch", {"web": ("toy-web-1", "toy-web-2")}, {}) < world.index("stop", "toy-api-1")
    assert_settled(world, web=2)


# --- not waiting

LOOSE = {"wait": False}


def workers(version, web="1"):
    """A routed service and a worker that nobody waits for."""
    return stack_file(
        web=service(f"app:{web}", path="/", depends_on=after("worker", condition="service_started")),
        worker=service(f"app:{version}", 2, rollout=LOOSE),
    )


def test_workers_end_in_their_own_time(world):
    world.deploy(compose=workers(1))
    since(world)
    world.lingers = 300.0
    began = world.clock
    world.deploy(compose=workers(2))
    assert world.clock - began < 60.0
    assert [name for _kind, name in world.happened("leave")] == ["toy-worker-1", "toy-worker-2"]
    assert world.index("restarts off", "toy-worker-1") < world.index("leave", "toy-worker-1")
    assert len(world.of("worker", "running")) == 4
    assert world.deploy(compose=workers(2)) is None


def test_the_next_run_sweeps_workers_that_have_ended(world):
    world.deploy(compose=workers(1))
    world.deploy(compose=workers(2))
    world.schedule.now += world.lingers
    assert world.deploy(compose=workers(2)) is None
    world.deploy(compose=workers(2, web=2))
    assert world.of("worker") == ["toy-worker-3", "toy-worker-4"]


def test_workers_told_to_end_are_no_way_back(world):
    # They would be gone a moment after the way back was called a success.
    world.deploy(compose=workers(1))
    world.lingers = 300.0
    world.fates["app:3"] = UNHEALTHY
    with pytest.raises(DeployFailed) as caught:
        world.deploy(compose=workers(2, web=3))
    assert caught.value.result["rolled_back_to"]
    world.schedule.now += 300.0
    alive = world.of("worker", "running")
    assert len(alive) == 2 and {world.there[name].image for name in alive} == {world.local["app:1"]}


def test_workers_told_to_end_by_a_killed_run_do_not_count(new_world):
    for point in range(200):
        world = new_world()
        world.deploy(compose=workers(1))
        world.lingers = 300.0
        world.fuse = point
        try:
            world.deploy(compose=workers(2))
            break
        except Killed:
            world.fuse = None
        # The operator thinks better of it.
        world.deploy(compose=workers(1), env={"B": "1"})
        world.schedule.now += 300.0
        alive = world.of("worker", "running")
        assert len(alive) == 2, (point, world.events[-40:])
        assert {world.there[name].image for name in alive} == {world.local["app:1"]}
    assert 10 < point < 199


# --- hooks


def hooked(version, **hooks):
    """A stack of one routed service with hooks."""
    return web(version, hooks={kind: {"command": line} for kind, line in hooks.items()})


def test_hooks_run_in_their_places(world):
    every = {"migrate": "alembic", "smoke": "probe", "post_deploy": "tell", "pre_stop": "flush"}
    world.deploy(compose=hooked(1, **every))
    since(world)
    world.deploy(compose=hooked(2, **every))
    events = [event for event in world.events if event[0] in ("hook", "exec", "start", "stop", "switch")]
    kinds = [event[2].removeprefix("sh -c ") if event[0] in ("hook", "exec") else event[0] for event in events]
    assert kinds[:5] == ["alembic", "start", "start", "probe", "switch"]
    assert [name for _kind, name, line in world.happened("exec") if line == "sh -c probe"] == ["toy-web-3"]
    for name in ("toy-web-1", "toy-web-2"):
        assert world.index("exec", name, "sh -c flush") < world.index("stop", name)
    assert kinds.count("tell") == 1 and kinds.index("tell") > kinds.index("switch")
    # Nothing of the hooks is left.
    assert_settled(world, "app:2", web=2)


def test_a_migration_that_fails_starts_nothing(world):
    world.deploy(compose=web(1))
    since(world)
    world.hook_codes["sh -c alembic"] = 4
    with pytest.raises(DeployFailed, match=r"hook migrate ended with exit code 4\. It said") as caught:
        world.deploy(compose=hooked(2, migrate="alembic"))
    assert not world.happened("start", "stop")
    assert caught.value.result["evidence"]["hook"]["exit_code"] == 4
    assert "hunter2" not in json.dumps(caught.value.result["evidence"])
    assert world.of("web") == ["toy-web-1", "toy-web-2"]
    assert_settled(world, "app:1", web=2)


def test_a_migration_that_hangs_is_ended(world):
    world.deploy(compose=web(1))
    world.hook_takes = 10_000.0
    stack = web(2, hooks={"migrate": {"command": ["alembic"], "timeout": "30s"}})
    with pytest.raises(DeployFailed, match="hook migrate took longer than 30 s"):
        world.deploy(compose=stack)
    assert_settled(world, "app:1", web=2)


def test_migrations_can_be_left_to_another_host(world):
    world.deploy(compose=hooked(1, migrate="alembic", post_deploy="tell"), migrate=False)
    assert not world.happened("hook")


def test_a_smoke_test_that_fails_gets_no_request(world):
    world.deploy(compose=web(1))
    since(world)
    world.hook_codes["sh -c probe"] = 1
    with pytest.raises(DeployFailed, match="hook smoke ended with exit code 1"):
        world.deploy(compose=hooked(2, smoke="probe"))
    assert switches(world) == [("toy-web-1", "toy-web-2")]
    assert_settled(world, "app:1", web=2)


def test_of_the_hooks_only_pre_stop_is_run_on_the_way_back(world):
    world.deploy(compose=hooked(1, migrate="alembic", pre_stop="flush"))
    world.deploy(compose=hooked(2, migrate="alembic", pre_stop="flush"))
    since(world)
    world.back()
    assert not world.happened("hook")
    assert [command for _kind, _container, command in world.happened("exec")] == ["sh -c flush"] * 2


# --- the relay


def called(version, replicas=2, east_west=None, caller="1"):
    """``api`` is called by ``web`` over HTTP by its name."""
    rollout = {"east_west": east_west} if east_west else None
    return stack_file(
        api=service(f"app:{version}", replicas, rollout=rollout, networks={"default": {"aliases": ["backend"]}}),
        web=service(f"app:{caller}", path="/", environment={"API": "http://api:8080/v1"}),
    )


def test_names_of_a_relayed_service_stand_at_the_relay_only(world):
    world.deploy(compose=called(1))
    assert {name: world.resolve(name) for name in ("api", "backend")} == {"api": ["relay"], "backend": ["relay"]}
    assert world.index("rename", "toy-api-1") < world.index("start", "toy-api-1")
    assert world.relay_upstreams["api"] == ("toy-api-1", "toy-api-2")
    # Its containers are still reached by their own names.
    assert world.there["toy-api-1"].networks == {"toy_default": []}
    since(world)
    world.deploy(compose=called(2))
    renamed = {name for _kind, name in world.happened("rename")}
    assert renamed == {"toy-api-3", "toy-api-4"} and world.resolve("api") == ["relay"]
    assert world.relay_upstreams["api"] == ("toy-api-3", "toy-api-4")


def test_a_service_that_comes_to_the_relay_is_replaced(world):
    world.deploy(compose=called(1, east_west="direct"))
    assert sorted(world.resolve("api")) == ["toy-api-1", "toy-api-2"]
    result = world.deploy(compose=called(1))
    assert "its name moves to the stack's relay" in result["plan"][0]
    assert world.resolve("api") == ["relay"] and len(world.of("api")) == 2


def test_a_service_that_leaves_the_relay_keeps_its_name(world):
    world.deploy(compose=called(1))
    world.deploy(compose=called(1, east_west="direct"))
    assert len(world.of("api")) == 2
    assert world.resolve("api") == world.of("api")


def test_a_service_that_leaves_the_relay_with_a_new_version(world):
    world.deploy(compose=called(1))
    world.deploy(compose=called(2, east_west="direct"))
    assert world.resolve("api") == world.of("api") == ["toy-api-3", "toy-api-4"]


# --- check mode


def foreseen(world, compose):
    """The plan that check mode shows, without its reasons."""
    deployment = Deployment(request(compose=compose), world.effects())
    decision = deployment.decide(world.store.key(False), True)
    deployment.check_project(world.store.key(False), decision)
    return [line.partition(" (")[0] for line in deployment.run.plan_lines]


def test_check_mode_says_what_would_be_done_and_does_nothing(world):
    world.deploy(compose=shop(1))
    since(world)
    assert foreseen(world, shop(2)) == [
        "wave 1: api: rolling, 2 new, then 2 old go",
        "wave 2: web: rolling, 2 new, then 2 old go",
    ]
    assert not world.events


def test_check_mode_knows_who_was_told_to_end(world):
    world.deploy(compose=workers(1))
    world.lingers = 1_000.0
    world.deploy(compose=workers(2))
    since(world)
    assert foreseen(world, workers(2, web=2)) == ["wave 1: web: rolling, 1 new, then 1 old goes", "stays: worker"]
    assert not world.events


def test_a_route_to_another_port_is_gated_though_no_container_changes(world):
    world.deploy(compose=web(1))
    since(world)
    with pytest.raises(DeployFailed, match="8081"):
        world.deploy(compose=web(1, port=8081))
    assert_settled(world, "app:1", web=2)
