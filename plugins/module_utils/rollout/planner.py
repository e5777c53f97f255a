# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is wanted and what is observed to the plan of a rollout. Pure.

The plan knows no history: a first deployment, an upgrade, the rest of a killed run, a repair and a way back are all
the same question, "which containers are as wanted, which are not".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..compose.routes import RoutesError, from_json
from .health import Observation
from .strategy import BLUE_GREEN, CANARY, JOB, RECREATE, ROLLING, Strategy


@dataclass(frozen=True)
class Wanted:
    """One service as it shall be.

    :param config_hash: Compose's hash of its configuration
    :param names: the DNS names (service name, user's aliases) that must not stand on its containers when relayed
    :param reasons: what differs from the former release, for people
    """

    service: str
    config_hash: str
    replicas: int
    strategy: Strategy
    names: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """Start so many new instances, let traffic reach them, then let so many old ones go."""

    start: int
    retire: int


@dataclass(frozen=True)
class ServicePlan:
    """What is done to one service. Names of containers throughout.

    :param keep: containers that are as wanted and stay (they are waited for, when they are not healthy yet)
    :param old: containers that go, the oldest first
    :param debris: containers that do not run and are in the way
    """

    wanted: Wanted
    reasons: tuple[str, ...]
    keep: tuple[str, ...] = ()
    old: tuple[str, ...] = ()
    debris: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def service(self) -> str:
        """Its name."""
        return self.wanted.service

    @property
    def starts(self) -> int:
        """How many instances are started."""
        return sum(step.start for step in self.steps)


@dataclass(frozen=True)
class Plan:
    """A rollout: waves of services that are replaced together, what goes for good, and what stays as it is."""

    waves: tuple[tuple[ServicePlan, ...], ...] = ()
    stays: tuple[str, ...] = ()
    removed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def services(self) -> list[ServicePlan]:
        """All that is worked on, in order."""
        return [one for wave in self.waves for one in wave]

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not self.waves and not self.removed

    def lines(self) -> list[str]:
        """The plan for a person, one line for each service."""
        out = []
        for number, wave in enumerate(self.waves, 1):
            for one in wave:
                out.append(f"wave {number}: {describe(one)}")
        out += [f"removed: {name} ({len(gone)} containers): no longer in the project" for name, gone in
                sorted(self.removed.items())]  # fmt: skip
        if self.stays:
            out.append(f"stays: {', '.join(self.stays)}")
        return out or ["nothing to do"]


def describe(one: ServicePlan) -> str:
    """One service of the plan in one line: what, how, why."""
    strategy = one.wanted.strategy
    why = ", ".join(one.reasons)
    if strategy.kind == JOB:
        return f"{one.service}: run to its end ({why})"
    if strategy.kind == RECREATE:
        first = "stopped first" if one.old else "started"
        return (
            f"{one.service}: {first}, since {strategy.reason} ({why})" if one.old else f"{one.service}: {first} ({why})"
        )
    moves = f"{one.starts} new"
    if one.keep:
        moves += f" beside {len(one.keep)} that stay"
    if one.old:
        moves += f", then {len(one.old)} old {'go' if len(one.old) > 1 else 'goes'}"
        if strategy.kind == BLUE_GREEN:
            moves = f"{one.starts} new, one switch, {len(one.old)} old kept warm"
        if strategy.kind == CANARY:
            shares = ", ".join(f"{step} %" for step in strategy.steps)
            moves = f"{one.starts} new get {shares}, then {len(one.old)} old go"
    if len(one.steps) > 1 and strategy.kind == ROLLING:
        moves += f", {len(one.steps)} batches"
    return f"{one.service}: {strategy.kind}, {moves} ({why})"


def plan(
    wanted: Mapping[str, Wanted],
    waves: Sequence[Sequence[str]],
    observed: Sequence[Observation],
    leaving: frozenset[str] = frozenset(),
    routed: Mapping[str, Collection[str]] | None = None,
) -> Plan:
    """The plan.

    :param waves: services in dependency order; what stands in one wave is independent
    :param observed: the stack's containers, whatever state they are in
    :param leaving: ids of containers that were told to end and are not waited for
    :param routed: service with routes → its containers that get requests; a killed run may have left others, which
        run and were never looked at
    """
    layers = []
    stays = []
    for layer in waves:
        row = []
        for name in layer:
            mine = [one for one in observed if one.service == name and one.id not in leaving]
            made = _service(wanted[name], mine, (routed or {}).get(name))
            if made is None:
                stays.append(name)
            else:
                row.append(made)
        if row:
            layers.append(tuple(row))
    gone: dict[str, list[str]] = {}
    for one in observed:
        if one.service not in wanted and one.id not in leaving:
            gone.setdefault(one.service, []).append(one.name)
    return Plan(tuple(layers), tuple(sorted(stays)), {name: tuple(sorted(them)) for name, them in gone.items()})


def upstreams_of(routes: str) -> dict[str, set[str]]:
    """Service → the containers that a routes file names; {} when there is none that can be read."""
    try:
        read = from_json(routes).routes
    except RoutesError:
        return {}
    found: dict[str, set[str]] = {}
    for route in read:
        found.setdefault(route.service, set()).update(route.upstreams)
    return found


