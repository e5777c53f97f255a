# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore will do, before it does anything: which items, in which order, where to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .catalogue import KnownSet
from .layout import item_name
from .manifest import Item
from .ports import BackupError
from .postgres import NEW_NAME

#: Files before what lies in them; queues last, when what they point to is there.
ORDER = ("key", "project", "volume", "path", "sqlite", "globals", "postgres", "mongo", "redis")


@dataclass(frozen=True)
class Target:
    """Where one item goes.

    :param place: "" for its own place; else the name of a new database or volume, or an absolute path
    """

    item: Item
    place: str = ""

    def line(self) -> str:
        """For a person."""
        where = f"beside, as {self.place}" if self.place else f"in place of {self.item.source}"
        return f"{self.item.name} ({self.item.kind}, {self.item.plain_bytes} bytes): {where}"


def server_of(item: Item) -> str:
    """Which server a database's item, or that of its roles, is of: the items of one server have one word in common."""
    if item.kind == "globals":
        return item.name.removeprefix("globals-")
    return item.name.removesuffix(f"-{item_name(str(item.details['name']))}").removeprefix("postgres-")


def targets(chosen: KnownSet, names: Sequence[str], place: str, in_place: bool) -> list[Target]:
    """What is restored, in order. :param names: of items, none for all of the set

    :raises BackupError: it makes no sense, with what to say instead
    """
    if chosen.manifest is None:
        raise BackupError(chosen.fault)
    if in_place == bool(place):
        raise BackupError("say where to: --in-place, or --as NAME to have it beside what is there")
    items = [chosen.manifest.item(name) for name in names] or list(chosen.manifest.items)
    if place and len(items) != 1:
        raise BackupError("--as takes one --item; see: landfall backup list STACK --items")
    if in_place and not names:
        # The project's own files hold the release that runs now, and its secrets: they are put back by name only.
        items = [one for one in items if one.kind not in ("project", "globals", "key")]
    for item in items:
        if item.kind == "globals":
            raise BackupError("roles are restored with a database that needs them; to see them: restore --to-file")
        if item.kind == "key":
            raise BackupError(f"{item.name}: restore it to a file: --to-file")
        if item.kind == "mongo":
            raise BackupError(
                f"{item.name}: restore it to a file (--to-file), and load that with: mongorestore --archive=FILE "
                "--oplogReplay"
            )
        if place and item.kind == "postgres" and not NEW_NAME.match(place):
            raise BackupError(f"{place!r} is no name for a database: letters, digits, '_' and '-'")
        if place and item.kind in ("sqlite", "path", "project", "redis") and not place.startswith("/"):
            raise BackupError(f"{item.name}: --as must be an absolute path that is not there yet")
    return [Target(item, place) for item in sorted(items, key=lambda item: (ORDER.index(item.kind), item.name))]
