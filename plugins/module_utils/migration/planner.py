# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was seen of a source to the plan of its migration. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from . import constraints, types
from .checks import RANGES
from .constraints import Made, relation
from .defaults import default
from .expressions import parse
from .names import LONGEST, MOST_COLUMNS, Names, column_names
from .options import Options, unused
from .parts import NULL, Untranslatable, quoted
from .plan import Column, Plan, Source, Statement, Table, Untranslated, Violation
from .profile import ColumnProfile
from .remedies import remedies
from .schema import TABLE, VIRTUAL, SourceColumn, SourceTable
from .survey import Misfit, Survey
from .views import view

#: For the estimate: rows and bytes a second that are loaded, checked and indexed on two cores.
ROWS_S, BYTES_S, INDEX_ROWS_S = 600_000, 80_000_000, 1_500_000
#: Bytes that PostgreSQL adds to a row (its head, padding), and what is wanted on top of tables and indexes.
ROW_HEAD, ROOM = 28, 1.3
SEQUENCE_END = 2**63 - 1


class Impossible(ValueError):
    """No plan can be made: the message has all reasons, one line each."""


@dataclass(frozen=True)
class Input:
    """One source file: where it is, and what was seen of it."""

    path: str
    size: int
    library: str
    survey: Survey


def plan(inputs: Sequence[Input], chosen: Options, mode: str = "create") -> Plan:
    """The plan of a migration into tables that are made for it.

    :param mode: ``existing`` for an application's own tables: then the types in ``chosen`` are theirs (see
        :mod:`existing`), and nothing is made
    :raises Impossible: when settings name what is not there, or PostgreSQL cannot have it
    """
    known = [(t.name, c.name) for one in inputs for t in one.survey.schema.tables for c in (*t.columns, _NO_COLUMN)]
    faults = unused(chosen, known)
    tables: dict[str, Made] = {}
    places: dict[str, int] = {}
    given = Names()
    warnings: list[str] = []
    for number, one in enumerate(inputs):
        for table in one.survey.schema.tables:
            if table.name not in one.survey.profiles:
                continue
            key = table.name.lower()
            if key in tables:
                faults.append(
                    f"table {table.name} is in {inputs[places[key]].path} and in {one.path}: exclude it in one of them"
                )
                continue
            wished = chosen.tables.get(key, "")
            target = given.give(wished or table.name)
            if target != (wished or table.name):
                warnings.append(f"table {table.name} is named {target}: PostgreSQL's names have {LONGEST} bytes")
            try:
                tables[key] = _columns(table, target, one.survey, chosen, mode)
            except ValueError as problem:
                faults.append(f"table {table.name}: {problem}")
            places[key] = number
    if faults:
        raise Impossible("\n".join(faults))
    if mode == "create":
        for made in tables.values():
            constraints.primary_key(made, given)
            constraints.indexes(made, given)
            constraints.checks(made, given)
        for made in tables.values():
            constraints.foreign_keys(made, tables, Names(), chosen.foreign_keys == "unvalidated")
    views = _views(inputs, tables, given) if mode == "create" else ((), {})
    finished = tuple(_table(made, places[key], chosen, mode) for key, made in tables.items())
    warnings += [text for made in tables.values() for text in made.warnings]
    return Plan(
        tuple(_source(one) for one in inputs),
        finished,
        chosen.schema,
        chosen.staging,
        mode,
        views[0],
        tuple(lost for one in inputs for lost in _left(one.survey, chosen, views[1])),
        tuple(dict.fromkeys(warnings)),
        {"on_violation": chosen.on_violation, "nocase": chosen.nocase, "foreign_keys": chosen.foreign_keys},
        estimate(finished),
    )


_NO_COLUMN = SourceColumn("", "")


def _source(one: Input) -> Source:
    schema = one.survey.schema
    return Source(
        one.path, schema.journal_mode, schema.encoding, schema.page_size, one.size, schema.digest, one.library
    )


def _views(
    inputs: Sequence[Input], tables: Mapping[str, Made], given: Names
) -> tuple[tuple[Statement, ...], dict[str, str]]:
    """Views that translate, and name → reason of those that do not."""
    made, lost = [], {}
    for one in inputs:
        for name, sql in one.survey.schema.views:
            try:
                made.append(view(name, sql, tables, given))
            except Untranslatable as problem:
                lost[name] = str(problem)
    return tuple(made), lost


def _left(survey: Survey, chosen: Options, lost: Mapping[str, str]) -> list[Untranslated]:
    """What of a source is not migrated at all."""
    out = []
    for table in survey.schema.tables:
        if table.kind == VIRTUAL:
            why = "a virtual table: its index is PostgreSQL's own matter (full text: tsvector and GIN)"
            out.append(Untranslated("virtual table", table.name, table.sql, why))
        elif table.kind != TABLE:
            out.append(Untranslated("shadow table", table.name, table.sql, "it belongs to a virtual table"))
        elif not chosen.wants(table.name):
            out.append(Untranslated("table", table.name, table.sql, "left out by include and exclude"))
    out += [Untranslated("view", name, sql, lost[name]) for name, sql in survey.schema.views if name in lost]
    why = "triggers are not translated: make a function and a trigger in PostgreSQL"
    out += [Untranslated("trigger", name, sql, why) for name, sql in survey.schema.triggers]
    return out


