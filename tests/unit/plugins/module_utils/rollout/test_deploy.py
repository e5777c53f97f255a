# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: what is written, decided, repaired, refused and thrown away; the engine against a host of objects."""

from __future__ import annotations

import json
import os

import pytest
from fake_host import (
    CRASH,
    STARTING,
    UNHEALTHY,
    ToolError,
    assert_settled,
    compose_file,
    release_files,
    request,
    service,
    stack_file,
)

from ansible_collections.landfall.stack.plugins.module_utils.clients.files import StackBusy
from ansible_collections.landfall.stack.plugins.module_utils.rollout import report
from ansible_collections.landfall.stack.plugins.module_utils.rollout.deploy import Deployment
from ansible_collections.landfall.stack.plugins.module_utils.rollout.plan import Refused
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import FAILED, SEALED
from ansible_collections.landfall.stack.plugins.module_utils.rollout.request import Request, Secret
from ansible_collections.landfall.stack.plugins.module_utils.rollout.run import DeployFailed


def test_first_release_and_second_run(world):
    result = world.deploy(version="1")
    assert result["outcome"] == SEALED and result["secrets_generated"] == ["KEY"] and result["routes_changed"]
    assert world.store.current() == result["release"]
    assert world.routed() == ["toy-web-1"]
    assert result["steps"] == [
        "written", "pulled", "secrets", "planned", "created", "wave 1 started", "wave 1 gated",
        "wave 1 switched", "routes written", "switched current", "sealed",
    ]  # fmt: skip
    assert_settled(world, web=1)
    before = list(world.events)
    assert world.deploy(version="1") is None
    assert world.events == before


def test_secrets_are_private_kept_and_nowhere_else(world):
    world.deploy()
    path = os.path.join(world.store.secrets_dir, "KEY")
    assert os.stat(path).st_mode & 0o777 == 0o400
    assert world.store.secret("KEY") == "t" * 48
    rid = world.store.current()
    world.deploy(env={"A": "2"})
    assert world.store.secret("KEY") == "t" * 48
    for name in ("release.json", "digests.json", "routes.json", "compose.landfall.yaml"):
        text = world.store.read(rid, name)
        assert "hunter2-secret" not in text and "t" * 48 not in text
    assert "KEY='" in world.store.read(rid, "env")
    assert os.stat(os.path.join(world.store.release_path(rid), "env")).st_mode & 0o777 == 0o600


def test_an_image_that_cannot_be_pulled_changes_nothing(world):
    world.deploy()
    before = world.happened("create", "start", "stop", "remove", "switch")
    with pytest.raises(DeployFailed, match=r"service web: image app:9 cannot be pulled.*Nothing was changed"):
        world.deploy(image="app:9")
    assert world.happened("create", "start", "stop", "remove", "switch") == before
    assert world.outcomes() == [SEALED, FAILED]
    assert world.deploy() is None


def test_unhealthy_goes_back_and_says_why(world):
    good = world.deploy()["release"]
    world.fates["app:2"] = UNHEALTHY
    with pytest.raises(DeployFailed) as caught:
        world.deploy(image="app:2")
    assert caught.value.result["rolled_back_to"] == good
    assert "healthcheck fails" in str(caught.value) and "nope" in str(caught.value)
    assert "hunter2-secret" not in str(caught.value) and "********" in str(caught.value)
    assert world.store.current() == good
    assert_settled(world, web=1)
    assert world.deploy() is None


def test_a_failed_first_deployment_is_stopped_and_left(world):
    world.fates["app:1"] = UNHEALTHY
    with pytest.raises(DeployFailed, match="first deployment") as caught:
        world.deploy()
    assert caught.value.result["rolled_back_to"] is None
    assert world.of("web", "exited") == ["toy-web-1"]
    assert world.store.current() is None and not world.routes
    world.fates.clear()
    assert world.deploy()["outcome"] == SEALED
    assert_settled(world, web=1)


def test_a_route_to_a_port_nobody_listens_on(world):
    world.deploy()
    with pytest.raises(
        DeployFailed, match="route / goes to port 9999 and nothing listens there; the container listens on 8080"
    ):
        world.deploy(image="app:2", port=9999)
    assert json.loads(world.routes)["routes"][0]["port"] == 8080
    assert_settled(world, web=1)


def test_a_container_that_never_gets_healthy(world):
    world.fates["app:1"] = STARTING
    with pytest.raises(DeployFailed, match="not well after 30 s: its healthcheck says starting"):
        world.deploy(deadline=30.0)


def test_a_crash_is_told_with_its_exit_code(world):
    world.deploy()
    world.fates["app:2"] = CRASH
    with pytest.raises(DeployFailed, match=r"ended with exit code 3|exited with code 3"):
        world.deploy(image="app:2")
    assert_settled(world, web=1)


def test_a_failing_rollback_is_told(world):
    # A database is stopped first: what was there has to be started again, and cannot.
    world.deploy(compose=stack_file(db=service("redis:1")))
    world.fates.update({"redis:1": UNHEALTHY, "redis:2": UNHEALTHY})
    with pytest.raises(DeployFailed, match="FAILED too") as caught:
        world.deploy(compose=stack_file(db=service("redis:2")))
    assert caught.value.result["rolled_back_to"] is None


