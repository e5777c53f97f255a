# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports a service says it listens on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def listening(service: Mapping[str, Any]) -> set[int]:
    """The tcp ports a service says it listens on; empty when it says none or says it in a way not understood."""
    out: set[int] = set()
    for key in ("expose", "ports"):
        items = service.get(key)
        for item in items if isinstance(items, list) else []:
            target = item.get("target") if isinstance(item, dict) else str(item).rsplit(":", 1)[-1]
            match = re.match(r"^([0-9]+)(?:-([0-9]+))?(?:/(tcp|udp))?$", str(target))
            if match is None:
                return set()
            protocol = item.get("protocol") if isinstance(item, dict) else match.group(3)
            if protocol != "udp":
                out.update(range(int(match.group(1)), min(int(match.group(2) or match.group(1)), 65535) + 1))
    return out
