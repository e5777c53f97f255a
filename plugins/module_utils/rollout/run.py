# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run on one stack: what its parts share. The journal is written here, and secrets are kept out of what is said."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Any

from . import health, journal, release, store
from .effects import Effects
from .errors import RolloutFailed
from .release import Release
from .request import Request

#: What Compose prints while it works.
_NOISE = re.compile(r"^\s*(time=|#\d+ |(Container|Network|Volume|Image) \S+\s+[A-Z][a-z]+\s*$)")


class DeployFailed(Exception):
    """A deployment failed; ``result`` is what a report needs (release, step, evidence path, rolled_back_to)."""

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        self.result = result
        super().__init__(message)


class Run:
    """What was asked, the outside world, and what was done and said so far.

    :ivar began: monotonic seconds, where the run's time counts from
    :ivar steps: the journal's steps of this run
    :ivar warnings: for the operator
    :ivar plan_lines: the rollout's plan for a person, [] until it is made
    :ivar halfway: a run that was killed before this one may have replaced some services
    """

    def __init__(self, request: Request, effects: Effects) -> None:
        self.request = request
        self.fx = effects
        self.store = effects.store
        self.steps: list[str] = []
        self.warnings: list[str] = []
        self.plan_lines: list[str] = []
        self.halfway = False
        self.began = effects.monotonic()
        self._journal = threading.Lock()
        self._redact: list[str] = []

    # --- what is done

    def step(self, record: Release, step: str, detail: dict[str, Any] | None = None) -> None:
        """Write a step of a release to the journal; before it is taken."""
        # Threads that let old containers go write here too.
        with self._journal:
            self.store.log(journal.Entry(self.fx.now(), record.id, step, detail or {}))
            self.steps.append(step)

    def unchanged(self, record: Release, message: str) -> DeployFailed:
        """A failure before anything was touched: recorded, and nothing to undo.

        :raises RolloutFailed: instead, when a killed run has touched something
        """
        message = self.scrub(message)
        if self.halfway:
            raise RolloutFailed(message)
        self.step(record, "failed", {"message": message})
        self.store.save(record.finish(release.FAILED, self.fx.now(), evidence={"message": message}))
        text = f"stack {self.request.stack}: {message.rstrip('.')}"
        if "Nothing was changed" not in message:
            text += ". Nothing was changed: what ran before runs on"
        return DeployFailed(text, {"release": record.id, "step": self.steps[-2] if len(self.steps) > 1 else ""})

    # --- what is there

    def observe(self) -> list[health.Observation]:
        """The stack's containers as they are now."""
        return [health.observe(one) for one in self.fx.docker.containers(self.request.stack)]

    def good(self) -> Release | None:
        """The current release when it is good, else the last good one; None when there is none."""
        return store.good(self.store.releases(), self.store.current())

    def routes_of(self, rid: str) -> str:
        """The routes file that a release wrote; "" when it wrote none."""
        try:
            text: str = self.store.read(rid, "routes.json")
            return text
        except OSError:
            return ""

    # --- what is said

    def hide(self, values: Iterable[str]) -> None:
        """The secrets that :meth:`scrub` takes out from now on; those of less than 6 characters would hide too much."""
        self._redact = sorted((value for value in values if len(value) >= 6), key=len, reverse=True)

    def clean(self, problem: BaseException) -> str:
        """The last telling lines of a tool's message, without secrets."""
        said = getattr(problem, "stderr", "") or str(problem)
        lines = [line.strip() for line in said.splitlines() if line.strip() and not _NOISE.match(line)]
        return self.scrub("\n".join(lines[-15:]) or said.strip())

    def scrub(self, text: str) -> str:
        """A text without secrets."""
        for value in self._redact:
            text = text.replace(value, "********")
        return text
