# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's commands around a rollout: once a release, or inside an instance."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.rollout import hooks
from ansible_collections.landfall.stack.plugins.module_utils.rollout.hooks import HookFailed

RELEASE = "20261121T044200Z-1A2B3C4D"
NAME = "toy-hook-web-post-deploy-20261121t044200z-1a2b3c4d"


class DockerError(Exception):
    pass


class World:
    """A Docker with at most one container, which runs for some seconds and ends with a code."""

    errors = (DockerError,)

    def __init__(self, takes=1.0, code=0, there=""):
        self.takes, self.code = takes, code
        self.now = 0.0
        self.status = there
        self.began = 0.0
        self.did: list[str] = []
        self.answer = (0, "fine")
        self.docker = self

    def _at(self):
        if self.status == "running" and self.now - self.began >= self.takes:
            self.status = "exited"

    # docker
    def inspect(self, names):
        assert names == [NAME]
        self._at()
        return [{"State": {"Status": self.status, "ExitCode": self.code}}] if self.status else []

    def start(self, name):
        self.did.append("start")
        self.status, self.began = "running", self.now

    def stop_one(self, name, grace):
        self.did.append("stop")
        self.status = "exited"

    def remove_one(self, name):
        self.did.append("remove")
        self.status = ""

    def logs(self, name, lines):
        return [f"line {number}" for number in range(20)]

    def execute(self, container, argv, timeout):
        self.did.append(f"exec {container} {argv} {timeout}")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    # compose
    def run(self, *args):
        self.did.append(" ".join(args))
        self.start(NAME)
        self.did.pop()

    # the rest
    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    def told(self, problem):
        return str(problem)

    def once(self, command="alembic upgrade head", **hook):
        steps = []
        hooks.once(
            self, self, "toy", RELEASE, "web", "post_deploy", {"command": command, **hook},
            lambda name, detail: steps.append((name, detail)),
        )  # fmt: skip
        return steps


def test_argv():
    assert hooks.argv("a && b") == ["sh", "-c", "a && b"]
    assert hooks.argv(["a", 1]) == ["a", "1"]


def test_once_runs_in_a_container_of_its_own():
    world = World()
    steps = world.once()
    assert world.did == [f"run --detach --no-deps --name {NAME} web sh -c alembic upgrade head"]
    assert steps == [("hook post_deploy", {"service": "web", "container": NAME})]
    # It stays until the release is sealed, to be found by a run after a kill.
    assert world.status == "exited"


def test_one_that_ended_well_is_not_run_again():
    world = World(there="exited")
    assert world.once() == [] and world.did == []


def test_one_that_still_runs_is_waited_for():
    world = World(takes=30.0, there="running")
    assert world.once() == [] and world.did == []
    assert world.now == pytest.approx(30.0, abs=0.3)


def test_one_that_was_made_and_not_started_is_started():
    world = World(there="created")
    world.once()
    assert world.did == ["start"]


def test_a_failure_shows_what_it_said_and_can_be_tried_again():
    world = World(code=3)
    with pytest.raises(HookFailed) as caught:
        world.once(["alembic", "upgrade"])
    said = str(caught.value)
    assert said.startswith("service web: hook post_deploy ended with exit code 3. It said:\n    line 10\n")
    assert said.endswith("line 19")
    assert caught.value.evidence["exit_code"] == 3 and caught.value.evidence["command"] == "alembic upgrade"
    assert len(caught.value.evidence["log"]) == 20
    assert world.did[-1] == "remove"


def test_one_that_hangs_is_stopped():
    world = World(takes=1e9)
    with pytest.raises(HookFailed, match="took longer than 90 s"):
        world.once(timeout="1m30s")
    assert world.did[-2:] == ["stop", "remove"] and world.now == pytest.approx(90.0, abs=0.5)


def test_one_whose_container_is_taken_away():
    world = World(takes=1e9)
    world.sleep = lambda seconds: world.remove_one(NAME)
    with pytest.raises(HookFailed, match="container of hook post_deploy is gone"):
        world.once()


# --- inside


def inside(world, fatal=True, **hook):
    hooks.inside(world, "web", "smoke", {"command": "probe", **hook}, "toy-web-3", fatal)


def test_inside_an_instance():
    world = World()
    inside(world, timeout="30s")
    assert world.did == ["exec toy-web-3 ['sh', '-c', 'probe'] 30"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((1, "no\nway"), "hook smoke ended with exit code 1. It said:\n    no\n    way"),
        ((124, ""), "hook smoke took longer than 600 s"),
        (DockerError("it does not run"), "ended with exit code -1. It said:\n    it does not run"),
    ],
)
def test_inside_it_fails(answer, words):
    world = World()
    world.answer = answer
    with pytest.raises(HookFailed) as caught:
        inside(world)
    assert words in str(caught.value) and caught.value.evidence["service"] == "web"
    # On the way out nothing is held up by it.
    inside(world, fatal=False)


def test_the_evidence_is_bounded():
    world = World()
    world.answer = (1, "\n".join(map(str, range(500))))
    with pytest.raises(HookFailed) as caught:
        inside(world)
    assert caught.value.evidence["log"] == [str(number) for number in range(500 - hooks.LINES, 500)]
