# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose's variables: ``$VAR``, ``${VAR}``, ``${VAR:-default}`` and its kin, found and filled in as Compose does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .yamldoc import Document, Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


class InterpolationError(ValueError):
    """A ``${`` that is no variable; ``str()`` says what to write."""


class MissingVariable(InterpolationError):
    """``${NAME:?message}`` without a value."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"required variable {name} is missing a value" + (f": {message}" if message else ""))
        self.name = name


@dataclass(frozen=True)
class Reference:
    """``${name<operator><word>}``; ``operator`` is ``""`` for a bare variable."""

    name: str
    operator: str = ""
    word: str = ""


@dataclass(frozen=True)
class Variable:
    """A variable the stack file uses, at the place of its use.

    :param has_default: ``True`` when the file works without it (``-``, ``:-``, ``+``, ``:+``)
    :param required_message: the text behind ``?`` or ``:?`` (may be ``""``), ``None`` when it is not required
    :param service: ``""`` outside of services
    :param empty_counts: ``False`` with ``:?``: an empty value is as bad as none
    """

    name: str
    has_default: bool
    required_message: str | None
    file: str
    line: int | None
    service: str
    empty_counts: bool = True


def split(text: str) -> list[str | Reference]:
    """Literal pieces (``$$`` already ``$``) and references, in order. :raises InterpolationError: broken ``${``."""
    out: list[str | Reference] = []
    position = 0
    while position < len(text):
        dollar = text.find("$", position)
        if dollar < 0:
            out.append(text[position:])
            break
        out.append(text[position:dollar])
        position = dollar + 1
        if text.startswith("$", position):
            out.append("$")
            position += 1
        elif text.startswith("{", position):
            end = _closing(text, position)
            out.append(_braced(text[position + 1 : end], text))
            position = end + 1
        else:
            name = _NAME.match(text, position)
            out.append(Reference(name.group()) if name else "$")
            position = name.end() if name else position
    return [piece for piece in out if piece != ""]


def _broken(text: str) -> InterpolationError:
    return InterpolationError(f"{text!r} is no valid variable; write ${{NAME}}, or $$ for a plain dollar sign")


def _closing(text: str, opening: int) -> int:
    """The ``}`` that belongs to the ``{`` at ``opening``; only ``${`` nests, as in Compose."""
    depth, position = 0, opening
    while position < len(text):
        if position == opening or text.startswith("${", position):
            depth += 1
            position += 1 if position == opening else 2
            continue
        if text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise _broken(text)


def _braced(body: str, text: str) -> Reference:
    name = _NAME.match(body)
    if name is None:
        raise _broken(text)
    rest = body[name.end() :]
    if not rest:
        return Reference(name.group())
    for operator in _OPERATORS:
        if rest.startswith(operator):
            return Reference(name.group(), operator, rest[len(operator) :])
    raise _broken(text)


def substitute(text: str, env: Mapping[str, str]) -> str:
    """``text`` with its variables filled in; one that is not set becomes ``""``, as in Compose.

    :raises InterpolationError: a broken ``${``
    :raises MissingVariable: a required variable without a value
    """
    return "".join(piece if isinstance(piece, str) else _value(piece, env) for piece in split(text))


def _value(ref: Reference, env: Mapping[str, str]) -> str:
    value = env.get(ref.name)
    present = bool(value) if ref.operator.startswith(":") else value is not None
    kind = ref.operator[-1:]
    if kind == "+":
        return substitute(ref.word, env) if present else ""
    if present:
        return value or ""
    if kind == "-":
        return substitute(ref.word, env)
    if kind == "?":
        raise MissingVariable(ref.name, substitute(ref.word, env))
    return value or ""


def find(text: str) -> list[Reference]:
    """All references of ``text``, those inside of defaults too. :raises InterpolationError: a broken ``${``."""
    out: list[Reference] = []
    for piece in split(text):
        if isinstance(piece, Reference):
            out.append(piece)
            # Compose takes the word of "?" as plain text for a person
            if piece.operator and not piece.operator.endswith("?"):
                out.extend(find(piece.word))
    return out


def is_unset(ref: Reference, env: Mapping[str, str]) -> bool:
    """Whether filling in ``ref`` would silently give ``""`` or fail, with what ``env`` knows."""
    if ref.operator.endswith("?"):
        value = env.get(ref.name)
        return value is None or (ref.operator == ":?" and value == "")
    return not ref.operator and ref.name not in env


def needed(text: str, env: Mapping[str, str]) -> list[Reference]:
    """The unset references that filling in ``text`` really comes to (``${A:-${B}}`` needs B only without A)."""
    out: list[Reference] = []
    for piece in split(text):
        if not isinstance(piece, Reference):
            continue
        if is_unset(piece, env):
            out.append(piece)
        elif piece.operator and not piece.operator.endswith("?"):
            value = env.get(piece.name)
            present = bool(value) if piece.operator.startswith(":") else value is not None
            if present == piece.operator.endswith("+"):
                out.extend(needed(piece.word, env))
    return out


def scalars(document: Document) -> Iterable[tuple[Path, str]]:
    """Every string value of a document with its place; Compose interpolates values, never keys or comments."""
    stack: list[tuple[Path, Any]] = [((), document.data)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack.extend(((*path, key), item) for key, item in reversed(list(value.items())))
        elif isinstance(value, list):
            stack.extend(((*path, index), item) for index, item in reversed(list(enumerate(value))))
        elif isinstance(value, str) and "$" in value:
            yield path, value


def service_of(path: Path) -> str:
    """The service a place belongs to, ``""`` for none."""
    return str(path[1]) if len(path) > 1 and path[0] == "services" else ""


def variables(document: Document) -> list[Variable]:
    """Every use of a variable in a document. Broken ``${`` are left to the validation."""
    out = []
    for path, text in scalars(document):
        try:
            found = find(text)
        except InterpolationError:
            continue
        for ref in found:
            out.append(
                Variable(
                    name=ref.name,
                    has_default=ref.operator.endswith(("-", "+")),
                    required_message=ref.word if ref.operator.endswith("?") else None,
                    file=document.name,
                    line=document.line(path),
                    service=service_of(path),
                    empty_counts=ref.operator != ":?",
                )
            )
    return out


def unset(found: Iterable[Variable], env: Mapping[str, str]) -> list[Variable]:
    """Those without a default that ``env`` does not set (or sets empty where ``:?`` asks for more), each name once."""
    out: dict[str, Variable] = {}
    for variable in found:
        value = env.get(variable.name)
        missing = value is None or (value == "" and not variable.empty_counts)
        if missing and not variable.has_default:
            out.setdefault(variable.name, variable)
    return list(out.values())
