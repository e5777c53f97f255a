# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates, with a clock that jumps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_time import Schedule

from ansible_collections.landfall.stack.plugins.module_utils.rollout import gates
from ansible_collections.landfall.stack.plugins.module_utils.rollout.gates import Awaited, GateFailed
from ansible_collections.landfall.stack.plugins.module_utils.rollout.health import Observation

LISTENS = "header\n0: 00000000:1F90 0:0 0A\n"
SILENT = "header\n"
NAME = "toy-web-1"


class World:
    """One container, said second by second. ``story``: (from second, what changes in its observation)."""

    def __init__(self, *story, checks=(0, True), opens=0.0, answers=(0.0, 200), proc=LISTENS, test=("CMD", "x")):
        self.schedule = Schedule()
        self.began = self.schedule.now
        self.story, self.checks, self.opens, self.answers, self.proc = story, checks, opens, answers, proc
        self.one = Observation(
            NAME, "id", "web", "running", health="starting" if test else "", started_at="s", pid=7,
            addresses=("10.0.0.2",), test=test,
        )  # fmt: skip
        self.check_times: list[float] = []
        self.asked: list[tuple] = []

    @property
    def now(self):
        return self.schedule.now - self.began

    def look(self, names):
        assert names == [NAME]
        one = self.one
        for at, change in self.story:
            if self.now >= at:
                if change is None:
                    return []
                one = replace(one, **change)
        return [one]

    def check(self, one):
        self.check_times.append(self.now)
        passes_at, result = self.checks
        return self.now >= passes_at and result, "checked"

    def connects(self, addresses, port):
        return self.now >= self.opens and port == 8080

    def http_status(self, addresses, port, host, path):
        self.asked.append((port, host, path))
        return self.answers[1] if self.now >= self.answers[0] else None

    def proc_net(self, pid):
        return self.proc(self.now) if callable(self.proc) else self.proc

    def monotonic(self):
        return self.schedule.now

    def sleep(self, seconds):
        self.schedule.sleep(seconds)

    def wait(
        self,
        wants="running",
        healthy_for=None,
        deadline=60.0,
        routes=(("h", "/", 8080),),
        restarts=None,
        listens=False,
    ):
        """Through the gates: the second it was well in."""
        asked = {"web": Awaited("web", wants, healthy_for, deadline, tuple(routes), listens)}
        try:
            return gates.wait(asked, {"web": [NAME]}, self, restarts or {}, self.schedule)[NAME].well_at
        finally:
            self.schedule.end()


def about(seconds):
    return pytest.approx(seconds, abs=0.35)


# --- its own healthcheck


def test_the_healthcheck_is_run_here_and_does_not_wait_for_docker():
    world = World(checks=(3.0, True))
    assert world.wait() == about(3.2)
    assert 8 <= len(world.check_times) <= 16


def test_docker_s_own_word_counts_too():
    assert World((2.0, {"health": "healthy"}), checks=(0, False)).wait() == about(2.0)


def test_docker_s_unhealthy_is_final():
    world = World((2.0, {"health": "unhealthy"}), checks=(5.0, True))
    with pytest.raises(GateFailed, match=r"service web: its healthcheck fails \(toy-web-1\)") as caught:
        world.wait()
    assert world.now == about(2.0) and [one.name for one in caught.value.broken] == [NAME]


def test_no_healthcheck_is_run_before_anything_listens():
    world = World(opens=4.0)
    assert world.wait() == about(4.2)
    assert min(world.check_times) >= 4.0


def test_a_service_without_a_route_that_others_call_is_checked_once_it_listens():
    world = World(proc=lambda now: LISTENS if now >= 4.0 else SILENT)
    assert world.wait(routes=(), listens=True) == about(4.2)
    assert min(world.check_times) >= 4.0


def test_a_worker_that_nobody_calls_is_checked_at_once():
    world = World(proc=SILENT)
    assert world.wait(routes=()) == about(0.2)


def test_a_called_service_that_never_listens_is_checked_after_its_time():
    world = World(proc=SILENT)
    assert world.wait(routes=(), listens=True) == about(gates.PORT_GRACE + 0.2)


def test_a_healthcheck_that_never_passes():
    world = World(checks=(0, False))
    with pytest.raises(GateFailed) as caught:
        world.wait(deadline=30.0)
    assert str(caught.value) == (
        "service web: not well after 30 s: its healthcheck says starting (its healthcheck said: checked) (toy-web-1)"
    )
    assert world.now == about(30.1)


