# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration as one plain HTML page: plan and result. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from ..pages.document import document, style
from .plan import Column, Plan, Table, Untranslated
from .plan_lines import duration, notes, number, size

COLOURS = {"good": ("#1a7f37", "#3fb950"), "bar": ("#1f5fbf", "#6aa3f7"), "back": ("#eaeef2", "#21262d")}
OWN = """
.good { color: var(--good) }
code, pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace }
details { margin: 4px 0 } summary { cursor: pointer }
.share { display: inline-block; width: 120px; height: 8px; border-radius: 4px; background: var(--back);
  overflow: hidden }
.share i { display: block; height: 100%; background: var(--bar) }
"""
STYLE = style(COLOURS, OWN)


def page(plan: Plan, result: Mapping[str, Any] | None = None, analyze: bool = True) -> str:
    """The page of a plan, and of its result when it was carried out.

    :param result: all of it may be missing: ``outcome`` (one line), ``failed`` (bool), ``seconds``, ``timings``
        (phase → seconds), ``tables`` (name → ``rows``, ``quarantined``, ``verified`` (bool), ``hash``, ``seconds``),
        ``quarantine`` (list of ``table``, ``column``, ``rowid``, ``reason``), ``analyzed`` (bool)
    :param analyze: whether statistics will be made, where the result does not say whether they were
    """
    told = result or {}
    title = f"Migration {plan.digest}"
    parts = [
        *_head(plan, title, told, told.get("analyzed", analyze)),
        *_violations(plan),
        *_overview(plan, told),
        *_timings(told.get("timings") or {}),
        *_quarantine(told.get("quarantine") or ()),
        *_tables(plan),
        *_lost(plan),
    ]
    return document(title, STYLE, parts)


def _head(plan: Plan, title: str, told: Mapping[str, Any], analyze: bool) -> Iterable[str]:
    yield f"<h1>{escape(title)}</h1>"
    for one in plan.sources:
        yield (
            f'<p>{escape(one.path)} <span class="faint">{size(one.size)}, {escape(one.journal_mode)}, '
            f"{escape(one.encoding)}</span> → schema {escape(plan.schema)}</p>"
        )
    if told:
        mark = "bad" if told.get("failed") else "good"
        spent = f", {duration(float(told['seconds']))}" if told.get("seconds") is not None else ""
        yield f'<p><b class="{mark}">{escape(str(told.get("outcome") or "done"))}</b>{spent}</p>'
    elif plan.estimate:
        yield (
            f'<p class="faint">A plan: nothing is changed yet. Estimated: {number(int(plan.estimate["rows"]))} rows, '
            f"{duration(float(plan.estimate['seconds']))}, {size(int(plan.estimate['bytes']))} on the server.</p>"
        )
    for text in notes(plan, analyze):
        yield f'<p class="faint">{escape(text)}</p>'


def _violations(plan: Plan) -> Iterable[str]:
    rows = [
        _row(
            f"{table.name}.{column.name}", one.reason, number(one.count), ", ".join(one.rowids),
            "; or ".join(one.remedies),
        )
        for table in plan.tables for column in table.columns for one in column.violations
    ]  # fmt: skip
    if rows:
        yield '<h2 class="bad">What does not fit</h2>'
        yield _grid(("column", "why", "#rows", "the first", "to let them pass"), rows)


def _overview(plan: Plan, told: Mapping[str, Any]) -> Iterable[str]:
    done = told.get("tables") or {}
    rows = []
    for table in plan.tables:
        cells = [table.name, table.target, number(table.rows), size(table.bytes)]
        if done:
            one = done.get(table.name) or {}
            checked = {"True": "equal", "False": "NOT EQUAL"}.get(str(one.get("verified")), "not checked")
            cells += [
                number(int(one.get("rows") or 0)), number(int(one.get("quarantined") or 0)), checked,
                str(one.get("hash") or "")[:16],
            ]  # fmt: skip
        rows.append(_row(*cells))
    names = ["table", "in PostgreSQL", "#rows", "#size"]
    yield "<h2>Tables</h2>"
    yield _grid((*names, "#loaded", "#quarantined", "verified", "hash") if done else names, rows)


