# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sets go: counts over verified sets, so that bad days never push a good one out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from .catalogue import Catalogue, Found, KnownSet
from .layout import taken_at
from .ports import BackupError

DAY = 86400.0
#: An unverified set goes when a verified one is this much newer.
UNVERIFIED_FOR = 7 * DAY
#: Leavings of a run are swept when nothing was written to them for this long.
LEAVINGS_AFTER = DAY


@dataclass(frozen=True)
class Policy:
    """How many of the days, weeks and months with a verified set keep their newest; at least ``minimum`` stay."""

    daily: int = 7
    weekly: int = 4
    monthly: int = 6
    minimum: int = 3

    def __post_init__(self) -> None:
        if (
            min(self.daily, self.weekly, self.monthly) < 0
            or self.minimum < 1
            or self.daily + self.weekly + self.monthly < 1
        ):
            raise BackupError("retention: daily, weekly, monthly are counts with a sum above 0, minimum is at least 1")


@dataclass(frozen=True)
class Decision:
    """One set id, and why it stays or goes."""

    id: str
    keep: bool
    reason: str


@dataclass(frozen=True)
class Plan:
    """All decisions, oldest set first."""

    decisions: tuple[Decision, ...]

    @property
    def goes(self) -> list[str]:
        """Ids that are deleted."""
        return [one.id for one in self.decisions if not one.keep]

    def lines(self) -> list[str]:
        """The plan for a person."""
        return [f"{'keep  ' if one.keep else 'delete'}  {one.id}  {one.reason}" for one in self.decisions]


def plan(known: Catalogue, policy: Policy, now: float) -> Plan:
    """What stays and what goes.

    :param now: seconds since 1970, by the store's clock where it has one; only leavings are judged by it
    :raises BackupError: no set is verified: nothing may be deleted then
    """
    verified = [one for one in known.sets if one.state == "verified"]
    if not verified:
        raise BackupError(
            f"nothing is deleted: no verified set is there ({len(known.sets)} complete). Run: landfall backup verify"
        )
    reasons = _kept(verified, policy)
    newest = verified[-1].id
    out = [_judge(one, reasons, newest) for one in known.sets]
    out += [_leaving(one, now) for one in known.leavings]
    return Plan(tuple(sorted(out, key=lambda one: one.id)))


def _kept(verified: Sequence[KnownSet], policy: Policy) -> dict[str, str]:
    reasons: dict[str, list[str]] = {verified[-1].id: ["the newest verified one"]}
    for count, name, form in (
        (policy.daily, "day", "%Y-%m-%d"),
        (policy.weekly, "week", "%G-W%V"),
        (policy.monthly, "month", "%Y-%m"),
    ):
        newest: dict[str, str] = {}
        for one in verified:
            newest[datetime.fromtimestamp(taken_at(one.id), timezone.utc).strftime(form)] = one.id
        for label in sorted(newest, reverse=True)[:count]:
            reasons.setdefault(newest[label], []).append(f"{name} {label}")
    for one in verified[-policy.minimum :]:
        reasons.setdefault(one.id, []).append(f"one of the {policy.minimum} newest")
    return {sid: ", ".join(why) for sid, why in reasons.items()}


def _judge(one: KnownSet, reasons: dict[str, str], newest: str) -> Decision:
    if one.state == "verified":
        return Decision(one.id, one.id in reasons, reasons.get(one.id, "no rule keeps it"))
    if one.id > newest:
        return Decision(one.id, True, f"{one.state}, and newer than the newest verified one")
    if one.state == "damaged":
        return Decision(one.id, False, "damaged, and a newer verified one is there")
    if taken_at(newest) - taken_at(one.id) > UNVERIFIED_FOR:
        return Decision(one.id, False, "never verified, and a verified one is a week newer")
    return Decision(one.id, True, "not verified yet")


def _leaving(one: Found, now: float) -> Decision:
    if now - one.newest > LEAVINGS_AFTER:
        return Decision(one.id, False, "no manifest: left by a run that died")
    return Decision(one.id, True, "no manifest yet: a run may be writing it")
