# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a journal that is there means for this run. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .problems import SourceMoved

FRESH, RESUME, DONE = "fresh", "resume", "done"


def same_source(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[str]:
    """Paths of the sources that are not what they were."""
    paths = [str(one["source"]["path"]) for one in (*old, *new)]
    if len(old) != len(new):
        return sorted(set(paths))
    return [
        str(after["source"]["path"])
        for before, after in zip(old, new, strict=True)
        if before["source"] != after["source"]
    ]


def decide(
    run: Mapping[str, Any],
    digest: str,
    marks: Sequence[Mapping[str, Any]],
    restart: bool = False,
    caught_up: bool = False,
) -> str:
    """``fresh``, ``resume`` or ``done``.

    :param run: what the journal has (digest, marks, state), {} for nothing
    :param marks: of the sources now; of a source read through a copy, those of the copy that is there are in ``copy``
    :param restart: begin anew, and forget what was loaded
    :param caught_up: a changelog has every change since the load began, so that a source that moved does no harm
    :raises SourceMoved: the half-done load is of another plan, or of a source that was written to since
    """
    if not run:
        return FRESH
    if run["state"] == "done":
        same = run["digest"] == digest and not same_source(run["marks"], marks)
        return DONE if same and not restart else FRESH
    if restart:
        return FRESH
    if run["digest"] != digest:
        raise SourceMoved(
            f"a load of another plan ({run['digest']}, now {digest}) was begun in this staging schema: the source's "
            "tables or the settings have changed since. Set restart: true to begin anew, or undo the change"
        )
    moved = [path for path in same_source(run["marks"], marks) if not _copied(path, run["marks"], marks)]
    if moved and not caught_up:
        raise SourceMoved(
            f"{', '.join(moved)} was written to since the load that was begun, which would mix two states. Set "
            "restart: true to begin anew (with snapshot: copy a later run can go on whatever is written meanwhile)"
        )
    return RESUME


def _copied(path: str, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a source is read through a copy, which is still what it was."""
    pair = [next((one.get("copy") for one in side if one["source"]["path"] == path), None) for side in (old, new)]
    return pair[0] is not None and pair[0] == pair[1]
