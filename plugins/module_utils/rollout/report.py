# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run shows under ``--diff``: the Compose files, and the names of changed variables and secrets."""

from __future__ import annotations

from typing import Any

from .decide import Decision
from .release import changed_keys
from .request import Request


def diff_of(decision: Decision, request: Request, store: Any) -> list[dict[str, str]]:
    """Ansible's diff entries, one for each Compose file that differs and one of names. Values never appear."""
    entries = []
    current = decision.current
    names = dict.fromkeys([*(current.compose_files if current else ()), *request.compose_files])
    for name in names:
        before = ""
        if current is not None and name in current.compose_files:
            try:
                before = store.read(current.id, name)
            except OSError:
                before = ""
        after = request.files.get(name, b"").decode(errors="replace")
        if before != after:
            label = f"{current.id}/{name}" if current else "absent"
            entries.append({"before_header": label, "before": before, "after_header": name, "after": after})
    secrets = changed_keys(current.secret_digests if current else {}, decision.secret_digests)
    lines = [
        f"{kind} {key} {word}\n"
        for kind, changes in (("variable", decision.env_changes), ("secret", secrets))
        for word, keys in changes.items()
        for key in keys
    ]
    if lines:
        entries.append({"prepared": "".join(lines)})
    return entries
