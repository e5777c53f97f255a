# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions of SQLite in PostgreSQL's SQL: CHECKs, generated columns, terms and predicates of indexes. Pure.

Translated is only what means the same in both; see :mod:`functions`. All else raises, and is listed for the user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .functions import FUNCTIONS
from .parts import (
    BOOL,
    FLOAT,
    INT,
    NULL,
    NUMBERS,
    OTHER,
    TEXT,
    Name,
    Part,
    Untranslatable,
    common,
    glob,
    literal,
    quoted,
    spelled,
)
from .tokens import BLOB, NUMBER, QUOTED, STRING, WORD, Token, tokens


def translate(sql: str, columns: Mapping[str, Name], boolean: bool = False) -> str:
    """An expression in PostgreSQL's SQL.

    :param columns: name in small letters → column
    :param boolean: whether it is a condition: SQLite takes a number for one
    :raises Untranslatable: with the reason
    """
    part = parse(sql, columns)
    return _condition(part) if boolean else part.sql


def parse(sql: str, columns: Mapping[str, Name]) -> Part:
    """An expression, translated, with its kind. :raises Untranslatable: with the reason"""
    try:
        items = tokens(sql)
    except ValueError as problem:
        raise Untranslatable(str(problem)) from None
    parser = _Parser(items, columns)
    part = parser.expression()
    if parser.at < len(items):
        raise Untranslatable(f"{items[parser.at].text} is not translated")
    return part


def _condition(part: Part) -> str:
    if part.kind in (BOOL, NULL):
        return part.sql
    if part.kind in NUMBERS:
        return f"({part.sql} <> 0)"
    raise Untranslatable("text as a condition is a number in SQLite only")


