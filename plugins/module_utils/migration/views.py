# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Views: those that choose columns and rows of tables, joined by JOIN … ON, and nothing else. Pure.

Grouping, subqueries, set operations and limits are not translated: what they give depends on more than expressions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .constraints import Made, relation
from .expressions import parse, translate
from .names import Names
from .parts import Name, Untranslatable, quoted
from .plan import Statement
from .tokens import QUOTED, STRING, WORD, Token, closing, split, text_of, tokens

_STOP = ("WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "INTERSECT", "EXCEPT")
_JOIN = ("JOIN", "INNER", "LEFT", "CROSS", "NATURAL", "RIGHT", "FULL", ",")
_AFTER_TABLE = (*_JOIN, "ON", "USING", "INDEXED", "NOT")


def view(name: str, sql: str, tables: Mapping[str, Made], given: Names) -> Statement:
    """A view's statement.

    :param tables: by name in small letters
    :raises Untranslatable: with the reason
    """
    try:
        return _view(name, sql, tables, given)
    except (IndexError, StopIteration, ValueError) as problem:
        if isinstance(problem, Untranslatable):
            raise
        raise Untranslatable("its SELECT is not of the plain form") from None


def _view(name: str, sql: str, tables: Mapping[str, Made], given: Names) -> Statement:
    items = tokens(sql.rstrip().rstrip(";"))
    at = next(index for index, one in enumerate(items) if one.upper == "VIEW") + 1
    while items[at].upper in ("IF", "NOT", "EXISTS"):
        at += 1
    at += 3 if items[at + 1].upper == "." else 1
    titles: list[str] = []
    if items[at].upper == "(":
        end = closing(items, at)
        titles = [part[0].value for part in split(items[at + 1 : end])]
        at = end + 1
    if items[at].upper != "AS" or items[at + 1].upper != "SELECT":
        raise Untranslatable(f"{items[at + 1].upper or 'what stands'} after AS")
    body = items[at + 2 :]
    distinct = body[0].upper == "DISTINCT"
    body = body[1:] if distinct else body
    start = _find(body, ("FROM",))
    if start == len(body):
        raise Untranslatable("a SELECT without a table")
    stop = start + 1 + _find(body[start + 1 :], _STOP)
    order, names = _tables(sql, body[start + 1 : stop], tables)
    columns = _columns(sql, body[:start], order, names, bool(titles))
    if titles and len(titles) != len(columns):
        raise Untranslatable("the names of its columns are more or less than the columns")
    heads = titles if titles else [title for title, _sql in columns]
    if len({one.lower() for one in heads}) < len(heads):
        raise Untranslatable("two of its columns have the same name")
    chosen = ", ".join(f"{text} AS {quoted(head)}" for head, (_title, text) in zip(heads, columns, strict=True))
    text = f"SELECT {'DISTINCT ' if distinct else ''}{chosen} FROM {order.sql}"
    rest = body[stop:]
    if rest and rest[0].upper == "WHERE":
        end = 1 + _find(rest[1:], _STOP)
        text += f" WHERE {translate(text_of(sql, rest[1:end]), names, True)}"
        rest = rest[end:]
    if rest:
        raise Untranslatable(f"{rest[0].upper} in a view")
    target = given.give(name)
    return Statement("view", target, f"CREATE VIEW {relation(target)} AS {text}")


class _Order:
    """The tables of a FROM: (alias, table) in their order, and its SQL."""

    def __init__(self) -> None:
        self.tables: list[tuple[str, Made]] = []
        self.sql = ""


def _find(items: Sequence[Token], words: Sequence[str]) -> int:
    """Where one of these words stands outside of parentheses; the length when it does not."""
    depth = 0
    for index, item in enumerate(items):
        depth += (item.upper == "(") - (item.upper == ")")
        if not depth and item.upper in words and (item.kind == WORD or item.text == ","):
            return index
    return len(items)


def _tables(sql: str, items: Sequence[Token], tables: Mapping[str, Made]) -> tuple[_Order, dict[str, Name]]:
    order, names = _Order(), dict[str, Name]()
    at = 0
    while at < len(items):
        join = ""
        if order.tables:
            end = at
            while items[end].upper in _JOIN or items[end].upper == "OUTER":
                end += 1
            words = " ".join(one.upper for one in items[at:end])
            joins = {"JOIN": "JOIN", "INNER JOIN": "JOIN", "LEFT JOIN": "LEFT JOIN", "LEFT OUTER JOIN": "LEFT JOIN"}
            if words not in joins:
                raise Untranslatable(f"{words or items[at].text} between tables")
            join, at = joins[words], end
        table = tables.get(items[at].value.lower())
        if table is None:
            raise Untranslatable(f"{items[at].text} is no table that is migrated")
        alias = items[at].value
        at += 1
        if at < len(items) and items[at].upper == "AS":
            at += 1
        if at < len(items) and items[at].upper not in _AFTER_TABLE and items[at].kind in (WORD, QUOTED):
            alias = items[at].value
            at += 1
        order.tables.append((alias, table))
        _add(names, alias, table)
        made = f"{relation(table.target)} AS {quoted(alias)}"
        if not join:
            order.sql = made
            continue
        if at >= len(items) or items[at].upper != "ON":
            raise Untranslatable("a JOIN without ON")
        end = at + 1 + _find(items[at + 1 :], _JOIN)
        condition = translate(text_of(sql, items[at + 1 : end]), names, True)
        order.sql += f" {join} {made} ON {condition}"
        at = end
    return order, names


def _add(names: dict[str, Name], alias: str, table: Made) -> None:
    """A table's columns as ``alias.column``, and as ``column`` where only one table has it."""
    for name, one in table.names().items():
        column = replace(one, sql=f"{quoted(alias)}.{quoted(one.target)}")
        names[f"{alias.lower()}.{name}"] = column
        others = [one for one in names if one.endswith(f".{name}")]
        # Without a table's name it would be ambiguous, in SQLite, too.
        if len(others) == 1:
            names[name] = column
        else:
            names.pop(name, None)


def _columns(
    sql: str, items: Sequence[Token], order: _Order, names: Mapping[str, Name], titled: bool
) -> list[tuple[str, str]]:
    """(title, SQL) of each column. ``titled``: the view names its columns itself."""
    out: list[tuple[str, str]] = []
    for part in split(items):
        star = part[-1].text == "*" and (len(part) == 1 or (len(part) == 3 and part[1].text == "."))
        if star:
            wanted = part[0].value.lower() if len(part) == 3 else ""
            for alias, table in order.tables:
                if wanted in ("", alias.lower()):
                    for source in table.source.columns:
                        made = names.get(f"{alias.lower()}.{source.name.lower()}")
                        if made:
                            out.append((source.name, made.sql))
            continue
        title, body = "", part
        if len(part) > 2 and part[-2].upper == "AS":
            title, body = part[-1].value, part[:-2]
        elif len(part) > 1 and part[-1].kind in (QUOTED, STRING) and part[-2].text != ".":
            title, body = part[-1].value, part[:-1]
        if not title and not titled:
            # A column without a title is named as it is written; of an expression SQLite promises no name.
            if any(one.kind not in (WORD, QUOTED) and one.text != "." for one in body) or len(body) not in (1, 3):
                raise Untranslatable("an expression without a name (AS)")
            title = body[-1].value
        out.append((title, parse(text_of(sql, body), names).sql))
    return out
