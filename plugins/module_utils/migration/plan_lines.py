# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for people, in lines, and for programs, in JSON's values. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .plan import Column, Plan, Table, Untranslated, Violation

#: What is said where nothing tells the planner of the new rows.
NO_STATISTICS = (
    "no statistics are made (analyze: false): the server knows nothing of the rows until autovacuum looks; "
    "run ANALYZE in a quiet hour"
)


def lines(plan: Plan, analyze: bool = True) -> list[str]:
    """The plan, one line for each table, column and thing that is said of it.

    :param analyze: whether statistics will be made of it
    """
    out = [f"plan {plan.digest}: {_sources(plan)} → schema {plan.schema}"]
    for table in plan.tables:
        out += _table(table, plan)
    out += [f"view {one.name}" for one in plan.views]
    out += [_lost(one) for one in plan.untranslated]
    out += [f"note: {text}" for text in notes(plan, analyze)]
    bad = sum(one.count for table in plan.tables for column in table.columns for one in column.violations)
    if bad:
        verb = "goes into the quarantine" if plan.options.get("on_violation") == "quarantine" else "fails the migration"
        out.append(f"{number(bad)} values do not fit; the first {verb}")
    told = plan.estimate
    if told:
        out.append(
            f"estimated: {number(int(told['rows']))} rows, {duration(float(told['seconds']))}, "
            f"{size(int(told['bytes']))} on the server"
        )
    return out


def notes(plan: Plan, analyze: bool = True) -> tuple[str, ...]:
    """What else is to be known of a plan. :param analyze: whether statistics are made"""
    return plan.warnings if analyze else (*plan.warnings, NO_STATISTICS)


def _sources(plan: Plan) -> str:
    return ", ".join(f"{one.path} ({size(one.size)}, {one.journal_mode}, {one.encoding})" for one in plan.sources)


def _table(table: Table, plan: Plan) -> list[str]:
    name = table.name if table.target == table.name else f"{table.name} → {table.target}"
    key = f"; key {', '.join(table.key)}" if table.key else "; no primary key"
    out = [f"table {name}: {number(table.rows)} rows, {size(table.bytes)}{key}"]
    out += [f"  {column_line(one)}" for one in table.columns]
    for column in table.columns:
        out += [f"  ! {violation_line(f'{table.name}.{column.name}', one)}" for one in column.violations]
    made = Counter(one.what for one in (*table.after, *table.links) if one.what not in ("constraint", "validate"))
    if made:
        out.append("  then: " + ", ".join(f"{count} × {what}" for what, count in made.items()))
    if table.sequence:
        out.append(f"  next {table.sequence[0]}: {table.sequence[1]}")
    return out + [f"  {_lost(one)}" for one in table.untranslated]


def column_line(column: Column) -> str:
    """A column in one line: what it was, what it becomes, why."""
    name = column.name if column.target == column.name else f"{column.name} → {column.target}"
    kind = f"{column.declared or 'no type'} → {column.pg_type}"
    more = [f"by {column.conversion} ({number(column.converted)} rows)"] if column.conversion else []
    more += ["NOT NULL"] if column.not_null else []
    more += [f"DEFAULT {column.default}"] if column.default else []
    more += [f"GENERATED AS {column.generated}"] if column.generated else []
    said = f", {', '.join(more)}" if more else ""
    return f"{name}: {kind}{said} ({column.why})"


def violation_line(where: str, one: Violation) -> str:
    """A violation in one line: where, how many, which rows, and what would let them pass."""
    rows = f" (rows {', '.join(one.rowids)}{', …' if one.count > len(one.rowids) else ''})" if one.rowids else ""
    ways = f". To let them pass: {'; or '.join(one.remedies)}" if one.remedies else ""
    return f"{where}: {number(one.count)} × {one.reason}{rows}{ways}"


def _lost(one: Untranslated) -> str:
    return f"not carried over: {one.what} {one.name}: {one.why}: {' '.join(one.sql.split())}"


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON's values, with its digest."""
    made = asdict(plan)
    return {"digest": plan.digest, **_plain(made)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def number(count: int) -> str:
    """A count with its thousands apart."""
    return f"{count:,}"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "under a second"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
