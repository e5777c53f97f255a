# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout that failed: the evidence is kept, what ran before is brought back, and both are said."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from ..relay.spec import RelaySpec
from . import release
from .errors import Interrupted, RolloutFailed
from .evidence import evidence, excerpt
from .executor import Rollout
from .plan import Refused
from .release import Release
from .run import DeployFailed, Run
from .way_back import WayBack


@contextmanager
def not_begun(stack: str) -> Iterator[None]:
    """An interrupt before the first container is touched needs no way back. :raises Refused: instead of Interrupted"""
    try:
        yield
    except Interrupted as problem:
        raise Refused(f"stack {stack}: interrupted ({problem}) before anything that runs was touched") from problem


class Failing:
    """Undoes what fails."""

    def __init__(self, run: Run, way_back: WayBack) -> None:
        self.run, self.way_back = run, way_back
        self.fx, self.store = run.fx, run.store

    def failed(
        self, record: Release | None, standing: Release | None, cause: BaseException, rollout: Rollout | None
    ) -> DeployFailed:
        """Keep the evidence, go back, and say both.

        :param record: the release that failed; None: a way back did
        :param standing: the release to go back to, None: there is none, and all containers are stopped
        :param rollout: None: it was not made yet
        """
        problem = self._failure(cause)
        # From here on an interrupt is too late: half a way back is worse than a whole one.
        self.fx.uninterrupted()
        # Others let old containers go meanwhile; that is not where it failed.
        step = next((one for one in reversed(self.run.steps) if one not in ("draining", "stopping")), "")
        message = self.run.scrub(str(problem))
        containers = [evidence(self.fx.docker, one, self.run.scrub) for one in problem.broken]
        kept = {"message": message, "step": step, "containers": containers, **problem.detail}
        kept = json.loads(self.run.scrub(json.dumps(kept, default=str)))
        where = "the result of this task"
        if record is not None:
            self.run.step(record, "failed", {"message": message})
            self.store.write(record.id, "evidence.json", json.dumps(kept, indent=2, sort_keys=True) + "\n", 0o600)
            self.store.save(record.finish(release.FAILED, self.fx.now(), evidence=kept))
            where = os.path.join(self.store.release_path(record.id), "evidence.json")
        result: dict[str, Any] = {
            "changed": True,
            "release": record.id if record else None,
            "step": step,
            "evidence": kept,
            "rolled_back_to": None,
            "plan": self.run.plan_lines,
            "steps": self.run.steps,
        }
        if rollout is not None:
            result["waves"] = rollout.report.waves
        text = [f"stack {self.run.request.stack}: {message}"]
        text += [excerpt(item) for item in containers]
        if standing is None:
            self._stop_all()
            text.append(
                "This was the first deployment, so there is nothing to go back to: its containers were stopped "
                f"and left for inspection (docker logs <name>; evidence in {where}). Mend the cause and deploy again"
            )
        else:
            trouble = self._roll_back(standing, record or standing, rollout.leaving if rollout else ())
            if trouble:
                text.append(
                    f"Going back to release {standing.id} FAILED too: {trouble}. "
                    f"Look at 'landfall status' now; evidence in {where}"
                )
            else:
                result["rolled_back_to"] = standing.id
                text.append(
                    f"Rolled back to release {standing.id}, which runs and is healthy. Evidence: {where}. "
                    "Mend the cause and deploy again"
                )
            if "hook migrate" in self.run.steps:
                text.append("Migrations that ran stay as they are: going back brings no database back")
        result["steps"] = self.run.steps
        return DeployFailed("\n".join(text), result)

    def _failure(self, problem: BaseException) -> RolloutFailed:
        if isinstance(problem, RolloutFailed):
            return problem
        if isinstance(problem, Interrupted):
            return RolloutFailed(f"interrupted ({problem})")
        return RolloutFailed(self.run.clean(problem))

    def _roll_back(self, standing: Release, record: Release, told: Collection[str]) -> str:
        """Bring the standing release back, all services already replaced, in reverse order; "" when it stands."""
        self.run.step(record, "rolled back", {"to": standing.id})
        self._await_docker()
        try:
            rollout, aim = self.way_back.restore(standing, standing, warm=False, told=told)
            self.way_back.settle(standing, rollout, aim)
        except (RolloutFailed, Refused, Interrupted, OSError, *self.fx.errors) as problem:  # type: ignore[misc]
            return self.run.scrub(str(problem))
        return ""

    def _await_docker(self, limit: float = 60.0) -> None:
        """Docker may have been restarted under the rollout: without it there is no way back."""
        began = self.fx.monotonic()
        while self.fx.docker.available() and self.fx.monotonic() - began < limit:
            self.fx.sleep(1.0)

    def _stop_all(self) -> None:
        try:
            # Nobody may be sent to what is stopped. Without a routes file nothing was switched yet.
            if self.fx.traffic.read_routes():
                self.fx.traffic.switch("", RelaySpec(self.run.request.stack))
        except self.fx.errors as problem:
            self.run.warnings.append(f"the routes of the failed deployment could not be taken back: {problem}")
        try:
            seen = self.run.observe()
            self.fx.docker.stop(one.id for one in seen if one.status in ("running", "restarting"))
            self.fx.docker.remove([one.id for one in seen if one.status == "created"])
        except self.fx.errors as problem:
            self.run.warnings.append(f"the failed containers could not be stopped: {problem}")
