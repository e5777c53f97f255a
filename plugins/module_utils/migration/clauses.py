# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the text of CREATE TABLE and CREATE INDEX tells, and no PRAGMA: checks, generated columns, collations,
deferrable keys, AUTOINCREMENT, conflict clauses, expressions and predicates of indexes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .tokens import QUOTED, STRING, WORD, Token, closing, split, text_of, tokens

_TABLE = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")
_COLUMN = (*_TABLE[:4], "NOT", "NULL", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS")


@dataclass
class Clauses:
    """Of a CREATE TABLE. Names of columns are in small letters, expressions SQL as it stands.

    :param checks: (name or "", expression), :param generated: column → expression
    :param collations: column → name in capitals
    :param names: (what, columns) → name of the constraint: what is "primary key", "unique" or "foreign key"
    :param deferred: columns of foreign keys that are INITIALLY DEFERRED
    :param conflicts: ON CONFLICT clauses
    """

    checks: list[tuple[str, str]] = field(default_factory=list)
    generated: dict[str, str] = field(default_factory=dict)
    collations: dict[str, str] = field(default_factory=dict)
    names: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)
    deferred: set[tuple[str, ...]] = field(default_factory=set)
    conflicts: list[str] = field(default_factory=list)
    autoincrement: bool = False


def of_table(sql: str) -> Clauses:
    """The clauses of a CREATE TABLE. :raises ValueError: when it cannot be read"""
    items = tokens(sql)
    found = Clauses()
    opening = next((index for index, one in enumerate(items) if one.upper == "("), None)
    if opening is None:
        return found
    for part in split(items[opening + 1 : closing(items, opening)]):
        if not part:
            continue
        if part[0].kind == WORD and part[0].upper in _TABLE:
            _clauses(sql, part, None, found)
        else:
            at = 1
            while at < len(part) and not (part[at].kind == WORD and part[at].upper in _COLUMN):
                at = closing(part, at) + 1 if part[at].upper == "(" else at + 1
            _clauses(sql, part[at:], part[0].value.lower(), found)
    return found


def _clauses(sql: str, part: Sequence[Token], column: str | None, found: Clauses) -> None:
    at, name = 0, ""
    key: tuple[str, ...] = (column,) if column else ()
    while at < len(part):
        word = part[at].upper
        if word == "CONSTRAINT":
            name, at = part[at + 1].value, at + 2
            continue
        if word == "CHECK":
            end = closing(part, at + 1)
            found.checks.append((name, text_of(sql, part[at + 2 : end])))
            name, at = "", end + 1
            continue
        if word == "AS" and column:
            end = closing(part, at + 1)
            found.generated[column] = text_of(sql, part[at + 2 : end])
            at = end + 1
            continue
        if word == "COLLATE" and column:
            found.collations[column] = part[at + 1].value.upper()
            at += 2
            continue
        if word == "DEFAULT":
            # A default in parentheses may hold any of these words.
            at = closing(part, at + 1) + 1 if part[at + 1].upper == "(" else at + 2
            continue
        if word in ("PRIMARY", "UNIQUE", "FOREIGN", "REFERENCES"):
            what = {"PRIMARY": "primary key", "UNIQUE": "unique"}.get(word, "foreign key")
            opening = next((i for i in range(at, len(part)) if part[i].upper == "("), None)
            if column is None and opening is not None:
                end = closing(part, opening)
                key = tuple(one[0].value.lower() for one in split(part[opening + 1 : end]) if one)
                at = end
            if name:
                found.names[(what, key)] = name
            name = ""
        elif word == "AUTOINCREMENT":
            found.autoincrement = True
        elif word == "DEFERRED" and part[at - 1].upper == "INITIALLY":
            found.deferred.add(key)
        elif word == "CONFLICT" and part[at - 1].upper == "ON" and at + 1 < len(part):
            found.conflicts.append(f"{', '.join(key)} ON CONFLICT {part[at + 1].upper}")
        at += 1


@dataclass(frozen=True)
class IndexClauses:
    """Of a CREATE INDEX: SQL of its terms, without ASC, DESC and COLLATE, and of its predicate ("" without one)."""

    terms: tuple[str, ...] = ()
    where: str = ""


def of_index(sql: str) -> IndexClauses:
    """The clauses of a CREATE INDEX. :raises ValueError: when it cannot be read"""
    items = tokens(sql)
    on = next(index for index, one in enumerate(items) if one.kind == WORD and one.upper == "ON")
    opening = on + 2
    while items[opening].upper != "(":
        opening += 1
    end = closing(items, opening)
    terms = []
    for part in split(items[opening + 1 : end]):
        stop = len(part)
        while stop > 1 and part[stop - 1].upper in ("ASC", "DESC"):
            stop -= 1
        if stop > 2 and part[stop - 2].upper == "COLLATE" and part[stop - 1].kind in (WORD, QUOTED, STRING):
            stop -= 2
        terms.append(text_of(sql, part[:stop]))
    rest = items[end + 1 :]
    where = text_of(sql, rest[1:]) if rest and rest[0].upper == "WHERE" else ""
    return IndexClauses(tuple(terms), where)
