# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as JSON and back, so that load, catch-up, cutover and rollback are of one plan. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .plan import Column, Plan, Source, Statement, Table, Untranslated, Violation
from .plan_lines import as_json


def dump(plan: Plan) -> str:
    """The plan as JSON text."""
    return json.dumps(as_json(plan), indent=1) + "\n"


def load(text: str) -> Plan:
    """The plan of such a text. :raises ValueError: when it is not what was written"""
    told = json.loads(text)
    plan = Plan(
        sources=tuple(Source(**one) for one in told["sources"]),
        tables=tuple(_table(one) for one in told["tables"]),
        views=_statements(told["views"]),
        untranslated=_untranslated(told["untranslated"]),
        warnings=tuple(told["warnings"]),
        **{name: told[name] for name in ("schema", "staging", "mode", "options", "estimate")},
    )
    if plan.digest != told["digest"]:
        raise ValueError(f"the plan's digest is {plan.digest}, and {told['digest']} is written in it")
    return plan


def _table(told: Mapping[str, Any]) -> Table:
    rest = {
        "columns": tuple(_column(one) for one in told["columns"]),
        "key": tuple(told["key"]),
        "sequence": tuple(told["sequence"]) if told["sequence"] else None,
        "untranslated": _untranslated(told["untranslated"]),
        **{name: _statements(told[name]) for name in ("before", "after", "links")},
    }
    return Table(**{**told, **rest})


def _column(told: Mapping[str, Any]) -> Column:
    found = [
        Violation(**{**one, "rowids": tuple(one["rowids"]), "remedies": tuple(one["remedies"])})
        for one in told["violations"]
    ]
    return Column(**{**told, "violations": tuple(found)})


def _statements(told: Any) -> tuple[Statement, ...]:
    return tuple(Statement(**one) for one in told)


def _untranslated(told: Any) -> tuple[Untranslated, ...]:
    return tuple(Untranslated(**one) for one in told)
