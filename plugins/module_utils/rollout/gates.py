# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates a new instance passes before it gets a request: its own healthcheck, its ports, and staying up.

Docker runs a healthcheck first after a whole interval. So the same command is run here as soon as the instance
listens, and its success counts; Docker's word counts too, whichever comes first. Docker's "unhealthy" is final.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import health, ports

#: Seconds between two looks, and what each container that is waited for adds: looking costs the processor that a
#: starting program needs.
TICK, TICK_EACH = 0.05, 0.04
#: Seconds a port may take to open after its container is otherwise well.
PORT_GRACE = 10.0
#: Seconds between two runs of a healthcheck.
RETRY = 0.25


class GateFailed(Exception):
    """A gate did not open. ``broken``: the containers it is about."""

    def __init__(self, message: str, broken: Sequence[health.Observation] = ()) -> None:
        self.broken = list(broken)
        super().__init__(message)


class World(Protocol):
    """What the gates ask of the host."""

    def look(self, names: Sequence[str]) -> list[health.Observation]:
        """The containers by name, inspected."""

    def check(self, one: health.Observation) -> tuple[bool, str]:
        """Run its healthcheck once: (whether it passed, what it said)."""

    def connects(self, addresses: Sequence[str], port: int) -> bool:
        """Whether a TCP connection succeeds."""

    def http_status(self, addresses: Sequence[str], port: int, host: str, path: str) -> int | None:
        """The status of an HTTP request, None when there was no answer."""

    def proc_net(self, pid: int) -> str:
        """/proc/<pid>/net/tcp and tcp6."""

    def monotonic(self) -> float:
        """Seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True)
class Awaited:
    """What is asked of each container of one service.

    :param wants: ``running`` or ``done``
    :param healthy_for: seconds it must have been healthy; None: 5 s without a healthcheck, else 0
    :param deadline: seconds from the beginning of the wait
    :param routes: (host, path, port) of its routes; all ports must listen, and without a healthcheck HTTP must answer
    :param listens: whether others call it, so that it will listen on some port
    """

    service: str
    wants: str
    healthy_for: float | None
    deadline: float
    routes: tuple[tuple[str, str, int], ...] = ()
    listens: bool = False


@dataclass
class Passage:
    """One container on its way through the gates. Times are seconds since the wait began."""

    service: str
    name: str
    up_at: float | None = None
    well_at: float | None = None
    history: list[str] = field(default_factory=list)
    started_at: str = ""
    listening: bool = False
    settled: float | None = None
    passed: bool = False
    said: str = ""
    check: Future[tuple[bool, str]] | None = None
    checked_at: float = -RETRY

    def note(self, at: float, what: str) -> None:
        """Remember a state, once."""
        if not self.history or self.history[-1].partition(" ")[2] != what:
            self.history.append(f"{at:.1f}s {what}")


def wait(
    awaited: Mapping[str, Awaited],
    names: Mapping[str, Sequence[str]],
    world: World,
    restarts: Mapping[str, int],
    pool: ThreadPoolExecutor,
) -> dict[str, Passage]:
    """Wait until all containers are well. :returns: container → its passage

    :param names: service → its containers
    :param restarts: container id → its restart count before
    :raises GateFailed: one is broken, or the deadline passed
    """
    began = world.monotonic()
    passages = {name: Passage(service, name) for service, them in names.items() for name in them}
    while True:
        now = world.monotonic() - began
        seen = {one.name: one for one in world.look([name for name, one in passages.items() if one.well_at is None])}
        broken: list[tuple[health.Observation | None, str]] = []
        waiting = 0
        for name, passage in passages.items():
            if passage.well_at is not None:
                continue
            want = awaited[passage.service]
            one = seen.get(name)
            if one is None:
                broken.append((None, f"service {passage.service}: container {name} is gone"))
                continue
            verdict = _verdict(one, passage, want, world, restarts, pool, now)
            passage.note(now, verdict.reason or verdict.state)
            if verdict.state in (health.HEALTHY, health.DONE):
                passage.well_at = now
            elif verdict.state == health.BROKEN:
                broken.append((one, verdict.reason))
            elif now > want.deadline:
                said = f" (its healthcheck said: {passage.said.strip()[-300:]})" if passage.said.strip() else ""
                broken.append((one, f"not well after {want.deadline:.0f} s: {verdict.reason}{said}"))
            else:
                waiting += 1
        if broken:
            raise GateFailed(
                "; ".join(dict.fromkeys(_sentence(one, why) for one, why in broken)),
                [one for one, _why in broken if one is not None],
            )
        if not waiting:
            return passages
        world.sleep(max(TICK, min(TICK_EACH * waiting, 0.5)))


def _sentence(one: health.Observation | None, why: str) -> str:
    return why if one is None or why.startswith("service ") else f"service {one.service}: {why} ({one.name})"


def _verdict(
    one: health.Observation,
    passage: Passage,
    want: Awaited,
    world: World,
    restarts: Mapping[str, int],
    pool: ThreadPoolExecutor,
    now: float,
) -> health.Verdict:
    if one.status == "running" and passage.started_at != one.started_at:
        passage.started_at, passage.up_at = one.started_at, now
        passage.settled, passage.passed, passage.listening = None, False, False
    running_for = now - passage.up_at if passage.up_at is not None else 0.0
    verdict = health.judge(one, running_for, 0.0, restarts.get(one.id, 0), want.wants)
    if verdict.state == health.DONE and want.routes:
        return health.Verdict(health.BROKEN, "is routed and ended with exit code 0")
    if verdict.state in (health.BROKEN, health.DONE) or want.wants == "done" or one.status != "running":
        return verdict
    closed = _closed(one, passage, want, world)
    if one.test:
        if verdict.state == health.WAITING and not passage.passed:
            if passage.up_at is not None and running_for < PORT_GRACE and (closed or _silent(one, want, world)):
                # Nothing listens yet: a healthcheck would only take the processor from the program's start.
                return verdict
            _run_check(one, passage, world, pool, now)
            if not passage.passed:
                return verdict
    elif not closed and not passage.passed:
        silent = _answers(one, want, world)
        if silent:
            return health.Verdict(health.WAITING, silent)
        passage.passed = True
    if passage.settled is None:
        passage.settled = now
    well_for = now - passage.settled
    if closed:
        listeners = ports.parse_proc_net(world.proc_net(one.pid))
        # With listeners elsewhere the program is up, and the port is simply not this one.
        if well_for > PORT_GRACE and listeners:
            return health.Verdict(health.BROKEN, closed)
        return health.Verdict(health.WAITING, closed)
    least = want.healthy_for if want.healthy_for is not None else (0.0 if one.test else 5.0)
    if well_for < least:
        return health.Verdict(health.WAITING, f"well for {well_for:.0f} of {least:.0f} s")
    return health.Verdict(health.HEALTHY, "" if one.test else "has no healthcheck; it answers and stayed up")


def _closed(one: health.Observation, passage: Passage, want: Awaited, world: World) -> str:
    """Why a routed port cannot be reached; "" when all can."""
    if passage.listening:
        return ""
    for _host, path, port in want.routes:
        if not world.connects(one.addresses, port):
            listeners = ports.parse_proc_net(world.proc_net(one.pid))
            return ports.complaint(want.service, path, port, listeners)
    passage.listening = True
    return ""


def _silent(one: health.Observation, want: Awaited, world: World) -> bool:
    """Whether a service that others call listens nowhere yet."""
    return want.listens and not want.routes and not ports.parse_proc_net(world.proc_net(one.pid))


def _answers(one: health.Observation, want: Awaited, world: World) -> str:
    """Without a healthcheck the routes themselves are asked: "" when each answers below 500."""
    for host, path, port in want.routes:
        status = world.http_status(one.addresses, port, host, path)
        if status is None or status >= 500:
            said = "does not answer" if status is None else f"answers {status}"
            return f"has no healthcheck, and its route {path} {said}"
    return ""


def _run_check(one: health.Observation, passage: Passage, world: World, pool: ThreadPoolExecutor, now: float) -> None:
    if passage.check is not None and passage.check.done():
        try:
            passage.passed, passage.said = passage.check.result()
        except Exception as problem:  # the container may be gone by now; the next look tells
            passage.said = str(problem)
        passage.check, passage.checked_at = None, now
    if passage.check is None and not passage.passed and now - passage.checked_at >= RETRY:
        passage.check = pool.submit(world.check, one)


def to_dict(passage: Passage) -> dict[str, Any]:
    """For a result."""
    return {"container": passage.name, "history": passage.history, "well_after_s": round(passage.well_at or 0.0, 2)}
