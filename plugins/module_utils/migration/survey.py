# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at the data of a source, table by table, through the client that is handed in: the profiles, and what would
not fit. Reads only; with a transaction open, all of one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from . import checks, types
from .conversions import RawText, chain
from .moments import form as moment_form
from .options import Options
from .pg_types import scale_of
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
    plain,
    second_pass,
    where,
)
from .schema import TABLE, Reader, Schema, SourceColumn, SourceTable, quoted

#: Rows of which text columns without a family are sampled, to tell what they look like.
SAMPLE = 1000
_CACHE = 10_000


class Source(Reader, Protocol):
    """What is wanted of ``clients.sqlite.Database``."""

    errors: tuple[type[Exception], ...]

    def query(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple]: ...


@dataclass(frozen=True)
class Misfit:
    """Values that an encoder does not take: why, how many rows, and the first of them."""

    reason: str
    count: int
    rowids: tuple[str, ...]


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
            found = _by_class(db, table, column, made, profile.columns[column.name])
            if found is None:
                open_ones[column.name] = _rule(made, _labels(chosen, table, column))
            elif found:
                misfits[(table.name, column.name)] = found
        if open_ones:
            for name, (tallied, converted) in _tally(db, table, open_ones, profile, schema.encoding).items():
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
        rows, first, last, *part = db.rows(first_pass(table, looked[start : start + AT_ONCE]))[0]
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
            made = replace(made, first={**made.first, "null": _rowids(db, table, where(column, "null"))})
        columns[column.name] = made
    texts = [one for one in looked if columns[one.name].count("text")]
    for name, (count, rowids) in _not_utf8(db, table, texts, encoding).items():
        one = columns[name]
        columns[name] = replace(one, invalid=count, first={**one.first, "not_utf8": rowids})
    _forms(db, table, chosen, columns, encoding)
    _sample(db, table, columns)
    profile = TableProfile(rows, columns, first, last, _bytes(db, table, rows), {}, _orphans(db, table))
    return profile


def _first_rows(db: Source, table: SourceTable, column: SourceColumn, made: ColumnProfile) -> dict[str, tuple]:
    usual = expected(column)
    oddities = [one for one in made.classes if one not in ("null", usual)]
    oddities += ["nul"] * bool(made.nul) + ["infinite"] * bool(made.infinite)
    return {one: _rowids(db, table, where(column, one)) for one in oddities}


def _rowids(db: Source, table: SourceTable, condition: str) -> tuple[str, ...]:
    sql = f"SELECT {identity(table)} FROM {quoted(table.name)} WHERE {condition} LIMIT {FIRST}"
    return tuple(str(row[0]) for row in db.rows(sql))