def ports_of(routes: str) -> dict[str, set[int]]:
    """Service → the ports that a routes file names; {} when there is none that can be read."""
    try:
        read = from_json(routes).routes
    except RoutesError:
        return {}
    found: dict[str, set[int]] = {}
    for route in read:
        found.setdefault(route.service, set()).add(route.port)
    return found


def _service(want: Wanted, mine: Sequence[Observation], routed: Collection[str] | None) -> ServicePlan | None:
    keep: list[Observation] = []
    old: list[Observation] = []
    debris: list[Observation] = []
    why: list[str] = []
    for one in sorted(mine, key=lambda item: (item.created, item.name)):
        fault = unlike(want, one)
        idle = one.status in ("created", "dead", "removing", "exited")
        if idle and want.strategy.rolls:
            debris.append(one)
            if one.status == "exited" and not fault:
                why.append(f"{one.name} had ended with exit code {one.exit_code}")
        elif fault:
            old.append(one)
            why.append(fault)
        elif want.strategy.kind == JOB and one.status == "exited" and not one.exit_code:
            keep.append(one)
        elif idle:
            # Not in the way: Compose starts it again, and hands its anonymous volumes on.
            why.append(f"{one.name} is {one.status}" + (f" ({one.exit_code})" if one.status == "exited" else ""))
        elif sick(one):
            old.append(one)
            why.append(f"{one.name} is {one.health if one.health == 'unhealthy' else one.status}")
        else:
            keep.append(one)
    surplus = len(keep) - want.replicas
    if surplus > 0:
        # The youngest go: what has stood for long is known to stand.
        old += keep[want.replicas :]
        keep = keep[: want.replicas]
        why.append(f"{want.replicas + surplus} containers where {want.replicas} are wanted")
    need = want.replicas - len(keep)
    unproven = [one.name for one in keep if _unproven(want, one, routed)]
    if unproven:
        why.append(f"{', '.join(unproven)} did not pass the gates yet")
    if not need and not old and not debris and not unproven:
        return None
    if not mine:
        why.append("none runs")
    elif need and not why:
        why.append(f"{len(keep)} of {want.replicas} run")
    if want.strategy.rolls:
        # What is kept goes through the gates too, if need be in a step of its own.
        steps = batches(want.replicas, len(keep), len(old), want.strategy) or (Step(0, 0),)
    else:
        steps = (Step(need, len(old)),) if need or old else ()
    reasons = want.reasons if want.reasons and any(unlike(want, one) for one in mine) else tuple(dict.fromkeys(why))
    return ServicePlan(
        want, reasons or ("leftovers of an interrupted run",), _names(keep), _names(old), _names(debris), steps
    )


def _unproven(want: Wanted, one: Observation, routed: Collection[str] | None) -> bool:
    """Whether a container that is as wanted may still have its gates before it."""
    if want.strategy.kind == JOB:
        return one.status == "running"
    return one.health == "starting" or (routed is not None and one.name not in routed)


def sick(one: Observation) -> bool:
    """Whether a container is up and no use."""
    return one.health == "unhealthy" or one.status in ("paused", "restarting")


def unlike(want: Wanted, one: Observation) -> str:
    """Why a container is not the one that is wanted; "" when it is. Its health does not matter here."""
    if one.config_hash != want.config_hash:
        return "its configuration changed"
    if want.strategy.relayed and set(want.names) & set(one.aliases):
        return "its name moves to the stack's relay"
    if want.strategy.rolls and not want.strategy.relayed and set(want.names) - set(one.aliases):
        return "its name comes back from the stack's relay"
    return ""


def batches(replicas: int, keep: int, old: int, strategy: Strategy) -> tuple[Step, ...]:
    """The steps of a rolling replacement: never more than ``replicas + surge``, never fewer than wanted less
    ``unavailable`` that serve.

    >>> batches(3, 0, 3, Strategy("rolling", "", batch=1, surge=1))
    (Step(start=1, retire=1), Step(start=1, retire=1), Step(start=1, retire=1))
    """
    if strategy.kind in (BLUE_GREEN, CANARY):
        return (Step(max(replicas - keep, 0), old),)
    new, left, out = keep, old, []
    while new < replicas or left:
        room = replicas + strategy.surge - new - left
        start = min(strategy.batch, replicas - new, max(room, 0))
        if start == 0 and new < replicas:
            gone = min(left, max(strategy.unavailable, 1))
            out.append(Step(0, gone))
            left -= gone
            continue
        new += start
        gone = left if new >= replicas else min(left, max(0, new + left - replicas))
        left -= gone
        out.append(Step(start, gone))
    return tuple(out)


def weights(new: Sequence[str], old: Sequence[str], percent: int) -> tuple[tuple[str, int], ...]:
    """Weights that give the new containers ``percent`` of the requests, whole numbers as small as they can be."""
    if not new or not old or percent >= 100:
        return ()
    share_new, share_old = percent * len(old), (100 - percent) * len(new)
    for prime in (2, 3, 5, 7, 11, 13, 17, 19):
        while share_new % prime == 0 and share_old % prime == 0:
            share_new, share_old = share_new // prime, share_old // prime
    return tuple(sorted([*((name, share_new) for name in new), *((name, share_old) for name in old)]))


def _names(them: Sequence[Observation]) -> tuple[str, ...]:
    return tuple(one.name for one in them)
