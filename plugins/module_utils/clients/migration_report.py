# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan and result of a migration as files: one HTML page, and JSON beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ..migration import plan_lines, report_page
from ..migration.plan import Plan
from .files import write_atomic


def write_report(path: str | None, plan: Plan, result: Mapping[str, Any], dry: bool, analyze: bool = True) -> None:
    """Write both files. :param path: of the page, None for none, :param dry: write nothing, :param analyze: whether
    statistics will be made, where there is no result yet"""
    if not path or dry:
        return
    told = dict(result)
    if result:
        told["outcome"] = f"{result['rows']} rows migrated, {result['quarantined']} in quarantine"
        told["timings"] = {name.removesuffix("_s"): seconds for name, seconds in result["timings"].items()}
        told["tables"] = {
            one["table"]: {
                "rows": one["rows"],
                "quarantined": one["quarantined"],
                "verified": one["verified"] == "rows",
                "hash": one.get("target_hash", ""),
            }
            for one in result["tables"]
        }
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    owner = (os.geteuid(), os.getegid())
    write_atomic(path, report_page.page(plan, told, analyze), 0o640, *owner)
    both = {"plan": plan_lines.as_json(plan), "result": dict(result)}
    write_atomic(f"{os.path.splitext(path)[0]}.json", json.dumps(both, indent=1) + "\n", 0o640, *owner)
