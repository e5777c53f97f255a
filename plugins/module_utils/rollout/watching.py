# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches a version that gets requests: its containers, and what the edge's log says of it."""

from __future__ import annotations

from collections.abc import Sequence

from . import judge
from .context import Context
from .errors import RolloutFailed
from .health import Observation
from .planner import ServicePlan
from .strategy import JOB
from .switching import Switching


class Watching:
    """Looks on for a while, and fails the rollout when what it sees is not good enough."""

    def __init__(self, context: Context, switching: Switching) -> None:
        self.context, self.switching = context, switching
        self.fx = context.fx

    def bake(self) -> None:
        """Watch the new version after the last switch. :raises RolloutFailed: it is not good enough"""
        rolled = [
            one for one in self.context.plan.services if one.wanted.strategy.kind != JOB and (one.starts or one.old)
        ]
        window = max((one.wanted.strategy.bake for one in rolled), default=0.0)
        # On a first deployment nobody is there yet to fail for, and the gates have been passed.
        if not self.context.options.bake or not any(one.old for one in rolled) or window <= 0:
            return
        self.context.step("baked", {"seconds": window})
        began = self.fx.monotonic()
        self.watch(rolled, window, "after the switch")
        self.context.report.bake_s = round(self.fx.monotonic() - began, 2)

    def watch(
        self, services: Sequence[ServicePlan], window: float, when: str, only: frozenset[str] | None = None
    ) -> None:
        """Watch containers and the edge's log for some seconds.

        :param only: these containers; None: all of the services that get requests
        :raises RolloutFailed: they are not good enough
        """
        since = self.switching.switched_at or self.fx.time()
        began = self.fx.monotonic()
        began_at = self.context.began_at
        before = [one for one in self.fx.traffic.requests(began_at - 60.0) if one.time < began_at]
        serving = self.switching.serving
        names = [name for one in services for name in serving[one.service] if only is None or name in only]
        while True:
            left = window - (self.fx.monotonic() - began)
            seen = self.fx.world.look(names)
            broken = [
                (one, why)
                for one in seen
                if (why := self._crashed(one))
            ]  # fmt: skip
            if len(seen) < len(names):
                raise RolloutFailed(f"{when}: {', '.join(sorted(set(names) - {one.name for one in seen}))} is gone")
            if broken:
                reasons = "; ".join(f"service {one.service}: {why} ({one.name})" for one, why in broken)
                raise RolloutFailed(f"{when}: {reasons}", [one for one, _why in broken])
            requests = self.fx.traffic.requests(since)
            addresses = {f"{address}:" for one in seen for address in one.addresses}
            mine = judge.telling(requests, addresses, since if only is None else None)
            for one in services:
                strategy = one.wanted.strategy
                said = judge.complaint(one.service, mine, before, strategy.max_error_rate, strategy.max_p99)
                if said:
                    bad = [each for each in mine if each.service == one.service and each.status >= 500][-5:]
                    raise RolloutFailed(
                        f"{when}: {said}",
                        [item for item in seen if item.service == one.service],
                        {"requests": [vars(each) for each in bad]},
                    )
            if left <= 0:
                return
            self.fx.sleep(min(left, 1.0))

    def _crashed(self, one: Observation) -> str:
        if one.status != "running":
            return f"ended with exit code {one.exit_code}"
        before = self.context.restarts.get(one.id, 0)
        if one.restarts > before:
            return f"restarted {one.restarts - before} times"
        return "its healthcheck fails" if one.health == "unhealthy" else ""
