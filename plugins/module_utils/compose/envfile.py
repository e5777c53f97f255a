# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Env files as Compose reads them (``.env``, ``--env-file``)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .interpolate import InterpolationError, substitute

_ASSIGN = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*(?:([=:])[ \t]*)?")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}


class EnvSyntaxError(ValueError):
    """A line that is no assignment; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


def parse_env(text: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of an env file, in order.

    Comments, ``export``, single quotes (literal), double quotes (escapes, ``$VAR``), plain values (``$VAR``,
    a comment after `` #``), quoted values over several lines. ``NAME`` alone takes the value from ``env`` and
    is left out when ``env`` has none. Interpolation sees ``env`` first, then the lines before.

    :raises EnvSyntaxError: a line without ``=``, a quote never closed, a broken ``${``
    """
    outer = dict(env or {})
    found: dict[str, str] = {}
    position = 0
    text = text.lstrip("\ufeff").replace("\r\n", "\n")
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text.count("\n", 0, position) + 1
        content = text[position:end].strip()
        if not content or content.startswith("#"):
            position = end + 1
            continue
        match = _ASSIGN.match(text, position, end)
        if match is None or (match.group(2) is None and match.end() < end and text[match.end()] != "#"):
            raise EnvSyntaxError(line, "not an assignment; write NAME=value")
        name = match.group(1)
        if match.group(2) is None:
            if name in outer:
                found[name] = outer[name]
            position = end + 1
            continue
        value, position = _value(text, match.end(), end, line, {**found, **outer})
        found[name] = value
    return found


def _value(text: str, start: int, end: int, line: int, env: Mapping[str, str]) -> tuple[str, int]:
    quote = text[start] if start < end else ""
    if quote not in ("'", '"'):
        plain = re.split(r"(?:^|\s)#", text[start:end], maxsplit=1)[0].strip()
        return _expand(plain, env, line), end + 1
    close = start + 1
    while close < len(text) and text[close] != quote:
        close += 2 if text[close] == "\\" else 1
    if close >= len(text):
        raise EnvSyntaxError(line, f"the quote {quote} is never closed; close it")
    body = text[start + 1 : close]
    rest = text.find("\n", close)
    following = len(text) if rest < 0 else rest + 1
    tail = text[close + 1 : following].strip()
    if tail and not tail.startswith("#"):
        raise EnvSyntaxError(line, "text after the closing quote; put the whole value in quotes")
    if quote == "'":
        return body.replace("\\'", "'"), following
    unescaped = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), "\\" + m.group(1)), body, flags=re.S)
    return _expand(unescaped, env, line), following


def _expand(value: str, env: Mapping[str, str], line: int) -> str:
    try:
        return substitute(value, env)
    except InterpolationError as exc:
        raise EnvSyntaxError(line, str(exc)) from exc