def _timings(timings: Mapping[str, Any]) -> Iterable[str]:
    if not timings:
        return
    most = max(float(one) for one in timings.values()) or 1.0
    yield "<h2>Time</h2>"
    rows = []
    for name, seconds in timings.items():
        share = f'<span class="share"><i style="width: {float(seconds) / most * 100:.0f}%"></i></span>'
        rows.append(
            f'<tr><td>{escape(str(name))}</td><td class="number">{float(seconds):.1f} s</td><td>{share}</td></tr>'
        )
    yield _grid(("phase", "#seconds", ""), rows)


def _quarantine(rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    made = [_row(*(str(one.get(name, "")) for name in ("table", "column", "rowid", "reason"))) for one in rows]
    if made:
        yield '<h2 class="bad">Quarantine</h2>'
        yield _grid(("table", "column", "row", "why"), made)


def _tables(plan: Plan) -> Iterable[str]:
    yield "<h2>Columns</h2>"
    for table in plan.tables:
        rows = [_column(one) for one in table.columns]
        yield f'<details><summary>{escape(table.name)} <span class="faint">{len(rows)} columns</span></summary>'
        yield _grid(("column", "declared", "becomes", "what is in it", "why"), rows)
        sql = _sql(table)
        if sql:
            yield f"<pre>{escape(sql)}</pre>"
        yield "</details>"


def _column(column: Column) -> str:
    name = column.name if column.name == column.target else f"{column.name} → {column.target}"
    kind = f"{column.pg_type} by {column.conversion}" if column.conversion else column.pg_type
    return _row(name, column.declared or "–", kind, seen(column.seen), column.why)


def seen(profile: Mapping[str, Any]) -> str:
    """A column's profile in words."""
    out = [f"{number(int(count))} {name}" for name, count in (profile.get("classes") or {}).items()]
    if "min" in profile:
        out.append(f"{profile['min']} to {profile['max']}")
    if profile.get("longest"):
        out.append(f"up to {number(int(profile['longest']))} long")
    for name, shown in (("nul", "with NUL"), ("not_utf8", "not UTF-8"), ("infinite", "infinite")):
        if profile.get(name):
            out.append(f"{number(int(profile[name]))} {shown}")
    forms = profile.get("forms") or {}
    if forms:
        out.append("forms: " + ", ".join(f"{number(int(count))} {name}" for name, count in forms.items()))
    sample = dict(profile.get("sample") or {})
    rows = sample.pop("rows", 0)
    if rows and sample:
        told = ", ".join(f"{number(int(count))} {name}" for name, count in sample.items())
        out.append(f"of the first {number(int(rows))}: {told}")
    return "; ".join(out)


def _sql(table: Table) -> str:
    parts = [table.create, *(one.sql for one in (*table.before, *table.after, *table.links))]
    return ";\n".join(one.replace("{schema}.", "") for one in parts if one)


def _lost(plan: Plan) -> Iterable[str]:
    found: list[Untranslated] = [*(one for table in plan.tables for one in table.untranslated), *plan.untranslated]
    if not found:
        return
    yield "<h2>Not carried over</h2>"
    for one in found:
        yield f'<h3>{escape(one.what)} {escape(one.name)} <span class="faint">{escape(one.why)}</span></h3>'
        yield f"<pre>{escape(one.sql)}</pre>" if one.sql else ""


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _grid(names: Iterable[str], rows: Iterable[str]) -> str:
    """A table; a name that begins with # is of a column of numbers."""
    heads = list(names)
    head = "".join(f"<th{_number(one)}>{escape(one.lstrip('#'))}</th>" for one in heads)
    body = []
    for row in rows:
        cells = row.split("<td>")
        for place, name in enumerate(heads, 1):
            if name.startswith("#") and place < len(cells):
                cells[place] = "\0" + cells[place]
        body.append("<td>".join(cells).replace("<td>\0", '<td class="number">'))
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(body)}</table></div>'


def _number(name: str) -> str:
    return ' class="number"' if name.startswith("#") else ""
