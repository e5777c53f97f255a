# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore will do, before it does anything: which items, in which order, where to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from .catalogue import KnownSet
from .layout import item_name
from .manifest import Item
from .ports import BackupError
from .postgres import NEW_NAME

#: Files before what lies in them; queues last, when what they point to is there.
ORDER = ("key", "project", "volume", "path", "sqlite", "globals", "postgres", "mongo", "redis")
#: How rows that were restored beside go back to where others have gone on since.
BACK = "pg_dump --data-only --inserts --on-conflict-do-nothing -t TABLE NAME | psql DATABASE"


@dataclass(frozen=True)
class Target:
    """Where one item goes.

    :param place: "" for its own place; else the name of a new database or volume, or an absolute path
    :param tables: of a database: ``(schema, table)`` whose rows are wanted; none for all of it
    """

    item: Item
    place: str = ""
    tables: tuple[tuple[str, str], ...] = ()

    def line(self) -> str:
        """For a person."""
        where = f"beside, as {self.place}" if self.place else f"in place of {self.item.source}"
        only = f", only the rows of {', '.join('.'.join(one) for one in self.tables)}" if self.tables else ""
        return f"{self.item.name} ({self.item.kind}, {self.item.plain_bytes} bytes): {where}{only}"


def server_of(item: Item) -> str:
    """Which server a database's item, or that of its roles, is of: the items of one server have one word in common."""
    if item.kind == "globals":
        return item.name.removeprefix("globals-")
    return item.name.removesuffix(f"-{item_name(str(item.details['name']))}").removeprefix("postgres-")


def find_tables(item: Item, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Tables of a database's item. :param names: ``table``, or ``schema.table`` where several schemas have one

    :raises BackupError: there is none of that name, or more than one
    """
    there = [(str(schema), str(table)) for schema, table in map(json.loads, sorted(item.details["rows"]))]
    out = []
    for name in names:
        found = [one for one in there if name in (one[1], ".".join(one))]
        if not found:
            known = ", ".join(".".join(one) for one in there[:20]) + (", …" if len(there) > 20 else "")
            raise BackupError(f"{item.name} has no table {name!r}; it has: {known}")
        if len(found) > 1:
            raise BackupError(
                f"{name!r} is the name of several: {', '.join('.'.join(one) for one in found)}; say which"
            )
        out += found
    return tuple(dict.fromkeys(out))


def targets(
    chosen: KnownSet, names: Sequence[str], place: str, in_place: bool, tables: Sequence[str] = ()
) -> list[Target]:
    """What is restored, in order. :param names: of items, none for all of the set; :param tables: of a database

    :raises BackupError: it makes no sense, with what to say instead
    """
    if chosen.manifest is None:
        raise BackupError(chosen.fault)
    if in_place == bool(place):
        raise BackupError("say where to: --in-place, or --as NAME to have it beside what is there")
    items = [chosen.manifest.item(name) for name in names] or list(chosen.manifest.items)
    if tables and (not place or len(names) != 1 or items[0].kind != "postgres"):
        raise BackupError(
            "--table takes one --item, a database, and --as NAME: its rows come beside, into a new database, and "
            f"go back from there: {BACK}"
        )
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
        if place and item.kind == "mongo":
            raise BackupError(
                f"{item.name}: a dump of MongoDB comes back in place, or to a file (--to-file). To have a database "
                "of it beside: mongorestore --archive=FILE --nsInclude='NAME.*' --nsFrom='NAME.*' --nsTo='OTHER.*'"
            )
        if place and item.kind == "postgres" and not NEW_NAME.match(place):
            raise BackupError(f"{place!r} is no name for a database: letters, digits, '_' and '-'")
        if place and item.kind in ("sqlite", "path", "project", "redis") and not place.startswith("/"):
            raise BackupError(f"{item.name}: --as must be an absolute path that is not there yet")
    wanted = find_tables(items[0], tables) if tables else ()
    return [Target(item, place, wanted) for item in sorted(items, key=lambda item: (ORDER.index(item.kind), item.name))]
