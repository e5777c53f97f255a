"""What a case gives back: the load's numbers, the deploys that ran meanwhile, and what the host looked like after."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .records import Record
from .series import Summary, judge, summarize


class Marker(NamedTuple):
    at: float  # epoch seconds
    what: str
    style: str = "event"  # begin, end, switch, fault, event


@dataclass
class Case:
    name: str
    about: str = ""
    drain: float = 0.0  # the drain window in seconds; 0 where there is none
    windows: list[tuple[float, float]] = field(default_factory=list)  # one for each deploy
    markers: list[Marker] = field(default_factory=list)
    web_switches: list[float] = field(default_factory=list)  # when the service with the WebSockets was switched
    problems: list[str] = field(default_factory=list)  # what was wrong beside failed requests
    notes: list[str] = field(default_factory=list)
    overheads_s: list[float] = field(default_factory=list)  # a wave, one for each deploy
    more: dict[str, Any] = field(default_factory=dict)
    machine_fault: bool = False  # dockerd or host went away on purpose: the gap is reported, failures are no defect
    records_file: Path | None = None
    records: list[Record] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)
    lag_p99_s: float = 0.0  # how late requests left: the load generator's own delay
    cpu_own: float = 0.0  # share of the machine's CPU that host, load and controller used together
    cpu_others: float = 0.0  # and what else ran on it

    def mark(self, what: str, style: str = "event", at: float | None = None) -> None:
        self.markers.append(Marker(at if at is not None else time.time(), what, style))

    def loaded(self, found: list[Record], lag_p99_s: float = 0.0) -> None:
        """Take over the load's records, judged by the switches of the service with the WebSockets."""
        self.records = judge(found, sorted(self.web_switches), self.drain)
        self.summary = summarize(self.records, self.windows)
        self.lag_p99_s = lag_p99_s

    @property
    def wall_s(self) -> list[float]:
        return [round(end - begin, 1) for begin, end in self.windows]

    @property
    def good(self) -> bool:
        return not self.problems and (self.machine_fault or not self.summary.failed)

    def as_dict(self) -> dict[str, Any]:
        return {
            "requests": self.summary.requests,
            "failed": self.summary.failed,
            "gap": self.summary.longest_gap_s,
            "reasons": self.summary.reasons,
            "failed_kinds": self.summary.failed_kinds,
            "reconnected": self.summary.reconnected,
            "p50_ms": self.summary.p50_ms,
            "p99_ms": self.summary.p99_ms,
            "p50_during_ms": self.summary.p50_during_ms,
            "p99_during_ms": self.summary.p99_during_ms,
            "lag_p99_ms": round(self.lag_p99_s * 1000, 1),
            "cpu": [self.cpu_own, self.cpu_others],
            "wall_s": self.wall_s,
            **({"overheads_s": [round(one, 2) for one in self.overheads_s]} if self.overheads_s else {}),
            **({"problems": self.problems} if self.problems else {}),
            **({"notes": self.notes} if self.notes else {}),
            **self.more,
        }
