# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, unique and foreign keys, CHECKs and indexes of a table as statements for PostgreSQL. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .expressions import parse, translate
from .names import Names
from .parts import BOOL, FLOAT, INT, OTHER, TEXT, Name, Part, Untranslatable, quoted
from .plan import Column, Statement, Untranslated
from .profile import TableProfile
from .schema import ForeignKey, SourceIndex, SourceTable, Term

#: Bytes of a B-tree's entry (a third of a page, less its head); text of so many characters may be longer.
INDEX_ROW = 2700
_KINDS = {"int2": INT, "int4": INT, "int8": INT, "float4": FLOAT, "float8": FLOAT, "numeric": FLOAT,
          "text": TEXT, "varchar": TEXT, "bool": BOOL}  # fmt: skip


def relation(name: str) -> str:
    """A table in a :class:`Statement`: the engine fills in the schema."""
    return "{schema}." + quoted(name)


@dataclass
class Made:
    """A table while its plan is made: what is known of it, and what has come out so far."""

    source: SourceTable
    target: str
    columns: dict[str, Column]
    profile: TableProfile
    nocase: str
    after: list[Statement] = field(default_factory=list)
    links: list[Statement] = field(default_factory=list)
    untranslated: list[Untranslated] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    #: Columns (in small letters) of what PostgreSQL can refer to with a foreign key.
    unique: set[frozenset[str]] = field(default_factory=set)

    def names(self) -> dict[str, Name]:
        """The columns as expressions see them."""
        out = {}
        for source in self.source.columns:
            column = self.columns.get(source.name)
            if column is None:
                continue
            nocase = source.collation == "NOCASE" and column.pg_type != "citext"
            kind = _KINDS.get(column.encoder, OTHER)
            # A column whose values a conversion changes: an expression would speak of what is no more.
            if column.conversion and kind not in (BOOL,):
                kind = OTHER
            if column.pg_type == "citext":
                kind = OTHER
            out[source.name.lower()] = Name(column.target, kind, column.pg_type, nocase, column.not_null)
        return out

    def target_of(self, column: str) -> str | None:
        """PostgreSQL's name of a column, by SQLite's in any case; None of one that is left out."""
        return next((one.target for name, one in self.columns.items() if name.lower() == column.lower()), None)

    def lost(self, what: str, name: str, sql: str, why: str) -> None:
        """List something that has no translation."""
        self.untranslated.append(Untranslated(what, name, sql, why))


def primary_key(made: Made, given: Names) -> None:
    """The primary key, where there is one."""
    key = made.source.key
    if not key:
        return
    targets = [made.target_of(name) for name in key]
    if None in targets:
        made.lost("primary key", made.source.name, f"PRIMARY KEY ({', '.join(key)})", "one of its columns is left out")
        return
    if any(made.columns[name].pg_type == "json" for name in key):
        why = "json cannot be a key; text and jsonb can (columns: …: {type: text})"
        made.lost("primary key", made.source.name, f"PRIMARY KEY ({', '.join(key)})", why)
        return
    index = next((one for one in made.source.indexes if one.origin == "pk"), None)
    if index:
        _check_length(made, index)
    if index and any(_nocase(term) for term in index.terms) and made.nocase == "lower":
        _unique_index(made, given, index, f"{made.target}_key")
        made.lost(
            "primary key", made.source.name, f"PRIMARY KEY ({', '.join(key)})",
            "its collation is NOCASE: a unique index over lower() is made, and no primary key (or set nocase: citext)",
        )  # fmt: skip
        return
    name = given.give(made.source.key_name or f"{made.target}_pkey")
    columns = ", ".join(quoted(str(one)) for one in targets)
    _key(made, "primary key", name, columns)
    made.unique.add(frozenset(one.lower() for one in key))


