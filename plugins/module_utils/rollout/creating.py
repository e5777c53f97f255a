# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has Compose create the new containers, without starting them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from . import health
from .context import Context
from .errors import RolloutFailed
from .planner import ServicePlan
from .switching import Switching


class Creating:
    """The new containers of services that roll, from their creation until they are taken to be started."""

    def __init__(self, context: Context, pool: ThreadPoolExecutor, switching: Switching) -> None:
        self.context, self.pool, self.switching = context, pool, switching
        self.fx = context.fx
        self._created: dict[str, list[str]] = {}
        self._creating: Future[None] | None = None

    def begin(self, rolling: Sequence[ServicePlan]) -> None:
        """Create what the first wave needs; the rest is created beside its start, see :meth:`all_created`."""
        first = self._first_of(rolling)
        self._create(first)
        if len(first) < len(rolling):
            # While the first wave starts, nothing old goes yet that Compose could miscount.
            rest = [one for one in rolling if one not in first]
            self._creating = self.pool.submit(self._create, rest)

    def all_created(self) -> None:
        """Wait for what is created beside the first wave's start."""
        if self._creating is not None:
            creating, self._creating = self._creating, None
            creating.result()

    def settle(self) -> None:
        """After a failure: what is being created is created to the end."""
        if self._creating:
            self._creating.exception()

    def take(self, service: str, count: int) -> list[str]:
        """So many of a service's new containers, which are to be started now. :raises RolloutFailed: there are fewer"""
        fresh = self.left(service)[:count]
        if len(fresh) < count:
            raise RolloutFailed(f"service {service}: {len(fresh)} of {count} new containers are there")
        self._created[service] = self.left(service)[count:]
        return fresh

    def left(self, service: str) -> list[str]:
        """A service's new containers that were not taken yet."""
        return self._created.get(service, [])

    def _first_of(self, rolling: Sequence[ServicePlan]) -> list[ServicePlan]:
        """What has to be created before the first wave starts; all, where that wave replaces something in place."""
        first = next(iter(self.context.plan.waves), ())
        mine = [one for one in rolling if one in first]
        return mine if mine and all(one.wanted.strategy.rolls for one in first) else list(rolling)

    def _create(self, services: Sequence[ServicePlan]) -> None:
        """Have Compose create the new containers of these services.

        :raises RolloutFailed: it made fewer than it should
        """
        there = self.context.observe()
        before = {one.name for one in there}
        # The whole project, not --no-deps: that would change Compose's own hash of a service, and an ordinary
        # `docker compose up` would then replace everything. --scale says of each service what there already is:
        # with fewer Compose would take running containers away.
        args = ["up", "--no-start", "--no-recreate", "--no-build", "--quiet-pull"]
        wants = {one.service: one.starts for one in services}
        for name in self.context.model.services:
            count = sum(1 for item in there if item.service == name) + wants.get(name, 0)
            args += ["--scale", f"{name}={count}"]
        self.context.project.run(*args)
        fresh = [one for one in self.context.observe() if one.name not in before and one.status == "created"]
        # A container that was told to end may go while Compose counts: it makes one more then.
        for item in sorted(fresh, key=lambda one: _number(one.name)):
            wants[item.service] = wants.get(item.service, 0) - 1
            if wants[item.service] < 0:
                self.fx.docker.remove_one(item.id)
                fresh = [one for one in fresh if one.id != item.id]
        for service in services:
            mine = [item for item in fresh if item.service == service.service]
            if len(mine) < service.starts:
                raise RolloutFailed(
                    f"service {service.service}: Compose made {len(mine)} containers instead of {service.starts}"
                )
            self._created[service.service] = sorted((item.name for item in mine), key=_number)
            if service.wanted.strategy.relayed:
                for item in mine:
                    self._nameless(item)

    def _nameless(self, one: health.Observation) -> None:
        """Take the service's names off a container that was not started yet: they belong to the relay."""
        for network, endpoint in (one.networks or {}).items():
            own = [one.name]
            if set(endpoint.get("Aliases") or ()) - {one.name, one.id[:12]}:
                self.fx.docker.rename_on(network, one.id, endpoint, own)
        self.switching.bare.add(one.name)


def _number(container: str) -> tuple[int, str]:
    """Sorts ``web-9`` before ``web-10``."""
    tail = container.rpartition("-")[2]
    return (int(tail) if tail.isdigit() else 0, container)
