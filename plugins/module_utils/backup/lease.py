# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who works on a stack's backups, across hosts: one small object in the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from .ports import BackupError

#: Seconds a lease holds without being renewed.
TTL = 300.0


class Busy(BackupError):
    """Another run holds the lock or the lease."""


class Lost(BackupError):
    """The lease was taken over, or ran out, while a run had it."""


@dataclass(frozen=True)
class Lease:
    """Who holds it.

    :param nonce: tells two runs of one host apart
    :param machine: the id of the host's installation and of its boot: within it a pid says who lives
    :param free: it was given back
    """

    nonce: str
    host: str
    pid: int
    what: str
    since: str
    machine: str = ""
    free: bool = False

    def to_json(self) -> bytes:
        """Its text."""
        return json.dumps(asdict(self), sort_keys=True).encode() + b"\n"


def parse(data: bytes) -> Lease | None:
    """The lease in an object, None for one that cannot be read: it counts by its age alone."""
    try:
        return Lease(**json.loads(data))
    except (ValueError, TypeError):
        return None


def dead(found: Lease | None, host: str, machine: str, at_work: Callable[[int], bool]) -> bool:
    """Whether who holds it was a process of this host that is no more: killed, or of before a reboot.

    :param machine: as in :class:`Lease`, of now
    :param at_work: whether a process of that number is a run of ours
    """
    if found is None or not found.machine or found.host != host:
        return False
    installed, _slash, boot = found.machine.partition("/")
    here, _slash, now = machine.partition("/")
    return installed == here and (boot != now or not at_work(found.pid))


def takeable(found: Lease | None, modified: float, now: float, dead: bool = False, ttl: float = TTL) -> bool:
    """Whether a lease that is there may be taken over. Both moments are by the store's clock.

    :param dead: its holder was a process of this host that is no more
    """
    return dead or (found is not None and found.free) or now - modified > ttl


def busy(found: Lease | None, modified: float, now: float, ttl: float = TTL) -> Busy:
    """The refusal, for a person."""
    who = f"{found.what} on {found.host} (pid {found.pid}, since {found.since})" if found else "somebody"
    return Busy(
        f"the store is held by {who}; its lease was renewed {max(now - modified, 0):.0f} s ago. Wait for it to end; "
        f"of a run that died it is free {ttl:.0f} s after its last sign of life"
    )
