# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back on purpose: to the release before, or to a kept one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from ..compose.envfile import parse_env
from ..migration.move_state import side
from . import envfile, health, outcome, release, rotation, store
from .effects import Effects
from .errors import Interrupted, RolloutFailed
from .executor import Rollout
from .failing import Failing, not_begun
from .images import Images
from .leftovers import Leftovers
from .plan import Refused
from .project import Projects
from .release import RESERVED, Release
from .request import Request
from .rollouts import Rollouts
from .run import Run
from .way_back import WayBack


class Rollback:
    """One run of one stack. Call :meth:`choose`, then :meth:`bring_back` with the lock held.

    :param request: its ``stack``, ``deadline`` and ``who`` matter; what is brought back stands in the release
    """

    def __init__(self, request: Request, effects: Effects) -> None:
        self.run = Run(request, effects)
        self.fx, self.store = effects, effects.store
        leftovers = Leftovers(self.run)
        self.projects = Projects(self.run)
        self.images = Images(self.run, self.projects)
        rollouts = Rollouts(self.run, self.projects, leftovers)
        self.way_back = WayBack(self.run, self.projects, rollouts, leftovers)
        self.failing = Failing(self.run, self.way_back)

    def choose(self, wanted: str) -> tuple[Release, Release | None]:
        """The release to go back to, and the one that runs.

        :param wanted: its id or version; "" for the one before, or for the current one when something else runs
        :raises Refused: there is none, or it cannot be had
        """
        releases = self.store.releases()
        current = next((one for one in releases if one.id == self.store.current()), None)
        good = [one for one in releases if one.outcome == release.SEALED]
        kept = ", ".join(one.id for one in reversed(good)) or "none"
        found: Release | None
        if wanted:
            # Ids differ from host to host, versions do not; of several with one version the newest is meant.
            found = next((one for one in good if one.id == wanted), None) or next(
                (one for one in reversed(good) if one.version == wanted), None
            )
            if found is None:
                raise Refused(f"release {wanted} is not kept on this host, or never was good; kept are: {kept}")
        elif current is not None and current in good and self.astray(current):
            # A deploy that failed or was killed left something behind: what "back" means then is the current release.
            found = current
        else:
            found = store.last_good(releases, current.id if current else None)
            if found is None:
                raise Refused(f"there is no release before {current.id if current else 'this'}; kept are: {kept}")
        self._same_side(found)
        self.images.have(found.id)
        return found, current

    def astray(self, current: Release) -> bool:
        """Whether what runs is not the current release, as after a killed run or a way back that failed."""
        return store.interrupted(self.store.releases()) or bool(health.drift(current.observed, self.run.observe()))

    def bring_back(self, aim_at: Release, current: Release | None) -> dict[str, Any]:
        """Bring a kept release back, whole; the module's result.

        :raises Refused: nothing was changed
        :raises DeployFailed: it could not; what ran before was brought back
        """
        rollout: Rollout | None = None
        with not_begun(self.run.request.stack):
            record = self._renewed(aim_at, current)
            self.store.sweep()
            for one in self.store.releases():
                if one.outcome == release.PENDING:
                    self.store.save(one.finish(release.ABANDONED, self.fx.now()))
            self.run.step(record, "rolled back", {"to": record.id, "from": current.id if current else ""})
        try:
            rollout, aim = self.way_back.restore(record, current)
            seen = self.way_back.settle(record, rollout, aim)
        except (RolloutFailed, Interrupted, *self.fx.errors) as problem:  # type: ignore[misc]
            raise self.failing.failed(None, current, problem, rollout) from problem
        return {
            **outcome.report(self.run, rollout, seen, aim, self.store.images(record.id)),
            "release": record.id,
            "previous": current.id if current else None,
            "outcome": release.SEALED,
            "why": f"rolled back from {current.id}" if current else "rolled back",
            "routes_changed": True,
            "steps": self.run.steps,
            "pruned": {},
        }

    def _same_side(self, aim: Release) -> None:
        """A release whose services work on another database than the data is in does not come back by itself."""
        move = self.fx.move(self.run.request.stack)
        there = datetime.fromisoformat(aim.created.replace("Z", "+00:00")).timestamp()
        then, now = side(move, there), move.get("serves", "sqlite")
        if then != now:
            names = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
            phase = "rollback" if then == "sqlite" else "cutover"
            raise Refused(
                f"release {aim.id} is from a time when the stack's data was in {names[then]}; now it is in "
                f"{names[now]}, and {names[then]} refuses writes. To have that version on {names[now]}: deploy.yml -e "
                f"version={aim.version or '...'}. To bring the data back, too: migrate.yml -e phase={phase}"
            )

    def _renewed(self, record: Release, standing: Release | None) -> Release:
        """A kept release with the values that rotations made since: what was taken out of use stays out of use.

        Its record is written last, so that one that was killed here is done again.
        """
        if standing is None or standing.outcome != release.SEALED:
            return record
        mine = {name: of for name, of in rotation.names(standing.rotation).items()
                if of in record.secret_digests and name in standing.secret_digests}  # fmt: skip
        today = {name: standing.secret_digests[name] for name in mine}
        if all(record.secret_digests.get(name) == digest for name, digest in today.items()):
            return record
        env = parse_env(self.store.read(record.id, "env"))
        env.update({name: self.store.secret_version(name, today[name]) for name, of in mine.items() if of in env})
        self.store.write(record.id, "env", envfile.render(env), 0o600)
        told = {name: digest[:16] for name, digest in today.items() if name in env}
        renewed = replace(
            record,
            env_digests={**record.env_digests, **told},
            secret_digests={**record.secret_digests, **today},
            rotation={name: one for name, one in standing.rotation.items() if name in record.secret_digests},
        )
        directory = self.store.release_path(record.id)
        project = self.projects.read(renewed, directory)
        shipped = frozenset(self.store.release_files(record.id)) - RESERVED
        pins = {name: entry["pinned"] for name, entry in self.store.images(record.id).items()}
        self.projects.write_overlay(project, shipped, renewed.secret_digests, pins)
        aim = self.projects.target(project, directory, {})
        self.projects.write_target(renewed, aim)
        self.store.save(renewed)
        return renewed
