# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills: what has to be proven of a set, in what order, and what came of it. Values in, values out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .drill_config import Check, DrillConfig
from .manifest import Item, Manifest
from .ports import BackupError

PASSED, FAILED, NOT_APPLICABLE, NOT_RUN = "passed", "failed", "not applicable", "not run"
#: The time to recover ends when the last of these has passed: what follows is proof of other things.
PROVEN_BY = "orphans"
#: Room beside the data itself: an empty server, and its log while it loads.
SERVER_BYTES = 400_000_000


class NotApplicable(Exception):
    """Raised by a rung that finds that there is nothing for it to prove, with the reason."""


@dataclass(frozen=True)
class Step:
    """A rung to climb. :param needs: rungs that must not have failed; :param reason: why it does not apply, or "" """

    name: str
    needs: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Rung:
    """A rung, and what came of it. :param seconds: how long it took"""

    name: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""


def plan(
    made: Manifest, config: DrillConfig, checks: Sequence[Check], escrow: bool, credentials: bool
) -> tuple[Step, ...]:
    """The rungs for a set, in order.

    :param checks: all of them, the stack's own too
    :param escrow: an escrow identity was given for this drill
    :param credentials: the store has credentials, so that one of them can be refused
    """
    kinds = {item.kind for item in made.items}

    def unless(condition: bool, reason: str) -> str:
        return "" if condition else reason

    databases = "the set has no PostgreSQL database"
    data = ("restore", "rows", "sqlite")
    delete = unless(credentials, "a directory knows no credentials")
    if config.uploader_may_delete:
        delete = "the configuration lets the uploader delete"
    encrypted = any("age" in item.filters for item in made.items)
    return (
        Step("room"),
        Step("bytes", ("room",)),
        Step("decode", ("bytes",)),
        Step("server", ("room",), unless("postgres" in kinds, databases)),
        Step("restore", ("decode", "server"), unless("postgres" in kinds, databases)),
        Step("errors", ("restore",), unless("postgres" in kinds, databases)),
        Step("rows", ("decode", "restore"), unless(bool(kinds & {"postgres", "sqlite"}), "the set has no database")),
        Step("amcheck", ("restore",), unless("postgres" in kinds, databases)),
        Step("sqlite", ("decode",), unless("sqlite" in kinds, "the set has no SQLite file")),
        Step("redis", ("decode",), unless("redis" in kinds, "the set has no snapshot of Redis")),
        Step("mongo", ("decode",), unless("mongo" in kinds, "the set has no dump of MongoDB")),
        Step("smoke", data, unless(bool(checks), "no query is declared: x-landfall.backup.drill, backup_drill_checks")),
        Step("orphans", data, unless(bool(config.orphans), "none is declared: backup_drill_orphans")),
        Step(
            "escrow",
            ("bytes",),
            unless(encrypted, "the set is not encrypted")
            or unless(escrow, "not proven: no escrow identity was given for this drill"),
        ),
        Step("deletion", (), delete),
        Step("cleanup"),
    )


def climb(steps: Sequence[Step], do: Callable[[str], str], clock: Callable[[], float]) -> list[Rung]:
    """Climb rung after rung; what does not need a rung that failed is still tried.

    :param do: does what a rung is named for, and says what it found; raises when it is not as it should be
    :param clock: seconds that only grow
    """
    rungs: list[Rung] = []
    for step in steps:
        missed = next((one for one in rungs if one.name in step.needs and one.outcome in (FAILED, NOT_RUN)), None)
        if step.reason:
            rungs.append(Rung(step.name, NOT_APPLICABLE, 0.0, step.reason))
            continue
        if missed:
            rungs.append(Rung(step.name, NOT_RUN, 0.0, f"{missed.name}: {missed.outcome}"))
            continue
        began = clock()
        try:
            outcome, detail = PASSED, do(step.name)
        except NotApplicable as reason:
            outcome, detail = NOT_APPLICABLE, str(reason)
        except Exception as problem:  # whatever it is, a drill that could not be done is red
            outcome, detail = FAILED, str(problem) or type(problem).__name__
        rungs.append(Rung(step.name, outcome, round(clock() - began, 3), detail))
    return rungs


