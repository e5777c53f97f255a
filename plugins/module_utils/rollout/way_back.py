# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kept release brought back as it was: after a failure, and on purpose."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from . import outcome
from .context import Options
from .executor import Rollout
from .health import Observation
from .leftovers import Leftovers
from .project import Projects
from .release import Release
from .rollouts import Rollouts
from .run import Run
from .target import Target


class WayBack:
    """Two steps, :meth:`restore` and :meth:`settle`, so that what is known of the first can be told when one fails."""

    def __init__(self, run: Run, projects: Projects, rollouts: Rollouts, leftovers: Leftovers) -> None:
        self.run, self.projects, self.rollouts, self.leftovers = run, projects, rollouts, leftovers
        self.store = run.store

    def restore(
        self, record: Release, standing: Release | None, warm: bool = True, told: Collection[str] = ()
    ) -> tuple[Rollout, Target]:
        """A kept release's own files, secrets and images, rolled like any other; its hooks are not run again.

        :param standing: the release that runs
        :param warm: blue-green keeps what it replaces running
        :param told: ids of containers that the run before it told to end
        :raises RolloutFailed: it could not be rolled out; :raises Refused: Compose refuses it
        """
        self.store.restore_secrets(record.secret_digests)
        project = self.projects.read(record, self.store.release_path(record.id))
        options = Options(hooks=False, bake=False, warm=warm)
        rollout, aim = self.rollouts.make(project, options, standing, True, told)
        rollout.run()
        return rollout, aim

    def settle(self, record: Release, rollout: Rollout, aim: Target) -> list[Observation]:
        """Read back what really runs, and only then call the release the current one.

        :raises RolloutFailed: what runs is not what was wanted
        """
        seen = outcome.verified(self.run, rollout, aim, rollout.routes())
        self.store.write(record.id, "routes.json", rollout.routes())
        self.store.save(replace(record, observed=outcome.observed(seen, rollout)))
        self.store.switch(record.id)
        self.run.step(record, "restored")
        self.leftovers.remove_hooks()
        return seen
