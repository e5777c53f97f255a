# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading into an application's own tables (made by Alembic, Django, …): which column goes where, and what is in the
way. Pure.

The result is :class:`Options` in which every column has the name and the type that it has in PostgreSQL; then the plan
is made as always, with the mode ``existing``.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import pg_types
from .options import ColumnOption, Options
from .schema import TABLE, Schema, SourceTable


@dataclass(frozen=True)
class TargetColumn:
    """A column as PostgreSQL's catalogue has it.

    :param type: as format_type() prints it, :param base: a domain's base type, as format_type() prints it
    :param default: whether it has a default, :param identity: "a" always, "d" by default, "" none
    :param sequence: whether it takes its values from a sequence (serial or identity)
    :param labels: of an enum, :param generated: computed by PostgreSQL
    """

    name: str
    type: str
    not_null: bool = False
    default: bool = False
    identity: str = ""
    sequence: bool = False
    generated: bool = False
    labels: tuple[str, ...] = ()
    base: str = ""


@dataclass(frozen=True)
class TargetTable:
    """A table as PostgreSQL's catalogue has it. ``empty``: whether it has no row; ``triggers``: the user's own."""

    name: str
    columns: tuple[TargetColumn, ...]
    empty: bool = True
    triggers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settled:
    """What a match comes to. With ``faults`` nothing is migrated; ``notes`` are said and do not stop it."""

    options: Options
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def settle(schema: Schema, targets: Sequence[TargetTable], chosen: Options) -> Settled:
    """Match a source's tables with an application's."""
    columns = dict(chosen.columns)
    tables = dict(chosen.tables)
    faults: list[str] = []
    notes: list[str] = []
    met = set()
    for table in schema.tables:
        if table.kind != TABLE or not chosen.wants(table.name):
            continue
        wished = chosen.tables.get(table.name.lower(), table.name)
        target = _named(wished, targets)
        if target is None:
            near = difflib.get_close_matches(wished, [one.name for one in targets], 1)
            hint = f"; did you mean {near[0]} (tables: {{{table.name}: {near[0]}}})?" if near else ""
            faults.append(
                f"{table.name}: there is no table {wished} in schema {chosen.schema}{hint}; make it there, or leave it "
                f"out (exclude: [{table.name}])"
            )
            continue
        if target.name in met:
            faults.append(f"{table.name}: another table is loaded into {target.name} already")
        met.add(target.name)
        tables[table.name.lower()] = target.name
        if target.triggers:
            notes.append(f"{target.name}: it has triggers: {', '.join(target.triggers)}")
        _columns(table, target, chosen, columns, faults, notes)
    left = sorted(one.name for one in targets if one.name not in met)
    if left:
        notes.append(f"tables of PostgreSQL that nothing is loaded into: {', '.join(left)}")
    return Settled(replace(chosen, columns=columns, tables=tables), tuple(faults), tuple(notes))


def _named(name: str, targets: Sequence[TargetTable]) -> TargetTable | None:
    exact = [one for one in targets if one.name == name]
    alike = [one for one in targets if one.name.lower() == name.lower()]
    found = exact or alike
    return found[0] if len(found) == 1 else None


def _columns(
    table: SourceTable,
    target: TargetTable,
    chosen: Options,
    columns: dict[tuple[str, str], ColumnOption],
    faults: list[str],
    notes: list[str],
) -> None:
    met = set()
    for column in table.columns:
        key = (table.name.lower(), column.name.lower())
        where = f"{table.name}.{column.name}"
        option = chosen.column(*key)
        if option.exclude:
            continue
        wished = option.name or column.name
        exact = [one for one in target.columns if one.name == wished]
        alike = exact or [one for one in target.columns if one.name.lower() == wished.lower()]
        if len(alike) != 1:
            near = difflib.get_close_matches(wished, [one.name for one in target.columns], 1)
            hint = f"name it (columns: {{{where}: {{name: {near[0]}}}}}), or " if near else ""
            faults.append(
                f"{where}: {target.name} has no column {wished}; {hint}leave it out (columns: {{{where}: "
                "{exclude: true}})"
            )
            continue
        found = alike[0]
        met.add(found.name)
        if found.generated:
            columns[key] = replace(option, exclude=True)
            notes.append(f"{where}: PostgreSQL computes {target.name}.{found.name} itself; it is not loaded")
            continue
        made = _typed(option, found, chosen)
        if isinstance(made, str):
            faults.append(f"{where}: {made}")
            continue
        columns[key] = made
    for one in target.columns:
        if one.name in met or one.generated:
            continue
        filled = one.default or one.identity
        if one.not_null and not filled:
            faults.append(
                f"{target.name}.{one.name}: it is NOT NULL and has no default, and nothing in {table.name} goes there; "
                "give it a default in PostgreSQL, or name the column that goes there"
            )
        else:
            notes.append(
                f"{target.name}.{one.name}: nothing in SQLite goes there; it gets its "
                f"{'default' if filled else 'default, NULL'}"
            )


def _typed(option: ColumnOption, found: TargetColumn, chosen: Options) -> ColumnOption | str:
    """The column's option with the target's name and type; or what is wrong."""
    shown = found.base or found.type
    if found.labels:
        pg_type, encoder = found.type, "text"
    else:
        try:
            pg_type, encoder = pg_types.parse(shown)
        except ValueError:
            return (
                f"{found.name} is {found.type}, which values are not sent as; leave it out, or change the column's "
                "type until after the migration"
            )
    if option.type and option.type != pg_type:
        return f"the settings say {option.type}, and {found.name} is {pg_type}: take the type out of the settings"
    conversion = option.conversion or chosen.conversions.get(encoder, "")
    return replace(
        option,
        type=pg_type,
        encoder=encoder,
        conversion=conversion,
        name=found.name,
        why=f"it is {found.type} in the application's schema",
        labels=found.labels,
        not_null=found.not_null,
        sequence=found.sequence,
    )