def _key(made: Made, what: str, name: str, columns: str) -> None:
    """A constraint of an index that is built first: beside others, which ALTER TABLE does not let happen."""
    table, quoted_name = relation(made.target), quoted(name)
    made.after.append(Statement(what, name, f"CREATE UNIQUE INDEX {quoted_name} ON {table} ({columns})"))
    sql = f"ALTER TABLE {table} ADD CONSTRAINT {quoted_name} {what.upper()} USING INDEX {quoted_name}"
    made.after.append(Statement("constraint", name, sql))


def _nocase(term: Term) -> bool:
    return term.collation.upper() == "NOCASE"


def indexes(made: Made, given: Names) -> None:
    """UNIQUE constraints and indexes, in their order."""
    for index in sorted(made.source.indexes, key=lambda one: (one.origin != "u", one.name)):
        if index.origin == "pk":
            continue
        shown = index.sql or f"UNIQUE ({', '.join(term.column for term in index.terms)})"
        what = "unique" if index.origin == "u" else "index"
        name = index.name if index.origin == "c" else index.constraint
        try:
            _index(made, given, index, name)
        except Untranslatable as problem:
            made.lost(what, name or made.source.name, shown, str(problem))


def _index(made: Made, given: Names, index: SourceIndex, name: str) -> None:
    plain = all(term.column and not _nocase(term) for term in index.terms) and not index.where
    if index.origin == "u" and plain:
        columns = [_column(made, term) for term in index.terms]
        _check_length(made, index)
        chosen = given.give(name or f"{made.target}_{'_'.join(term.column for term in index.terms)}_key")
        _key(made, "unique", chosen, ", ".join(columns))
        made.unique.add(frozenset(term.column.lower() for term in index.terms))
        return
    _unique_index(made, given, index, name or f"{made.target}_key")


def _unique_index(made: Made, given: Names, index: SourceIndex, name: str) -> None:
    _check_length(made, index)
    terms = [_term(made, term) for term in index.terms]
    where = f" WHERE {translate(index.where, made.names(), True)}" if index.where else ""
    chosen = given.give(name)
    unique = "UNIQUE " if index.unique else ""
    sql = f"CREATE {unique}INDEX {quoted(chosen)} ON {relation(made.target)} ({', '.join(terms)}){where}"
    made.after.append(Statement("index", chosen, sql))
    if index.unique and not where and all(term.column and not _nocase(term) for term in index.terms):
        made.unique.add(frozenset(term.column.lower() for term in index.terms))


def _column(made: Made, term: Term) -> str:
    if term.column == "rowid" and made.source.column("rowid") is None:
        raise Untranslatable("it is over the rowid, which is no column here")
    target = made.target_of(term.column)
    if target is None:
        raise Untranslatable(f"its column {term.column} is left out")
    column = next(one for one in made.columns.values() if one.target == target)
    if column.pg_type == "json":
        raise Untranslatable("json cannot be indexed; jsonb can (columns: …: {type: jsonb})")
    return quoted(target)


def _term(made: Made, term: Term) -> str:
    if term.collation.upper() not in ("BINARY", "NOCASE"):
        raise Untranslatable(f"the collation {term.collation}")
    order = " DESC" if term.descending else ""
    if term.column:
        name = _column(made, term)
        column = next(one for one in made.columns.values() if quoted(one.target) == name)
        if _nocase(term) and made.nocase == "lower" and column.encoder in ("text", "varchar"):
            return f'lower({name} COLLATE "C"){order}'
        return f"{name}{order}"
    part: Part = parse(term.expression, made.names())
    sql = f'lower({part.sql} COLLATE "C")' if _nocase(term) and part.kind == TEXT else part.sql
    return f"({sql}){order}"


def _check_length(made: Made, index: SourceIndex) -> None:
    for term in index.terms:
        profile = made.profile.columns.get(term.column)
        if profile is None or profile.longest <= INDEX_ROW:
            continue
        said = f"{term.column} has values of {profile.longest} bytes or more, and PostgreSQL indexes up to {INDEX_ROW}"
        if not index.unique:
            raise Untranslatable(said)
        made.warnings.append(f"{made.source.name}: {index.name}: {said}: making this unique index may fail")


