# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at the data of a source, table by table, through the client that is handed in: the profiles, and what would
not fit. Reads only; with a transaction open, all of one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import checks, types
from .certain import of_form, taken
from .conversions import RawText
from .misfits import Misfit, by_class, tally
from .moments import form as moment_form
from .options import Options
from .pg_types import parse
from .profile import (
    AT_ONCE,
    FIRST,
    ColumnProfile,
    TableProfile,
    expected,
    first_pass,
    identity,
    loaded,
    looked_at,
    odd,
    pieces,
    plain,
    second_pass,
    together,
    where,
)
from .scan import Source, Sure, as_text, each, rowids
from .schema import TABLE, Schema, SourceColumn, SourceTable, quoted
from .text_scan import suspects

#: Rows of which text columns without a family are sampled, to tell what they look like.
SAMPLE = 1000


@dataclass(frozen=True)
class Survey:
    """What was seen of a source.

    :param misfits: (table, column) → what would not fit the type that is decided
    :param changed: (table, column) → rows that a conversion changes
    """

    schema: Schema
    profiles: Mapping[str, TableProfile]
    misfits: Mapping[tuple[str, str], tuple[Misfit, ...]] = field(default_factory=dict)
    changed: Mapping[tuple[str, str], int] = field(default_factory=dict)


def survey(db: Source, schema: Schema, chosen: Options, told: Callable[[str], None] = lambda _name: None) -> Survey:
    """Look at all tables that are wanted. ``told`` is called with each table's name before it is read."""
    profiles = {}
    misfits: dict[tuple[str, str], tuple[Misfit, ...]] = {}
    changed: dict[tuple[str, str], int] = {}
    for table in schema.tables:
        if table.kind != TABLE or not chosen.wants(table.name):
            continue
        told(table.name)
        profile = _profile(db, table, chosen, schema.encoding)
        profiles[table.name] = profile
        open_ones = {}
        for column in _chosen(table, chosen):
            made = types.decide(column, profile.columns[column.name], chosen.column(table.name, column.name), chosen)
            if types.proved(made, profile.columns[column.name]) and not _labels(chosen, table, column):
                continue
            found = by_class(db, table, column, made, profile.columns[column.name])
            if found is None:
                open_ones[column.name] = (made, _labels(chosen, table, column))
            elif found:
                misfits[(table.name, column.name)] = found
        if open_ones:
            for name, (tallied, converted) in tally(db, table, open_ones, profile, schema.encoding).items():
                if tallied:
                    misfits[(table.name, name)] = tallied
                if converted:
                    changed[(table.name, name)] = converted
    return Survey(schema, profiles, misfits, changed)


def _chosen(table: SourceTable, chosen: Options) -> list[SourceColumn]:
    return [one for one in loaded(table) if not chosen.column(table.name, one.name).exclude]


def _labels(chosen: Options, table: SourceTable, column: SourceColumn) -> tuple[str, ...]:
    return chosen.column(table.name, column.name).labels


# --- profiles


def _profile(db: Source, table: SourceTable, chosen: Options, encoding: str) -> TableProfile:
    looked = looked_at(table)
    rows, first, last = 0, None, None
    answers: list[Any] = []
    for start in range(0, max(len(looked), 1), AT_ONCE):
        sql, found = first_pass(table, looked[start : start + AT_ONCE]), list[tuple]()
        try:
            db.several([(sql + piece, values) for piece, values in pieces(table, *_ends(db, table))], found.extend)
        except db.errors:
            found = db.rows(sql)  # which says what it means
        rows, first, last, *part = together(found)
        answers += part
    columns: dict[str, ColumnProfile] = {}
    if table.alias:
        columns[table.alias] = ColumnProfile({"integer": rows} if rows else {}, first, last)
    for place, column in enumerate(looked):
        made = plain(column, rows, answers[5 * place : 5 * place + 5])
        if made is None:
            made = odd(db.rows(second_pass(table, column))[0])
            made = replace(made, first=_first_rows(db, table, column, made))
        required = column.key or column.not_null or chosen.column(table.name, column.name).not_null
        if made.count("null") and required:
            made = replace(made, first={**made.first, "null": rowids(db, table, where(column, "null"))})
        columns[column.name] = made
    size = _bytes(db, table, rows)
    made_of = TableProfile(rows, columns, first, last, size)
    texts = {one.name: columns[one.name] for one in looked if columns[one.name].count("text")}
    with_nul, sound = suspects(db, table, texts, made_of)
    for column in looked:
        if column.name in with_nul and not columns[column.name].nul:
            made = odd(db.rows(second_pass(table, column))[0])
            ids = {**columns[column.name].first, **_first_rows(db, table, column, made)}
            columns[column.name] = replace(made, first=ids)
    bad = {} if sound else _not_utf8(db, table, [one for one in looked if one.name in texts], encoding)
    for name, (count, rows_of) in bad.items():
        one = columns[name]
        columns[name] = replace(one, invalid=count, first={**one.first, "not_utf8": rows_of})
    _forms(db, table, chosen, made_of, encoding, columns)
    _sample(db, table, columns)
    return replace(made_of, orphans=_orphans(db, table))


def _ends(db: Source, table: SourceTable) -> tuple[int | None, int | None]:
    """The first and the last rowid, looked up, not searched."""
    if not table.rowid:
        return None, None
    rowid, name = quoted(table.rowid), quoted(table.name)
    return db.rows(f"SELECT (SELECT min({rowid}) FROM {name}), (SELECT max({rowid}) FROM {name})")[0]


