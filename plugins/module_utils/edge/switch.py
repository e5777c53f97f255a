# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way the edge changes its configuration: written, tested, swapped, reloaded, proven.

A configuration that nginx refuses never becomes ``current``. A run killed at any line leaves ``current`` naming a
tested generation: either nginx runs it, or its answer on the socket differs and the next run reloads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from .errors import EdgeError


class Nginx(Protocol):
    """What the switch needs of nginx; :class:`...clients.nginx.NginxClient` is the real one."""

    def test(self, generation: str) -> str:
        """``nginx -t`` on a generation: "" when it is fine, else what nginx said."""

    def reload(self) -> None:
        """Have nginx read ``current`` again."""

    def marker(self) -> str | None:
        """The generation nginx answers with on its socket, None when it does not answer."""

    def last_words(self) -> str:
        """The latest errors in nginx's log."""

    def listening(self) -> frozenset[tuple[int, int]] | None:
        """The worker processes that accept connections, None when that cannot be told."""


class Store(Protocol):
    """What the switch needs of the disk; :class:`...clients.nginx.Generations` is the real one."""

    def write(self, generation: str, files: Mapping[str, str]) -> None:
        """Put a generation on the disk, whole or not at all."""

    def discard(self, generation: str) -> None:
        """Remove a generation that is not current."""

    def current(self) -> str | None:
        """The generation ``current`` names."""

    def point(self, generation: str) -> None:
        """Let ``current`` name another generation, atomically."""

    def prune(self) -> None:
        """Remove old generations."""


@dataclass(frozen=True)
class Clock:
    """Time, handed in. ``now`` in seconds from any start, ``sleep`` in seconds."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


@dataclass(frozen=True)
class Proof:
    """How the running generation is proven, within a bound of seconds.

    Where the host's kernel tells which workers accept connections: none of those from before the reload does any more,
    others do, and an answer names the generation. That is certain, and takes as long as nginx takes (0.11 s).

    Where it does not: so many answers in a row, so many seconds apart. Workers of the former configuration stop
    listening about 0.1 s after the new ones start: answers in a row over 0.4 s cannot all have been luck.
    """

    answers: int = 10
    every: float = 0.05
    within: float = 20.0


def stage(generation: str, files: Mapping[str, str], store: Store, nginx: Nginx) -> None:
    """Write a generation and have nginx test it. :raises EdgeError: nginx refuses it; nothing else was touched"""
    store.write(generation, files)
    refused = nginx.test(generation)
    if refused:
        if store.current() != generation:
            store.discard(generation)
        raise EdgeError(explain(refused, files))


def switch(generation: str, files: Mapping[str, str], store: Store, nginx: Nginx, clock: Clock,
           proof: Proof | None = None) -> dict[str, float]:  # fmt: skip
    """Switch a running nginx to a generation.

    :returns: seconds of each part. :raises EdgeError: it could not; the former one runs on
    """
    began = clock.now()
    stage(generation, files, store, nginx)
    tested = clock.now()
    before = store.current()
    former = nginx.listening()
    store.point(generation)
    try:
        nginx.reload()
        signalled = clock.now()
        prove(generation, nginx, clock, proof, former)
    except EdgeError:
        if before and before != generation:
            store.point(before)
            nginx.reload()
        raise
    store.prune()
    return {"test": tested - began, "reload": signalled - tested, "prove": clock.now() - signalled}


def prove(generation: str, nginx: Nginx, clock: Clock, proof: Proof | None = None,
          former: frozenset[tuple[int, int]] | None = None) -> float:  # fmt: skip
    """Wait until nginx runs the generation and nothing before it accepts connections, see :class:`Proof`.

    :param former: the workers that accepted connections before the reload, None when that could not be told
    :returns: seconds it took. :raises EdgeError: it does not within the bound
    """
    proof = proof or Proof()
    began, row, last = clock.now(), 0, None
    while True:
        now = nginx.listening() if former else None
        settled = None if now is None else bool(now) and not now & (former or frozenset())
        # An answer asked for after the former workers went can only come from the new ones.
        last = nginx.marker() if settled is not False else last
        row = row + 1 if last == generation and settled is not False else 0
        if row >= (1 if settled else proof.answers):
            return clock.now() - began
        if row == 0 and clock.now() - began > proof.within:
            said = nginx.last_words()
            last = nginx.marker()
            raise EdgeError(
                f"nginx does not run generation {generation} after {proof.within:.0f} s "
                f"({'it answers with ' + last if last else 'it does not answer'})."
                + (f" It logged: {said}" if said else " See: docker logs landfall-edge")
            )
        clock.sleep(0.01 if settled is not None else proof.every)


def explain(said: str, files: Mapping[str, str]) -> str:
    """What ``nginx -t`` said, with the stack, the file and the line it is about."""
    lines = [line.strip() for line in said.splitlines() if re.search(r"\[(emerg|alert|crit)\]", line)]
    first = lines[0] if lines else said.strip()[-400:]
    message = re.sub(r"^.*?\[(emerg|alert|crit)\]\s*(\d+#\d+: )?", "", first)
    found = re.search(r" in (\S+?/generations/[^/]+/)(\S+?):(\d+)", message)
    where = ""
    if found:
        name, number = found[2], int(found[3])
        message = message[: found.start()]
        text = files.get(name, "").splitlines()
        stack = re.match(r"(?:sites|upstreams)/(.+)\.conf$", name)
        where = f" of stack {stack[1]}" if stack else ""
        where += f" ({name} line {number}"
        where += f": `{text[number - 1].strip()}`)" if 0 < number <= len(text) else ")"
    hint = ""
    if "cannot load certificate" in message:
        hint = (
            " The certificate's files are missing or unreadable for nginx: take its directory under certs/ away and "
            "run site.yml, which makes a placeholder."
        )
    elif "is already declared" in message or "conflicting" in message:
        hint = " Two routes ask for the same thing: change one of them."
    return f"nginx refuses the configuration{where}: {message}.{hint} Nothing was changed: what ran before runs on."