def checks(made: Made, given: Names) -> None:
    """CHECK constraints."""
    for number, (name, sql) in enumerate(made.source.checks, 1):
        try:
            condition = translate(sql, made.names(), True)
        except Untranslatable as problem:
            made.lost("check", name or f"check {number}", f"CHECK ({sql})", str(problem))
            continue
        chosen = given.give(name or f"{made.target}_check{number}")
        text = f"ALTER TABLE {relation(made.target)} ADD CONSTRAINT {quoted(chosen)} CHECK ({condition})"
        made.after.append(Statement("check", chosen, text))


_FAMILY = {"int2": "number", "int4": "number", "int8": "number", "numeric": "number", "float4": "number",
           "float8": "number", "text": "text", "varchar": "text"}  # fmt: skip


def foreign_keys(made: Made, tables: Mapping[str, Made], given: Names, unvalidated: bool = False) -> None:
    """Foreign keys, NOT VALID first and then validated. ``tables``: by name in small letters.

    :param unvalidated: one with rows that have no parent holds for new rows only; otherwise it must hold
    """
    for key in made.source.foreign_keys:
        sql = f"FOREIGN KEY ({', '.join(key.columns)}) REFERENCES {key.table}({', '.join(key.to)})"
        try:
            name, text = _foreign_key(made, tables.get(key.table.lower()), key, given)
        except Untranslatable as problem:
            made.lost("foreign key", key.name or f"{made.source.name} to {key.table}", sql, str(problem))
            continue
        made.links.append(Statement("foreign key", name, text))
        if not unvalidated or key.number not in made.profile.orphans:
            valid = f"ALTER TABLE {relation(made.target)} VALIDATE CONSTRAINT {quoted(name)}"
            made.links.append(Statement("validate", name, valid))


def _foreign_key(made: Made, parent: Made | None, key: ForeignKey, given: Names) -> tuple[str, str]:
    if parent is None:
        raise Untranslatable(f"the table {key.table} is not migrated, or not there")
    to = key.to or parent.source.key
    if len(to) != len(key.columns):
        raise Untranslatable(f"{key.table} has no primary key of so many columns")
    mine = [made.target_of(name) for name in key.columns]
    theirs = [parent.target_of(name) for name in to]
    if None in mine or None in theirs:
        raise Untranslatable("one of its columns is left out, or not there")
    if frozenset(name.lower() for name in to) not in parent.unique:
        raise Untranslatable(f"{key.table}({', '.join(to)}) is no key that PostgreSQL can refer to")
    for name, other in zip(mine, theirs, strict=True):
        left = next(one for one in made.columns.values() if one.target == name)
        right = next(one for one in parent.columns.values() if one.target == other)
        if _FAMILY.get(left.encoder, left.encoder) != _FAMILY.get(right.encoder, right.encoder):
            raise Untranslatable(
                f"{left.name} becomes {left.pg_type}, {key.table}.{right.name} {right.pg_type}: give them one type"
            )
    columns = ", ".join(quoted(str(one)) for one in mine)
    targets = ", ".join(quoted(str(one)) for one in theirs)
    chosen = given.give(key.name or f"{made.target}_{'_'.join(key.columns)}_fkey")
    text = (
        f"ALTER TABLE {relation(made.target)} ADD CONSTRAINT {quoted(chosen)} FOREIGN KEY ({columns}) "
        f"REFERENCES {relation(parent.target)} ({targets})"
    )
    for when, action in (("UPDATE", key.on_update), ("DELETE", key.on_delete)):
        text += f" ON {when} {action}" if action != "NO ACTION" else ""
    text += " DEFERRABLE INITIALLY DEFERRED" if key.deferred else ""
    return chosen, f"{text} NOT VALID"
