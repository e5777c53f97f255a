"""The one JSON object at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .result import Case
from .series import percentile


def totals(cases: Sequence[Case], peers: Sequence[Case], jarvis: Case | None) -> dict[str, Any]:
    """``requests``, ``failed`` and ``longest_gap_s`` are of the cases in which the machine itself stayed whole; faults
    of the machine stand in ``cases`` with their own numbers. ``overhead_s_per_wave``: the worst wave and the median."""
    own = [case for case in cases if not case.machine_fault]
    overheads = [one for case in own for one in case.overheads_s]
    wrong = [f"{case.name}: {problem}" for case in (*cases, *([jarvis] if jarvis else [])) for problem in case.problems]
    return {
        "requests": sum(case.summary.requests for case in own),
        "failed": sum(case.summary.failed for case in own),
        "longest_gap_s": max((case.summary.longest_gap_s for case in own), default=0.0),
        "overhead_s_per_wave": round(percentile(overheads, 50), 2) if overheads else None,
        "overhead_s_worst_wave": round(max(overheads), 2) if overheads else None,
        "ratio_to_docker_rollout": (jarvis.more.get("ratio_to_docker_rollout") if jarvis else None),
        "problems": len(wrong),
        "peers": {case.name.removeprefix("peer "): case.as_dict() for case in peers},
        "cases": {case.name: case.as_dict() for case in cases},
        "jarvis": jarvis.as_dict() if jarvis else None,
    }
