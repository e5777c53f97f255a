# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of a JSON file (a registry, an object or an array of records) as rows of one table of PostgreSQL. Pure.

Numbers are read as they are spelled, never through a float. What a column cannot hold is told before anything is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from . import conversions, pg_types
from .checks import acceptor
from .existing import TargetTable
from .json_file import Record, Unfit, spelled
from .names import LONGEST, MOST_COLUMNS, SYSTEM
from .options import ColumnOption
from .parts import quoted

#: How many places of a misfit are told.
FIRST = 10


@dataclass(frozen=True)
class JsonColumn:
    """One column: the field it comes from ("" for the record's key or the whole record), its type, and why."""

    name: str
    source: str
    pg_type: str
    encoder: str
    why: str
    conversion: str = ""


@dataclass(frozen=True)
class JsonPlan:
    """What is made and loaded.

    :param create: CREATE TABLE, "" when the table is there, :param upsert: one row; its values are texts or None
    :param rows: a text or None for each column, in their order, :param key: columns
    """

    schema: str
    table: str
    columns: tuple[JsonColumn, ...]
    key: tuple[str, ...]
    create: str
    upsert: str
    rows: tuple[tuple[str | None, ...], ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

    def lines(self) -> list[str]:
        """The plan for a person."""
        made = "made" if self.create else "there already"
        out = [f"table {self.schema}.{self.table} ({made}): {len(self.rows)} records, key {', '.join(self.key)}"]
        out += [f"  {one.name}: {one.pg_type} ({one.why})" for one in self.columns]
        return out + [f"note: {text}" for text in self.notes]


def plan(
    found: Sequence[Record],
    schema: str,
    table: str,
    key: Sequence[str],
    key_column: str = "id",
    document: str = "",
    columns: Mapping[str, ColumnOption] | None = None,
    target: TargetTable | None = None,
) -> JsonPlan:
    """The plan.

    :param key: columns of the key; () for ``key_column`` of an object's members
    :param key_column: gets the names of an object's members
    :param document: name of one jsonb column that gets the whole record; "" for a column for each field
    :param columns: field → what is said of it (type, conversion, name, exclude)
    :param target: the table as it is in PostgreSQL, None when it has to be made
    :raises Unfit: with every reason
    """
    said = dict(columns or {})
    named = any(one.name is not None for one in found)
    keys = tuple(key) or ((key_column,) if named else ())
    if not keys:
        raise Unfit("key: an array's records need a key: name the field (or fields) that tell them apart")
    faults: list[str] = []
    made = _columns(found, keys, key_column if named else "", document, said, target, faults)
    there = {one.name for one in made}
    faults += [
        f"key: there is no column {one}; there are {', '.join(sorted(there))}" for one in keys if one not in there
    ]
    rows = [] if faults else _rows(found, made, keys, document, faults)
    if faults:
        raise Unfit("\n".join(faults))
    notes = _notes(made, target, faults)
    if faults:
        raise Unfit("\n".join(faults))
    relation = f"{quoted(schema)}.{quoted(table)}"
    return JsonPlan(
        schema, table, tuple(made), keys, "" if target else _create(relation, made, keys),
        _upsert(relation, made, keys), tuple(rows), tuple(notes),
    )  # fmt: skip


def _columns(
    found: Sequence[Record],
    keys: Sequence[str],
    key_column: str,
    document: str,
    said: Mapping[str, ColumnOption],
    target: TargetTable | None,
    faults: list[str],
) -> list[JsonColumn]:
    theirs = {one.name: one for one in target.columns} if target else {}
    out: list[JsonColumn] = []

    def add(source: str, wished: str, values: list[Any], why: str, pg_type: str = "") -> None:
        option = said.get(source, ColumnOption()) if source else ColumnOption()
        name = option.name or wished
        guess, reason = (pg_type, why) if pg_type else guessed(values)
        if target:
            if name not in theirs:
                faults.append(
                    f"{target.name} has no column {name}; leave it out (columns: {{{source}: {{exclude: true}}}})"
                )
                return
            guess, reason = theirs[name].base or theirs[name].type, "it is the table's"
            if theirs[name].labels:
                faults.append(f"{name}: it is an enum ({guess}); values are not sent as this type")
                return
        elif option.type:
            guess, reason = option.type, "as the settings say"
        try:
            kind = pg_types.parse(guess)
            conversions.chain(option.conversion, kind.encoder, pg_types.scale_of(kind.name))
        except ValueError as problem:
            faults.append(f"{name}: {problem}")
            return
        if name in {one.name for one in out}:
            faults.append(f"two fields become the column {name}: name one of them in another way (columns: name)")
        elif name in SYSTEM or not name or len(name.encode("utf-8", "replace")) > LONGEST or "\0" in name:
            faults.append(f"{name!r} is no name of a column: give it another (columns: {{{source}: {{name: …}}}})")
        else:
            out.append(JsonColumn(name, source, kind.name, kind.encoder, reason, option.conversion))

    if key_column:
        add("", key_column, [one.name for one in found], "the names of the object's members", "text")
    fields: dict[str, list[Any]] = {}
    if document:
        for name in keys:
            if name != key_column:
                fields[name] = [one.value.get(name) for one in found if isinstance(one.value, dict)]
    else:
        for one in found:
            if not isinstance(one.value, dict):
                faults.append(f"{one.place}: it is no object; load whole records by document: <a column's name>")
                return out
            for name, value in one.value.items():
                fields.setdefault(name, []).append(value)
    faults += [f"columns: there is no field {name} in any record" for name in said if name not in fields]
    for name, values in fields.items():
        if not said.get(name, ColumnOption()).exclude:
            add(name, name, values, "")
    if document:
        add("", document, [], "the whole record", "jsonb")
    if len(out) > MOST_COLUMNS:
        faults.append(f"{len(out)} fields, and a table has up to {MOST_COLUMNS} columns: load them by document")
    return out


def guessed(values: Sequence[Any]) -> tuple[str, str]:
    """A column's type by its values, and why. Nulls and fields that are missing are NULL in any type."""
    kinds = {_kind(one) for one in values if one is not None}
    if not kinds:
        return "text", "all values are null"
    if kinds == {"boolean"}:
        return "boolean", "all values are true or false"
    if kinds == {"integer"}:
        small = all(-(2**63) <= one < 2**63 for one in values if one is not None)
        return ("bigint", "all values are integers") if small else ("numeric", "integers beyond 64 bits")
    if kinds <= {"integer", "number"}:
        return "numeric", "numbers, with every digit"
    if kinds == {"string"}:
        return "text", "all values are strings"
    return "jsonb", f"{', '.join(sorted(kinds))}"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = ((int, "integer"), (Decimal, "number"), (str, "string"), (list, "array"))
    return next((name for one, name in names if isinstance(value, one)), "object")


# --- rows


def _rows(
    found: Sequence[Record], made: Sequence[JsonColumn], keys: Sequence[str], document: str, faults: list[str]
) -> list[tuple[str | None, ...]]:
    rules = [
        (one, conversions.chain(one.conversion, one.encoder, pg_types.scale_of(one.pg_type)),
         acceptor(one.encoder, one.pg_type))
        for one in made
    ]  # fmt: skip
    out: list[tuple[str | None, ...]] = []
    seen: dict[tuple[str | None, ...], str] = {}
    bad = 0
    places = [place for place, one in enumerate(made) if one.name in keys]
    for one in found:
        cells = []
        for column, convert, accept in rules:
            if column.name == document and not column.source:
                value: Any = one.value
            else:
                value = (
                    one.name
                    if not column.source
                    else one.value.get(column.source)
                    if isinstance(one.value, dict)
                    else None
                )
            try:
                cell = _cell(value, column, convert, accept)
            except ValueError as problem:
                cell, bad = None, bad + 1
                if bad <= FIRST:
                    faults.append(f"{one.place}: {column.name} ({column.pg_type}): {problem}")
            cells.append(cell)
        where = tuple(cells[place] for place in places)
        if None in where and not bad:
            faults.append(f"{one.place}: it has no value for the key {', '.join(keys)}")
        elif where in seen and not bad:
            faults.append(f"{one.place}: the key {', '.join(map(str, where))} is that of {seen[where]}, too")
        seen[where] = one.place
        out.append(tuple(cells))
    if bad > FIRST:
        faults.append(f"… and {bad - FIRST} more values that do not fit")
    return out


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _cell(value: Any, column: JsonColumn, convert: Any, accept: Any) -> str | None:
    """A value as the text that PostgreSQL reads as its type. :raises ValueError: when it does not fit"""
    if column.encoder in ("json", "jsonb"):
        # null inside a document stays JSON's; a field that is null or missing is NULL.
        if value is None and column.source:
            return None
        text = spelled(value)
        fault = accept(text)
        if fault:
            raise ValueError(fault)
        return text
    if isinstance(value, bool):
        if column.encoder != "bool":
            raise ValueError("true or false where another type is wanted")
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        raise ValueError(f"an {_kind(value)} where a single value is wanted; jsonb takes it")
    if isinstance(value, Decimal):
        if column.encoder in ("int2", "int4", "int8") and not column.conversion:
            raise ValueError("a number with a point where an integer is wanted")
        # Conversions know floats; a numeric is rounded from what is spelled.
        value = float(value) if column.conversion and column.encoder != "numeric" else value
    new = convert(value)
    if isinstance(new, Decimal) and column.encoder in ("float4", "float8"):
        if Decimal(repr(float(new))) != new:
            raise ValueError("as a float it loses digits; numeric takes it")
        new = float(new)
    fault = accept(new)
    if fault:
        raise ValueError(fault)
    if isinstance(new, str) and not new.isascii():
        try:
            new.encode()
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair, which no text in UTF-8 can hold") from None
    if new is None:
        return None
    if column.encoder == "bool":
        return "true" if new else "false"
    if isinstance(new, bytes):
        return f"\\x{new.hex()}"
    return new.isoformat() if hasattr(new, "isoformat") else str(new)


def _notes(made: Sequence[JsonColumn], target: TargetTable | None, faults: list[str]) -> list[str]:
    if target is None:
        return []
    there = {one.name for one in made}
    notes = []
    for one in target.columns:
        if one.name in there or one.generated:
            continue
        if one.not_null and not one.default and not one.identity:
            faults.append(f"{target.name}.{one.name}: it is NOT NULL without a default, and no field goes there")
        else:
            notes.append(f"{target.name}.{one.name}: no field goes there; new rows get its default")
    return notes


# --- statements


def _create(relation: str, made: Sequence[JsonColumn], keys: Sequence[str]) -> str:
    lines = [f"{quoted(one.name)} {one.pg_type}" for one in made]
    lines.append(f"PRIMARY KEY ({', '.join(map(quoted, keys))})")
    return f"CREATE TABLE {relation} (\n    " + ",\n    ".join(lines) + "\n)"


def _upsert(relation: str, made: Sequence[JsonColumn], keys: Sequence[str]) -> str:
    names = ", ".join(quoted(one.name) for one in made).replace("%", "%%")
    values = ", ".join(f"%s::{one.pg_type}" for one in made)
    rest = [quoted(one.name).replace("%", "%%") for one in made if one.name not in keys]
    conflict = ", ".join(map(quoted, keys)).replace("%", "%%")
    head = f"INSERT INTO {relation.replace('%', '%%')} AS mine ({names}) VALUES ({values}) ON CONFLICT ({conflict}) DO "
    if not rest:
        return f"{head}NOTHING RETURNING true"
    # json has no equality: it is compared as text, which is what it keeps.
    casts = {quoted(one.name).replace("%", "%%"): "::text" if one.pg_type == "json" else "" for one in made}
    old = ", ".join(f"mine.{name}{casts[name]}" for name in rest)
    new = ", ".join(f"excluded.{name}{casts[name]}" for name in rest)
    sets = ", ".join(f"{name} = excluded.{name}" for name in rest)
    # A row that is as it should be is not written again; the one that comes back tells whether it was new.
    return f"{head}UPDATE SET {sets} WHERE ROW({old}) IS DISTINCT FROM ROW({new}) RETURNING mine.xmax = 0"
