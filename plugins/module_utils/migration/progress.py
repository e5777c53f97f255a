# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a load is: a value for people and for ``landfall migrate status``. Pure: it is told the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """:ivar rows_total: rows to load, :ivar began: seconds, of any clock, :ivar rows_before: loaded by earlier runs"""

    rows_total: int
    began: float
    rows_before: int = 0
    phase: str = "load"
    rows: int = 0
    bytes: int = 0
    quarantined: int = 0
    done: dict[str, float] = field(default_factory=dict)

    def loaded(self, rows: int, size: int, quarantined: int) -> None:
        """A chunk was loaded."""
        self.rows += rows
        self.bytes += size
        self.quarantined += quarantined

    def state(self, now: float) -> dict[str, Any]:
        """phase, rows, rows_total, rows_a_second, mb_a_second, seconds, eta_s (None while not known), quarantined."""
        seconds = max(now - self.began, 1e-9)
        rate = self.rows / seconds
        left = max(0, self.rows_total - self.rows_before - self.rows - self.quarantined)
        eta = round(left / rate, 1) if rate and self.phase == "load" else None
        return {
            "phase": self.phase,
            "rows": self.rows_before + self.rows,
            "rows_total": self.rows_total,
            "rows_a_second": round(rate),
            "mb_a_second": round(self.bytes / seconds / 1e6, 1),
            "seconds": round(seconds, 1),
            "eta_s": eta,
            "quarantined": self.quarantined,
        }

    def line(self, now: float) -> str:
        """The same in one line."""
        state = self.state(now)
        left = "" if state["eta_s"] is None else f", about {state['eta_s']:.0f} s left"
        return (
            f"{state['phase']}: {state['rows']} of {state['rows_total']} rows, {state['rows_a_second']} rows/s, "
            f"{state['mb_a_second']} MB/s{left}"
        )
