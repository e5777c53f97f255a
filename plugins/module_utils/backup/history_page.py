# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a stack's backups: its sets and drills over time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from ..pages.document import document, style
from . import drill_state, layout, metrics
from .catalogue import KnownSet
from .drill import FAILED, NOT_RUN, Record, span
from .drill_state import Drills

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 1080, 170, 86, 14, 24
#: How many of the newest are drawn, and listed.
SHOWN = 90
KINDS = {
    "drilled": "verified, and a drill of it passed",
    "verified": "verified: every byte was read back",
    "unverified": "not verified yet",
    "bad": "damaged, or a drill that failed",
}

COLOURS = {
    "drilled": ("#1f5fbf", "#6aa3f7"),
    "verified": ("#57a98a", "#2ea77c"),
    "unverified": ("#b9c2cc", "#57606a"),
}
OWN = """
svg text { fill: var(--faint) }
.failed { color: var(--bad) } pre { border-color: var(--bad) }
"""
STYLE = style(COLOURS, OWN, KINDS)


@dataclass(frozen=True)
class Bar:
    """One bar of a chart. :param value: None for what came to none: it is drawn as a mark on the line"""

    label: str
    value: float | None
    kind: str
    text: str


def page(stack: str, sets: Sequence[KnownSet], drills: Drills, state: metrics.State, now: float) -> str:
    """The page. :param sets: as the store has them, oldest first; :param now: seconds since 1970"""
    known = list(sets)[-SHOWN:]
    ended = [one for one in drills.records if one.finished][-SHOWN:]
    title = f"Backups of {stack}"
    parts = [
        f'<h1>{escape(title)}</h1>\n<p class="faint">as of {layout.stamp(now)}</p>',
        *_state(drills, state, now),
        *_chart("Size of each set", [_set_bar(one, _size) for one in known], size),
        *_chart("Seconds each set took", [_set_bar(one, _duration) for one in known], span),
        *_measured(ended),
        *(_legend() if known or ended else []),
        *_drills(ended),
        *_rungs(ended),
        *_sets(known),
    ]
    return document(title, STYLE, parts)


def _state(drills: Drills, state: metrics.State, now: float) -> list[str]:
    told = [metrics.line(state, now), *drill_state.lines(drills, now)]
    wrong = (metrics.problems(state, now) if state.run_at else []) + drill_state.problems(drills, now)
    return [f"<p>{escape(one)}</p>" for one in told if one] + [f"<pre>{escape(one)}</pre>" for one in wrong]


