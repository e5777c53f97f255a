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
from .schema import CHANGES, GUARD
from .schema import NOTE as PREFIX
from .wire_sql import loaded, quote

#: Columns that a key may have. Columns without a type keep a value's class.
WIDTH = 8
#: seq never falls, also when all rows are taken away.
CREATE = (
    f"CREATE TABLE IF NOT EXISTS {CHANGES} (seq INTEGER PRIMARY KEY AUTOINCREMENT, tab INTEGER NOT NULL, "
    f"{', '.join(f'k{number}' for number in range(WIDTH))})"
)
#: A table that is never there. A trigger that writes to it fails whatever fires it, with its name in the message.
GONE = "this database has moved to PostgreSQL"


@dataclass(frozen=True)
class Followed:
    """A table whose changes can be followed: by its primary key.

    :ivar number: in the plan, :ivar keys: columns of the key, in its order
    """

    number: int
    table: Table
    keys: tuple[Column, ...]


def followed(plan: Plan, source: int = 0) -> tuple[list[Followed], list[str]]:
    """The tables of a source that can be followed, and why the others cannot."""
    found, faults = [], []
    for number, table in enumerate(plan.tables):
        if table.source != source:
            continue
        columns = {column.name: column for column in loaded(table)}
        keys = tuple(columns[name] for name in table.key if name in columns)
        if not table.rowid:
            faults.append(f"table {table.name}: tables WITHOUT ROWID cannot be followed while they change")
        elif not table.key or len(keys) != len(table.key) or len(keys) > WIDTH:
            faults.append(
                f"table {table.name}: only tables with a primary key of 1 to {WIDTH} columns, all of them migrated, "
                "can be followed while they change"
            )
        else:
            found.append(Followed(number, table, keys))
    return found, faults


def triggers(one: Followed) -> list[str]:
    """CREATE TRIGGER statements of a table. An UPDATE notes both keys, since it may change the key."""
    name = quote(one.table.name)
    columns = ", ".join(f"k{number}" for number in range(len(one.keys)))
    made = []
    for event, rows in (("INSERT", ("new",)), ("DELETE", ("old",)), ("UPDATE", ("old", "new"))):
        notes = []
        for row in rows:
            values = ", ".join(f"{row}.{quote(key.name)}" for key in one.keys)
            notes.append(f"INSERT INTO {CHANGES} (tab, {columns}) VALUES ({one.number}, {values});")
        made.append(
            f"CREATE TRIGGER IF NOT EXISTS {quote(f'{PREFIX}{one.number}_{event.lower()}')} AFTER {event} ON {name} "
            f"BEGIN {' '.join(notes)} END"
        )
    return made


def guards(one: Followed) -> list[str]:
    """CREATE TRIGGER statements that refuse every further write: after the cutover it would be lost.

    Not by RAISE: to an application that would be a broken constraint, which many take for "is there already". A table
    that is not there is an error of another kind, and fails before the statement runs.
    """
    name = quote(one.table.name)
    return [
        f"CREATE TRIGGER IF NOT EXISTS {quote(f'{GUARD}{one.number}_{event.lower()}')} BEFORE {event} ON {name} "
        f"BEGIN INSERT INTO {quote(GONE)} VALUES (1); END"
        for event in ("INSERT", "UPDATE", "DELETE")
    ]


def upsert(one: Followed, schema: str) -> str:
    """INSERT … ON CONFLICT of the rows in the temporary table ``landfall_rows``."""
    names = [quote(column.target) for column in loaded(one.table)]
    keys = [quote(column.target) for column in one.keys]
    sets = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    listed = ", ".join(names)
    action = f"DO UPDATE SET {sets}" if sets else "DO NOTHING"
    return (
        f"INSERT INTO {quote(schema)}.{quote(one.table.target)} ({listed}) OVERRIDING SYSTEM VALUE "
        f"SELECT {listed} FROM landfall_rows ON CONFLICT ({', '.join(keys)}) {action}"
    )