# --- columns


def _columns(table: SourceTable, target: str, survey: Survey, chosen: Options, mode: str) -> Made:
    profile = survey.profiles[table.name]
    wanted = [one for one in table.columns if not chosen.column(table.name, one.name).exclude]
    if not wanted:
        raise ValueError("no column of it is left")
    if len(wanted) > MOST_COLUMNS:
        raise ValueError(f"it has {len(wanted)} columns, PostgreSQL's tables have up to {MOST_COLUMNS}: exclude some")
    wished = {one.name: chosen.column(table.name, one.name).name for one in wanted}
    targets = column_names([one.name for one in wanted], {name: new for name, new in wished.items() if new})
    made = Made(table, target, {}, profile, chosen.nocase)
    if table.unreadable:
        made.lost("table", table.name, table.sql, f"its clauses could not be read ({table.unreadable})")
    for text in table.conflicts:
        made.lost("conflict clause", table.name, text, "PostgreSQL says ON CONFLICT in each INSERT")
    for column in wanted:
        if targets[column.name] != (wished[column.name] or column.name):
            made.warnings.append(f"{table.name}.{column.name} is named {targets[column.name]}: PostgreSQL cannot "
                                 "have that name")  # fmt: skip
        made.columns[column.name] = _column(column, targets[column.name], made, survey, chosen, mode)
    if mode == "create":
        _generated(made)
    for column in table.columns:
        if column not in wanted:
            made.lost("column", f"{table.name}.{column.name}", column.declared, "left out by the settings")
    return made


def _column(column: SourceColumn, target: str, made: Made, survey: Survey, chosen: Options, mode: str) -> Column:
    table, option = made.source, chosen.column(made.source.name, column.name)
    profile: ColumnProfile = made.profile.columns[column.name]
    decision = types.decide(column, profile, option, chosen)
    where = f"{table.name}.{column.name}"
    if decision.warning:
        made.warnings.append(f"{where}: {decision.warning}")
    pg_type, encoder = decision.pg_type, decision.encoder
    if column.collation == "NOCASE" and chosen.nocase == "citext" and pg_type == "text" and mode == "create":
        pg_type = "citext"
    if column.collation not in ("", "NOCASE", "BINARY"):
        made.lost("collation", where, f"COLLATE {column.collation}", "PostgreSQL compares the text as it is")
    elif column.collation == "NOCASE" and chosen.nocase == "plain":
        made.lost("collation", where, "COLLATE NOCASE", "nocase: plain drops it")
    key = column.name in table.key
    not_null = column.not_null or (key and column.name == table.alias)
    violations = [_violation(misfit, decision, where, mode == "existing") for misfit in
                  survey.misfits.get((table.name, column.name), ())]  # fmt: skip
    nulls = profile.count("null")
    if mode == "existing":
        key, not_null = False, option.not_null
    if nulls and (key or not_null):
        what = "a primary key" if key else "a NOT NULL column"
        violations.append(Violation(
            f"NULL in {what}, which SQLite let in", nulls, profile.first.get("null", ()),
            ("give these rows a value in SQLite", "on_violation: quarantine"),
        ))  # fmt: skip
    violations += _orphans(column, made, chosen)
    made_default = ""
    if mode == "create" and not column.generated:
        try:
            made_default = default(column.default, column.declared, pg_type, encoder, decision.conversion)
        except Untranslatable as problem:
            made.lost("default", where, f"DEFAULT {column.default}", str(problem))
    return Column(
        column.name, target, column.declared, pg_type, encoder, decision.conversion, not_null or key, "",
        made_default, column.collation, decision.why, profile.seen(),
        survey.changed.get((table.name, column.name), 0), tuple(violations),
    )  # fmt: skip


def _violation(misfit: Misfit, decision: types.Decision, where: str, existing: bool) -> Violation:
    return Violation(misfit.reason, misfit.count, misfit.rowids, remedies(misfit.reason, where, decision, existing))


def _orphans(column: SourceColumn, made: Made, chosen: Options) -> list[Violation]:
    if chosen.foreign_keys != "fail":
        return []
    out = []
    for key in made.source.foreign_keys:
        count, rowids = made.profile.orphans.get(key.number, (0, ()))
        if count and key.columns[0].lower() == column.name.lower():
            to = f"{key.table}({', '.join(key.to)})" if key.to else key.table
            out.append(Violation(
                f"foreign key: no such row in {to}", count, rowids,
                ("correct these rows in SQLite", "foreign_keys: unvalidated (the key holds for new rows only)"),
            ))  # fmt: skip
    return out


