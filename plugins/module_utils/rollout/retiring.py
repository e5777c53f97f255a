# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets old containers go: in the background, once nobody talks to them any more or their window ran out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ..compose.values import seconds
from . import judge
from .context import Context
from .health import Observation
from .service_hooks import ServiceHooks
from .strategy import Strategy

#: Seconds between two looks at whether anybody talks to an old instance; two in a row have to say nobody.
DRAIN_LOOK = 0.1


class Retiring:
    """Drains and stops, each container in a thread of its own.

    :ivar leaving: ids of containers told to end and not waited for
    """

    def __init__(self, context: Context, pool: ThreadPoolExecutor, hooks: ServiceHooks) -> None:
        self.context, self.pool, self.hooks = context, pool, hooks
        self.fx = context.fx
        self.leaving: set[str] = set()
        self._going: list[Future[None]] = []
        self._going_of: dict[str, list[Future[None]]] = {}
        self._abort = threading.Event()

    def retire(self, service: str, strategy: Strategy, names: Sequence[str]) -> None:
        """In the background: the next wave need not wait for connections that take their time."""
        if names:
            self.context.step("draining", {"service": service, "containers": list(names)})
        for name in names:
            going = self.pool.submit(self._retire_one, service, strategy, name, self.fx.time())
            self._going.append(going)
            self._going_of.setdefault(service, []).append(going)

    def wait_for(self, service: str) -> None:
        """Wait until those of a service that were let go so far are gone, or told to."""
        for going in self._going_of.pop(service, []):
            going.result()

    def join(self) -> None:
        """Wait for what still drains; the deploy ends when all is as the plan says."""
        began = self.fx.monotonic()
        if self._going:
            self.context.step("drained", {})
        for each in self._going:
            each.result()
        self.context.report.drain_s = round(self.fx.monotonic() - began, 2)

    def abort(self) -> None:
        """After a failure: from now on nothing that runs is stopped any more, what still drains is left standing."""
        self._abort.set()

    def settle(self) -> None:
        """After :meth:`abort`: what is being stopped is stopped to the end."""
        for each in self._going:
            each.exception()

    def _retire_one(self, service: str, strategy: Strategy, name: str, since: float) -> None:
        found = self.fx.world.look([name])
        if not found:
            return
        one = found[0]
        began = self.fx.monotonic()
        drained = one.status != "running" or self._drain(service, strategy, one, since)
        if self._abort.is_set() and one.status == "running":
            return
        entry = self.context.report.services.setdefault(service, {}).setdefault("drain", {})
        entry[name] = {"drained": drained, "drain_s": round(self.fx.monotonic() - began, 2)}
        if one.status == "running":
            self.hooks.last_words(service, name)
        told = {} if strategy.wait else {"leaving": one.id}
        self.context.step("stopping", {"service": service, "container": name, **told})
        if strategy.wait:
            self.fx.docker.stop_one(one.id, one.grace)
            self.fx.docker.remove_one(one.id)
        else:
            self.fx.docker.restarts_off(one.id)
            self.fx.leave(one.id, one.grace)
            self.leaving.add(one.id)
        entry[name]["gone_s"] = round(self.fx.monotonic() - began, 2)

    def _drain(self, service: str, strategy: Strategy, one: Observation, since: float) -> bool:
        """Wait until nobody talks to an old instance any more, within its window. False: the window ran out."""
        spec = self.context.model.services.get(service)
        served = bool(spec and spec.routes) or strategy.relayed
        if not served:
            # Callers by its own name find it until it stops: waiting would end nothing.
            return True
        window = max([strategy.drain, *(seconds(r.drain) for r in (spec.routes if spec else ()) if r.drain)])
        ports = set(strategy.ports) | {route.port for route in (spec.routes if spec else ())}
        began = self.fx.monotonic()
        quiet = 0
        while not self._abort.is_set():
            idle = judge.connections(self.fx.world.proc_net(one.pid), sorted(ports)) == 0
            quiet = quiet + 1 if idle and self.fx.traffic.settled(since) else 0
            if quiet >= 2:
                return True
            if self.fx.monotonic() - began >= window:
                return False
            self.fx.sleep(DRAIN_LOOK)
        return False
