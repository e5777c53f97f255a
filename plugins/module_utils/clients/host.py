# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real host behind the engine of :mod:`..rollout.deploy`."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from ..compose.yamldoc import YAML_ERROR
from ..rollout.anew import Step
from ..rollout.anew import request as request_anew
from ..rollout.deploy import Deployment
from ..rollout.effects import Effects
from ..rollout.health import Observation, observe
from ..rollout.journal import cut_short
from ..rollout.plan import Refused
from ..rollout.release import Release
from ..rollout.request import Request
from ..rollout.rollback import Rollback
from ..rollout.store import good
from .compose import ComposeCli, ComposeError
from .docker import DockerError, connects, proc_net
from .engine import DockerEngine
from .files import MOVES, StackDir
from .interrupts import Interrupts
from .process import base_env, runner
from .stack_model import model_of
from .traffic import Traffic, TrafficError

#: Seconds a quick docker command may take.
QUICK = 120.0
#: Seconds a pull or a build may take.
SLOW = 3600.0


def yaml_missing() -> str | None:
    """What to install when PyYAML is not there."""
    return None if YAML_ERROR is None else "python3-yaml is missing on this host"


def utc_now() -> str:
    """ISO time in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class HostWorld:
    """What the gates ask of a host, see rollout.gates.World."""

    def __init__(self, docker: DockerEngine) -> None:
        self._docker = docker

    def look(self, names: Sequence[str]) -> list[Observation]:
        """The containers by name, inspected; those that are gone are left out."""
        return [observe(one) for one in self._docker.inspect(names)]

    def check(self, one: Observation) -> tuple[bool, str]:
        """Run a container's own healthcheck once: (whether it passed, what it said)."""
        # Docker's own rule: CMD-SHELL goes to the image's shell, CMD is an argv.
        argv = ["/bin/sh", "-c", *one.test[1:2]] if one.test[:1] == ("CMD-SHELL",) else list(one.test[1:])
        code, said = self._docker.execute(one.id, argv, timeout=one.test_timeout)
        return code == 0, said

    def connects(self, addresses: Sequence[str], port: int) -> bool:
        """Whether a TCP connection succeeds."""
        return connects(addresses, port)

    def http_status(self, addresses: Sequence[str], port: int, host: str, path: str) -> int | None:
        """The status of a GET, None when there was no answer within 2 s."""
        for address in addresses:
            link = http.client.HTTPConnection(address, port, timeout=2.0)
            try:
                link.request("GET", path, headers={"Host": host, "User-Agent": "landfall"})
                return link.getresponse().status
            except (OSError, http.client.HTTPException):
                continue
            finally:
                link.close()
        return None

    def proc_net(self, pid: int) -> str:
        """/proc/<pid>/net/tcp and tcp6."""
        return proc_net(pid)

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def leave(container: str, grace: float | None) -> None:
    """Tell a container to end and have it removed then; this process does not wait for it.

    A reboot ends what waits for it here: the next rollout removes what is left.
    """
    seconds = 10 if grace is None else max(int(grace), 0)
    subprocess.Popen(
        ["/bin/sh", "-c", 'docker stop --time "$1" "$2" && exec docker rm "$2"', "landfall", str(seconds), container],
        env=base_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def move_of(stack: str, directory: str = MOVES) -> dict[str, Any]:
    """The state of the move of a stack's data to PostgreSQL (see migration.move_state), {} when there is none."""
    try:
        with open(os.path.join(directory, stack, "state.json"), encoding="utf-8") as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {}


def effects_for(root: str, routes_dir: str, stack: str, interrupts: Interrupts | None = None) -> Effects:
    """The :class:`Effects` of this host for one stack.

    :param routes_dir: ``<the edge's directory>/stacks``
    """
    docker = DockerEngine(runner(QUICK), runner(SLOW))

    def compose(
        directory: str, files: Sequence[str], env_files: Sequence[str], profiles: Sequence[str], bound: float | None
    ) -> ComposeCli:
        return ComposeCli(runner(bound or SLOW), stack, directory, files, env_files, profiles)

    return Effects(
        store=StackDir(root, stack),
        docker=docker,
        compose=compose,
        model=lambda config, directory, files: model_of(stack, config, directory, files),
        world=HostWorld(docker),
        traffic=Traffic(stack, edge_root=os.path.dirname(routes_dir.rstrip("/")), docker=docker),
        now=utc_now,
        time=time.time,
        monotonic=time.monotonic,
        sleep=time.sleep,
        token=secrets.token_urlsafe,
        move=move_of,
        leave=leave,
        uninterrupted=(interrupts or Interrupts()).too_late,
        errors=(ComposeError, DockerError, TrafficError),
    )


def back(
    root: str,
    routes_dir: str,
    stack: str,
    wanted: str,
    who: str = "",
    deadline: float = 120.0,
    lock_timeout: float = 60.0,
    only_look: bool = False,
) -> dict[str, Any]:
    """Bring a kept release back; the same for the module and for the program on the host.

    :param wanted: its id, "" for the one before the current one
    :raises Refused: there is no such release; :raises DeployFailed: it could not be brought back
    """
    interrupts = Interrupts()
    fx = effects_for(root, routes_dir, stack, interrupts)
    missing = fx.docker.available() or yaml_missing()
    if missing:
        raise Refused(f"{missing}. Without it nothing can be rolled back")
    rollback = Rollback(Request(stack=stack, files={}, compose_files=(), deadline=deadline, who=who), fx)
    found, current = rollback.choose(wanted)
    common: dict[str, Any] = {
        "changed": current is None or found.id != current.id or rollback.astray(current),
        "stack": stack,
        "release": found.id,
        "previous": current.id if current else None,
        "why": f"from {current.id}" if current else "",
        "routes_file": os.path.join(routes_dir, f"{stack}.json"),
    }
    if only_look or not common["changed"]:
        return common
    with fx.store.lock(who or "landfall", fx.now(), lock_timeout):
        interrupts.install()
        found, current = rollback.choose(wanted)
        return {**common, **rollback.bring_back(found, current)}


def rotate(
    root: str,
    routes_dir: str,
    stack: str,
    steps: Sequence[Step],
    who: str = "",
    deadline: float = 120.0,
    lock_timeout: float = 60.0,
    only_look: bool = False,
) -> dict[str, Any]:
    """Roll out the current release with rotated secrets. What a killed run left is undone before.

    :raises Refused: nothing was changed; :raises DeployFailed: the release before runs again
    """
    interrupts = Interrupts()
    fx = effects_for(root, routes_dir, stack, interrupts)
    missing = fx.docker.available() or yaml_missing()
    if missing:
        raise Refused(f"{missing}. Without it nothing can be rotated")

    def made(current: Release) -> Deployment | None:
        asked = request_anew(fx.store, current, list(steps), utc_now(), who=who, deadline=deadline)
        return None if asked is None else Deployment(asked, fx)

    deployment = made(good_release(fx, stack))
    if deployment is None:
        return {"changed": False, "stack": stack}
    if only_look:
        decision = deployment.decide(fx.store.key(False), True)
        deployment.check_project(fx.store.key(False), decision)
        return {"changed": True, "stack": stack, "why": decision.why, "plan": deployment.run.plan_lines}
    with fx.store.lock(who or "landfall", fx.now(), lock_timeout):
        interrupts.install()
        undo_cut_short(Rollback(Request(stack=stack, files={}, compose_files=(), deadline=deadline, who=who), fx))
        deployment = made(good_release(fx, stack))
        if deployment is None:
            return {"changed": False, "stack": stack}
        done = deployment.apply(deployment.decide(fx.store.key(), True))
        return {"changed": True, "stack": stack, **done, "warnings": deployment.run.warnings}


def good_release(fx: Effects, stack: str) -> Release:
    """The release to make anew. :raises Refused: there is none"""
    found = good(fx.store.releases(), fx.store.current())
    if found is None:
        raise Refused(f"stack {stack} has no release that was deployed well: run deploy.yml first")
    return found


def undo_cut_short(rollback: Rollback) -> None:
    """Bring back what was good, when a run was killed or a container changed by hand. Needs the lock."""
    found = rollback.run.good()
    if found is not None and (rollback.store.current() != found.id or rollback.astray(found)):
        rollback.bring_back(found, found)


def recover(root: str, routes_dir: str, stack: str) -> str:
    """After the host itself went down under a run: bring back the release that ran before it. :returns: what was done

    Not forward, for whoever deployed was told that it failed; their next run goes forward.

    :raises Refused, DeployFailed: it could not; :raises StackBusy: somebody works on the stack
    """
    store = StackDir(root, stack)
    holder = store.holder()
    if holder:
        return f"{holder.get('who', 'somebody')} works on it (process {holder.get('pid', 'unknown')})"
    if not cut_short(store.journal()):
        return "nothing was interrupted"
    current = store.current()
    if not current:
        return "its first deployment was interrupted: deploy again to finish it"
    done = back(root, routes_dir, stack, current, "landfall recover")
    return f"a run was interrupted; release {current} " + ("runs again" if done["changed"] else "runs as it did")
