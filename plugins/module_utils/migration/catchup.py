# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a live source, noted by triggers: which, and in what SQL. Pure.

A trigger notes table and key of a row that was written, not its values: whoever applies the change reads the row again.
Applying a change twice, or one that the load has seen already, does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Column, Plan, Table
from .wire_sql import loaded, quote

#: In the source. seq never falls, also when all rows are taken away.
CHANGES = "landfall_changes"
PREFIX, GUARD = "landfall_note_", "landfall_moved_"
CREATE = f"CREATE TABLE IF NOT EXISTS {CHANGES} (seq INTEGER PRIMARY KEY AUTOINCREMENT, tab INTEGER NOT NULL, k)"


@dataclass(frozen=True)
class Followed:
    """A table whose changes can be followed: by its rowid, which is its key in the target, too.

    :ivar number: in the plan
    """

    number: int
    table: Table
    key: Column


def followed(plan: Plan, source: int = 0) -> tuple[list[Followed], list[str]]:
    """The tables of a source that can be followed, and why the others cannot."""
    found, faults = [], []
    for number, table in enumerate(plan.tables):
        if table.source != source:
            continue
        key = next((column for column in table.columns if (column.name,) == table.key), None)
        plain = key is not None and key.encoder == "int8" and not key.conversion
        if not table.rowid or key is None or not plain or key.declared.upper() != "INTEGER":
            faults.append(
                f"table {table.name}: only tables with an INTEGER PRIMARY KEY can be followed while they change"
            )
            continue
        found.append(Followed(number, table, key))
    return found, faults


def triggers(one: Followed) -> list[str]:
    """CREATE TRIGGER statements of a table. An UPDATE notes both keys, since it may change the key."""
    name, key = quote(one.table.name), quote(one.key.name)
    made = []
    for event, rows in (("INSERT", ("new",)), ("DELETE", ("old",)), ("UPDATE", ("old", "new"))):
        notes = " ".join(f"INSERT INTO {CHANGES} (tab, k) VALUES ({one.number}, {row}.{key});" for row in rows)
        made.append(
            f"CREATE TRIGGER IF NOT EXISTS {quote(f'{PREFIX}{one.number}_{event.lower()}')} AFTER {event} ON {name} "
            f"BEGIN {notes} END"
        )
    return made


def guards(one: Followed) -> list[str]:
    """CREATE TRIGGER statements that refuse every further write: after the cutover it would be lost."""
    name = quote(one.table.name)
    return [
        f"CREATE TRIGGER IF NOT EXISTS {quote(f'{GUARD}{one.number}_{event.lower()}')} BEFORE {event} ON {name} "
        "BEGIN SELECT RAISE(ABORT, 'landfall: this database has moved to PostgreSQL'); END"
        for event in ("INSERT", "UPDATE", "DELETE")
    ]


def upsert(one: Followed, schema: str) -> str:
    """INSERT … ON CONFLICT of the rows in the temporary table ``landfall_rows``."""
    names = [quote(column.target) for column in loaded(one.table)]
    key = quote(one.key.target)
    sets = ", ".join(f"{name} = excluded.{name}" for name in names if name != key)
    listed = ", ".join(names)
    action = f"DO UPDATE SET {sets}" if sets else "DO NOTHING"
    return (
        f"INSERT INTO {quote(schema)}.{quote(one.table.target)} ({listed}) OVERRIDING SYSTEM VALUE "
        f"SELECT {listed} FROM landfall_rows ON CONFLICT ({key}) {action}"
    )
