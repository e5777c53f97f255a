# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a listing of the store means: complete sets, and the leavings of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from . import layout
from .drill import Record
from .manifest import Manifest, Verdict
from .ports import BackupError, Entry


@dataclass(frozen=True)
class Found:
    """The objects of one set id in a listing. :param complete: its manifest is there"""

    id: str
    entries: tuple[Entry, ...]

    @property
    def complete(self) -> bool:
        """Whether it is a backup at all."""
        return any(one.key.endswith(f"/{layout.MANIFEST}") for one in self.entries)

    @property
    def newest(self) -> float:
        """When something was written to it last, by the store's clock."""
        return max(one.modified for one in self.entries)


@dataclass(frozen=True)
class KnownSet:
    """A complete set.

    :param fault: why its manifest is not to be trusted; ``manifest`` is None then
    :param drill: the last drill of it
    """

    id: str
    manifest: Manifest | None
    verdict: Verdict | None = None
    fault: str = ""
    drill: Record | None = None

    @property
    def drilled(self) -> str:
        """``passed`` or ``failed``, "" when there was no drill of it."""
        if self.drill is None:
            return ""
        return "passed" if self.drill.good else "failed"

    @property
    def state(self) -> str:
        """``verified``, ``damaged`` or ``unverified``."""
        if self.manifest is None:
            return "damaged"
        if self.verdict is None:
            return "unverified"
        return "verified" if self.verdict.good else "damaged"


@dataclass(frozen=True)
class Catalogue:
    """All of a stack in one store. :param sets: complete ones, oldest first; :param leavings: of runs that died"""

    sets: tuple[KnownSet, ...] = ()
    leavings: tuple[Found, ...] = ()
    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)

    @property
    def newest_verified(self) -> KnownSet | None:
        """The newest verified set."""
        return next((one for one in reversed(self.sets) if one.state == "verified"), None)


def group(entries: Sequence[Entry], stack: str) -> list[Found]:
    """A listing by set id, oldest first; what belongs to no set is left out."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        where = layout.parts_of(entry.key, stack)
        if where:
            found.setdefault(where[0], []).append(entry)
    return [Found(sid, tuple(found[sid])) for sid in sorted(found)]


def choose(sets: Sequence[KnownSet], wanted: str, stack: str) -> KnownSet:
    """A set to restore: by id, or ``latest``: the newest verified one, else the newest that is not damaged.

    :raises BackupError: there is none
    """
    if wanted != "latest":
        for one in sets:
            if one.id == wanted:
                if one.manifest is None:
                    raise BackupError(one.fault)
                return one
        raise BackupError(f"{stack} has no complete set {wanted!r}; see: landfall backup list {stack}")
    for state in ("verified", "unverified"):
        for one in reversed(sets):
            if one.state == state:
                return one
    raise BackupError(f"{stack} has no set that can be restored ({len(sets)} are there, all damaged)")
