# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves requests from the old instances of a service to the new, as its strategy says, and lets the old ones go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .context import Clock, Context
from .planner import ServicePlan, weights
from .retiring import Retiring
from .strategy import BLUE_GREEN, CANARY
from .switching import Switching
from .watching import Watching


class Shifting:
    """Rolling: step by step. Canary: by shares that grow. Blue-green: all at once, after the last wave.

    :ivar warm: ids of old containers that are kept running for a way back
    """

    def __init__(self, context: Context, switching: Switching, retiring: Retiring, watching: Watching) -> None:
        self.context = context
        self.switching, self.retiring, self.watching = switching, retiring, watching
        self.fx = context.fx
        self.warm: set[str] = set()
        self._left = {one.service: list(one.old) for one in context.plan.services}
        self._deferred: list[ServicePlan] = []

    def shift(
        self,
        number: int,
        batch: Mapping[str, ServicePlan],
        index: int,
        fresh: Mapping[str, Sequence[str]],
        clock: Clock,
    ) -> None:
        """Give the new instances their requests, then let the old ones of this step go."""
        serving = self.switching.serving
        retire: list[tuple[ServicePlan, list[str]]] = []
        canaries = []
        for name, one in batch.items():
            kind = one.wanted.strategy.kind
            if kind == BLUE_GREEN and one.old:
                # What does not serve any more (kept warm by the release before) goes at once.
                idle = [item for item in one.old if item not in serving[name]]
                retire += [(one, idle)] if idle else []
                old = tuple(item for item in one.old if item not in idle)
                self._deferred.append(replace(one, keep=tuple(fresh[name]), old=old))
                continue
            if kind == CANARY and one.old:
                canaries.append((one, list(fresh[name])))
                continue
            others = [item for item in serving[name] if item not in fresh[name]]
            going = next_to_go(self._left[name], others, one.steps[index].retire)
            self._left[name] = [item for item in self._left[name] if item not in going]
            serving[name] = [*(item for item in others if item not in going), *fresh[name]]
            if going:
                retire.append((one, going))
        self.switching.switch(f"wave {number} switched", clock)
        for one, going in retire:
            self.retiring.retire(one.service, one.wanted.strategy, going)
        for one, new in canaries:
            self._canary(number, one, new, clock)

    def deferred(self) -> None:
        """Blue-green: everything new is up and checked, now one switch for all."""
        if not self._deferred:
            return
        for one in self._deferred:
            self.switching.serving[one.service] = list(one.keep)
        self.switching.switch("blue-green switched", Clock())
        observed = {item.name: item.id for item in self.context.observe()}
        for one in self._deferred:
            if self.context.options.warm:
                self.warm.update(observed[name] for name in one.old if name in observed)
            else:
                self.retiring.retire(one.service, one.wanted.strategy, list(one.old))

    def _canary(self, number: int, one: ServicePlan, new: list[str], clock: Clock) -> None:
        switching = self.switching
        old = [name for name in switching.serving[one.service] if name not in new]
        strategy = one.wanted.strategy
        for percent in (*strategy.steps, 100):
            switching.serving[one.service] = [*old, *new] if percent < 100 else new
            switching.weights[one.service] = weights(new, old, percent)
            switching.switch(f"wave {number} canary", clock, detail={"service": one.service, "percent": percent})
            if percent >= 100:
                break
            began = self.fx.monotonic()
            self.watching.watch([one], strategy.hold, f"canary at {percent} %", only=frozenset(new))
            clock.hold += self.fx.monotonic() - began
        self.retiring.retire(one.service, strategy, list(one.old))


def next_to_go(old: Sequence[str], serving: Sequence[str], count: int) -> list[str]:
    """Which old containers go in a step: those that serve nobody first, then the oldest."""
    return sorted(old, key=lambda name: name in serving)[:count]
