# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is what runs what was wanted? Asked of what Docker says after the last step, whatever the steps reported. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from .health import Observation
from .planner import Wanted, unlike
from .strategy import JOB


def mismatches(wanted: Mapping[str, Wanted], seen: Sequence[Observation], spared: Collection[str]) -> list[str]:
    """What is not as it should be, each beginning with the container or service it is about.

    :param spared: ids of containers that were told to end, or are kept warm
    """
    wrong = []
    for name, want in sorted(wanted.items()):
        mine = [one for one in seen if one.service == name and one.id not in spared]
        good = 0
        for one in mine:
            fault = unlike(want, one)
            if fault:
                wrong.append(f"{one.name} is still there: {fault}")
            elif want.strategy.kind == JOB:
                good += one.status == "exited" and one.exit_code == 0
            elif one.status != "running":
                wrong.append(f"{one.name} is {one.status}")
            elif one.health == "unhealthy":
                wrong.append(f"{one.name} is unhealthy")
            else:
                good += 1
        if good != want.replicas and not (want.strategy.kind == JOB and good):
            wrong.append(f"{name} has {good} good containers, {want.replicas} are wanted")
    wrong += [
        f"{one.name} belongs to no service of the project"
        for one in seen
        if one.service not in wanted and one.id not in spared
    ]
    return wrong