def test_healthy_for():
    assert World(checks=(1.0, True)).wait(healthy_for=7.0) == about(8.2)


def test_a_restart_begins_anew():
    world = World((4.0, {"started_at": "again", "restarts": 1}), checks=(0, True))
    assert world.wait(healthy_for=6.0) == about(10.2)


def test_a_healthcheck_that_cannot_be_run_waits_for_docker():
    world = World((3.0, {"health": "healthy"}))

    def broken(_one):
        raise OSError("no such exec")

    world.check = broken
    assert world.wait() == about(3.0)


# --- without one


def test_without_a_healthcheck_http_must_answer_and_it_must_stay_up():
    world = World(answers=(3.0, 200), test=())
    assert world.wait() == about(8.0)
    assert set(world.asked) == {(8080, "h", "/")}


@pytest.mark.parametrize(("status", "passes"), [(200, True), (302, True), (404, True), (500, False), (503, False)])
def test_which_answers_count(status, passes):
    world = World(answers=(0.0, status), test=())
    if passes:
        assert world.wait() == about(5.0)
    else:
        with pytest.raises(
            GateFailed, match=f"not well after 20 s: has no healthcheck, and its route / answers {status}"
        ):
            world.wait(deadline=20.0)


def test_an_open_port_that_says_nothing_is_no_answer():
    with pytest.raises(GateFailed, match="its route / does not answer"):
        World(answers=(0.0, None), test=()).wait(deadline=20.0)


def test_a_worker_without_anything_must_stay_up():
    assert World(test=(), proc=SILENT).wait(routes=()) == about(5.0)
    assert World(test=(), proc=SILENT).wait(routes=(), healthy_for=12.0) == about(12.0)


# --- the port


def test_a_port_that_is_not_the_routes():
    world = World((0.0, {"health": "healthy"}), opens=1e9)
    with pytest.raises(GateFailed) as caught:
        world.wait(routes=(("h", "/", 9999),), deadline=60.0)
    assert str(caught.value) == (
        "service web: route / goes to port 9999 and nothing listens there; the container listens on 8080. "
        "Set x-landfall.route port to the right one"
    )
    # Not at the deadline: it is known much earlier.
    assert world.now == about(gates.PORT_GRACE + 0.1)


def test_a_program_that_listens_on_nothing_yet_has_its_time():
    world = World((0.0, {"health": "healthy"}), opens=25.0, proc=SILENT)
    assert world.wait() == about(25.0)


def test_every_routed_port_is_asked():
    world = World((0.0, {"health": "healthy"}))
    with pytest.raises(GateFailed, match="route /admin goes to port 9000"):
        world.wait(routes=(("h", "/", 8080), ("h", "/admin", 9000)))


# --- ends and crashes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "exited", "exit_code": 1}, "exited with code 1"),
        ({"status": "exited", "exit_code": 0, "restart_policy": "no"}, "is routed and ended with exit code 0"),
        ({"status": "exited", "exit_code": 137, "oom_killed": True}, "out of memory"),
        ({"restarts": 3}, "restarted 3 times"),
        (None, "container toy-web-1 is gone"),
    ],
)
def test_it_does_not_wait_for_what_is_over(change, words):
    world = World((2.0, change), checks=(0, False))
    with pytest.raises(GateFailed, match=words):
        world.wait()
    assert world.now == about(2.0)


def test_restarts_of_former_days_do_not_count():
    world = World((0.0, {"restarts": 40, "health": "healthy"}))
    assert world.wait(restarts={"id": 40}) == about(0.0)


def test_a_job_is_awaited_to_its_end():
    assert World((4.0, {"status": "exited", "exit_code": 0}), test=()).wait(wants="done", routes=()) == about(4.0)
    with pytest.raises(GateFailed, match="exited with code 2"):
        World((4.0, {"status": "exited", "exit_code": 2}), test=()).wait(wants="done", routes=())
    with pytest.raises(GateFailed, match="not well after 9 s: the job is still running"):
        World(test=()).wait(wants="done", routes=(), deadline=9.0)


def test_what_it_waited_for_is_kept():
    world = World(checks=(3.0, True))
    asked = {"web": Awaited("web", "running", None, 60.0, (("h", "/", 8080),))}
    found = gates.wait(asked, {"web": [NAME]}, world, {}, world.schedule)
    world.schedule.end()
    said = gates.to_dict(found[NAME])
    assert said["container"] == NAME and said["well_after_s"] == about(3.2)
    assert [line.split(" ", 1)[1] for line in said["history"]] == ["its healthcheck says starting", "healthy"]
