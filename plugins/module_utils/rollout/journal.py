# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a stack: one JSON line for each step, written before the step is taken."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

#: The steps of a deployment in their order; a journal line carries one of them, or ``rolled back`` / ``failed``.
STEPS = (
    "written",
    "secrets",
    "pulled",
    "built",
    "started",
    "healthy",
    "routes written",
    "switched current",
    "sealed",
)


@dataclass(frozen=True)
class Entry:
    """One line: when (ISO, UTC), which release, which step was about to be taken, and details without secrets."""

    at: str
    release: str
    step: str
    detail: dict[str, Any]

    def line(self) -> str:
        """The JSON line with its newline."""
        document = {
            "at": self.at,
            "release": self.release,
            "step": self.step,
            **({"detail": self.detail} if self.detail else {}),
        }
        return json.dumps(document, sort_keys=True) + "\n"


def parse(lines: Iterable[str]) -> list[Entry]:
    """Entries in order; a torn last line (a crash in mid-write) is left out."""
    out = []
    for line in lines:
        try:
            data = json.loads(line)
            out.append(Entry(data["at"], data["release"], data["step"], dict(data.get("detail") or {})))
        except (ValueError, KeyError, TypeError):
            continue
    return out


def last_step(entries: Iterable[Entry], release: str) -> str | None:
    """The last step begun for a release, or None; what a killed run was doing."""
    found = None
    for entry in entries:
        if entry.release == release:
            found = entry.step
    return found
