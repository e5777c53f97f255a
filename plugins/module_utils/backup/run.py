# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of a backup run: one set, in a consistent order, that exists only when all of it went well."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, Protocol

from . import layout, parts
from .commands import Command, age, zstd
from .config import Config
from .manifest import Item, Manifest, SentObject, Verdict
from .ports import BackupError, Store
from .restic import Taken
from .sources import Source, ordered


@dataclass(frozen=True)
class Stream:
    """A producer that is ready to run.

    :param compress: whether its bytes still have to be compressed
    :param taps: what looks at the plain stream
    :param details: asked after it ended well; raises when it did not after all
    """

    producer: Command
    compress: bool = True
    taps: Sequence[Any] = ()
    details: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True)
class Job:
    """One item of a set to be: a stream, or what restic keeps.

    :param secret: is never stored in the clear
    :param take: has restic keep it, in a store: (store, set id)
    :param free: whether it can be read now: a service may have been paused while it held a lock
    """

    name: str
    kind: str
    service: str
    source: str
    open: Callable[[], AbstractContextManager[Stream]] | None = None
    secret: bool = False
    take: Callable[[Store, str], Taken] | None = None
    free: Callable[[], bool] = lambda: True


class Lock(Protocol):
    """The lease, held."""

    def check(self) -> None:
        """:raises BackupError: it was lost"""


@dataclass(frozen=True)
class Effects:
    """What a run does to the world.

    :param hold: takes the host's lock and the store's lease: (store, what for, set id)
    :param quiesced: pauses or stops a service for a while, and always starts it again: (service, how, is what is to be
        read free?)
    :param send: (store, job, stream, filters, key of a segment, complete?) → objects, plain bytes, warnings
    :param copy: a set from one store to another
    :param catalogue: sets of a store
    :param verify: reads a set back and records the verdict
    """

    stores: Sequence[Store]
    sources: Callable[[], Sequence[Source]]
    jobs: Callable[[Source, str], Sequence[Job]]
    hold: Callable[[Store, str, str], AbstractContextManager[Lock]]
    quiesced: Callable[[str, str, Callable[[], bool]], AbstractContextManager[None]]
    send: Callable[..., tuple[tuple[SentObject, ...], int, list[str]]]
    copy: Callable[[Store, Store, Manifest], None]
    sizes: Callable[[Store], Mapping[str, int]]
    verify: Callable[[Store, str], Verdict]
    manifest_key: Callable[[], bytes]
    time: Callable[[], float]
    monotonic: Callable[[], float]
    token: Callable[[], str]
    host: str
    say: Callable[[str], None]


@dataclass
class Outcome:
    """What came of a run. :param verdicts: store → what its verification found"""

    manifest: Manifest
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def filters_of(config: Config, stream: Stream) -> tuple[str, ...]:
    """What a stream goes through on its way."""
    return (*(("zstd",) if stream.compress else ()), *(("age",) if config.recipients else ()))


def commands_of(config: Config, filters: Sequence[str]) -> list[Command]:
    """The programs for it."""
    known = {"zstd": zstd(), "age": age(config.recipients)}
    return [known[name] for name in filters]


def run(config: Config, fx: Effects, trigger: str, accept_size: bool = False) -> Outcome:
    """Take one set, copy it to the other stores, verify it.

    :raises BackupError: no set was made; nothing of it can be seen. What fails after the set was made (a second store,
        the verification) is in the outcome's ``problems``
    """
    first = fx.stores[0]
    began = fx.time()
    sid = layout.set_id(began, fx.token())
    with fx.hold(first, "backup", sid) as lock:
        sources = ordered(fx.sources())
        if not sources:
            raise BackupError(
                f"stack {config.stack} has nothing to back up: no x-landfall.backup on a service, no sources in the "
                "inventory, and project is off"
            )
        swept = first.abort_orphans(layout.stack_prefix(config.stack))
        if swept:
            fx.say(f"{swept} uploads that a killed run had left were thrown away")
        before = fx.sizes(first)
        items: list[Item] = []
        for (service, how), group in groupby(sources, key=_stillness):
            # What is asked of servers is asked before a service is held still.
            jobs = [job for source in group for job in fx.jobs(source, sid)]
            free = partial(_all_free, jobs)
            with fx.quiesced(service, how, free) if how != "none" else contextlib.nullcontext():
                items += [_take(config, fx, first, sid, job, lock, {} if accept_size else before) for job in jobs]
        made = Manifest(
            sid, config.stack, fx.host, trigger, layout.stamp(began), layout.stamp(fx.time()), tuple(items)
        )  # fmt: skip
        lock.check()
        first.put(made.key, made.to_json(fx.manifest_key()), absent=True)
        fx.say(f"set {sid} is complete in {first.name}: {len(items)} items, {made.stored} bytes")
        outcome = Outcome(made)
        for other in fx.stores[1:]:
            try:
                fx.copy(first, other, made)
                fx.say(f"set {sid} is complete in {other.name}")
            except BackupError as problem:
                outcome.problems.append(f"set {sid} is not in {other.name}: {problem}")
        if config.verify:
            _verify(fx, outcome)
        return outcome


def _all_free(jobs: Sequence[Job]) -> bool:
    return all(job.free() for job in jobs)


def _stillness(source: Source) -> tuple[str, str]:
    return (source.service, source.quiesce) if source.quiesce != "none" else ("", "none")


def _take(config: Config, fx: Effects, store: Store, sid: str, job: Job, lock: Lock, before: Mapping[str, int]) -> Item:
    if job.secret and not config.recipients:
        raise BackupError(f"{job.name} is only backed up encrypted: give recipients")
    began = fx.monotonic()

    def plausible(sent: int, kind: str = job.kind) -> None:
        lock.check()
        fault = parts.implausible(kind, sent, before.get(job.name))
        if fault:
            raise BackupError(f"{job.name}: {fault}")

    def key(number: int) -> str:
        return layout.segment_key(config.stack, sid, job.name, number)

    objects: tuple[SentObject, ...] = ()
    filters: tuple[str, ...] = ()
    warnings: Sequence[str] = ()
    found: dict[str, Any] = {}
    plain = 0
    try:
        if job.take:
            taken = job.take(store, sid)
            plausible(taken.plain, "snapshot")
            plain, warnings = taken.plain, taken.warnings
            found.update(taken.details)
        elif job.open:
            with job.open() as stream:
                filters = filters_of(config, stream)

                def ended(sent: int) -> None:
                    found.update(stream.details())
                    plausible(sent)

                objects, plain, warnings = fx.send(store, stream, commands_of(config, filters), key, ended)
    except BackupError as problem:
        raise BackupError(f"{job.name} ({job.source}): {problem}") from problem
    item = Item(
        job.name, job.kind, job.service, job.source, objects, plain, filters, round(fx.monotonic() - began, 3),
        tuple(warnings), found,
    )  # fmt: skip
    fx.say(
        f"{job.name}: {plain} bytes, {item.stored} stored, {item.seconds:.1f} s"
        + "".join(f"; {one}" for one in warnings)
    )
    return item


def _verify(fx: Effects, outcome: Outcome) -> None:
    for store in fx.stores:
        try:
            verdict = fx.verify(store, outcome.manifest.id)
        except BackupError as problem:
            outcome.problems.append(f"verification in {store.name}: {problem}")
            continue
        outcome.verdicts[store.name] = verdict
        outcome.problems += [f"verification in {store.name}: {one}" for one in verdict.problems]