class _Parser:
    """Precedence climbing over SQLite's grammar (lang_expr.html)."""

    def __init__(self, items: list[Token], columns: Mapping[str, Name]):
        self.items, self.columns, self.at = items, columns, 0

    # --- tokens

    def word(self, ahead: int = 0) -> str:
        """The token in capitals, "" at the end or of what is quoted."""
        index = self.at + ahead
        return self.items[index].upper if index < len(self.items) else ""

    def take(self, *words: str) -> bool:
        """Step over these words when they come next."""
        if all(self.word(index) == word for index, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def need(self, word: str) -> None:
        """Step over a word that must come."""
        if not self.take(word):
            raise Untranslatable(f"{word} is missing")

    # --- precedences, the loosest first

    def expression(self) -> Part:
        left = self.conjunction()
        while self.take("OR"):
            left = Part(f"({_condition(left)} OR {_condition(self.conjunction())})", BOOL)
        return left

    def conjunction(self) -> Part:
        left = self.negation()
        while self.take("AND"):
            left = Part(f"({_condition(left)} AND {_condition(self.negation())})", BOOL)
        return left

    def negation(self) -> Part:
        if self.take("NOT"):
            return Part(f"(NOT {_condition(self.negation())})", BOOL)
        return self.equality()

    def equality(self) -> Part:
        left = self.relation()
        while True:
            if self.take("ISNULL") or self.take("IS", "NULL"):
                left = Part(f"({left.sql} IS NULL)", BOOL)
            elif self.take("NOTNULL") or self.take("NOT", "NULL") or self.take("IS", "NOT", "NULL"):
                left = Part(f"({left.sql} IS NOT NULL)", BOOL)
            elif self.take("IS", "NOT", "DISTINCT", "FROM") or self.take("IS", "DISTINCT", "FROM"):
                positive = self.items[self.at - 3].upper == "NOT"
                left = self.compared(left, "IS NOT DISTINCT FROM" if positive else "IS DISTINCT FROM", self.relation())
            elif self.word() == "IS" and self.truth():
                inverse, value = self.word(1) == "NOT", self.truth()
                self.at += 3 if inverse else 2
                left = Part(f"({_condition(left)} IS {'NOT ' if inverse else ''}{value})", BOOL)
            elif self.take("IS", "NOT"):
                left = self.compared(left, "IS DISTINCT FROM", self.relation())
            elif self.take("IS"):
                left = self.compared(left, "IS NOT DISTINCT FROM", self.relation())
            elif self.take("=") or self.take("=="):
                left = self.compared(left, "=", self.relation())
            elif self.take("<>") or self.take("!="):
                left = self.compared(left, "<>", self.relation())
            else:
                inverse = self.word() == "NOT" and self.word(1) in ("IN", "BETWEEN", "LIKE", "GLOB")
                if inverse:
                    self.at += 1
                made = self.suffix(left)
                if made is None:
                    return left
                left = Part(f"(NOT {made.sql})", BOOL) if inverse else made

    def truth(self) -> str:
        """TRUE or FALSE, where IS or IS NOT comes before it; "" for anything else."""
        word = self.word(2 if self.word(1) == "NOT" else 1)
        return word if word in ("TRUE", "FALSE") and word.lower() not in self.columns else ""

    def suffix(self, left: Part) -> Part | None:
        if self.take("IN"):
            self.need("(")
            found = [self.compared(left, "=", self.expression()).sql]
            while self.take(","):
                found.append(self.compared(left, "=", self.expression()).sql)
            self.need(")")
            return Part(f"({' OR '.join(found)})", BOOL)
        if self.take("BETWEEN"):
            low = self.relation()
            self.need("AND")
            high = self.relation()
            return Part(f"({self.compared(left, '>=', low).sql} AND {self.compared(left, '<=', high).sql})", BOOL)
        if self.take("LIKE"):
            right = self.relation()
            if left.kind != TEXT or right.kind != TEXT:
                raise Untranslatable("LIKE on what is not text")
            escape = "''"
            if self.take("ESCAPE"):
                escape = self.relation().sql
            # SQLite's LIKE folds ASCII letters only, which is what lower() does in the C collation.
            return Part(f'(lower({left.sql} COLLATE "C") LIKE lower({right.sql} COLLATE "C") ESCAPE {escape})', BOOL)
        if self.take("GLOB"):
            right = self.relation()
            if left.kind != TEXT or right.value is None:
                raise Untranslatable("GLOB on what is not text, or with a pattern that is not fixed")
            return Part(f'({left.sql} COLLATE "C" ~ {literal(glob(right.value))})', BOOL)
        return None

    def relation(self) -> Part:
        left = self.bits()
        while self.word() in ("<", "<=", ">", ">="):
            sign = self.word()
            self.at += 1
            left = self.compared(left, sign, self.bits())
        return left

    def bits(self) -> Part:
        left = self.sum()
        while self.word() in ("&", "|", "<<", ">>"):
            sign = self.word()
            self.at += 1
            right = self.sum()
            if sign in ("<<", ">>") or left.kind != INT or right.kind != INT:
                raise Untranslatable(f"{sign} on what may not be an integer, or a shift")
            left = Part(f"({left.sql} {sign} {right.sql})", INT)
        return left

    def sum(self) -> Part:
        left = self.product()
        while self.word() in ("+", "-"):
            sign = self.word()
            self.at += 1
            left = self.arithmetic(left, sign, self.product())
        return left

    def product(self) -> Part:
        left = self.concatenation()
        while self.word() in ("*", "/", "%"):
            sign = self.word()
            self.at += 1
            left = self.arithmetic(left, sign, self.concatenation())
        return left

    def arithmetic(self, left: Part, sign: str, right: Part) -> Part:
        if left.kind not in NUMBERS or right.kind not in NUMBERS:
            raise Untranslatable(f"{sign} on what is not a number")
        if sign in ("/", "%"):
            # Division by zero is NULL in SQLite, and an error in PostgreSQL.
            if right.value is None or not float(right.value):
                raise Untranslatable(f"{sign} by what may be zero, which is NULL in SQLite and an error in PostgreSQL")
            if sign == "%" and FLOAT in (left.kind, right.kind):
                raise Untranslatable("% on floats")
        return Part(f"({left.sql} {sign} {right.sql})", FLOAT if FLOAT in (left.kind, right.kind) else INT)

    def concatenation(self) -> Part:
        left = self.collated()
        while self.word() in ("||", "->", "->>"):
            sign = self.word()
            self.at += 1
            right = self.collated()
            if sign != "||":
                raise Untranslatable(f"{sign}: SQLite's JSON values have types, PostgreSQL's are JSON or text")
            left = Part(f"({spelled(left)} || {spelled(right)})", TEXT)
        return left

    def collated(self) -> Part:
        part = self.unary()
        while self.take("COLLATE"):
            name = self.items[self.at].value.upper() if self.at < len(self.items) else ""
            self.at += 1
            if name not in ("NOCASE", "BINARY"):
                raise Untranslatable(f"the collation {name}")
            part = Part(part.sql, part.kind, part.value, name == "NOCASE", part.column, True)
        return part

    def unary(self) -> Part:
        if self.take("-") or self.take("+"):
            sign = self.items[self.at - 1].text
            part = self.unary()
            if part.kind not in NUMBERS:
                raise Untranslatable(f"{sign} before what is not a number")
            value = None if part.value is None else (f"-{part.value}" if sign == "-" else part.value)
            return Part(f"({sign}{part.sql})", part.kind, value)
        return self.primary()

    # --- what stands alone

    def primary(self) -> Part:
        if self.at >= len(self.items):
            raise Untranslatable("the expression ends too early")
        item = self.items[self.at]
        self.at += 1
        if item.upper == "(":
            part = self.expression()
            if self.word() == ",":
                raise Untranslatable("a row of values")
            self.need(")")
            return part
        if item.kind == NUMBER:
            if item.text[:2].lower() == "0x":
                return Part(str(int(item.text, 16)), INT, str(int(item.text, 16)))
            kind = INT if item.text.isdigit() and int(item.text) < 2**63 else FLOAT
            return Part(item.text if kind == INT else f"{item.text}::double precision", kind, item.text)
        if item.kind == STRING:
            return Part(literal(item.value), TEXT, item.value)
        if item.kind == BLOB:
            raise Untranslatable("a blob in an expression")
        if item.kind not in (WORD, QUOTED):
            raise Untranslatable(f"{item.text} is not translated")
        if item.upper == "CASE":
            return self.case()
        if item.upper == "CAST" and self.word() == "(":
            return self.cast()
        if self.word() == "(" and item.kind == WORD:
            return self.function(item.text.lower())
        if item.upper in ("NULL", "TRUE", "FALSE") and item.text.lower() not in self.columns:
            return Part(item.upper, NULL if item.upper == "NULL" else BOOL)
        if item.upper in ("CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "SELECT", "EXISTS", "RAISE"):
            raise Untranslatable(f"{item.upper} in an expression")
        owner = ""
        while self.take("."):
            owner, item = item.value.lower(), self.items[self.at]
            self.at += 1
        # Where several tables are spoken of, their columns stand under both names.
        column = self.columns.get(f"{owner}.{item.value.lower()}") or self.columns.get(item.value.lower())
        if column is None:
            if item.text.startswith('"'):
                # SQLite takes a quoted name that is no column for a string.
                return Part(literal(item.value), TEXT, item.value)
            raise Untranslatable(f"there is no column {item.value} to speak of")
        return Part(column.sql or quoted(column.target), column.kind, None, column.nocase, column)

    def case(self) -> Part:
        base = None if self.word() == "WHEN" else self.expression()
        out, kinds = ["CASE"], []
        while self.take("WHEN"):
            when = self.expression()
            self.need("THEN")
            then = self.expression()
            kinds.append(then.kind)
            test = self.compared(base, "=", when).sql if base else _condition(when)
            out.append(f"WHEN {test} THEN {then.sql}")
        if self.take("ELSE"):
            other = self.expression()
            kinds.append(other.kind)
            out.append(f"ELSE {other.sql}")
        self.need("END")
        return Part(f"({' '.join(out)} END)", common(kinds))

    def cast(self) -> Part:
        self.need("(")
        part = self.expression()
        self.need("AS")
        name = self.word()
        self.at += 1
        while self.word() != ")":
            raise Untranslatable("a CAST to a type with several words")
        self.at += 1
        if name in ("TEXT", "VARCHAR") and part.kind in (TEXT, INT):
            return Part(spelled(part), TEXT)
        if name in ("INTEGER", "INT", "BIGINT") and part.kind in (INT, BOOL):
            return Part(f"({part.sql})::bigint" if part.kind == INT else f"({part.sql})::integer", INT)
        if name in ("REAL", "FLOAT", "DOUBLE") and part.kind in NUMBERS:
            return Part(f"({part.sql})::double precision", FLOAT)
        raise Untranslatable(f"CAST from {part.kind} to {name}: SQLite takes what it can of any text, PostgreSQL fails")

    def function(self, name: str) -> Part:
        self.need("(")
        if self.word() == "*" or name not in FUNCTIONS:
            raise Untranslatable(f"the function {name}()")
        arguments = []
        if self.word() != ")":
            arguments.append(self.expression())
            while self.take(","):
                arguments.append(self.expression())
        self.need(")")
        made = FUNCTIONS[name](arguments)
        if made is None:
            kinds = ", ".join(one.kind for one in arguments)
            raise Untranslatable(f"the function {name}({kinds})")
        return made

    def compared(self, left: Part, sign: str, right: Part) -> Part:
        left, right = _booleans(left, right)
        if NULL in (left.kind, right.kind):
            return Part(f"({left.sql} {sign} {right.sql})", BOOL)
        if left.kind in NUMBERS and right.kind in NUMBERS:
            return Part(f"({left.sql} {sign} {right.sql})", BOOL)
        if left.kind == right.kind == BOOL:
            return Part(f"({left.sql} {sign} {right.sql})", BOOL)
        if left.kind == right.kind == TEXT:
            # SQLite's order is that of the bytes.
            if _nocase(left, right):
                return Part(f'(lower({left.sql} COLLATE "C") {sign} lower({right.sql} COLLATE "C"))', BOOL)
            collate = "" if sign in ("=", "<>") or "DISTINCT" in sign else ' COLLATE "C"'
            return Part(f"({left.sql} {sign} {right.sql}{collate})", BOOL)
        for one, other in ((left, right), (right, left)):
            uuid = one.column and one.column.pg_type == "uuid" and sign in ("=", "<>")
            if uuid and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", other.value or ""):
                return Part(f"({left.sql} {sign} {right.sql})", BOOL)
        raise Untranslatable(f"a comparison of {_told(left)} with {_told(right)}")


def _nocase(left: Part, right: Part) -> bool:
    """Which collation compares: one that is said goes before a column's, the left before the right."""
    for one in (left, right):
        if one.explicit:
            return one.nocase
    return left.nocase if left.column else right.nocase


def _told(part: Part) -> str:
    return part.column.pg_type if part.column and part.kind == OTHER else part.kind


def _booleans(left: Part, right: Part) -> tuple[Part, Part]:
    """A boolean beside a number: 0 and 1 become FALSE and TRUE, anything else makes a number of the boolean."""
    if left.kind == BOOL and right.kind in NUMBERS:
        if right.value in ("0", "1"):
            return left, Part("TRUE" if right.value == "1" else "FALSE", BOOL)
        return Part(f"({left.sql})::integer", INT), right
    if right.kind == BOOL and left.kind in NUMBERS:
        new_right, new_left = _booleans(right, left)
        return new_left, new_right
    return left, right
