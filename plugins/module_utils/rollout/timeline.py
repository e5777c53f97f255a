# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a rollout did what: bars for a picture, from a release's report, or from its journal without one. Pure.

The report counts hundredths of a second; the journal knows whole seconds, and the order in which things were done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .journal import Entry
from .strategy import BLUE_GREEN, CANARY, JOB, RECREATE

#: Kinds of bars, and what they mean.
KINDS = {
    "prepare": "release written, images, containers created",
    "hook": "hook",
    "replace": "stopped first: nobody answers",
    "start": "start-up, until it was well",
    "wait": "well, waits for the wave",
    "switch": "switch",
    "canary": "canary: old and new answer",
    "drain": "old ones finish what they have",
    "stop": "old ones end",
    "bake": "watched under traffic",
    "back": "the way back",
}
_WAVE = re.compile(r"^wave (\d+) (replaced|started|gated|switched|canary)$")
#: Shorter than this the rest of a rollout's time is not worth a bar, seconds.
_SHORT = 0.5


@dataclass(frozen=True)
class Bar:
    """Something that took time. Seconds since the run began; ``kind`` is one of :data:`KINDS`."""

    kind: str
    start: float
    end: float
    text: str = ""
    failed: bool = False


@dataclass
class Row:
    """One service in one wave, or a phase of the whole."""

    label: str
    bars: list[Bar] = field(default_factory=list)

    def add(self, kind: str, start: float, end: float, text: str = "", failed: bool = False) -> None:
        """One more bar, unless it took no time at all."""
        if end > start or failed:
            self.bars.append(Bar(kind, start, max(end, start), text, failed))


