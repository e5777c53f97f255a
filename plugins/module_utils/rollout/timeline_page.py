# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout as one plain HTML page: a picture of its waves, a table, and the evidence of a failure. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ..pages.document import document, style
from .journal import Entry
from .release import FAILED, Release
from .timeline import KINDS, Bar, Timeline, kept_warm, timeline

WIDTH, LEFT, RIGHT = 1080, 150, 16
ROW, BAR, HEAD = 26, 16, 24

COLOURS = {
    "prepare": ("#a9b3be", "#57606a"),
    "hook": ("#8250df", "#a371f7"),
    "replace": ("#d97706", "#db8b2c"),
    "start": ("#57b894", "#2ea77c"),
    "wait": ("#cfe9de", "#1e4d3c"),
    "switch": ("#1f5fbf", "#6aa3f7"),
    "canary": ("#e0b100", "#c9a227"),
    "drain": ("#b9c2cc", "#4a535e"),
    "stop": ("#7d8894", "#7d8894"),
    "bake": ("#9cc3f5", "#2f5587"),
    "back": ("#e58b83", "#8f3b35"),
}
OWN = """
svg text { fill: var(--text) } svg .tick { fill: var(--faint) }
svg .wave { font-weight: 600 } svg .failed { fill: var(--bad) }
"""
STYLE = style(COLOURS, OWN, KINDS)


def page(record: Release, report: Mapping[str, Any], journal: Sequence[Entry]) -> str:
    """The page of a release.

    :param report: its report.json, {} when it has none
    :param journal: the stack's journal, all releases
    """
    drawn = timeline(record.stack, record.id, report, journal, record.evidence)
    title = f"{record.stack} {record.version or record.id}"
    parts = [
        *_head(record, report),
        *_failure(record.evidence),
        "<h2>When</h2>",
        *_figure(drawn, title),
        *_plan(report, journal, record.id),
        *_services(report),
        *_evidence(record.evidence),
    ]
    return document(title, STYLE, parts)


def _head(record: Release, report: Mapping[str, Any]) -> list[str]:
    failed = ' class="bad"' if record.outcome == FAILED else ""
    version = f", version {record.version}" if record.version else ""
    told = [f"release {record.id}{version}", f"<b{failed}>{escape(record.outcome)}</b>"]
    if record.finished:
        told.append(record.finished)
    if record.who:
        told.append(f"by {record.who}")
    if record.commit:
        told.append(f"commit {record.commit}")
    line = ", ".join(one if one.startswith("<b") else escape(one) for one in told)
    timings = report.get("timings") or {}
    names = {
        "app_s": "start-up",
        "start_s": "starting containers",
        "hooks_s": "hooks",
        "bake_s": "watched",
        "drain_s": "waiting for drains",
        "overhead_s": "landfall's own",
    }
    spent = [f"{timings[key]:.1f} s {name}" for key, name in names.items() if timings.get(key)]
    total = [f"<p>{timings['total_s']:.1f} s in all: {', '.join(spent)}</p>"] if timings.get("total_s") else []
    why = [f'<p class="faint">{escape(record.why)}</p>'] if record.why else []
    return [f"<h1>{escape(record.stack)}</h1>", f"<p>{line}</p>", *why, *total]


def _failure(evidence: Mapping[str, Any]) -> list[str]:
    return [f'<pre class="bad">{escape(str(evidence["message"]))}</pre>'] if evidence.get("message") else []


# --- the picture


def _figure(drawn: Timeline, title: str) -> list[str]:
    rows = [row for group in drawn.groups for row in group.rows]
    if not any(row.bars for row in rows):
        return ["<p>Nothing is known of it: neither a report nor a line in the journal.</p>"]
    titled = sum(1 for group in drawn.groups if group.title)
    height = HEAD + ROW * (len(rows) + titled) + 12
    scale = (WIDTH - LEFT - RIGHT) / (drawn.total or 1.0)
    parts = list(_axis(drawn.total, scale, height))
    y = HEAD
    for group in drawn.groups:
        if group.title:
            parts.append(f'<text class="wave" x="0" y="{y + 17}">{escape(group.title)}</text>')
            parts.append(f'<line class="grid" x1="0" x2="{WIDTH}" y1="{y + 1}" y2="{y + 1}"/>')
            y += ROW
        for row in group.rows:
            failed = " failed" if any(bar.failed for bar in row.bars) else ""
            label = row.label if len(row.label) < 21 else row.label[:19] + "…"
            parts.append(f'<text class="label{failed}" x="12" y="{y + 17}">{escape(label)}</text>')
            # What may overlap (old ones leave while the next batch starts) lies below.
            for bar in sorted(row.bars, key=lambda one: one.kind not in ("drain", "stop")):
                parts.append(_bar(bar, y + (ROW - BAR) / 2, scale))
            y += ROW
    used = {bar.kind for row in rows for bar in row.bars if not bar.failed}
    legend = [f'<li><i class="{kind}"></i>{escape(text)}</li>' for kind, text in KINDS.items() if kind in used]
    if any(bar.failed for row in rows for bar in row.bars):
        legend.append('<li><i style="background: var(--bad)"></i>failed here</li>')
    note = [] if drawn.exact else ['<p class="faint">Times from the journal, in whole seconds.</p>']
    return [
        '<figure class="wide" style="margin: 0">',
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}: what was done when">',
        *parts,
        "</svg></figure>",
        f'<ul class="legend">{"".join(legend)}</ul>',
        *note,
    ]


