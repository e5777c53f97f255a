# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a plan out: create, start, gate, switch, drain, stop; wave after wave, each step written down before.

The order is what keeps requests alive: nothing old is stopped before traffic was proven to go to something new, and
nothing new gets traffic before it passed its gates. What a killed run leaves is only ever one of three things:
containers nobody talks to yet, old and new ones that both serve, or old ones that nobody talks to any more. The next
run plans from there.

The steps themselves are next door: :mod:`.creating`, :mod:`.starting`, :mod:`.shifting` and :mod:`.switching`,
:mod:`.retiring`, :mod:`.watching`, :mod:`.service_hooks`. They share a :class:`.context.Context`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from ..relay.spec import RelaySpec
from . import gates, health, hooks
from .context import Clock, Context, Report
from .creating import Creating
from .errors import RolloutFailed
from .planner import ServicePlan, sick, unlike
from .retiring import Retiring
from .service_hooks import ServiceHooks
from .shifting import Shifting
from .starting import Starting
from .strategy import RECREATE, Strategy
from .switching import Switching
from .watching import Watching


class Rollout:
    """One plan on one host."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.fx, self.plan = context.fx, context.plan
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="landfall")
        self.hooks = ServiceHooks(context)
        self.switching = Switching(context)
        self.creating = Creating(context, self._pool, self.switching)
        self.retiring = Retiring(context, self._pool, self.hooks)
        self.starting = Starting(context, self._pool, self.creating, self.retiring)
        self.watching = Watching(context, self.switching)
        self.shifting = Shifting(context, self.switching, self.retiring, self.watching)

    # --- what came of it

    @property
    def report(self) -> Report:
        """What happened, for the module's result."""
        return self.context.report

    @property
    def leaving(self) -> set[str]:
        """Ids of containers told to end and not waited for."""
        return self.retiring.leaving

    @property
    def warm(self) -> set[str]:
        """Ids of containers kept warm for a way back."""
        return self.shifting.warm

    def routes(self) -> str:
        """The text of the routes file for what serves now."""
        return self.switching.routes()

    def relay(self) -> RelaySpec:
        """What the relay shall answer for now."""
        return self.switching.relay()

    # --- the whole

    def run(self) -> None:
        """Carry the plan out. :raises RolloutFailed: what was done stands as it is; the caller goes back"""
        self.context.began_at = self.fx.time()
        try:
            with self._failures():
                self._prepare()
                self.hooks.migrate_first()
                for number, wave in enumerate(self.plan.waves, 1):
                    self._wave(number, wave)
                self.shifting.deferred()
                self._let_go()
                self.hooks.post_deploy()
                self.watching.bake()
                self.retiring.join()
                self.switching.names_settled()
        except BaseException:
            self.retiring.abort()
            self.retiring.settle()
            self.creating.settle()
            raise
        finally:
            self._pool.shutdown(wait=False)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except gates.GateFailed as problem:
            raise RolloutFailed(str(problem), problem.broken) from problem
        except hooks.HookFailed as problem:
            raise RolloutFailed(str(problem), (), {"hook": problem.evidence}) from problem
        except self.fx.errors as problem:
            raise RolloutFailed(self.fx.told(problem)) from problem

    def _prepare(self) -> None:
        observed = self.context.observe()
        self.context.restarts.update({one.id: one.restarts for one in observed})
        self.switching.begin(observed)
        debris = [name for one in self.plan.services for name in one.debris]
        if debris:
            self.context.step("debris removed", {"containers": debris})
            for name in debris:
                self.fx.docker.remove_one(name)
        rolling = [one for one in self.plan.services if one.wanted.strategy.rolls and one.starts]
        if rolling:
            self.context.step("created", {"services": {one.service: one.starts for one in rolling}})
            self.creating.begin(rolling)
        self.switching.prepare()

    # --- waves

    def _wave(self, number: int, wave: Sequence[ServicePlan]) -> None:
        began = self.fx.monotonic()
        clock = Clock()
        entry: dict[str, Any] = {"wave": number, "services": [one.service for one in wave]}
        self._in_place([one for one in wave if not one.wanted.strategy.rolls], number, clock)
        rolling = [one for one in wave if one.wanted.strategy.rolls]
        for service in rolling:
            self.hooks.migrate(service, clock)
        for index in range(max((len(one.steps) for one in rolling), default=0)):
            batch = {one.service: one for one in rolling if index < len(one.steps)}
            fresh = self.starting.start(number, batch, index, clock)
            entry.setdefault("healthy_s", round(self.fx.monotonic() - began, 2))
            self.creating.all_created()
            for name in batch:
                if index == 0 and fresh[name]:
                    self.hooks.smoke(name, fresh[name][0], clock)
            self.shifting.shift(number, batch, index, fresh, clock)
        total = self.fx.monotonic() - began
        entry["switched_s"] = round(total, 2)
        entry["app_s"] = round(clock.app, 2)
        entry["start_s"] = round(clock.start, 2)
        entry["hooks_s"] = round(clock.hooks, 2)
        entry["hold_s"] = round(clock.hold, 2)
        entry["switch_s"] = round(clock.switch, 2)
        entry["overhead_s"] = round(max(total - clock.start - clock.app - clock.hooks - clock.hold, 0.0), 2)
        self.report.waves.append(entry)

    def _in_place(self, services: Sequence[ServicePlan], number: int, clock: Clock) -> None:
        """Services that cannot run twice: Compose replaces them, the old container first."""
        if not services:
            return
        for one in services:
            self.hooks.migrate(one, clock)
        going = [one for one in services if one.old or one.starts]
        for one in going:
            for name in one.old:
                self.hooks.pre_stop(one.service, name, clock)
        if going:
            self.context.step(f"wave {number} replaced", {"services": [one.service for one in going]})
            args = ["up", "--detach", "--no-deps", "--no-build", "--quiet-pull"]
            there = self.context.observe()
            self.fx.docker.remove(health.leftovers(there))
            for item in there:
                if any(item.name in one.old and not unlike(one.wanted, item) for one in going) and sick(item):
                    # As wanted but for its health: Compose would leave it alone, stopped it starts it again.
                    self.fx.docker.stop_one(item.id, item.grace)
            self.context.project.run(*args, *[one.service for one in going])
        observed = self.context.observe()
        names = {one.service: [item.name for item in observed if item.service == one.service] for one in services}
        self.starting.gate(number, {one.service: one for one in services}, names, clock)
        for one in services:
            self.switching.serving[one.service] = names[one.service] if one.wanted.strategy.kind == RECREATE else []
            self.report.record(one, names[one.service])
        # The containers may have other addresses behind the same names.
        moved = any(self.context.model.services[one.service].routes for one in going)
        self.switching.switch(f"wave {number} switched", clock, force=moved)

    def _let_go(self) -> None:
        """Services that are no longer part of the project; also the last switch when only those are left."""
        if self.plan.removed or self.switching.switched_at is None:
            self.switching.switch("services removed" if self.plan.removed else "routes written", Clock())
        for name, gone in sorted(self.plan.removed.items()):
            self.retiring.retire(name, Strategy("", "", drain=30.0), list(gone))
