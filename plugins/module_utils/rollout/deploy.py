# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment from beginning to end: each step is written down before it is taken, and what fails is undone.

The steps themselves are next door: :mod:`.staging`, :mod:`.images`, :mod:`.rollouts` and :mod:`.executor`,
:mod:`.outcome`; what is done when one fails is in :mod:`.failing`. They share a :class:`.run.Run`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..compose.stack import Stack
from . import journal, outcome, release, store
from .context import Options
from .decide import Decision, content_of, decide
from .effects import Effects
from .errors import Interrupted, RolloutFailed
from .executor import Rollout
from .failing import Failing, not_begun
from .images import Images
from .leftovers import Leftovers
from .project import Project, Projects
from .release import Release
from .request import Request
from .rollouts import Rollouts
from .run import Run
from .staging import Staging
from .target import Target
from .way_back import WayBack


class Deployment:
    """One run of one stack. Call :meth:`decide`, then :meth:`apply` with the lock held."""

    def __init__(self, request: Request, effects: Effects) -> None:
        self.request = request
        self.run = Run(request, effects)
        self.fx, self.store = effects, effects.store
        self.leftovers = Leftovers(self.run)
        self.projects = Projects(self.run)
        self.staging = Staging(self.run, self.projects)
        self.images = Images(self.run, self.projects)
        self.rollouts = Rollouts(self.run, self.projects, self.leftovers)
        self.failing = Failing(self.run, WayBack(self.run, self.projects, self.rollouts, self.leftovers))

    def decide(self, key: bytes, docker_ready: bool) -> Decision:
        """Compare what is asked with what is there. Reads only. See :func:`.decide.decide`."""
        return decide(self.run, key, docker_ready)

    def check_project(self, key: bytes, decision: Decision | None = None) -> Stack:
        """Validate the project in a scratch directory, before anything is written. :raises Refused: all problems

        :param key: the stack's digest key
        :param decision: say what would be done, too, in the run's ``plan_lines`` (check mode)
        """
        content = content_of(self.run, key)[0]
        with self.staging.scratch(content) as project:
            if decision is not None:
                self.rollouts.foresee(project, decision)
            return project.model

    def apply(self, decision: Decision) -> dict[str, Any]:
        """Carry the release out. :raises Refused: nothing was changed. :raises DeployFailed: undone where possible."""
        with not_begun(self.request.stack):
            recovery = self._recover(decision)
            releases = self.store.releases()
            previous = store.good(releases, self.store.current())
            # A killed run may have replaced some services already: then "nothing was changed" would not be true.
            self.run.halfway = bool(recovery.resume or recovery.abandon)
            if recovery.resume:
                record = next(one for one in releases if one.id == recovery.resume)
                was = journal.last_step(self.store.journal(), record.id)
                record = replace(record, why=f"{record.why}; resumed after an interruption at '{was}'")
                self.store.save(record)
                project = self.projects.read(record, self.store.release_path(record.id))
            else:
                project = self.staging.write(decision)
                record = project.record
        rollout: Rollout | None = None
        try:
            images = self.images.provide(project)
            self._ready(decision, project, images)
            options = Options(migrate=self.request.migrate)
            rollout, aim = self.rollouts.make(project, options, previous)
            self._check_traffic(record, rollout)
            rollout.run()
            return self._seal(decision, record, previous, rollout, aim, images)
        except (RolloutFailed, Interrupted, *self.fx.errors) as problem:  # type: ignore[misc]
            raise self.failing.failed(record, previous, problem, rollout) from problem

    # --- after a killed run

    def untidy(self) -> bool:
        """Whether a killed run left something for :meth:`tidy`; asked when there is nothing else to do."""
        return store.interrupted(self.store.releases()) or bool(self.leftovers.hooks())

    def tidy(self, decision: Decision) -> None:
        """Clear what a killed run left, when there is nothing else to do. Needs the lock."""
        self._recover(decision)
        self.leftovers.remove_hooks()

    def _recover(self, decision: Decision) -> store.Recovery:
        """Tidy up after killed runs; the release to resume stays pending. Needs the lock."""
        self.store.sweep()
        releases = self.store.releases()
        recovery = store.recover(releases, decision.digest)
        for one in releases:
            if one.id in recovery.abandon:
                self.store.save(one.finish(release.ABANDONED, self.fx.now()))
        return recovery

    # --- before and after the rollout

    def _ready(self, decision: Decision, project: Project, images: Mapping[str, Mapping[str, Any]]) -> None:
        """Everything that must stand before the first container is made; nothing that runs is touched."""
        pins = {name: entry["pinned"] for name, entry in images.items()}
        self.projects.write_overlay(project, frozenset(self.request.files), decision.secret_digests, pins)
        self.run.step(project.record, "secrets")
        for secret in self.request.secrets:
            digest = decision.secret_digests[secret.name]
            self.store.write_secret(secret.name, decision.values[secret.name], secret.owner, digest)
        self.store.write_rotation(decision.rotation)

    def _check_traffic(self, record: Release, rollout: Rollout) -> None:
        """Have nginx look at the routes before anything is touched."""
        try:
            self.fx.traffic.check(rollout.routes(), rollout.relay())
        except self.fx.errors as problem:
            standing = self.run.good()
            if standing is not None:
                self.store.restore_secrets(standing.secret_digests)
            raise self.run.unchanged(record, self.run.clean(problem)) from problem

    def _seal(
        self,
        decision: Decision,
        record: Release,
        previous: Release | None,
        rollout: Rollout,
        aim: Target,
        images: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Read back what really runs, and only then call the release done."""
        text = rollout.routes()
        routes_changed = previous is None or text != self.run.routes_of(previous.id)
        seen = outcome.verified(self.run, rollout, aim, text)
        self.run.step(record, "routes written")
        self.store.write(record.id, "routes.json", text)
        self.run.step(record, "switched current")
        self.store.switch(record.id)
        self.run.step(record, "sealed")
        sealed = record.finish(release.SEALED, self.fx.now(), observed=outcome.observed(seen, rollout))
        self.store.save(sealed)
        if self.request.anew is not None and previous is not None:
            self.store.save(replace(previous, outcome=release.REPLACED))
        self.leftovers.remove_hooks()
        for name in sorted({one.service for one in seen if one.status == "running" and one.restart_policy == "no"}):
            self.run.warnings.append(
                f"service {name} has no restart policy, so a reboot leaves it down: give it restart: unless-stopped"
            )
        self.run.warnings += rollout.report.notes
        report = outcome.report(self.run, rollout, seen, aim, images)
        self.store.write(record.id, "report.json", json.dumps(report, indent=2, sort_keys=True) + "\n")
        pruned = self.leftovers.prune(record.id, self.request.keep or aim.model.keep)
        return {
            **report,
            "release": record.id,
            "previous": previous.id if previous else None,
            "outcome": release.SEALED,
            "why": record.why,
            "routes_changed": routes_changed,
            "pruned": pruned,
            "steps": self.run.steps,
            "secrets_generated": list(decision.generated),
        }
