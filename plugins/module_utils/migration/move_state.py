# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a move, and what they mean to services and people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: state → what a person should know
STATES = {
    "none": "nothing has been moved",
    "preparing": "a load was begun; run the migration again to go on",
    "loading": "PostgreSQL is being loaded; the services work on SQLite",
    "following": "PostgreSQL follows; the services work on SQLite",
    "cut_over": "SQLite takes no more writes, and the services are not all on PostgreSQL yet: run phase=cutover to go "
    "on, or phase=rollback",
    "moved": "the services work on PostgreSQL; what they write is noted for a rollback",
    "returning": "PostgreSQL takes no writes, a rollback is under way: run phase=rollback to go on",
    "returned": "SQLite has the data again, and the services are not all on it yet: run phase=rollback to go on",
    "finished": "the services work on PostgreSQL for good",
}
#: In these the services belong on PostgreSQL.
ON_POSTGRES = ("cut_over", "moved", "returning", "finished")


def entered(before: Mapping[str, Any], state: str, now: float, more: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a move that enters a state. :param now: seconds since 1970

    ``serves`` is the side that a deployment gives to the services: sqlite or postgresql.
    """
    history = [*before.get("history", ()), [state, round(now, 3)]][-50:]
    serves = "postgresql" if state in ON_POSTGRES else "sqlite"
    return {**before, **more, "state": state, "serves": serves, "since": round(now, 3), "history": history}


def side(state: Mapping[str, Any], at: float) -> str:
    """Which side a deployment made at a moment gave to the services: ``sqlite`` or ``postgresql``."""
    entered_before = [name for name, since in state.get("history", ()) if since <= at]
    return "postgresql" if entered_before and entered_before[-1] in ON_POSTGRES else "sqlite"


def would(step: str, state: str) -> bool:
    """Whether a step of the module database_move changes something in a state; that of a catch-up is not known."""
    return state in {
        "loaded": ("none", "preparing", "loading"),
        "cut_over": ("none", "preparing", "loading", "following"),
        "brought_back": ("cut_over", "moved", "returning"),
        "sealed": ("cut_over", "returned"),
        "finished": ("preparing", "loading", "following", "moved"),
    }.get(step, ())


def lines(name: str, state: Mapping[str, Any], progress: Mapping[str, Any], now: float) -> list[str]:
    """A move for people. :param progress: see progress.Progress.state, {} when nothing is known"""
    said = str(state.get("state", "none"))
    since = f", for {_spent(now - float(state['since']))}" if state.get("since") else ""
    out = [f"{name}: {said}{since}: {STATES.get(said, 'unknown')}"]
    out += [f"  source: {one}" for one in state.get("sources", ())]
    if said == "loading" and progress:
        left = "" if progress.get("eta_s") is None else f", about {_spent(float(progress['eta_s']))} left"
        out.append(
            f"  {progress['phase']}: {progress['rows']:,} of {progress['rows_total']:,} rows, "
            f"{progress['rows_a_second']:,} rows/s, {progress['mb_a_second']} MB/s{left}"
        )
    for key, words in (
        ("rows", "rows loaded: {:,}"),
        ("load_s", "load and comparison: {} s"),
        ("hold_s", "writers waited: {} s"),
        ("refused_s", "writes were refused for at most: {} s"),
        ("backup", "backup: {}"),
    ):
        if state.get(key) is not None:
            out.append("  " + words.format(state[key]))
    if state.get("stale"):
        out.append("  something stayed behind in PostgreSQL (left.json): another move loads anew")
    return out


def _spent(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"