def size(count: float) -> str:
    """Bytes for a person."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _size(one: KnownSet) -> float | None:
    return float(one.manifest.stored) if one.manifest else None


def _duration(one: KnownSet) -> float | None:
    if one.manifest is None:
        return None
    began, ended = (datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ") for at in (one.manifest.started, one.manifest.finished))
    return max((ended - began).total_seconds(), 0.0)


def _kind(one: KnownSet) -> str:
    if one.state == "damaged" or one.drilled == "failed":
        return "bad"
    return "drilled" if one.drilled == "passed" else one.state


def _set_bar(one: KnownSet, value: Callable[[KnownSet], float | None]) -> Bar:
    return Bar(layout.stamp(layout.taken_at(one.id))[:10], value(one), _kind(one), f"{one.id}: {KINDS[_kind(one)]}")


def _drill_bar(one: Record, value: float | None) -> Bar:
    text = f"drill {one.started} of {one.subject}: {'passed' if one.good else f'failed, {one.reason}'}"
    return Bar(one.started[:10], value, "drilled" if one.good else "bad", text)


def _measured(drills: Sequence[Record]) -> list[str]:
    """Of the sets and of each cluster for itself: one is minutes where the other is hours."""
    out = []
    for name in sorted({one.cluster for one in drills}):
        mine, whose = [one for one in drills if one.cluster == name], f" of {name}" if name else ""
        out += _chart(f"Time to recover (RTO), of each drill{whose}", [_drill_bar(one, one.rto) for one in mine], span)
        out += _chart(
            f"What would be lost (RPO), at each drill{whose}", [_drill_bar(one, one.rpo) for one in mine], span
        )
    return out


# --- the pictures


def _chart(title: str, bars: Sequence[Bar], words: Callable[[float], str]) -> list[str]:
    if not bars:
        return []
    top = max((bar.value or 0.0 for bar in bars), default=0.0) or 1.0
    scale, floor = (HEIGHT - TOP - BOTTOM) / top, HEIGHT - BOTTOM
    step = min((WIDTH - LEFT) / len(bars), 60.0)
    drawn = []
    for share in (0.0, 0.5, 1.0):
        y = floor - share * top * scale
        drawn.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(words(share * top))}</text>')
    for at, bar in enumerate(bars):
        tall = max((bar.value or 0.0) * scale, 4.0)
        said = f"{words(bar.value)}, {bar.text}" if bar.value is not None else bar.text
        drawn.append(
            f'<rect class="bar {bar.kind}" x="{LEFT + at * step + step * 0.1:.1f}" y="{floor - tall:.1f}" '
            f'width="{step * 0.8:.1f}" height="{tall:.1f}" rx="2"><title>{escape(said)}</title></rect>'
        )
    for at in sorted({0, len(bars) // 2, len(bars) - 1}) if step * len(bars) > 240 else [0]:
        x = LEFT + at * step + step / 2
        anchor = "end" if at == len(bars) - 1 and at else "start" if at == 0 else "middle"
        drawn.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{bars[at].label}</text>')
    return [
        f"<h2>{escape(title)}</h2>",
        '<figure class="wide">',
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        *drawn,
        "</svg></figure>",
    ]


def _legend() -> list[str]:
    items = "".join(f'<li><i class="{kind}"></i>{escape(text)}</li>' for kind, text in KINDS.items())
    return [f'<ul class="legend">{items}</ul>']


# --- words


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]]) -> list[str]:
    numbers = {at for row in rows for at, (_text, css) in enumerate(row) if css == "number"}
    head = "".join(
        f'<th class="{"number" if at in numbers else ""}">{escape(name)}</th>' for at, name in enumerate(names)
    )
    out = [f'<h2>{escape(title)}</h2>\n<div class="wide"><table><tr>{head}</tr>']
    for row in rows:
        cells = "".join(f'<td class="{css}">{escape(text)}</td>' for text, css in row)
        out.append(f"<tr>{cells}</tr>")
    return [*out, "</table></div>"] if rows else []


def _drills(drills: Sequence[Record]) -> list[str]:
    rows = []
    for one in reversed(drills):
        outcome = ("passed", "") if one.good else (f"failed: {one.reason}", "failed")
        rto = span(one.rto) if one.rto is not None else ""
        rpo = span(one.rpo) if one.rpo is not None else ""
        rows.append([(one.started, ""), (one.subject, ""), outcome, (rto, "number"), (rpo, "number")])
    return _table("Drills", ("begun", "of", "outcome", "RTO", "RPO"), rows)


def _rungs(drills: Sequence[Record]) -> list[str]:
    out = []
    for last in {one.cluster: one for one in drills}.values():
        rows = [
            [(one.name, ""), (one.outcome, "failed" if one.outcome in (FAILED, NOT_RUN) else ""),
             (f"{one.seconds:.1f} s", "number"), (one.detail, "")]
            for one in last.rungs
        ]  # fmt: skip
        title = f"The last drill{f' of {last.cluster}' if last.cluster else ''}, rung by rung"
        out += _table(title, ("rung", "outcome", "took", "found"), rows)
    return out


def _sets(sets: Sequence[KnownSet]) -> list[str]:
    rows = []
    for one in reversed(sets):
        took = _duration(one)
        drilled = (f"{one.drilled}, {one.drill.started}" if one.drill else "", "failed" if _kind(one) == "bad" else "")
        rows.append(
            [(one.id, ""), (one.state, "failed" if one.state == "damaged" else ""), drilled,
             (size(one.manifest.stored) if one.manifest else "", "number"),
             (span(took) if took is not None else "", "number"),
             (one.manifest.trigger if one.manifest else one.fault, "")]
        )  # fmt: skip
    return _table("Sets", ("set", "state", "drilled", "size", "took", "by"), rows)