def _bar(bar: Bar, y: float, scale: float) -> str:
    x, width = LEFT + bar.start * scale, max((bar.end - bar.start) * scale, 1.5)
    what = f"{bar.text or KINDS[bar.kind]} ({bar.start:.1f} to {bar.end:.1f} s)"
    slim = bar.kind in ("drain", "stop")
    top, tall = (y + BAR - 6, 8) if slim else (y, BAR)
    return (
        f'<rect class="bar {"failed" if bar.failed else bar.kind}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" '
        f'height="{tall}" rx="2"><title>{escape("failed: " if bar.failed else "")}{escape(what)}</title></rect>'
    )


def _axis(total: float, scale: float, height: int) -> Iterable[str]:
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600, 7200)
    step = next((one for one in steps if total / one <= 12), 86400.0)
    for number in range(int(total / step + 1e-9) + 1):
        x = LEFT + number * step * scale
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{HEAD - 4}" y2="{height}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="12" text-anchor="middle">{number * step:g} s</text>'


# --- words


def _plan(report: Mapping[str, Any], journal: Sequence[Entry], release: str) -> list[str]:
    lines: Sequence[Any] = report.get("plan") or next(
        (one.detail["plan"] for one in reversed(journal) if one.release == release and "plan" in one.detail), []
    )
    text = "\n".join(map(str, lines))
    return ["<h2>Plan</h2>", f"<pre>{escape(text)}</pre>"] if lines else []


def _services(report: Mapping[str, Any]) -> list[str]:
    changed = [row for row in report.get("services") or () if row.get("strategy")]
    if not changed:
        return []
    head = "".join(
        f'<th{number}>{name}</th>'
        for name, number in (("service", ""), ("how", ""), ("why", ""), ("new", ""), ("old", ""),
                             ("start-up", ' class="number"'), ("drain", ' class="number"'))
    )  # fmt: skip
    out = [f'<h2>Services</h2>\n<div class="wide"><table><tr>{head}</tr>']
    for row in changed:
        well = max((one["well_after_s"] for one in row.get("health") or ()), default=0.0)
        drains = row.get("drain") or {}
        drained = f"{max(one.get('drain_s', 0.0) for one in drains.values()):.1f} s" if drains else ""
        cut = "" if all(one.get("drained", True) for one in drains.values()) else ' <b class="bad">window ran out</b>'
        warm = kept_warm(row)
        old = _list(row.get("old")) + (" (kept warm)" if warm else "")
        reason = f"{row['strategy']}: {row['reason']}" if row["strategy"] == "recreate" else str(row["strategy"])
        cells = [row["service"], reason, _list(row.get("changes")), _list(row.get("new")), old]
        out.append(
            "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
            + f'<td class="number">{well:.1f} s</td><td class="number">{drained}{cut}</td></tr>'
        )  # fmt: skip
    return [*out, "</table></div>"]


def _list(items: Any) -> str:
    return ", ".join(map(str, items or ()))


def _evidence(evidence: Mapping[str, Any]) -> list[str]:
    out: list[str] = []
    for one in evidence.get("containers") or ():
        state = f"{one.get('status', '')}, exit code {one.get('exit_code', '')}, {one.get('restarts', 0)} restarts"
        state += ", out of memory" if one.get("oom_killed") else ""
        said = [str(check.get("output", "")).strip() for check in one.get("health") or ()]
        lines = [*(f"healthcheck: {text}" for text in said if text), *map(str, one.get("log") or ())]
        out.append(f'<h3>{escape(str(one.get("container", "")))} <span class="faint">{escape(state)}</span></h3>')
        out.append(f"<pre>{escape(chr(10).join(lines) or 'it said nothing')}</pre>")
    hook = evidence.get("hook")
    if hook:
        name = f"hook {hook.get('hook', '')} of {hook.get('service', '')}, exit code {hook.get('exit_code')}"
        text = "\n".join(map(str, hook.get("log") or ()))
        out += [f"<h3>{escape(name)}</h3>", f"<pre>{escape(text or 'it said nothing')}</pre>"]
    requests = evidence.get("requests") or ()
    if requests:
        rows = [
            f"{one.get('status')}  {one.get('seconds')} s  {one.get('path')}  {one.get('upstream')}" for one in requests
        ]
        out += ["<h3>the last failing requests</h3>", f"<pre>{escape(chr(10).join(rows))}</pre>"]
    return ["<h2>Evidence</h2>", *out] if out else []
