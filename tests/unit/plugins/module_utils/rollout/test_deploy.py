# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine against a Docker that is a dict, and a real release store in a temporary directory."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients.files import StackBusy, StackDir
from ansible_collections.landfall.stack.plugins.module_utils.compose.model import build_model
from ansible_collections.landfall.stack.plugins.module_utils.rollout import report
from ansible_collections.landfall.stack.plugins.module_utils.rollout.deploy import (
    DeployFailed,
    Deployment,
    Effects,
    Request,
    Secret,
)
from ansible_collections.landfall.stack.plugins.module_utils.rollout.plan import Refused
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import FAILED, SEALED


class ToolError(Exception):
    stderr = ""


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class World:
    """A host with a Docker that obeys at once. ``broken``: services whose containers get unhealthy."""

    def __init__(self, root):
        self.store = StackDir(str(root / "stacks"), "toy")
        self.running: dict[str, dict] = {}
        self.images = {"app:1", "app:2"}
        self.local: dict[str, str] = {}
        self.networks: set[str] = set()
        self.broken: set[str] = set()
        self.refuse = ""
        self.listens = {8080}
        self.routes = ""
        self.clock = 0.0
        self.days = 0
        self.kill_at: int | None = None
        self.ups: list[str] = []

    # docker
    def containers(self, _project):
        return list(self.running.values())

    def inspect(self, ids):
        return [one for one in self.running.values() if one["Id"] in ids]

    def image(self, ref):
        return {"Id": self.local[ref], "RepoDigests": []} if ref in self.local else None

    def pull(self, ref):
        if ref not in self.images:
            raise ToolError("manifest unknown")
        self.local[ref] = f"sha256:{ref.encode().hex():0<64}"

    def tag(self, source, target):
        self.local[target] = source

    def remove_image(self, ref):
        return bool(self.local.pop(ref, ""))

    def ensure_network(self, name, labels, internal):
        self.networks.add(name)

    def logs(self, _container, _tail):
        return ["it said hunter2-secret"]

    def stop(self, names):
        for name in names:
            self.running[name]["State"]["Status"] = "exited"

    def remove(self, names):
        for name in names:
            self.running.pop(name)

    # compose
    def compose(self, directory, files, env_files, profiles, _bound):
        world = self

        class Project:
            def config(self):
                if world.refuse:
                    raise ToolError(world.refuse)
                with open(files[0], encoding="utf-8") as file:
                    return json.load(file)

            def run(self, *args):
                assert args[0] == "up"
                world.ups.append(os.path.basename(directory))
                config = self.config()
                with open(env_files[1], encoding="utf-8") as file:
                    env = file.read()
                for name, service in config["services"].items():
                    hash_ = hashlib.sha256(f"{service['image']} {env}".encode()).hexdigest()
                    there = world.running.get(f"toy-{name}-1")
                    if there and there["Config"]["Labels"]["com.docker.compose.config-hash"] == hash_:
                        continue
                    world.start(name, service["image"], hash_)
                for gone in set(world.running) - {f"toy-{name}-1" for name in config["services"]}:
                    del world.running[gone]

        return Project()

    def start(self, service, image, config_hash):
        sick = service in self.broken
        self.running[f"toy-{service}-1"] = {
            "Name": f"/toy-{service}-1",
            "Id": f"{service}-{len(self.ups)}",
            "Image": self.local[image],
            "Config": {
                "Labels": {"com.docker.compose.service": service, "com.docker.compose.config-hash": config_hash}
            },
            "State": {
                "Status": "running",
                "StartedAt": str(len(self.ups)),
                "Health": {"Status": "unhealthy" if sick else "healthy", "Log": [{"ExitCode": 1, "Output": "nope"}]},
            },
            "NetworkSettings": {"Networks": {"n": {"IPAddress": "10.0.0.1"}}},
            "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}},
        }

    # the rest
    def write_routes(self, text):
        changed, self.routes = self.routes != text, text
        return changed

    def now(self):
        self.days += 1
        return f"2026-11-21T{self.days // 3600:02}:{self.days // 60 % 60:02}:{self.days % 60:02}Z"

    def monotonic(self):
        self.clock += 0.1
        return self.clock

    def sleep(self, seconds):
        self.clock += seconds

    def effects(self):
        return Effects(
            store=self.store,
            docker=self,
            compose=self.compose,
            model=lambda config, _directory, _files: build_model(config, "toy"),
            connects=lambda _addresses, port: port in self.listens,
            proc_net=lambda _pid: "header\n0: 00000000:1F90 0:0 0A\n",
            now=self.now,
            monotonic=self.monotonic,
            sleep=self.sleep,
            token=lambda count: "t" * count,
            write_routes=self.write_routes,
            read_routes=lambda: self.routes,
            errors=(ToolError,),
        )

    def deploy(self, **changes):
        deployment = Deployment(request(**changes), self.effects())
        if self.kill_at is not None:
            self._arm(deployment)
        self.store.prepare()
        decision = deployment.decide(self.store.key(), True)
        with self.store.lock("me", "now", 1.0):
            return deployment.apply(decision) if decision.changed else None

    def _arm(self, deployment):
        log, left = self.store.log, [self.kill_at]

        def counted(entry):
            log(entry)
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        deployment.store = type("Store", (), {"__getattr__": lambda _self, name: getattr(self.store, name)})()
        deployment.store.log = counted

    def outcomes(self):
        return [one.outcome for one in self.store.releases()]


def compose_file(image="app:1", port=8080, **services):
    web = {"image": image, "x-landfall": {"route": {"path": "/", "port": port}}}
    return json.dumps({"x-landfall": {"domains": ["toy.localhost"]}, "services": {"web": web, **services}}).encode()