def _generated(made: Made) -> None:
    """Generated columns: as such where the expression translates, otherwise as plain columns with their values."""
    plain = {name: one for name, one in made.names().items()
             if not (made.source.column(name) or _NO_COLUMN).generated}  # fmt: skip
    for source in made.source.columns:
        column = made.columns.get(source.name)
        if column is None or not source.generated:
            continue
        try:
            part = parse(source.generated, plain)
            if part.kind == NULL:
                raise Untranslatable("an expression without a type")
        except Untranslatable as problem:
            why = f"{problem}; the values are loaded into a plain column"
            made.lost("generated column", f"{made.source.name}.{source.name}", source.generated, why)
            continue
        natural = {"int": ("bigint", "int8"), "float": ("double precision", "float8"), "text": ("text", "text"),
                   "bool": ("boolean", "bool")}[part.kind]  # fmt: skip
        pg_type, encoder = (column.pg_type, column.encoder) if _casts(part.kind, column.encoder) else natural
        if part.kind == "bool" and encoder != "bool":
            pg_type, encoder = natural
        made.columns[source.name] = replace(
            column, pg_type=pg_type, encoder=encoder, generated=part.sql, default="", violations=(),
            why="generated by PostgreSQL, and stored",
        )  # fmt: skip


def _casts(kind: str, encoder: str) -> bool:
    return encoder in {"int": ("int8", "numeric", "float8"), "float": ("float8", "numeric"), "text": ("text",),
                       "bool": ("bool",)}[kind]  # fmt: skip


# --- tables


def _table(made: Made, number: int, chosen: Options, mode: str) -> Table:
    source, profile = made.source, made.profile
    order = [made.columns[one.name] for one in source.columns if one.name in made.columns]
    identity = source.alias if source.alias in made.columns and made.columns[source.alias].encoder in RANGES else ""
    create = _create(made, order, identity) if mode == "create" else ""
    sequence = None
    if mode == "existing":
        # Serial or identity, whatever SQLite made of it.
        numbered = [one.name for one in order if chosen.column(source.name, one.name).sequence]
        identity = source.alias if source.alias in numbered else (numbered or [""])[0]
    if identity:
        high = profile.columns[identity].high or 0
        highest = max(high, (source.sequence or 0) if identity == source.alias else 0, 0)
        sequence = (made.columns[identity].target, min(highest + 1, SEQUENCE_END))
    before: tuple[Statement, ...] = ()
    if any(one.pg_type == "citext" for one in order) and mode == "create":
        before = (Statement("extension", "citext", "CREATE EXTENSION IF NOT EXISTS citext"),)
    has_rowid = bool(source.rowid)
    return Table(
        source.name, made.target, number, tuple(order), profile.rows, source.key, source.rowid,
        profile.first if has_rowid else None, profile.last if has_rowid else None, create, before,
        tuple(made.after), tuple(made.links), sequence, profile.bytes, tuple(made.untranslated),
    )  # fmt: skip


def _create(made: Made, order: Sequence[Column], identity: str) -> str:
    lines = []
    for column in order:
        line = f"{quoted(column.target)} {column.pg_type}"
        if column.generated:
            line += f" GENERATED ALWAYS AS ({column.generated}) STORED"
        elif column.name == identity:
            line += " GENERATED BY DEFAULT AS IDENTITY"
        elif column.default:
            line += f" DEFAULT {column.default}"
        lines.append(line + (" NOT NULL" if column.not_null else ""))
    body = ",\n    ".join(lines)
    return f"CREATE TABLE {relation(made.target)} (\n    {body}\n)"


# --- estimate


def estimate(tables: Sequence[Table]) -> Mapping[str, float]:
    """Seconds and bytes of a migration, by a rule of thumb: ``seconds``, ``bytes`` on the server, ``rows``."""
    rows = sum(one.rows for one in tables)
    size = sum(one.bytes + one.rows * ROW_HEAD for one in tables)
    keys = sum(one.rows * sum(1 for s in one.after if s.what in ("primary key", "unique", "index")) for one in tables)
    seconds = max(rows / ROWS_S, size / BYTES_S) + keys / INDEX_ROWS_S
    return {"rows": rows, "seconds": round(seconds, 1), "bytes": int((size + keys * 40) * ROOM)}


def violations(made: Plan) -> list[tuple[str, Violation]]:
    """All that would not fit: ("table.column", violation)."""
    return [
        (f"{table.name}.{column.name}", one)
        for table in made.tables for column in table.columns for one in column.violations
    ]  # fmt: skip


def stopping(made: Plan, on_violation: str) -> list[tuple[str, Violation]]:
    """Those that keep the migration from beginning: all, or what no quarantine helps against."""
    return [
        (where, one) for where, one in violations(made)
        if on_violation == "fail" or "on_violation: quarantine" not in one.remedies
    ]  # fmt: skip