def test_routes_that_nginx_refuses_change_nothing(world):
    before = world.deploy()["release"]
    held = set(world.there)
    world.refuse_routes = "nginx: unknown directive"
    given = (Secret("KEY", None, 48, True), Secret("token", "another-secret"))
    with pytest.raises(DeployFailed, match=r"nginx: unknown directive\. Nothing was changed"):
        world.deploy(image="app:2", secrets=given)
    assert set(world.there) == held and world.store.current() == before
    # The secrets were written before: those of the release that runs on are back.
    assert world.store.secret("token") == "hunter2-secret"


def test_secrets_go_back_with_the_release(world):
    world.deploy()
    rotated = (Secret("KEY", None, 48, True), Secret("token", "new-value-of-it"))
    world.fates["app:2"] = UNHEALTHY
    with pytest.raises(DeployFailed):
        world.deploy(image="app:2", secrets=rotated)
    assert world.store.secret("token") == "hunter2-secret"


def test_refused_projects_leave_no_release(world):
    world.refuse = 'required variable "X" is missing'
    with pytest.raises(Refused, match="required variable"):
        world.deploy()
    assert world.outcomes() == [] and release_files(world) == []


def test_check_project_writes_nothing(world):
    Deployment(request(), world.effects()).check_project(b"k")
    assert not os.path.exists(world.store.path)


def test_a_run_killed_anywhere_is_finished_by_the_next(new_world):
    for point in range(100):
        world = new_world()
        world.deploy()
        if not world.killed(point, lambda world=world: world.deploy(image="app:2", env={"A": "2"})):
            break
        result = world.deploy(image="app:2", env={"A": "2"})
        if result is not None:
            assert result["outcome"] == SEALED
        assert_settled(world, "app:2", web=1)
        assert world.deploy(image="app:2", env={"A": "2"}) is None
    assert 15 < point < 99


def test_after_a_killed_run_another_content_wins(new_world):
    for point in range(100):
        world = new_world()
        world.deploy()
        if not world.killed(point, lambda world=world: world.deploy(image="app:2")):
            break
        world.deploy(image="app:1", env={"B": "1"})
        assert world.outcomes()[-1] == SEALED
        assert_settled(world, "app:1", web=1)
    assert 15 < point < 99


def test_drift_is_repaired(world):
    world.deploy()
    world.there.pop("toy-web-1")
    assert world.deploy()["why"] == "repair: toy-web-1 is gone"
    assert_settled(world, web=1)
    world.routes = "by hand"
    assert "routes file" in world.deploy()["why"]
    assert_settled(world, web=1)


def test_old_releases_and_their_images_go(world):
    for number in range(4):
        world.images.add(f"app:{number}")
        world.deploy(image=f"app:{number}", keep=2)
    assert len(world.store.releases()) == 2
    assert {ref for ref in world.local if ref.startswith("app")} == {"app:2", "app:3"}


def test_two_runs_do_not_meet(world):
    world.store.prepare()
    with (
        world.store.lock("alice", "09:00", 0),
        pytest.raises(StackBusy, match=r"worked on by alice \(pid \d+, since 09:00\)"),
    ):
        with world.store.lock("bob", "09:01", 0):
            pass
    with world.store.lock("bob", "09:02", 0):
        assert world.store.holder()["who"] == "bob"
    assert world.store.holder() == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"env": {"KEY": "x"}}, "given in env and in secrets"),
        ({"secrets": (Secret("a/b", "x"),)}, "secret name"),
        ({"compose": None, "profiles": (), "env": {"1X": "x"}}, "env variable"),
    ],
)
def test_bad_requests(world, changes, words):
    with pytest.raises((Refused, ValueError), match=words):
        world.deploy(**changes)


def test_reserved_names(world):
    odd = Request("toy", {"compose.yaml": compose_file(), "env/x": b""}, ("compose.yaml",))
    with pytest.raises(Refused, match="keeps this name"):
        Deployment(odd, world.effects()).decide(b"k", True)


def test_diff_shows_files_and_names_only(world):
    world.deploy(env={"A": "value-one"})
    asked = request(image="app:2", env={"A": "value-two", "B": "value-three"})
    decision = Deployment(asked, world.effects()).decide(world.store.key(), True)
    entries = report.diff_of(decision, asked, world.store)
    assert "app:1" in entries[0]["before"] and "app:2" in entries[0]["after"]
    assert entries[1]["prepared"] == "variable B added\nvariable A changed\n"
    assert "value-" not in json.dumps(entries)


def test_progress_of_compose_is_not_an_explanation(world):
    problem = ToolError()
    problem.stderr = " Container toy-db-1  Running\n Container toy-web-1  Error\ndependency failed to start: x\n"
    assert Deployment(request(), world.effects()).run.clean(problem) == "dependency failed to start: x"
