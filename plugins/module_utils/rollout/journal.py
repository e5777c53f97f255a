# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a stack: one JSON line for each step, written before the step is taken."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

#: The steps of a rollout in their order; ``wave N ...`` stands once for each wave, steps of services and hooks where
#: there are any. Besides these a line carries ``draining`` and ``stopping`` (old containers, beside the next wave),
#: ``rolled back``, ``restored`` (what was gone back to stands) or ``failed``.
STEPS = (
    "written",
    "pulled",
    "built",
    "secrets",
    "planned",
    "debris removed",
    "created",
    "hook migrate",
    "wave N replaced",
    "wave N started",
    "wave N gated",
    "smoke test",
    "wave N switched",
    "wave N canary",
    "blue-green switched",
    "services removed",
    "hook post_deploy",
    "baked",
    "drained",
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


def cut_short(entries: Sequence[Entry]) -> bool:
    """Whether the last run of a stack neither ended well nor came to an end of its own."""
    return bool(entries) and entries[-1].step not in ("sealed", "restored", "failed")


def last_step(entries: Iterable[Entry], release: str) -> str | None:
    """The last step begun for a release, or None; what a killed run was doing."""
    found = None
    for entry in entries:
        if entry.release == release:
            found = entry.step
    return found


def line(entry: Entry) -> str:
    """An entry for a person: ``07:54:46 wave 3 started  api-3, api-4``."""
    detail = entry.detail
    told = ""
    if "plan" in detail:
        told = "".join(f"\n         {item}" for item in detail["plan"])
    elif "message" in detail:
        told = f"  {str(detail['message']).splitlines()[0]}"
    else:
        found = [
            detail[key] for key in ("service", "container", "containers", "services", "to", "seconds") if key in detail
        ]
        told = "  " + " ".join(", ".join(map(str, one)) if isinstance(one, (list, dict)) else str(one) for one in found)
    return f"{entry.at[11:19]} {entry.step}{told}".rstrip()
