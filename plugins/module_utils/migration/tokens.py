# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite's SQL, cut into tokens. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

WORD, QUOTED, STRING, NUMBER, BLOB, OPERATOR = "word", "quoted", "string", "number", "blob", "operator"

_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<blob>[xX]'(?:[0-9A-Fa-f]{2})*')
    |(?P<string>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    |(?P<number>0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<word>[^\W\d][\w$]*)
    |(?P<operator>->>|\|\||<<|>>|<=|>=|<>|==|!=|->|[-+*/%&|<>=~(),.;?])""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A token.

    :param text: as it stands, :param start: and :param end: where it stands
    """

    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """A word or operator in capitals; "" of all that is quoted."""
        return self.text.upper() if self.kind in (WORD, OPERATOR) else ""

    @property
    def value(self) -> str:
        """What is meant: a name or string without its quotes."""
        if self.kind == STRING:
            return self.text[1:-1].replace("''", "'")
        if self.kind == QUOTED:
            close = self.text[-1]
            return self.text[1:-1] if close == "]" else self.text[1:-1].replace(close * 2, close)
        return self.text


def tokens(sql: str) -> list[Token]:
    """The tokens of a text, without blanks and comments. :raises ValueError: at what is no token"""
    found = []
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if not match:
            raise ValueError(f"no token at {sql[at : at + 20]!r}")
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group(), at, match.end()))
        at = match.end()
    return found


def closing(items: Sequence[Token], at: int) -> int:
    """Where the parenthesis that opens at :param at: closes. :raises ValueError: when it does not"""
    depth = 0
    for index in range(at, len(items)):
        depth += (items[index].upper == "(") - (items[index].upper == ")")
        if not depth:
            return index
    raise ValueError("a parenthesis is not closed")


def split(items: Sequence[Token]) -> list[Sequence[Token]]:
    """The parts between commas that stand in no parentheses."""
    parts, depth, start = [], 0, 0
    for index, item in enumerate(items):
        depth += (item.upper == "(") - (item.upper == ")")
        if item.upper == "," and not depth:
            parts.append(items[start:index])
            start = index + 1
    parts.append(items[start:])
    return parts


def text_of(sql: str, items: Sequence[Token]) -> str:
    """The text that tokens stand in, "" without any."""
    return sql[items[0].start : items[-1].end] if items else ""
