# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitoring sees of drills: the last one, the last good one, and how old that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import layout
from .drill import Record, span
from .metrics import gauges


@dataclass(frozen=True)
class Drills:
    """The drills of a stack on this host, oldest first.

    :param max_age: as in the configuration, 0: none is expected
    :param since: when that was written, seconds since 1970: the first drill has as long as any other
    :param clusters: items that pgBackRest keeps, whose drills are expected too
    """

    stack: str
    records: tuple[Record, ...] = ()
    max_age: float = 0.0
    since: float = 0.0
    clusters: tuple[str, ...] = ()

    def of(self, cluster: str) -> Drills:
        """Those of a cluster, or "" of the sets."""
        return replace(self, records=tuple(one for one in self.records if one.cluster == cluster), clusters=())

    @property
    def each(self) -> list[tuple[str, Drills]]:
        """Those of the sets, whose name is "", and those of each cluster."""
        return [(name, self.of(name)) for name in ("", *self.clusters)]

    @property
    def last(self) -> Record | None:
        """The last one that came to an end, whatever end that was."""
        return next((one for one in reversed(self.records) if one.finished), None)

    @property
    def last_good(self) -> Record | None:
        """The last one that passed."""
        return next((one for one in reversed(self.records) if one.good), None)


def began(record: Record) -> float:
    """When a drill was begun, seconds since 1970: its id says it."""
    return layout.taken_at(record.id)


def problems(drills: Drills, now: float) -> list[str]:
    """What is wrong, for `status` and for exit codes."""
    out = []
    for name, mine in drills.each:
        whose = f"{name}: " if name else ""
        last, good = mine.last, mine.last_good
        if last is not None and not last.good:
            why = last.reason.splitlines()[0] if last.reason else "no reason is known"
            out.append(f"{whose}the last drill failed: {why}")
        if drills.max_age and good is None and now - drills.since > drills.max_age:
            out.append(f"{whose}no drill has passed yet: run 'landfall backup drill {drills.stack}'")
        elif good is not None and drills.max_age and now - began(good) > drills.max_age:
            out.append(
                f"{whose}the last drill that passed is {span(now - began(good))} old ({span(drills.max_age)} are "
                "allowed)"
            )
    return out


def lines(drills: Drills, now: float) -> list[str]:
    """For `status`: one for the sets and one for each cluster; none where there were none, and none is expected."""
    return [told for name, mine in drills.each for told in [_line(name, mine, now)] if told]


def _line(name: str, drills: Drills, now: float) -> str:
    good = drills.last_good
    if good is None:
        return f"drill: none has passed{f' of {name}' if name else ''}" if drills.max_age or drills.records else ""
    told = f"drill: {good.subject} restored and proven {span(max(now - began(good), 0))} ago"
    if good.rto is None or good.rpo is None:
        return told
    return f"{told}, recovery {good.rto:.0f} s, loss at most {span(good.rpo)}"


def textfile(drills: Drills) -> str:
    """For the node exporter's textfile collector. A drill that could not be done counts as one that failed."""
    rows: list[tuple[str, str, float, str]] = []
    for name, mine in drills.each:
        last, good = mine.last, mine.last_good
        rows += [
            ("last_drill_timestamp_seconds", "When the last drill was begun.", began(last) if last else 0, name),
            ("last_drill_success", "Whether it passed.", int(bool(last and last.good)), name),
            ("last_good_drill_timestamp_seconds", "When the last one that passed was begun.",
             began(good) if good else 0, name),
            ("drill_max_age_seconds", "How old that may be, 0 when none is expected.", drills.max_age, name),
        ]  # fmt: skip
        if good is not None and good.rto is not None and good.rpo is not None:
            rows += [
                ("last_good_drill_rto_seconds", "Seconds it took to restored and proven data.", good.rto, name),
                ("last_good_drill_rpo_seconds", "Seconds of work that would have been lost.", good.rpo, name),
            ]
    return gauges(drills.stack, rows)


def killed(records: Sequence[Record]) -> list[Record]:
    """Drills that were begun and never ended, when none goes on now."""
    return [one for one in records if not one.finished]
