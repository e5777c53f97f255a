# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in PostgreSQL: at most 63 bytes, no two alike in a schema, none of a system column's. Pure.

Whatever a name was in SQLite, it stays that: names are quoted everywhere, so capitals and reserved words are no fault.
Only where PostgreSQL cannot have it, it is changed, always in the same way, and said.
"""

from __future__ import annotations

import hashlib

#: Bytes of a name: NAMEDATALEN - 1.
LONGEST = 63
#: Columns that every table of PostgreSQL has already (``oid`` is none of them since version 12).
SYSTEM = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
#: Columns of one table: MaxHeapAttributeNumber.
MOST_COLUMNS = 1600


def shorten(name: str, room: int = LONGEST) -> str:
    """A name of at most :param room: bytes; one that is longer keeps its beginning, and ends in a hash of all of it."""
    data = name.encode("utf-8", "surrogatepass")
    if len(data) <= room:
        return name
    tail = "_" + hashlib.sha256(data).hexdigest()[:8]
    return data[: room - len(tail)].decode("utf-8", "ignore") + tail


class Names:
    """Names that are given within one schema, or one table."""

    def __init__(self, taken: tuple[str, ...] = ()):
        self._taken = set(taken)

    def give(self, name: str, fallback: str = "unnamed") -> str:
        """The name as it is when it can be had, otherwise the nearest that can."""
        wanted = shorten(name.replace("\0", "")) or fallback
        found, number = wanted, 1
        while found in self._taken:
            number += 1
            found = f"{shorten(wanted, LONGEST - len(str(number)) - 1)}_{number}"
        self._taken.add(found)
        return found


def column_names(names: list[str], wished: dict[str, str] | None = None) -> dict[str, str]:
    """SQLite's columns → PostgreSQL's, of one table. ``wished``: what the user says.

    :raises ValueError: when the user's names cannot be had
    """
    wished = wished or {}
    for source, name in wished.items():
        if name in SYSTEM or len(name.encode()) > LONGEST or not name or "\0" in name:
            raise ValueError(f"column {source}: it cannot be named {name!r} in PostgreSQL")
    if len(set(wished.values())) < len(wished):
        raise ValueError(f"two columns get the same name: {', '.join(sorted(wished.values()))}")
    given = Names((*SYSTEM, *wished.values()))
    out = {}
    # Those that can keep their name come first, whatever their place: nothing is renamed for one that must be.
    keeping = [one for one in names if one and one not in SYSTEM and shorten(one) == one]
    for name in [*keeping, *(one for one in names if one not in keeping)]:
        place = names.index(name) + 1
        out[name] = wished[name] if name in wished else given.give(name, f"column_{place}")
    return {name: out[name] for name in names}
