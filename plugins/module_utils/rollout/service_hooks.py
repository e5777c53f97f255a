# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a rollout runs the user's hooks: around the waves, in them, and before an old container goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..compose.stack import Stack
from . import hooks
from .context import Clock, Context
from .planner import ServicePlan


class ServiceHooks:
    """The hooks of the stack's services."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.fx = context.fx

    def migrate_first(self) -> None:
        """Migrations whose dependencies stay as they are run before anything is started."""
        touched: set[str] = {one.service for one in self.context.plan.services}
        clock = Clock()
        for one in self.context.plan.services:
            below = _below(self.context.model, one.service)
            if not (below & touched):
                self.migrate(one, clock)
        self.context.report.hooks_s += clock.hooks

    def migrate(self, one: ServicePlan, clock: Clock) -> None:
        """A service's migration, once for the release."""
        hook = self._hook(one.service, "migrate")
        changed = one.starts or one.old
        if hook and self.context.options.migrate and changed:
            began = self.fx.monotonic()
            self._once(one.service, "migrate", hook)
            clock.hooks += self.fx.monotonic() - began

    def smoke(self, service: str, container: str, clock: Clock) -> None:
        """Try a new instance that passed its gates, before it gets requests."""
        hook = self._hook(service, "smoke")
        if hook:
            self.context.step("smoke test", {"service": service, "container": container})
            began = self.fx.monotonic()
            hooks.inside(self.fx, service, "smoke", hook, container)
            clock.hooks += self.fx.monotonic() - began

    def pre_stop(self, service: str, container: str, clock: Clock) -> None:
        """The last words of a container that is replaced in place, if it runs."""
        hook = self._hook(service, "pre_stop")
        if hook and any(item.status == "running" for item in self.fx.world.look([container])):
            began = self.fx.monotonic()
            hooks.inside(self.fx, service, "pre_stop", hook, container, fatal=False)
            clock.hooks += self.fx.monotonic() - began

    def last_words(self, service: str, container: str) -> None:
        """The same for one that runs and is retired; its service may be gone from the project."""
        hook = self._hook(service, "pre_stop") if service in self.context.model.services else None
        if hook:
            hooks.inside(self.fx, service, "pre_stop", hook, container, fatal=False)

    def post_deploy(self) -> None:
        """After the last switch, in the order of the waves."""
        began = self.fx.monotonic()
        options = self.context.options
        for name in [name for wave in self.context.model.waves for name in wave if name in options.touched]:
            hook = self._hook(name, "post_deploy")
            if hook and options.migrate:
                self._once(name, "post_deploy", hook)
        self.context.report.hooks_s += self.fx.monotonic() - began

    def _hook(self, service: str, kind: str) -> Mapping[str, Any] | None:
        # A worker's last words are heard on a way back too.
        if not self.context.options.hooks and kind != "pre_stop":
            return None
        found: Mapping[str, Any] | None = (self.context.model.services[service].extra.get("hooks") or {}).get(kind)
        return found

    def _once(self, service: str, kind: str, hook: Mapping[str, Any]) -> None:
        given = self.context
        hooks.once(self.fx, given.project, given.stack, given.release, service, kind, hook, given.step)


def _below(model: Stack, name: str) -> set[str]:
    """All services that a service depends on, directly or not."""
    found: set[str] = set()
    todo = [on.service for on in model.services[name].depends_on]
    while todo:
        one = todo.pop()
        if one not in found and one in model.services:
            found.add(one)
            todo += [on.service for on in model.services[one].depends_on]
    return found