def _not_utf8(
    db: Source, table: SourceTable, texts: Sequence[SourceColumn], encoding: str
) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Columns with text that is not UTF-8. Reading all of it decodes it, in C; only a failure is looked into."""
    if not texts:
        return {}
    names = ", ".join(quoted(one.name) for one in texts)
    try:
        for _row in db.query(f"SELECT {names} FROM {quoted(table.name)}"):
            pass
        return {}
    except db.errors:
        pass
    found = {}
    for column in texts:
        name = quoted(column.name)
        sql = f"SELECT {identity(table)}, CAST({name} AS BLOB) FROM {quoted(table.name)} WHERE typeof({name}) = 'text'"
        count, rowids = 0, list[str]()
        for rowid, data in db.query(sql):
            if isinstance(as_text(data, encoding), RawText):
                count += 1
                if len(rowids) < FIRST:
                    rowids.append(str(rowid))
        if count:
            found[column.name] = (count, tuple(rowids))
    return found


def as_text(data: bytes, encoding: str) -> str | RawText:
    """TEXT of SQLite from its bytes (``CAST(c AS BLOB)``), which are in the database's encoding."""
    codec = {"UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}.get(encoding, "utf-8")
    try:
        return (data or b"").decode(codec)
    except UnicodeDecodeError:
        if codec == "utf-8":
            return RawText(data)
        return RawText(data.decode(codec, "surrogatepass").encode("utf-8", "surrogatepass"))


def _forms(db: Source, table: SourceTable, chosen: Options, columns: dict[str, ColumnProfile], encoding: str) -> None:
    """What the values of columns with a family look like; into ``columns``."""
    looks = {}
    for column in looked_at(table):
        option = chosen.column(table.name, column.name)
        profile = columns[column.name]
        if option.exclude or option.type or not profile.values:
            continue
        look = types.former(column, chosen)
        if look is None:
            continue
        if types.family(column) == types.BOOLEAN and profile.only("integer") and {profile.low, profile.high} <= {0, 1}:
            columns[column.name] = replace(profile, forms={types.FITS: profile.values})
            continue
        looks[column.name] = look
    if not looks:
        return
    counts: dict[str, Counter] = {name: Counter() for name in looks}
    first: dict[str, dict[str, list[str]]] = {name: {} for name in looks}
    _each(db, table, looks, columns, encoding, counts, first)
    for name in looks:
        counts[name].pop("", None)
        kept = {form: tuple(ids) for form, ids in first[name].items()}
        columns[name] = replace(columns[name], forms=dict(counts[name]), first={**columns[name].first, **kept})


def _each(
    db: Source,
    table: SourceTable,
    rules: Mapping[str, Callable[[Any], str]],
    columns: Mapping[str, ColumnProfile],
    encoding: str,
    counts: Mapping[str, Counter],
    first: Mapping[str, dict[str, list[str]]],
) -> None:
    """Put each value through its column's rule, in one pass; what the rule says is counted, with the first rows."""
    names = list(rules)
    raw = [bool(columns[name].invalid) for name in names]
    cells = []
    for name, bad in zip(names, raw, strict=True):
        cell = quoted(name)
        # Text that is not UTF-8 could not be fetched as text.
        cells.append(f"CASE typeof({cell}) WHEN 'text' THEN CAST({cell} AS BLOB) ELSE {cell} END" if bad else cell)
        if bad:
            cells.append(f"typeof({cell}) = 'text'")
    caches: list[dict[Any, str]] = [{} for _name in names]
    work = list(zip(names, raw, (rules[name] for name in names), caches, strict=True))
    for row in db.query(f"SELECT {identity(table)}, {', '.join(cells)} FROM {quoted(table.name)}"):
        at = 1
        for name, bad, rule, cache in work:
            value = row[at]
            at += 1
            if bad:
                value = as_text(value, encoding) if row[at] else value
                at += 1
            if value is None:
                continue
            if type(value) is str:
                said = cache.get(value)
                if said is None:
                    said = rule(value)
                    if len(cache) < _CACHE and len(value) < 64:
                        cache[value] = said
            else:
                said = rule(value)
            counts[name][said] += 1
            if said:
                kept = first[name].setdefault(said, [])
                if len(kept) < FIRST:
                    kept.append(str(row[0]))


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
            count, rowids = found.get(number, (0, []))
            if len(rowids) < FIRST:
                rowids.append("?" if rowid is None else str(rowid))
            found[number] = (count + 1, rowids)
    except db.errors:
        # "foreign key mismatch": the parent's columns are no key. The plan tells it.
        return {}
    return {number: (count, tuple(rowids)) for number, (count, rowids) in found.items()}


# --- what does not fit


def _rule(made: types.Decision, labels: tuple[str, ...]) -> Callable[[Any], str]:
    accept = checks.acceptor(made.encoder, made.pg_type)
    if labels:
        allowed = set(labels)
        plain_rule = accept
        accept = lambda value: (  # noqa: E731
            plain_rule(value) or ("" if value is None or value in allowed else "it is no label of the enum")
        )
    if not made.conversion:
        return accept
    try:
        convert = chain(made.conversion, made.encoder, scale_of(made.pg_type))
    except ValueError as problem:
        fault = str(problem)
        return lambda _value: fault

    def rule(value: Any) -> str:
        try:
            new = convert(value)
        except ValueError as problem:
            return str(problem)
        return accept(new) or ("" if type(new) is type(value) and new == value else CHANGED)

    return rule


#: What a rule says of a value that its conversion changes, and that fits then.
CHANGED = "changed"


def _tally(
    db: Source,
    table: SourceTable,
    rules: Mapping[str, Callable[[Any], str]],
    profile: TableProfile,
    encoding: str,
) -> dict[str, tuple[tuple[Misfit, ...], int]]:
    counts: dict[str, Counter] = {name: Counter() for name in rules}
    first: dict[str, dict[str, list[str]]] = {name: {} for name in rules}
    _each(db, table, rules, profile.columns, encoding, counts, first)
    out = {}
    for name in rules:
        changed = counts[name].pop(CHANGED, 0)
        bad = tuple(
            Misfit(reason, count, tuple(first[name][reason])) for reason, count in counts[name].items() if reason
        )
        out[name] = (bad, changed)
    return out


def _by_class(
    db: Source, table: SourceTable, column: SourceColumn, made: types.Decision, profile: ColumnProfile
) -> tuple[Misfit, ...] | None:
    """What does not fit a plain type, from the counts alone; None when the values must be looked at."""
    takes = {"int8": ("integer",), "float8": ("integer", "real"), "text": ("text",), "bytea": ("blob",)}
    if made.encoder not in takes or made.conversion or made.pg_type not in (
        "bigint", "double precision", "text", "citext", "bytea"
    ) or _empty_matters(made, profile):  # fmt: skip
        return None
    wanted = {"int8": "an integer", "float8": "a number", "text": "text", "bytea": "a blob"}[made.encoder]
    out = []
    for name in ("integer", "real", "text", "blob"):
        count = profile.count(name)
        if count and name not in takes[made.encoder]:
            rowids = profile.first.get(name) or _rowids(db, table, where(column, name))
            out.append(Misfit(f"{name} where {wanted} is wanted", count, rowids))
    if made.encoder == "text" and profile.nul:
        out.append(Misfit(checks.NUL, profile.nul, profile.first.get("nul", ())))
    if made.encoder == "text" and profile.invalid:
        out.append(Misfit(checks.NOT_UTF8, profile.invalid, profile.first.get("not_utf8", ())))
    if made.encoder == "float8" and profile.count("integer"):
        beyond = db.value(f"SELECT count(*) FROM {quoted(table.name)} WHERE {where(column, 'big')}")
        if beyond:
            reason = "an integer beyond 2^53 loses digits"
            out.append(Misfit(reason, beyond, _rowids(db, table, where(column, "big"))))
    return tuple(out)


def _empty_matters(made: types.Decision, profile: ColumnProfile) -> bool:
    """Text among numbers: whether it is just '' makes another remedy, so the values are looked at."""
    return made.encoder in ("int8", "float8") and bool(profile.count("text"))