def _first_rows(db: Source, table: SourceTable, column: SourceColumn, made: ColumnProfile) -> dict[str, tuple]:
    usual = expected(column)
    oddities = [one for one in made.classes if one not in ("null", usual)]
    oddities += ["nul"] * bool(made.nul) + ["infinite"] * bool(made.infinite)
    return {one: rowids(db, table, where(column, one)) for one in oddities}


def _not_utf8(
    db: Source, table: SourceTable, texts: Sequence[SourceColumn], encoding: str
) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Columns with text that is not UTF-8: how many rows, and the first of them."""
    found = {}
    for column in texts:
        name = quoted(column.name)
        sql = f"SELECT {identity(table)}, CAST({name} AS BLOB) FROM {quoted(table.name)} WHERE typeof({name}) = 'text'"
        count, ids = 0, list[str]()
        for rowid, data in db.query(sql):
            if isinstance(as_text(data, encoding), RawText):
                count += 1
                if len(ids) < FIRST:
                    ids.append(str(rowid))
        if count:
            found[column.name] = (count, tuple(ids))
    return found


def _forms(
    db: Source,
    table: SourceTable,
    chosen: Options,
    profile: TableProfile,
    encoding: str,
    columns: dict[str, ColumnProfile],
) -> None:
    """What the values of columns with a family look like; into ``columns``, which are the profile's."""
    looks, sure = {}, {}
    for column in looked_at(table):
        option = chosen.column(table.name, column.name)
        known = columns[column.name]
        if option.exclude or option.type or not known.values:
            continue
        look = types.former(column, chosen)
        if look is None:
            continue
        if types.family(column) == types.BOOLEAN and known.only("integer") and {known.low, known.high} <= {0, 1}:
            columns[column.name] = replace(known, forms={types.FITS: known.values})
            continue
        looks[column.name] = look
        if not (known.nul or known.invalid):
            sure[column.name] = _usual(db, table, column, look, chosen)
    if not looks:
        return
    for name, (counts, first) in each(db, table, looks, profile, encoding, sure).items():
        counts.pop("", None)
        kept = {form: tuple(ids) for form, ids in first.items()}
        columns[name] = replace(columns[name], forms=dict(counts), first={**columns[name].first, **kept})


def _usual(db: Source, table: SourceTable, column: SourceColumn, look: Callable[[Any], str], chosen: Options) -> Sure:
    """The form that most values may have, by the first of them, and how SQLite tells it."""
    name = quoted(column.name)
    pg_type = types.wanted_type(column, chosen)
    if pg_type and look is not moment_form:
        return Sure(taken(parse(pg_type).encoder, pg_type, name, db.version), types.FITS)
    rows = db.rows(f"SELECT {name} FROM {quoted(table.name)} WHERE {name} IS NOT NULL LIMIT {FIRST}")
    form = Counter(look(row[0]) for row in rows).most_common(1)[0][0]
    return Sure(of_form(form, name, db.version), form)


def _sample(db: Source, table: SourceTable, columns: dict[str, ColumnProfile]) -> None:
    """What the first rows of plain text columns look like: told, never decided by."""
    names = [
        one.name for one in looked_at(table)
        if columns[one.name].only("text") and not columns[one.name].forms and not columns[one.name].invalid
    ]  # fmt: skip
    if not names:
        return
    # A thousand texts of many megabytes would not fit into memory, and none of them is a date.
    cells = ", ".join(f"CASE WHEN length({quoted(name)}) < 2000 THEN {quoted(name)} ELSE '' END" for name in names)
    rows = db.rows(f"SELECT {cells} FROM {quoted(table.name)} LIMIT {SAMPLE}")
    uuid, json = checks.acceptor("uuid", "uuid"), checks.acceptor("json", "json")
    for place, name in enumerate(names):
        found: Counter = Counter()
        for row in rows:
            value = row[place]
            if isinstance(value, str):
                found["rows"] += 1
                found["uuid"] += not uuid(value.lower())
                found["json"] += value[:1] in ("{", "[") and not json(value)
                found["boolean"] += value.lower() in ("t", "f", "true", "false", "yes", "no")
                look = moment_form(value)
                found[look] += look not in ("other text", "empty text")
        columns[name] = replace(columns[name], sample={key: count for key, count in found.items() if count})


def _bytes(db: Source, table: SourceTable, rows: int) -> int:
    """Bytes of a table's values, from the lengths of its first rows (an estimate)."""
    average = 0.0
    columns = loaded(table)
    for start in range(0, len(columns) if rows else 0, AT_ONCE):
        cells = " + ".join(
            f"coalesce(length(CAST({quoted(one.name)} AS BLOB)), 0)" for one in columns[start : start + AT_ONCE]
        )
        average += db.value(f"SELECT avg(n) FROM (SELECT {cells} AS n FROM {quoted(table.name)} LIMIT {SAMPLE})") or 0
    return int(average * rows)


def _orphans(db: Source, table: SourceTable) -> dict[int, tuple[int, tuple[str, ...]]]:
    """Foreign key's number → rows without their parent. A key whose parent table has no fitting key: -1 rows."""
    if not table.foreign_keys:
        return {}
    found: dict[int, tuple[int, list[str]]] = {}
    try:
        for _table, rowid, _parent, number in db.query(f"PRAGMA foreign_key_check({quoted(table.name)})"):
            count, ids = found.get(number, (0, []))
            if len(ids) < FIRST:
                ids.append("?" if rowid is None else str(rowid))
            found[number] = (count + 1, ids)
    except db.errors:
        # "foreign key mismatch": the parent's columns are no key. The plan tells it.
        return {}
    return {number: (count, tuple(ids)) for number, (count, ids) in found.items()}
