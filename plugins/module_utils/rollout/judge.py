# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has an old instance finished? And how do the new ones do under traffic? Both from what was observed. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Protocol

ESTABLISHED = "01"
#: Fewer requests than this prove nothing about an error rate.
ENOUGH = 20


class Request(Protocol):
    """One line of the edge's log; see clients.traffic."""

    @property
    def time(self) -> float: ...
    @property
    def service(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def upstream(self) -> str: ...


def connections(proc_net: str, ports: Sequence[int]) -> int:
    """Established TCP connections to any of the ports, in the text of /proc/<pid>/net/tcp and tcp6."""
    count = 0
    for line in proc_net.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == ESTABLISHED and int(fields[1].rpartition(":")[2], 16) in ports:
            count += 1
    return count


def error_rate(requests: Sequence[Request]) -> float:
    """The share of answers with a status of 500 or more; 499 (the client went away) and 4xx are not failures."""
    return sum(1 for one in requests if one.status >= 500) / len(requests) if requests else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0.0 of nothing."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else 0.0


def telling(requests: Sequence[Request], addresses: Collection[str], since: float | None) -> list[Request]:
    """The requests that say something of some containers: those they answered, and those that came when nobody else
    was there to answer. What was under way to an old container at the switch is the old one's, refused writes of a
    move among it.

    :param addresses: the containers', each with a colon at its end
    :param since: epoch seconds from which on only these containers are asked; None: others are asked, too
    """
    return [
        one
        for one in requests
        if any(one.upstream.startswith(address) for address in addresses)
        or (since is not None and one.time - one.seconds >= since)
    ]


def complaint(
    service: str,
    requests: Sequence[Request],
    before: Sequence[Request],
    max_error_rate: float,
    max_p99: float | None,
) -> str:
    """Why the new version of a service is not good enough under traffic; "" when it is, or when too little is known.

    :param requests: those of the time to judge
    :param before: those of the time before the rollout: what failed then as often is not the new version's fault
    :param max_error_rate: share of 1
    :param max_p99: seconds
    """
    mine = [one for one in requests if one.service == service]
    if len(mine) < ENOUGH:
        return ""
    rate = error_rate(mine)
    past = error_rate([one for one in before if one.service == service])
    if rate > max(max_error_rate, 1.5 * past):
        failed = sum(1 for one in mine if one.status >= 500)
        return (
            f"service {service}: {failed} of {len(mine)} requests failed ({rate:.1%}, allowed {max_error_rate:.1%}, "
            f"before the rollout {past:.1%})"
        )
    if max_p99 is not None:
        slow = percentile([one.seconds for one in mine if one.status != 101], 0.99)
        if slow > max_p99:
            return f"service {service}: the 99th percentile is {slow:.2f} s, allowed {max_p99:.2f} s"
    return ""
