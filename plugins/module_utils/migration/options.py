# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may say of tables and columns, checked. Pure."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import conversions, pg_types

NOCASE = ("lower", "citext", "plain")
MODES = ("auto", "create", "existing")
JSON_TYPES = ("json", "jsonb")


@dataclass(frozen=True)
class ColumnOption:
    """Of one column; "" for as it is planned. ``conversion``: names joined by commas.

    The rest is said by an existing schema, never by the user: ``encoder`` and ``why``, the ``labels`` of an enum,
    ``not_null``, and whether a ``sequence`` gives its values.
    """

    type: str = ""
    conversion: str = ""
    name: str = ""
    exclude: bool = False
    encoder: str = ""
    why: str = ""
    labels: tuple[str, ...] = ()
    not_null: bool = False
    sequence: bool = False


@dataclass(frozen=True)
class Options:
    """How a migration is planned.

    :param include: patterns of tables, () for all, :param exclude: patterns of tables
    :param tables: SQLite's table → its name in PostgreSQL
    :param columns: (table, column), both in small letters → what is said of it
    :param nocase: what becomes of COLLATE NOCASE: ``lower`` (unique and other indexes over lower(), the columns stay
        as they are), ``citext`` (the columns become citext, an extension), ``plain`` (the collation is dropped)
    :param json_type: type of columns declared JSON: ``json`` keeps the text to the letter, ``jsonb`` its meaning
    :param on_violation: ``fail`` or ``quarantine``
    :param conversions: encoder → conversion of all columns with a given type of it, that have none of their own
    :param foreign_keys: ``fail`` on rows whose parent is not there, or leave the key ``unvalidated``
    """

    schema: str = "public"
    staging: str = "landfall_staging"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[tuple[str, str], ColumnOption] = field(default_factory=dict)
    nocase: str = "lower"
    json_type: str = "json"
    on_violation: str = "fail"
    foreign_keys: str = "fail"
    conversions: Mapping[str, str] = field(default_factory=dict)

    def wants(self, table: str) -> bool:
        """Whether a table is migrated."""
        name = table.lower()
        chosen = not self.include or any(fnmatch.fnmatchcase(name, one.lower()) for one in self.include)
        return chosen and not any(fnmatch.fnmatchcase(name, one.lower()) for one in self.exclude)

    def column(self, table: str, column: str) -> ColumnOption:
        """What is said of a column."""
        return self.columns.get((table.lower(), column.lower()), ColumnOption())


def options(values: Mapping[str, Any]) -> Options:
    """Options of a module's parameters. ``columns`` has keys like ``users.created`` and values with ``type``,
    ``conversion`` (a name, or a list), ``name``, ``exclude``.

    :raises ValueError: with all that is wrong, one line each
    """
    faults: list[str] = []
    columns = {}
    for key, said in (values.get("columns") or {}).items():
        table, _dot, column = str(key).rpartition(".")
        if not table or not column:
            faults.append(f"columns: {key}: write it as table.column")
            continue
        made = _column(str(key), said or {}, faults)
        columns[(table.lower(), column.lower())] = made
    for name, allowed in (("nocase", NOCASE), ("json_type", JSON_TYPES)):
        if values.get(name) and values[name] not in allowed:
            faults.append(f"{name}: {values[name]}: there are {', '.join(allowed)}")
    by_type = {}
    for name, said in (values.get("conversions") or {}).items():
        try:
            encoder = pg_types.parse(str(name)).encoder
            steps = ",".join([said] if isinstance(said, str) else said)
            conversions.chain(steps, encoder)
            by_type[encoder] = steps
        except ValueError as problem:
            faults.append(f"conversions: {name}: {problem}")
    if faults:
        raise ValueError("\n".join(faults))
    plain = ("schema", "staging", "nocase", "json_type", "on_violation", "foreign_keys")
    return Options(
        include=tuple(values.get("include") or ()),
        exclude=tuple(values.get("exclude") or ()),
        tables={str(name).lower(): str(new) for name, new in (values.get("tables") or {}).items()},
        columns=columns,
        conversions=by_type,
        **{name: values[name] for name in plain if values.get(name)},
    )


def fields(values: Mapping[str, Any]) -> dict[str, ColumnOption]:
    """What is said of the fields of records: field → option. :raises ValueError: with all that is wrong"""
    faults: list[str] = []
    made = {str(name): _column(str(name), said or {}, faults) for name, said in values.items()}
    if faults:
        raise ValueError("\n".join(faults))
    return made


def _column(key: str, said: Mapping[str, Any], faults: list[str]) -> ColumnOption:
    known = ("type", "conversion", "name", "exclude")
    faults += [f"columns: {key}: {one}: there are {', '.join(known)}" for one in said if one not in known]
    steps = said.get("conversion") or ()
    steps = [steps] if isinstance(steps, str) else list(steps)
    conversion = ",".join(str(one).strip() for one in steps)
    pg_type = str(said.get("type") or "")
    encoder = ""
    if pg_type:
        try:
            pg_type, encoder = pg_types.parse(pg_type)
        except ValueError as problem:
            faults.append(f"columns: {key}: {problem}")
    for name in conversions.names(conversion):
        if name not in conversions.NAMED:
            near = difflib.get_close_matches(name, conversions.NAMED, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(conversions.NAMED))}"
            faults.append(f"columns: {key}: there is no conversion {name}{hint}")
        elif encoder and conversions.problem(name, encoder):
            faults.append(f"columns: {key}: {conversions.problem(name, encoder)}")
    return ColumnOption(pg_type, conversion, str(said.get("name") or ""), bool(said.get("exclude")))


def unused(chosen: Options, known: Iterable[tuple[str, str]]) -> list[str]:
    """Options that name a table or column that is not there: a slip of the pen would change nothing silently.

    :param known: (table, column) of all that there is
    """
    pairs = {(table.lower(), column.lower()) for table, column in known}
    tables = {table for table, _column_name in pairs}
    faults = []
    for table, column in chosen.columns:
        if (table, column) not in pairs:
            here = sorted(name for owner, name in pairs if owner == table)
            what = f"there is no column {column} in {table}" if here else f"there is no table {table}"
            near = difflib.get_close_matches(column if here else table, here or sorted(tables), 1)
            faults.append(f"columns: {table}.{column}: {what}" + (f"; did you mean {near[0]}?" if near else ""))
    faults += [f"tables: {name}: there is no such table" for name in chosen.tables if name not in tables]
    for pattern in (*chosen.include, *chosen.exclude):
        if not any(fnmatch.fnmatchcase(name, pattern.lower()) for name in tables):
            faults.append(f"include, exclude: {pattern}: matches no table")
    return faults
