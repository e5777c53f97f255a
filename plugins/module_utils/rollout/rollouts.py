# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the rollout of a release: what is on the disk against what runs."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from ..compose.stack import Stack
from . import plan, planner
from .context import Context, Options
from .decide import Decision
from .executor import Rollout
from .leftovers import Leftovers
from .project import Project, Projects
from .release import OVERLAY, Release
from .run import Run
from .target import Target


class Rollouts:
    """Plans; what it returns carries the plan out."""

    def __init__(self, run: Run, projects: Projects, leftovers: Leftovers) -> None:
        self.run, self.projects, self.leftovers = run, projects, leftovers
        self.fx, self.store = run.fx, run.store

    def make(
        self,
        project: Project,
        options: Options,
        previous: Release | None,
        back: bool = False,
        told: Collection[str] = (),
    ) -> tuple[Rollout, Target]:
        """The release on the disk against what runs.

        :param previous: the release that runs, None when there is none
        :param back: the way back, dependents first
        :param told: ids of containers that the run before it told to end
        """
        record, model = project.record, project.model
        directory = self.store.release_path(record.id)
        aim = self.projects.target(project, directory, self.projects.comparable(previous))
        if not back:
            self.projects.write_target(record, aim)
        leaving = self.leftovers.leaving(previous, told)
        layers = tuple(reversed(model.waves)) if back else model.waves
        routed = self._routed(model)
        made = planner.plan(aim.wanted, layers, self.run.observe(), frozenset(leaving), routed)
        # Of a release that is resumed some services are done already, and were worked on all the same.
        begun = [one.detail.get("services", []) for one in self.store.journal()
                 if one.release == record.id and one.step == "planned"]  # fmt: skip
        touched = [one.service for one in made.services]
        self.run.step(record, "planned", {"plan": made.lines(), "services": touched})
        options = replace(options, touched=frozenset([*touched, *(name for each in begun for name in each)]))
        self.run.plan_lines = made.lines()
        host = SimpleNamespace(**vars(self.fx), told=self.run.clean)
        bound = plan.start_bound(len(made.services), self.run.request.deadline)
        compose = self.projects.compose(record, directory, True, bound)

        def step(name: str, detail: dict[str, Any] | None = None) -> None:
            self.run.step(record, name, detail)

        context = Context(
            fx=host,
            stack=self.run.request.stack,
            release=record.id,
            model=model,
            wanted=aim.wanted,
            plan=made,
            project=compose,
            names=aim.names,
            step=step,
            options=options,
        )
        rollout = Rollout(context)
        rollout.leaving.update(leaving)
        return rollout, aim

    def foresee(self, project: Project, decision: Decision) -> None:
        """What the rollout would do, into the run's ``plan_lines``; an image that would be pulled counts as a new one.

        :param project: in a scratch directory
        """
        model, directory = project.model, project.directory
        standing = self.run.good()
        known = self.store.images(standing.id) if standing else {}
        pins = {
            name: known[name]["pinned"]
            for name, service in model.services.items()
            if name in known and known[name].get("image") == service.image
        }
        text = self.projects.overlay(project, frozenset(self.run.request.files), decision.secret_digests, pins)
        with open(os.path.join(directory, OVERLAY), "w", encoding="utf-8") as file:
            file.write(text)
        aim = self.projects.target(project, directory, self.projects.comparable(standing))
        leaving = frozenset(one.id for one in self.leftovers.known_leaving(standing))
        made = planner.plan(aim.wanted, model.waves, self.run.observe(), leaving, self._routed(model))
        self.run.plan_lines = made.lines()

    def _routed(self, model: Stack) -> dict[str, set[str]]:
        """Service with routes → its containers that get requests now."""
        text = self.fx.traffic.read_routes()
        now, ports = planner.upstreams_of(text), planner.ports_of(text)
        # A port that gets requests for the first time has to be seen to listen, however well the container is known.
        return {
            name: now.get(name, set())
            if {route.port for route in model.services[name].routes} <= ports.get(name, set())
            else set()
            for name in model.routed
        }