def request(image="app:1", port=8080, env=None, secrets=None, **changes):
    default = (Secret("KEY", None, 48, True), Secret("token", "hunter2-secret"))
    return Request(
        stack="toy",
        files={"compose.yaml": changes.pop("compose", None) or compose_file(image, port)},
        compose_files=("compose.yaml",),
        env=env or {},
        secrets=default if secrets is None else secrets,
        who="me@here",
        **changes,
    )


@pytest.fixture(name="world")
def _world(tmp_path):
    return World(tmp_path)


def test_first_release_and_second_run(world):
    result = world.deploy(version="1")
    assert result["outcome"] == SEALED and result["secrets_generated"] == ["KEY"] and result["routes_changed"]
    assert world.store.current() == result["release"]
    assert world.networks == {"landfall-edge-toy"}
    assert json.loads(world.routes)["routes"][0]["upstreams"] == ["toy-web-1"]
    assert world.deploy(version="1") is None
    assert result["steps"] == [
        "written", "secrets", "pulled", "network created", "started", "healthy", "routes written",
        "switched current", "sealed",
    ]  # fmt: skip


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
    before = dict(world.running)
    with pytest.raises(DeployFailed, match=r"service web: image app:9 cannot be pulled.*Nothing was changed"):
        world.deploy(image="app:9")
    assert world.running == before and len(world.ups) == 1
    assert world.outcomes() == [SEALED, FAILED]
    assert world.deploy() is None


def test_unhealthy_goes_back_and_says_why(world):
    good = world.deploy()["release"]
    with pytest.raises(DeployFailed) as caught:
        failing(world, image="app:2")
    assert caught.value.result["rolled_back_to"] == good
    assert "healthcheck fails" in str(caught.value) and "nope" in str(caught.value)
    assert "hunter2-secret" not in str(caught.value) and "********" in str(caught.value)
    assert world.store.current() == good
    assert world.deploy() is None


def failing(world, **changes):
    """Deploy while containers of app:2, and only those, get unhealthy."""
    start = world.start

    def only_new(service, image, config_hash):
        world.broken = {"web"} if image == "app:2" else set()
        start(service, image, config_hash)

    world.start = only_new
    try:
        return world.deploy(**changes)
    finally:
        world.start = start
        world.broken = set()


def test_a_failed_first_deployment_is_stopped_and_left(world):
    world.broken = {"web"}
    with pytest.raises(DeployFailed, match="first deployment") as caught:
        world.deploy()
    assert caught.value.result["rolled_back_to"] is None
    assert world.running["toy-web-1"]["State"]["Status"] == "exited"
    assert world.store.current() is None and not world.routes
    world.broken = set()
    world.running.clear()
    assert world.deploy()["outcome"] == SEALED


def test_a_route_to_a_port_nobody_listens_on(world):
    world.deploy()
    with pytest.raises(
        DeployFailed, match="route / goes to port 9999 and nothing listens there; the container listens on 8080"
    ):
        world.deploy(port=9999)
    assert json.loads(world.routes)["routes"][0]["port"] == 8080


def test_a_container_that_never_gets_healthy(world):
    start = world.start

    def endless(service, image, config_hash):
        start(service, image, config_hash)
        world.running[f"toy-{service}-1"]["State"]["Health"]["Status"] = "starting"

    world.start = endless
    with pytest.raises(DeployFailed, match="not well after 30 s: its healthcheck says starting"):
        world.deploy(deadline=30.0)


def test_a_failing_rollback_is_told(world):
    world.deploy()
    world.broken = {"web"}
    with pytest.raises(DeployFailed, match="FAILED too"):
        world.deploy(image="app:2")


def test_secrets_go_back_with_the_release(world):
    world.deploy()
    rotated = (Secret("KEY", None, 48, True), Secret("token", "new-value-of-it"))
    with pytest.raises(DeployFailed):
        failing(world, image="app:2", secrets=rotated)
    assert world.store.secret("token") == "hunter2-secret"


def test_refused_projects_leave_no_release(world):
    world.refuse = 'required variable "X" is missing'
    with pytest.raises(Refused, match="required variable"):
        world.deploy()
    assert world.outcomes() == [] and os.listdir(world.store.releases_dir) == []


def test_check_project_writes_nothing(world):
    Deployment(request(), world.effects()).check_project(b"k")
    assert not os.path.exists(world.store.path)


@pytest.mark.parametrize("step", range(9))
def test_a_run_killed_at_any_step_is_finished_by_the_next(world, step):
    world.deploy()
    world.kill_at = step
    with pytest.raises(Killed):
        world.deploy(image="app:2", env={"A": "2"})
    world.kill_at = None
    result = world.deploy(image="app:2", env={"A": "2"})
    assert result["outcome"] == SEALED and world.store.current() == result["release"]
    assert world.outcomes().count("pending") == 0
    assert world.running["toy-web-1"]["Image"] == world.local["app:2"]
    assert world.deploy(image="app:2", env={"A": "2"}) is None


@pytest.mark.parametrize("step", range(9))
def test_after_a_killed_run_another_content_wins(world, step):
    world.deploy()
    world.kill_at = step
    with pytest.raises(Killed):
        world.deploy(image="app:2")
    world.kill_at = None
    world.deploy(image="app:1", env={"B": "1"})
    assert "pending" not in world.outcomes() and world.outcomes()[-1] == SEALED
    assert world.running["toy-web-1"]["Image"] == world.local["app:1"]


def test_drift_is_repaired(world):
    world.deploy()
    world.running.pop("toy-web-1")
    assert world.deploy()["why"] == "repair: toy-web-1 is gone"
    world.routes = "by hand"
    assert "routes file" in world.deploy()["why"]


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
    assert Deployment(request(), world.effects())._clean(problem) == "dependency failed to start: x"
