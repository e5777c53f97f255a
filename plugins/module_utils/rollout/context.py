# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rollout on one host: what its parts share. What they were given, and what they say of what happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..compose.stack import Stack
from .health import Observation, observe
from .planner import Plan, ServicePlan, Wanted


@dataclass(frozen=True)
class Options:
    """How this run differs from the ordinary one.

    :param hooks: run the stack's hooks; a way back runs ``pre_stop`` only
    :param migrate: run migrations (on one host of several only)
    :param bake: watch the new version after the last switch
    :param touched: services that this release changed, in this run or in one that was killed
    :param warm: blue-green keeps what it replaces running; what failed is not worth it
    """

    hooks: bool = True
    migrate: bool = True
    bake: bool = True
    warm: bool = True
    touched: frozenset[str] = frozenset()


@dataclass
class Clock:
    """Where the time of a wave went, in seconds: ``start`` is Docker's for starting containers, ``app`` theirs."""

    app: float = 0.0
    start: float = 0.0
    hooks: float = 0.0
    hold: float = 0.0
    switch: float = 0.0


@dataclass
class Report:
    """What happened, for the module's result. Times in seconds."""

    waves: list[dict[str, Any]] = field(default_factory=list)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    bake_s: float = 0.0
    drain_s: float = 0.0
    hooks_s: float = 0.0  # of hooks outside the waves
    notes: list[str] = field(default_factory=list)

    def record(self, one: ServicePlan, new: Sequence[str]) -> None:
        """What is done to a service, and why. :param new: its new containers"""
        strategy = one.wanted.strategy
        self.services.setdefault(one.service, {}).update(
            strategy=strategy.kind,
            reason=strategy.reason,
            changes=list(one.reasons),
            old=list(one.old),
            new=list(new),
            kept=list(one.keep),
        )


@dataclass
class Context:
    """One plan on one host.

    :param fx: the outside world, see effects.Effects; ``told`` is added: a tool's problem → what it said
    :param project: the release's Compose project (``run(*args)``)
    :param names: service → network key → the DNS names it has there
    :param step: writes a line to the journal, before the step it names
    :ivar began_at: seconds since the epoch, when the run began
    :ivar restarts: container id → its restart count when the run began
    """

    fx: Any
    stack: str
    release: str
    model: Stack
    wanted: Mapping[str, Wanted]
    plan: Plan
    project: Any
    names: Mapping[str, Mapping[str, Sequence[str]]]
    step: Callable[[str, dict[str, Any] | None], None]
    options: Options
    report: Report = field(default_factory=Report)
    began_at: float = 0.0
    restarts: dict[str, int] = field(default_factory=dict)

    def observe(self) -> list[Observation]:
        """The stack's containers as they are now."""
        return [observe(one) for one in self.fx.docker.containers(self.stack)]