@dataclass(frozen=True)
class Group:
    """A wave, or what came before and after all waves (``title`` "")."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Timeline:
    """:param exact: times are the report's; otherwise the journal's, in whole seconds"""

    total: float
    groups: tuple[Group, ...]
    exact: bool


def timeline(
    stack: str, release: str, report: Mapping[str, Any], journal: Sequence[Entry], evidence: Mapping[str, Any]
) -> Timeline:
    """What is known of the last run of a release.

    :param report: its report.json, {} when it has none
    :param journal: the stack's journal, all releases
    :param evidence: its evidence, {} when it did not fail
    """
    run = _run(journal, release)
    if report.get("waves") is not None:
        return _reported(report, run)
    return _journalled(stack, run, journal, _culprits(evidence))


def _run(journal: Sequence[Entry], release: str) -> list[Entry]:
    """The entries of the run that decided a release; a way back to it, later, is none."""
    mine = [one for one in journal if one.release == release]
    ends = [at for at, one in enumerate(mine) if one.step in ("sealed", "failed")]
    if ends:
        mine = mine[: ends[0] + 1]
    begins = [at for at, one in enumerate(mine) if one.step == "pulled"]
    if not begins:
        return mine
    began = begins[-1]
    return mine[began - (began > 0 and mine[began - 1].step == "written") :]


def _culprits(evidence: Mapping[str, Any]) -> set[str]:
    """The services a failure was about."""
    found = {str(one.get("service", "")) for one in evidence.get("containers") or ()}
    found |= {str((evidence.get("hook") or {}).get("service", ""))}
    return (found | set(re.findall(r"service ([\w.-]+):", str(evidence.get("message", ""))))) - {""}


# --- from the report


def _reported(report: Mapping[str, Any], run: Sequence[Entry]) -> Timeline:
    timings = report.get("timings") or {}
    waves: Sequence[Mapping[str, Any]] = report["waves"]
    services = {row["service"]: row for row in report.get("services") or ()}
    bake, drain = float(timings.get("bake_s", 0.0)), float(timings.get("drain_s", 0.0))
    spent = sum(wave["switched_s"] for wave in waves)
    total = max(float(timings.get("total_s", 0.0)), spent + bake + drain)
    before = total - spent - bake - drain
    after = 0.0
    first = next((one for one in run if _WAVE.match(one.step)), None)
    if first and before - _between(run[0], first) > 1.0 + _SHORT:
        # More than the journal's seconds leave open: hooks and switches after the last wave.
        after = before - _between(run[0], first)
    at = before - after
    phases = Row("all services")
    phases.add("prepare", 0.0, at, f"{KINDS['prepare']}: {at:.1f} s")
    groups = []
    last = at
    for wave in waves:
        rows = _wave(wave, services, run, at)
        groups.append(Group(f"wave {wave['wave']}", tuple(rows)))
        at += wave["switched_s"]
        last = max([last, at, *(bar.end for row in rows for bar in row.bars)])
    phases.add("hook", at, at + after, f"hooks and switches after the last wave: {after:.1f} s")
    phases.add("bake", at + after, at + after + bake, f"{KINDS['bake']}: {bake:.1f} s")
    phases.add("drain", at + after + bake, at + after + bake + drain, f"waiting for old containers: {drain:.1f} s")
    return Timeline(max(total, last), (Group("", (phases,)), *groups), True)


def _wave(
    wave: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]], run: Sequence[Entry], at: float
) -> list[Row]:
    rows = {name: Row(name) for name in wave["services"]}
    known = {name: services.get(name, {}) for name in rows}
    in_place = [name for name in rows if known[name].get("strategy") in (RECREATE, JOB)]
    rolling = [name for name in rows if name not in in_place]
    end = at + wave["switched_s"]
    batches, gone = _batches(wave["wave"], run)
    well = {one["container"]: one["well_after_s"] for row in known.values() for one in row.get("health") or ()}
    mine = {name: [one["container"] for one in known[name].get("health") or ()] for name in rows}
    awaited = [name for service in rolling for name in mine[service]]
    if not batches or set(awaited) - {name for batch in batches for name in batch} - _kept(known):
        batches, gone = [awaited], {}
    batches[0] = [*batches[0], *(name for name in awaited if name in _kept(known))]
    gates = [max((well.get(name, 0.0) for name in batch), default=0.0) for batch in batches]
    healthy = at + wave.get("healthy_s", wave["switched_s"] - wave.get("switch_s", 0.0))
    if in_place:
        until = healthy - gates[0] if rolling else healthy
        slowest = max((well.get(name, 0.0) for service in in_place for name in mine[service]), default=0.0)
        for service in in_place:
            own = max((well.get(name, 0.0) for name in mine[service]), default=0.0)
            began = max(until - slowest, at)
            if known[service].get("old") and known[service]["strategy"] == RECREATE:
                rows[service].add("replace", at, began, f"{KINDS['replace']}: {began - at:.1f} s until it was started")
            rows[service].add("start", began, began + own, _started(known[service], mine[service]))
            rows[service].add("wait", began + own, until, KINDS["wait"])
            rows[service].add("switch", until, until if rolling else end, KINDS["switch"])
    if not rolling:
        return list(rows.values())
    hold = wave.get("hold_s", 0.0)
    share = max(end - healthy - sum(gates[1:]) - hold, 0.0) / len(batches)
    switch = min(wave.get("switch_s", 0.0) / len(batches), share)
    if healthy - gates[0] - at > _SHORT and wave.get("hooks_s") and not in_place:
        for name in rolling:
            rows[name].add("hook", at, healthy - gates[0], "hooks and start of the containers")
    opens = healthy - gates[0]
    for number, batch in enumerate(batches):
        closes = opens + gates[number]
        for service in rolling:
            here = [name for name in mine[service] if name in batch]
            own = max((well.get(name, 0.0) for name in here), default=0.0)
            row, canary = rows[service], known[service].get("strategy") == CANARY and hold
            if here:
                row.add("start", opens, opens + own, _started(known[service], here))
                row.add("wait", opens + own, closes + share - switch, KINDS["wait"])
                row.add("switch", closes + share - switch, closes + share, f"switch: {switch:.2f} s")
            switched = closes + share
            if canary:
                row.add("canary", switched, end, f"{KINDS['canary']}, {hold:.0f} s")
                switched = end
            _leave(row, known[service], gone.get((number, service)), number == len(batches) - 1, switched)
        opens = closes + share
    return list(rows.values())


def _leave(row: Row, service: Mapping[str, Any], names: Sequence[str] | None, last: bool, at: float) -> None:
    """The old containers that go after a switch; without a journal all go after the last."""
    drains = service.get("drain") or {}
    going = names if names is not None else (list(drains) if last and not _spread(row) else [])
    mine = {name: drains[name] for name in going if name in drains}
    if not mine:
        return
    drained = max(float(one.get("drain_s", 0.0)) for one in mine.values())
    ended = max(float(one.get("gone_s", one.get("drain_s", 0.0))) for one in mine.values())
    cut = [name for name, one in sorted(mine.items()) if not one.get("drained", True)]
    told = f"{', '.join(sorted(mine))}: {drained:.1f} s"
    row.add("drain", at, at + drained, told + (f"; the window ran out for {', '.join(cut)}" if cut else ""))
    row.add("stop", at + drained, at + ended, f"{', '.join(sorted(mine))} ended after {ended:.1f} s")


def _spread(row: Row) -> bool:
    return any(bar.kind in ("drain", "stop") for bar in row.bars)


def _kept(known: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {name for row in known.values() for name in row.get("kept") or ()}


def _started(service: Mapping[str, Any], names: Sequence[str]) -> str:
    """Which containers, and what they said on the way."""
    said = [
        f"{one['container']}: {'; '.join(one.get('history') or ())}"
        for one in service.get("health") or ()
        if one["container"] in names
    ]
    return "\n".join(said)


def _batches(wave: int, run: Sequence[Entry]) -> tuple[list[list[str]], dict[tuple[int, str], list[str]]]:
    """The containers of each batch of a wave, and (batch, service) → the old ones that went after it."""
    batches: list[list[str]] = []
    gone: dict[tuple[int, str], list[str]] = {}
    inside = False
    for one in run:
        found = _WAVE.match(one.step)
        if found:
            inside = int(found[1]) == wave
        if inside and found and found[2] == "started":
            batches.append([str(name) for name in one.detail.get("containers") or ()])
        elif inside and one.step == "draining" and batches:
            key = (len(batches) - 1, str(one.detail.get("service", "")))
            gone.setdefault(key, []).extend(one.detail.get("containers") or ())
    return batches, gone


# --- from the journal


def _journalled(stack: str, run: Sequence[Entry], journal: Sequence[Entry], culprits: set[str]) -> Timeline:
    if not run:
        return Timeline(0.0, (), False)
    picture = _Sketch(stack, run[0], culprits)
    for one in run:
        picture.take(one)
    picture.close(_between(run[0], run[-1]), failed=run[-1].step == "failed")
    back = next((one for one in journal if one.step == "rolled back" and one.release == run[0].release), None)
    if back is not None and run[-1].step == "failed":
        began = _between(run[0], back)
        to = str(back.detail.get("to", ""))
        ended = began
        for one in journal[journal.index(back) + 1 :]:
            if one.release != to:
                break
            ended = _between(run[0], one)
        picture.phases.add("back", began, max(ended, began), f"back to release {to}, {ended - began:.0f} s and more")
    groups = [Group(f"wave {number}", tuple(rows.values())) for number, rows in sorted(picture.waves.items())]
    every = [bar.end for group in groups for row in group.rows for bar in row.bars]
    every += [bar.end for bar in picture.phases.bars]
    return Timeline(max(every, default=0.0), (Group("", (picture.phases,)), *groups), False)


class _Sketch:
    """Bars that are open until the journal says that something else was begun."""

    def __init__(self, stack: str, first: Entry, culprits: set[str]) -> None:
        self.first, self.culprits = first, culprits
        self.phases = Row("all services")
        self.waves: dict[int, dict[str, Row]] = {}
        self._named = re.compile(rf"^{re.escape(stack)}-(.+)-\d+$")
        self._open: dict[tuple[int, str], tuple[str, float, str]] = {(0, ""): ("prepare", 0.0, KINDS["prepare"])}
        self._wave = 0

    def _row(self, wave: int, service: str) -> Row:
        if not wave:
            return self.phases
        return self.waves.setdefault(wave, {}).setdefault(service, Row(service))

    def _begin(self, kind: str, service: str, at: float, text: str, wave: int | None = None) -> None:
        key = (self._wave if wave is None else wave, service)
        self._end(key, at)
        self._open[key] = (kind, at, text)

    def _end(self, key: tuple[int, str], at: float, failed: bool = False) -> None:
        kind, began, text = self._open.pop(key, ("", 0.0, ""))
        if kind:
            self._row(*key).add(kind, began, at, text, failed)

    def take(self, one: Entry) -> None:
        """One more entry."""
        at, detail = _between(self.first, one), one.detail
        found = _WAVE.match(one.step)
        service = str(detail.get("service", ""))
        if found:
            self._wave = int(found[1])
            self._end((0, ""), at)
        if found and found[2] == "replaced":
            for name in detail.get("services") or ():
                self._begin("replace", name, at, KINDS["replace"])
        elif found and found[2] == "started":
            for name in detail.get("containers") or ():
                match = self._named.match(name)
                self._begin("start", match[1] if match else name, at, KINDS["start"])
        elif found and found[2] == "gated":
            for name in detail.get("services") or ():
                if self._open.get((self._wave, name), ("",))[0] != "start":
                    self._begin("start", name, at, KINDS["start"])
        elif found and found[2] == "canary":
            self._begin("canary", service, at, f"canary at {detail.get('percent', '?')} %")
        elif found:
            before = ("start", "hook", "replace", "canary")
            for key in [key for key, (kind, *_rest) in self._open.items() if key[0] == self._wave and kind in before]:
                self._end(key, at)
        elif one.step == "draining":
            self._begin("drain", service, at, f"{', '.join(detail.get('containers') or ())}: {KINDS['drain']}")
        elif one.step == "stopping":
            wave = next((number for number, rows in self.waves.items() if service in rows), self._wave)
            self._begin("stop", service, at, f"{detail.get('container', '')}: {KINDS['stop']}", wave)
        elif one.step.startswith("hook "):
            self._begin("hook", "", at, f"{one.step} of {service}", 0)
        elif one.step == "smoke test":
            self._begin("hook", service, at, f"smoke test of {service}")
        elif one.step == "baked":
            self._begin("bake", "", at, KINDS["bake"], 0)
        elif one.step == "drained":
            for key in [key for key in self._open if key[0]]:
                self._end(key, at)

    def close(self, at: float, failed: bool) -> None:
        """The run is over: what is open ends; what belongs to the failure is marked."""
        wave_open = {service for wave, service in self._open if wave} & self.culprits
        for key in list(self._open):
            bad = key[1] in self.culprits or (not key[0] and not wave_open)
            leaving = self._open[key][0] in ("drain", "stop")
            self._end(key, at, failed and bad and not leaving)


def _between(first: Entry, one: Entry) -> float:
    """Seconds between two entries."""
    try:
        began, ended = (datetime.fromisoformat(each.at.replace("Z", "+00:00")) for each in (first, one))
    except ValueError:
        return 0.0
    return max((ended - began).total_seconds(), 0.0)


def kept_warm(service: Mapping[str, Any]) -> list[str]:
    """The old containers of a blue-green service that were left running for a way back."""
    if service.get("strategy") != BLUE_GREEN:
        return []
    return [name for name in service.get("old") or () if name not in (service.get("drain") or {})]
