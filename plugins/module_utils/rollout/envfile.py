# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Env files as ``docker compose --env-file`` reads them: written so that every value comes back byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping

NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


def quote(value: str) -> str:
    """A value in the quotes Compose undoes to the same value.

    Single quotes are literal in Compose, but know no escape for ``'`` and treat a backslash before the closing
    quote as an escape; such values go in double quotes with ``\\``, ``"`` and ``$`` escaped.
    """
    if "'" not in value and "\\" not in value and "\n" not in value and "\r" not in value:
        return f"'{value}'"
    out = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return '"' + out.replace("\n", "\\n").replace("\r", "\\r") + '"'


def render(env: Mapping[str, str]) -> str:
    """The text of an env file, sorted by name. :raises ValueError: a name no shell would take."""
    lines = []
    for name in sorted(env):
        if not NAME.match(name):
            raise ValueError(f"env variable {name!r}: use letters, digits and '_', beginning with a letter or '_'")
        lines.append(f"{name}={quote(env[name])}\n")
    return "".join(lines)


def names(text: str) -> list[str]:
    """The variable names an env file sets, in order; values are not looked at."""
    found = []
    for line in text.splitlines():
        match = re.match(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*[=:]", line)
        if match and match.group(1) not in found:
            found.append(match.group(1))
    return found
