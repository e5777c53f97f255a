# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release store: which release is good, which run was killed, what may go. Decisions only; see clients/files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .release import ABANDONED, FAILED, PENDING, REPLACED, SEALED, Release

#: Failed and abandoned releases kept for their evidence, and so many replaced ones.
KEEP_FAILED = 3


@dataclass(frozen=True)
class Recovery:
    """What a killed run left: the release to resume (same content), and those to mark abandoned."""

    resume: str | None
    abandon: tuple[str, ...]


@dataclass(frozen=True)
class PrunePlan:
    """Release ids to delete, and images as (reference, image id) to remove while the reference still means that id."""

    releases: tuple[str, ...]
    images: tuple[tuple[str, str], ...]


def last_good(releases: Sequence[Release], before: str | None = None) -> Release | None:
    """The newest sealed release, or the newest one older than ``before``."""
    sealed = [r for r in releases if r.outcome == SEALED and (before is None or r.id < before)]
    return max(sealed, key=lambda r: r.id, default=None)


def good(releases: Sequence[Release], current: str | None) -> Release | None:
    """The release to go back to: the current one when it is good, else the last good one; None when there is none.

    :param current: id of the release ``current`` points to
    """
    sealed = next((one for one in releases if one.id == current and one.outcome == SEALED), None)
    return sealed or last_good(releases)


def interrupted(releases: Sequence[Release]) -> bool:
    """Whether a killed run left a release that is neither sealed nor failed."""
    return any(one.outcome == PENDING for one in releases)


def recover(releases: Sequence[Release], digest: str) -> Recovery:
    """Recognise killed runs: the newest pending release with this digest is resumed, other pending ones abandoned."""
    pending = sorted((r for r in releases if r.outcome == PENDING), key=lambda r: r.id)
    same = [r.id for r in pending if r.digest == digest]
    resume = same[-1] if same else None
    return Recovery(resume, tuple(r.id for r in pending if r.id != resume))


def plan_prune(
    releases: Sequence[Release],
    current: str | None,
    keep: int,
    images: Mapping[str, Mapping[str, Any]],
    protected: Collection[str] = (),
) -> PrunePlan:
    """What may go after a deployment.

    :param current: id of the release ``current`` points to; it and the last good one always stay
    :param keep: sealed releases to keep, at least 1
    :param images: release id → its digests.json (service → {image, pinned, id})
    :param protected: image ids other stacks' releases need
    :returns: only images that these releases recorded themselves and that no kept release uses
    """
    ordered = sorted(releases, key=lambda r: r.id, reverse=True)
    stay = {r.id for r in ordered if r.outcome == PENDING}
    stay.update([r.id for r in ordered if r.outcome == SEALED][: max(keep, 1)])
    stay.update([r.id for r in ordered if r.outcome in (FAILED, ABANDONED)][:KEEP_FAILED])
    stay.update([r.id for r in ordered if r.outcome == REPLACED][:KEEP_FAILED])
    last = last_good(ordered)
    stay.update(r for r in (current, last.id if last else None) if r)
    gone = sorted(r.id for r in ordered if r.id not in stay)

    needed_ids = set(protected)
    needed_refs: set[str] = set()
    for rid, services in images.items():
        if rid not in gone:
            for entry in services.values():
                needed_ids.add(entry.get("id", ""))
                needed_refs.update((entry.get("pinned", ""), entry.get("image", "")))
    refs: dict[str, str] = {}
    for rid in gone:
        for entry in images.get(rid, {}).values():
            if entry.get("id") and entry["id"] not in needed_ids:
                for ref in (entry.get("pinned", ""), entry.get("image", "")):
                    if ref and ref not in needed_refs:
                        refs[ref] = entry["id"]
    return PrunePlan(tuple(gone), tuple(refs.items()))
