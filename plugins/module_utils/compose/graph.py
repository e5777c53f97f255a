# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dependency graph: waves of what can start together, or the cycle that forbids it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class CycleError(ValueError):
    """``cycle`` begins and ends with the same service."""

    def __init__(self, cycle: list[str]) -> None:
        super().__init__(f"dependency cycle: {' -> '.join(cycle)}; take one of these depends_on away")
        self.cycle = cycle


def waves(depends: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Topological layers, each sorted: a service stands after all it depends on.

    Names outside of ``depends`` are taken as there already. :raises CycleError: naming the cycle
    """
    left = {name: {on for on in needs if on in depends} for name, needs in depends.items()}
    out: list[list[str]] = []
    while left:
        ready = sorted(name for name, needs in left.items() if not needs & left.keys())
        if not ready:
            raise CycleError(_cycle(left))
        out.append(ready)
        for name in ready:
            del left[name]
    return out


def _cycle(left: Mapping[str, set[str]]) -> list[str]:
    """Every service left has a dependency left: walking on must come back."""
    walk = [min(left)]
    while True:
        following = min(left[walk[-1]] & left.keys())
        if following in walk:
            cycle = walk[walk.index(following) :]
            start = cycle.index(min(cycle))
            cycle = cycle[start:] + cycle[:start]
            return [*cycle, cycle[0]]
        walk.append(following)