@dataclass(frozen=True)
class Record:
    """A drill. Times are ISO in UTC; ``finished`` is "" while it goes on, and for ever when it was killed.

    :param stored: bytes of the set in the store
    :param set: its id; of a drill of a cluster the label of the backup
    :param rto: seconds from its start to restored and proven data; None unless all of that passed
    :param rpo: seconds that would be lost: how old the set was at its start, or what of a cluster's log was not there
    :param reason: the first thing that failed
    :param cluster: item that pgBackRest keeps, "" for a drill of a set
    """

    id: str
    stack: str
    host: str
    trigger: str
    started: str
    store: str = ""
    set: str = ""
    stored: int = 0
    finished: str = ""
    good: bool = False
    reason: str = ""
    rto: float | None = None
    rpo: float | None = None
    rungs: tuple[Rung, ...] = field(default_factory=tuple)
    cluster: str = ""

    @property
    def subject(self) -> str:
        """What it was of, for a person."""
        return f"{self.cluster}, backup {self.set or 'none'}" if self.cluster else f"set {self.set or 'none'}"

    def to_json(self) -> bytes:
        """Its text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode() + b"\n"

    def lines(self) -> list[str]:
        """For a person."""
        out = [f"{one.outcome:<14}  {one.name:<9}  {one.seconds:6.1f} s  {one.detail}".rstrip() for one in self.rungs]
        verdict = "passed" if self.good else f"FAILED: {self.reason}"
        out.append(f"drill of {self.subject} of {self.stack}: {verdict}")
        if self.rto is not None and self.rpo is not None:
            out.append(f"recovery takes {self.rto:.1f} s, and would lose {span(self.rpo)}")
        return out


def record_from_json(data: bytes | str) -> Record | None:
    """A record; None for one that cannot be read."""
    try:
        raw: dict[str, Any] = json.loads(data)
        return Record(**{**raw, "rungs": tuple(Rung(**one) for one in raw["rungs"])})
    except (ValueError, TypeError, KeyError):
        return None


def judge(rungs: Sequence[Rung]) -> tuple[bool, str]:
    """(whether a drill has passed, the first thing that failed)."""
    failed = next((one for one in rungs if one.outcome in (FAILED, NOT_RUN)), None)
    return (failed is None and bool(rungs), f"{failed.name}: {failed.detail}" if failed else "")


def recovered_after(rungs: Sequence[Rung], before: float, last: str = PROVEN_BY) -> float | None:
    """Seconds until the data were restored and proven, None when they were not.

    :param before: what came before
    :param last: the rung that ends it
    """
    names = [one.name for one in rungs]
    if last not in names:
        return None
    mine = rungs[: names.index(last) + 1]
    return None if any(one.outcome in (FAILED, NOT_RUN) for one in mine) else before + sum(one.seconds for one in mine)


def proves_set(rungs: Sequence[Rung]) -> bool:
    """Whether every byte was read, decoded and restored: the set is verified by that."""
    found = {one.name: one.outcome for one in rungs}
    restored = all(found.get(name) in (PASSED, NOT_APPLICABLE) for name in ("restore", "mongo"))
    return found.get("bytes") == found.get("decode") == PASSED and restored


def room_needed(made: Manifest) -> int:
    """Bytes that a drill lays down at most."""
    need = sum(item.plain_bytes for item in made.items)
    databases = [item for item in made.items if item.kind == "postgres"]
    need += sum(int(int(item.details.get("size", 0)) * 1.2) for item in databases)
    # MongoDB compresses what it writes; its indexes come on top.
    dumps = [item for item in made.items if item.kind == "mongo"]
    need += sum(int(item.plain_bytes * 1.2) for item in dumps)
    return need + SERVER_BYTES * (bool(databases) + len(dumps))


def restore_errors(said: str) -> list[str]:
    """The errors in what pg_restore said."""
    return [
        line.partition("error: ")[2].strip()
        for line in said.splitlines()
        if line.startswith("pg_restore: error: ") or line.startswith("pg_restore: [archiver")
    ]


def not_allowed(errors: Iterable[str], allowed: Sequence[str]) -> list[str]:
    """The errors that no pattern of the allow-list covers."""
    return [one for one in errors if not any(re.search(pattern, one) for pattern in allowed)]


def asked_of(check: Check, items: Sequence[Item]) -> Item:
    """The item a check is asked of. :raises BackupError: there is none, or more than one"""
    found = [item for item in items if item.kind in ("postgres", "sqlite")]
    if check.item:
        found = [item for item in found if item.name == check.item]
    else:
        found = [item for item in found if item.service == check.service]
        if check.within:
            found = [item for item in found if check.within in (item.source, str(item.details.get("name")))]
    if len(found) != 1:
        names = ", ".join(item.name for item in found) or "none"
        raise BackupError(f"the query {check.query!r} of {check.where} needs one database of the set; there: {names}")
    return found[0]


def answer_fault(check: Check, answer: str) -> str:
    """Why an answer is not the expected one, "" when it is."""
    if check.expect:
        return "" if answer == check.expect else f"{check.query!r} gave {answer[:200]!r}, not {check.expect!r}"
    return f"{check.query!r} gave {answer[:200]!r}" if answer.strip() in ("", "f", "false", "False", "0") else ""


def missing_names(of: Iterable[str], within: Iterable[str]) -> list[str]:
    """Names that point to nothing. Paths are compared without what leads to the same file: ``./a``, ``/a``."""

    def plain(name: str) -> str:
        return re.sub(r"^(\./|/)+", "", name.strip())

    known = {plain(one) for one in within}
    return sorted({plain(one) for one in of if one.strip()} - known)


def span(seconds: float) -> str:
    """A length of time for a person."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172800 else f"{seconds / 86400:.0f} days"
