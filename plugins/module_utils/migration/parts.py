# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of expressions: names, kinds, and what stands for them in PostgreSQL's SQL. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

INT, FLOAT, TEXT, BOOL, NULL, OTHER = "int", "float", "text", "bool", "null", "other"
NUMBERS = (INT, FLOAT)


class Untranslatable(ValueError):
    """Why an expression has no translation, one line."""


@dataclass(frozen=True)
class Name:
    """A column as expressions see it. ``kind``: one of the constants; OTHER only bears NULL tests.

    :param nocase: compares without regard to the case of ASCII letters
    :param sql: how it is written, "" for its quoted name
    """

    target: str
    kind: str
    pg_type: str = ""
    nocase: bool = False
    not_null: bool = False
    sql: str = ""


@dataclass(frozen=True)
class Part:
    """A translated part. ``value``: of a literal, as text; None of all else. ``explicit``: it says COLLATE itself."""

    sql: str
    kind: str
    value: str | None = None
    nocase: bool = False
    column: Name | None = None
    explicit: bool = False


def literal(text: str) -> str:
    """A string for PostgreSQL (standard_conforming_strings is on), also where ``{schema}`` is filled in later."""
    made = "'" + text.replace("'", "''") + "'"
    return "(" + made.replace("{schema}", "{' || 'schema}") + ")" if "{schema}" in made else made


def quoted(name: str) -> str:
    """An identifier for PostgreSQL, also where ``{schema}`` is filled in later."""
    made = '"' + name.replace('"', '""') + '"'
    if "{schema}" in made:
        return "U&" + made.replace("\\", "\\\\").replace("{schema}", "{\\0073chema}")
    return made


def spelled(part: Part) -> str:
    """A part as text, where both spell it alike. :raises Untranslatable: otherwise"""
    if part.kind == TEXT:
        return part.sql
    if part.kind == INT:
        return f"({part.sql})::text"
    raise Untranslatable(f"{part.kind} as text is spelled in another way by PostgreSQL")


def common(kinds: list[str]) -> str:
    """The kind of what may be of each of these kinds. :raises Untranslatable: when there is none"""
    found = {one for one in kinds if one != NULL}
    if len(found) == 1:
        return found.pop()
    if found and found <= set(NUMBERS):
        return FLOAT
    raise Untranslatable("values of several kinds")


def glob(pattern: str) -> str:
    """A pattern of GLOB as a regular expression of PostgreSQL. :raises Untranslatable: when a bracket is not closed"""
    out, at = ["^"], 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            out.append(".*")
        elif char == "?":
            out.append(".")
        elif char == "[":
            inverse = pattern[at : at + 1] == "^"
            at += inverse
            end = pattern.find("]", at + 1)
            if end < 0:
                raise Untranslatable("a GLOB with an open bracket")
            inside = re.sub(r"([\\\[\]^])", r"\\\1", pattern[at:end])
            out.append(f"[{'^' if inverse else ''}{inside}]")
            at = end + 1
        else:
            out.append(re.sub(r"([.\\+*?\[\](){}^$|])", r"\\\1", char))
    return "".join([*out, "$"])
