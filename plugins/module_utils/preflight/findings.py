# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a check says, and how a list of it is shown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

OK = "ok"
WARNING = "warning"
ERROR = "error"

_RANK = {ERROR: 0, WARNING: 1, OK: 2}


@dataclass(frozen=True)
class Finding:
    """One thing a check found.

    check: name of the check (``os``, ``ports``, …); level: ``ok``, ``warning`` or ``error``;
    message: what is the case and where; remedy: what to do, empty when the level is ``ok``.
    Neither text ever holds a secret's value.
    """

    check: str
    level: str
    message: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the finding as a plain dictionary, as modules and filters hand it out."""
        return asdict(self)


def from_dicts(items: Iterable[dict[str, Any]]) -> list[Finding]:
    """Return findings from their dictionaries; raises ValueError when one has an unknown level."""
    found = []
    for item in items:
        level = str(item["level"])
        if level not in _RANK:
            raise ValueError(f"unknown level {level!r} of a finding: one of {', '.join(_RANK)}")
        found.append(Finding(str(item["check"]), level, str(item["message"]), str(item.get("remedy", ""))))
    return found


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with errors first; within a level the order is kept."""
    return sorted(findings, key=lambda finding: _RANK[finding.level])


def without(findings: Iterable[Finding], skip: Iterable[str]) -> list[Finding]:
    """Return findings of the checks that are not named in skip."""
    names = frozenset(skip)
    return [finding for finding in findings if finding.check not in names]


def table(findings: Sequence[Finding], width: int = 120) -> list[str]:
    """Return the lines of a table (level, check, message, remedy), errors first, cells wrapped to width columns."""
    if not findings:
        return []
    rows = [("LEVEL", "CHECK", "MESSAGE", "REMEDY")]
    rows += [(f.level, f.check, f.message, f.remedy) for f in by_severity(findings)]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    remedies = max(len(row[3]) for row in rows)
    rest = max(40, width - first - second - 6)
    # Without remedies to show the message has the line to itself.
    third = max(len(row[2]) for row in rows) if remedies <= len("REMEDY") else rest // 2
    third = min(third, rest - min(remedies, rest // 2))
    widths = (first, second, third, rest - third)
    lines: list[str] = []
    for row in rows:
        # Long words (image names, URLs) stay whole: they are there to be copied.
        cells = [
            textwrap.wrap(cell, size, break_long_words=False, break_on_hyphens=False) or [""]
            for cell, size in zip(row, widths, strict=True)
        ]
        for index in range(max(map(len, cells))):
            parts = [
                (cell[index] if index < len(cell) else "").ljust(size) for cell, size in zip(cells, widths, strict=True)
            ]
            lines.append("  ".join(parts).rstrip())
    return lines


def error_text(findings: Iterable[Finding], where: str) -> str:
    """Return the message of a failed preflight of host where: each error with its remedy; empty when there is none."""
    errors = [finding for finding in findings if finding.level == ERROR]
    if not errors:
        return ""
    noun = "problem" if len(errors) == 1 else "problems"
    lines = [f"Preflight of {where} found {len(errors)} {noun}; nothing was changed."]
    for number, finding in enumerate(errors, 1):
        lines.append(f"{number}. [{finding.check}] {finding.message}")
        if finding.remedy:
            lines.append(f"   Remedy: {finding.remedy}")
    return "\n".join(lines)


def summary(findings: Iterable[Finding]) -> str:
    """Return one line that counts errors and warnings, such as ``2 errors, 1 warning, 14 ok``."""
    levels = [finding.level for finding in findings]
    parts = []
    for level, plural in ((ERROR, "errors"), (WARNING, "warnings"), (OK, "ok")):
        count = levels.count(level)
        parts.append(f"{count} {level if count == 1 else plural}")
    return ", ".join(parts)
