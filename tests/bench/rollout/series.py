"""Pure arithmetic on records: percentiles, histograms, gaps, timelines. No clock, no files."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .records import OK, RECONNECTED, Record

#: kinds whose latency says something about the path; the others take long on purpose
QUICK = frozenset({"get_new", "get_keep", "get_api", "post_keep", "call", "ws", "ws_long"})
EARLY = "closed before the drain window was over"


def percentile(values: Iterable[float], share: float) -> float:
    """Nearest rank, `share` in percent; 0.0 of nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


def histogram(values: Iterable[str]) -> dict[str, int]:
    """Most frequent first, equal ones by name."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def inside(moment: float, windows: Sequence[tuple[float, float]]) -> bool:
    return any(begin <= moment <= end for begin, end in windows)


def gap(done: Sequence[float], due: Sequence[float], begin: float, end: float) -> float:
    """The longest time without a good answer, less what the schedule itself leaves between two requests, in seconds.

    :param done: when good answers came.
    :param due: when requests of that kind were due, all of them.
    :param begin: start of the time looked at; nothing good before it counts.
    :param end: its end.
    """
    if not due:
        return 0.0
    moments = [begin, *sorted(moment for moment in done if begin <= moment <= end), end]
    longest = max(later - earlier for earlier, later in itertools.pairwise(moments))
    ordered = sorted(due)
    steps = [later - earlier for earlier, later in itertools.pairwise(ordered)]
    return max(0.0, longest - max(steps, default=end - begin))


def judge(found: Iterable[Record], switches: Sequence[float], drain: float) -> list[Record]:
    """Goodbyes of long-lived connections: right after a switch plus the drain window, a failure before.

    :param switches: when traffic was switched, epoch seconds; none: every goodbye is a failure.
    :param drain: the drain window in seconds.
    """
    out = []
    for record in found:
        if record.outcome == RECONNECTED:
            before = [moment for moment in switches if moment <= record.done]
            # The goodbye came at some time after the message before; half a second of slack for that and the clocks.
            if not before or record.done - before[-1] < drain - 0.5:
                record = record._replace(outcome=EARLY)
        out.append(record)
    return out


@dataclass
class Summary:
    requests: int = 0
    failed: int = 0
    reconnected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    failed_kinds: dict[str, int] = field(default_factory=dict)
    longest_gap_s: float = 0.0
    gaps_s: dict[str, float] = field(default_factory=dict)
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p50_during_ms: float = 0.0
    p99_during_ms: float = 0.0
    versions: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        return dict(vars(self))


def summarize(found: Sequence[Record], windows: Sequence[tuple[float, float]] = ()) -> Summary:
    """The numbers of a run. `windows`: the deploys, as pairs of epoch seconds.

    The time looked at begins and ends with the requests themselves; latencies are those of good, quick requests.
    """
    if not found:
        return Summary()
    bad = [record for record in found if not record.ok]
    gaps = {}
    for kind in sorted({record.kind for record in found}):
        mine = [record for record in found if record.kind == kind]
        good = [record.done for record in mine if record.outcome == OK]
        last_due = max(record.at for record in mine)
        # From the first answer there could be to the last one: a kind that takes 5 s has none in its first 5 s.
        usual = percentile((record.latency for record in mine if record.outcome == OK), 50)
        gaps[kind] = round(gap(good, [record.at for record in mine], mine[0].at + usual, last_due + usual), 2)
    quick = [record for record in found if record.outcome == OK and record.kind in QUICK]
    during = [record.latency for record in quick if inside(record.at, windows)]
    outside = [record.latency for record in quick if not inside(record.at, windows)]
    return Summary(
        requests=len(found),
        failed=len(bad),
        reconnected=sum(record.outcome == RECONNECTED for record in found),
        reasons=histogram(record.outcome for record in bad),
        failed_kinds=histogram(record.kind for record in bad),
        longest_gap_s=max(gaps.values()),
        gaps_s=gaps,
        p50_ms=round(percentile(outside, 50) * 1000, 1),
        p99_ms=round(percentile(outside, 99) * 1000, 1),
        p50_during_ms=round(percentile(during, 50) * 1000, 1),
        p99_during_ms=round(percentile(during, 99) * 1000, 1),
        versions=histogram(record.version for record in found if record.version),
    )


@dataclass(frozen=True)
class Slot:
    """One step of a timeline."""

    at: float  # its start, seconds since the run's begin
    ok: float  # good answers to requests due in it, per second
    failed: float  # failed ones, per second
    p99: float  # seconds, of the quick good ones
    versions: tuple[tuple[str, int], ...]


def timeline(found: Sequence[Record], step: float = 0.5) -> list[Slot]:
    """The run in steps of `step` seconds by when requests were due, without holes."""
    if not found:
        return []
    origin = found[0].at
    count = int((found[-1].at - origin) / step) + 1
    slots: list[list[Record]] = [[] for _ in range(count)]
    for record in found:
        slots[min(count - 1, int((record.at - origin) / step))].append(record)
    return [
        Slot(
            index * step,
            sum(record.ok for record in slot) / step,
            sum(not record.ok for record in slot) / step,
            percentile((r.latency for r in slot if r.outcome == OK and r.kind in QUICK), 99),
            tuple(histogram(record.version for record in slot if record.version).items()),
        )
        for index, slot in enumerate(slots)
    ]
