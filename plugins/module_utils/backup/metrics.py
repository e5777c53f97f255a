# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitoring reads: a Prometheus textfile, and the state that `landfall status` shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class State:
    """What is known of a stack's backups on this host. Moments are seconds since 1970, 0 for never."""

    stack: str
    run_at: float = 0
    run_good: bool = False
    run_seconds: float = 0
    problem: str = ""
    verified_id: str = ""
    verified_at: float = 0
    bytes: int = 0
    sets: int = 0
    max_age: float = 26 * 3600.0

    def ran(self, **changes: Any) -> State:
        """After a run."""
        return replace(self, **changes)

    def to_json(self) -> str:
        """Its text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def state_from_json(text: str, stack: str) -> State:
    """The state in a file; that of a stack without backups when it cannot be read."""
    try:
        raw: Mapping[str, Any] = json.loads(text)
        return State(**{**raw, "stack": stack})
    except (ValueError, TypeError):
        return State(stack)


def problems(state: State, now: float) -> list[str]:
    """What is wrong, for `status` and for exit codes. The newest verified set is counted from when it was begun."""
    out = []
    if state.run_at and not state.run_good:
        out.append(
            f"the last backup failed: {state.problem.splitlines()[0] if state.problem else 'no reason is known'}"
        )
    if not state.verified_at:
        out.append("no backup is verified yet: run 'landfall backup run'")
    elif state.verified_at > now + 3600:
        out.append("the newest verified backup is from the future: look at the clock (timedatectl)")
    elif now - state.verified_at > state.max_age:
        out.append(
            f"the newest verified backup is {(now - state.verified_at) / 3600:.0f} hours old "
            f"({state.max_age / 3600:.0f} are allowed)"
        )
    return out


def line(state: State, now: float) -> str:
    """One line for `status`."""
    if not state.verified_at:
        return "backup: none verified"
    hours = max(now - state.verified_at, 0) / 3600
    age = f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
    return f"backup: {state.verified_id} verified, {age} old, {state.bytes} bytes, {state.sets} sets"


def textfile(state: State) -> str:
    """For the node exporter's textfile collector. Ages are left to the rule: they grow when nothing runs at all."""
    rows = (
        ("last_run_timestamp_seconds", "When the last run ended.", state.run_at),
        ("last_run_success", "Whether it went well.", int(state.run_good)),
        ("last_run_duration_seconds", "How long it took.", state.run_seconds),
        ("last_verified_timestamp_seconds", "When the newest verified set was begun.", state.verified_at),
        ("last_verified_bytes", "Stored bytes of that set.", state.bytes),
        ("sets", "Complete sets in the first store.", state.sets),
        ("max_age_seconds", "How old the newest verified set may be.", state.max_age),
    )
    return gauges(state.stack, [(*row, "") for row in rows])


def gauges(stack: str, rows: Iterable[tuple[str, str, float, str]]) -> str:
    """Prometheus' text of ``(name, what it means, value, cluster)``; a cluster of "" is no label."""
    out: dict[str, list[str]] = {}
    for name, text, value, cluster in rows:
        full = f"landfall_backup_{name}"
        label = f',cluster="{cluster}"' if cluster else ""
        # All series of a name stand together.
        told = out.setdefault(full, [f"# HELP {full} {text}", f"# TYPE {full} gauge"])
        told.append(f'{full}{{stack="{stack}"{label}}} {value}')
    return "\n".join(line for told in out.values() for line in told) + "\n"
