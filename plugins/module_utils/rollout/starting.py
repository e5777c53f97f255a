# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts new containers, and sees them through their gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from . import gates
from .context import Clock, Context
from .creating import Creating
from .planner import ServicePlan
from .retiring import Retiring
from .strategy import JOB, Strategy


class Starting:
    """Starts what was created."""

    def __init__(self, context: Context, pool: ThreadPoolExecutor, creating: Creating, retiring: Retiring) -> None:
        self.context, self.pool = context, pool
        self.creating, self.retiring = creating, retiring
        self.fx = context.fx

    def start(self, number: int, batch: Mapping[str, ServicePlan], index: int, clock: Clock) -> dict[str, list[str]]:
        """Start the step's instances and see them through their gates. :returns: service → those that are well now"""
        fresh: dict[str, list[str]] = {}
        for name, one in batch.items():
            count = one.steps[index].start
            if count:
                # Those of the step before count, as long as they are there: max_surge is a promise about memory.
                self.retiring.wait_for(name)
            fresh[name] = self.creating.take(name, count)
            if index == 0:
                self.context.report.record(one, [*fresh[name], *self.creating.left(name)])
        if any(fresh.values()):
            self.context.step(
                f"wave {number} started", {"containers": sorted(name for them in fresh.values() for name in them)}
            )
            began = self.fx.monotonic()
            for each in [self.pool.submit(self.fx.docker.start, name) for them in fresh.values() for name in them]:
                each.result()
            clock.start += self.fx.monotonic() - began
        kept = {name: [*fresh[name], *(one.keep if index == 0 else ())] for name, one in batch.items()}
        self.gate(number, batch, kept, clock)
        return kept

    def gate(
        self, number: int, services: Mapping[str, ServicePlan], names: Mapping[str, Sequence[str]], clock: Clock
    ) -> None:
        """See containers through their gates. :param names: service → its containers"""
        awaited = {name: self._awaited(name, one.wanted.strategy) for name, one in services.items()}
        if not any(names.values()):
            return
        self.context.step(f"wave {number} gated", {"services": sorted(name for name in names if names[name])})
        passages = gates.wait(awaited, names, self.fx.world, self.context.restarts, self.pool)
        clock.app += max((one.well_at or 0.0 for one in passages.values()), default=0.0)
        for passage in passages.values():
            entry = self.context.report.services.setdefault(passage.service, {})
            entry.setdefault("health", []).append(gates.to_dict(passage))

    def _awaited(self, name: str, strategy: Strategy) -> gates.Awaited:
        service = self.context.model.services[name]
        return gates.Awaited(
            name,
            "done" if strategy.kind == JOB else "running",
            strategy.healthy_for,
            strategy.deadline,
            tuple((route.host, route.path, route.port) for route in service.routes),
            listens=bool(strategy.ports),
        )
