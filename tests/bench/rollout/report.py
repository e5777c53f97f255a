"""The page report/bench-rollout/index.html: every case and both peers, one file without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from .result import Case
from .series import timeline
from .svg import Timeline

CSS = """
:root { color-scheme: light dark; --ink: #1c2128; --dim: #59636e; --paper: #ffffff; --card: #f6f8fa; --rule: #d1d9e0;
  --ok: #8fb8e8; --bad: #d1242f; --deploy: #5b6b7b1f; --p99: #8250df; --switch: #1a7f37; --fault: #bc4c00;
  --v0: #54aeff; --v1: #4ac26b; --v2: #d4a72c; --v3: #c297ff; --v4: #ff8182; --v5: #76e3ea; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9198a1; --paper: #0d1117; --card: #151b23;
  --rule: #3d444d; --ok: #33609c; --bad: #ff6b6b; --deploy: #9fb3c824; --p99: #c297ff; --switch: #4ac26b;
  --fault: #f0883e; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 1280px; padding: 24px 16px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 40px 0 2px; }
p { margin: 4px 0 10px; } .dim { color: var(--dim); } .bad-text { color: var(--bad); font-weight: 600; }
.table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 8px; font-size: 13px; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; } th { color: var(--dim); font-weight: 600; }
a { color: inherit; } figure { margin: 8px 0; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; padding: 8px; overflow-x: auto; } svg { display: block; width: 100%; min-width: 720px; }
ul { margin: 6px 0; padding-left: 20px; } li { overflow-wrap: anywhere; }
.ok { fill: var(--ok); } .bad { fill: var(--bad); } .deploy { fill: var(--deploy); }
.p99 { fill: none; stroke: var(--p99); stroke-width: 1.4; } .axis { stroke: var(--rule); }
.switch { fill: var(--switch); } .begin { stroke: var(--dim); stroke-dasharray: 2 3; }
.event { stroke: var(--dim); } .fault { stroke: var(--fault); stroke-width: 1.6; } .fault-text { fill: var(--fault); }
text { font: 11px system-ui, sans-serif; fill: var(--ink); } .tick { fill: var(--dim); }
.v0 { fill: var(--v0); } .v1 { fill: var(--v1); } .v2 { fill: var(--v2); } .v3 { fill: var(--v3); }
.v4 { fill: var(--v4); } .v5 { fill: var(--v5); }
"""


def _row(case: Case) -> str:
    short = case.summary
    failed = f'<span class="bad-text">{short.failed:,}</span>' if short.failed else "0"
    walls = sorted(case.wall_s)
    wall = f"{walls[len(walls) // 2]:g} s" + (f" × {len(walls)}" if len(walls) > 1 else "") if walls else "–"
    overhead = f"{max(case.overheads_s):.2f} s" if case.overheads_s else "–"
    cells = [
        f"{short.requests:,}",
        failed,
        f"{short.reconnected}",
        f"{short.longest_gap_s:g} s",
        f"{short.p50_ms:g} / {short.p99_ms:g}",
        f"{short.p50_during_ms:g} / {short.p99_during_ms:g}" if case.windows else "–",
        wall,
        overhead,
        f"{case.cpu_own:.0%} + {case.cpu_others:.0%}",
        '<span class="bad-text">no</span>' if case.problems else "yes",
    ]
    link = f'<a href="#{escape(case.name)}">{escape(case.name)}</a>'
    return f"<tr><td>{link}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _list(title: str, items: Sequence[str], css: str = "") -> str:
    if not items:
        return ""
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<p class="{css}">{escape(title)}</p><ul>{lines}</ul>'


def _section(case: Case) -> str:
    out = [f'<h2 id="{escape(case.name)}">{escape(case.name)}</h2><p class="dim">{escape(case.about)}</p>']
    if case.records:
        length = case.records[-1].at - case.records[0].at
        step = max(0.5, round(length / 500, 1))
        drawing = Timeline(timeline(case.records, step), step, case.records[0].at, case.windows)
        out.append(f"<figure>{drawing.draw(case.markers, f'timeline of {case.name}')}</figure>")
    reasons = [f"{number} × {why}" for why, number in case.summary.reasons.items()]
    kinds = ", ".join(f"{kind} {number}" for kind, number in case.summary.failed_kinds.items())
    out.append(_list(f"Failed requests ({kinds})", reasons, "bad-text") if reasons else "")
    first = [
        f"{record.at - case.records[0].at:.2f} s {record.kind}: {record.outcome} {record.detail}".strip()
        for record in case.records
        if not record.ok
    ][:8]
    out.append(_list("The first of them", first))
    out.append(_list("What was wrong beside that", case.problems, "bad-text"))
    out.append(_list("Notes", case.notes))
    more = {key: value for key, value in case.more.items() if isinstance(value, str | int | float)}
    out.append(_list("Further", [f"{key}: {value}" for key, value in more.items()]))
    return "".join(out)


def page(cases: Sequence[Case], totals: Mapping[str, Any], about: Sequence[str]) -> str:
    """The whole page. `totals` is the JSON that the bench prints; `about` says on what it ran."""
    head = (
        "<tr><th>case</th><th>requests</th><th>failed</th><th>reconnected</th><th>longest gap</th>"
        "<th>p50 / p99 ms outside</th><th>during</th><th>wall</th><th>overhead a wave</th>"
        "<th>CPU ours + others</th><th>state right</th></tr>"
    )
    ratio = totals.get("ratio_to_docker_rollout")
    words = f"{totals['requests']:,} requests, {totals['failed']:,} failed"
    rows = "".join(_row(case) for case in cases)
    words += f"; time of six changed services against docker-rollout: {ratio:g}" if ratio is not None else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Rollouts under load</title>'
        f"<style>{CSS}</style></head><body><h1>Rollouts under load</h1><p>{escape(words)}</p>"
        f'{_list("", about, "dim")}<div class="table"><table>{head}{rows}</table></div>'
        '<p class="dim">Open loop: requests leave on schedule whatever became of those before, and latency counts from '
        "the schedule. Nothing is tried twice. The longest gap is the longest time without a good answer of a kind, "
        "less what its schedule leaves, the worst kind's. Shaded: a deploy from the operator's command to its end; "
        "triangles: switches; red: failed requests.</p>" + "".join(_section(case) for case in cases) + "</body></html>"
    )


def write(where: Path, cases: Sequence[Case], totals: Mapping[str, Any], about: Sequence[str]) -> Path:
    where.mkdir(parents=True, exist_ok=True)
    out = where / "index.html"
    out.write_text(page(cases, totals, about), encoding="utf-8")
    return out
