# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills of clusters that pgBackRest keeps: the rungs, how far the log must lead, what would be lost. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .drill import Step
from .drill_config import Check, DrillConfig
from .pgbackrest import KEY, Cluster
from .ports import BackupError

#: The time to recover ends when it has passed.
PROVEN_BY = "smoke"
#: How the names of all directories of such drills begin.
PREFIX = "landfall-drill-"
_SEGMENT = re.compile(r"^[0-9A-F]{24}$")
#: What PostgreSQL gives to databases of its own.
_OWN = ("postgres",)

#: One row of JSON about a scratch server that has followed its log.
ARRIVED = """SELECT json_build_object('lsn', coalesce(pg_last_wal_replay_lsn() - '0/0'::pg_lsn, 0)::text,
 'segment', (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
 'at', coalesce(extract(epoch FROM pg_last_xact_replay_timestamp()), 0),
 'next', pg_snapshot_xmax(pg_current_snapshot())::text, 'archive', current_setting('archive_mode'));"""
#: The transaction that the original would begin next, and which cluster it is.
LIVE = """SELECT json_build_object('next', pg_snapshot_xmax(pg_current_snapshot())::text,
 'system', (SELECT system_identifier::text FROM pg_control_system()))"""


@dataclass(frozen=True)
class Arrived:
    """Where a scratch server came to.

    :param lsn: byte of the log behind the last record that was replayed; ``segment``: bytes of one of its files
    :param at: when the last transaction of it was committed, seconds since 1970, 0 for none behind the backup
    :param next: the transaction that comes next
    :param archive: its archive_mode
    """

    lsn: int
    segment: int
    at: float
    next: int
    archive: str

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Arrived:
        """The answer to :data:`ARRIVED`."""
        return cls(
            int(str(said["lsn"])), int(str(said["segment"])), float(str(said["at"])), int(str(said["next"])),
            str(said["archive"]),
        )  # fmt: skip


def plan(config: DrillConfig, checks: Sequence[Check], credentials: bool) -> tuple[Step, ...]:
    """The rungs for a cluster, in order.

    :param checks: those of this cluster
    :param credentials: the store has credentials, so that one of them can be refused
    """
    delete = "" if credentials else "a directory knows no credentials"
    if config.uploader_may_delete:
        delete = "the configuration lets the uploader delete"
    return (
        Step("room"),
        Step("restore", ("room",)),
        Step("log", ("restore",)),
        Step("checksums", ("log",)),
        Step("server", ("log",)),
        Step("amcheck", ("server",)),
        Step("smoke", ("server",), "" if checks else "no query is declared: drill on the source, backup_drill_checks"),
        Step("cipher"),
        Step("deletion", (), delete),
        Step("cleanup"),
    )


def checks_of(cluster: Cluster, checks: Sequence[Check]) -> list[Check]:
    """The questions to a cluster. :param checks: those of the inventory, of sets and clusters"""
    return [*cluster.checks, *(one for one in checks if one.item == cluster.name)]


def database_of(check: Check, databases: Sequence[str]) -> str:
    """The database a check is asked in. :raises BackupError: there is none, or more than one"""
    found = [name for name in databases if name not in _OWN] or list(databases)
    if check.within:
        found = [name for name in databases if name == check.within]
    if len(found) != 1:
        there = ", ".join(databases) or "none"
        raise BackupError(f"the query {check.query!r} needs one database: say in: NAME; there are: {there}")
    return found[0]


def gap(arrived: Arrived, newest: str) -> str:
    """Why the log was not followed to the newest segment that was archived before, "" when it was.

    PostgreSQL takes a segment that is missing for the end, and says nothing.

    :param newest: its name, "" for none
    """
    if not _SEGMENT.match(newest):
        return ""
    each = (1 << 32) // arrived.segment
    wanted = int(newest[8:16], 16) * each + int(newest[16:], 16)
    if arrived.lsn > wanted * arrived.segment:
        return ""
    ended = arrived.lsn // arrived.segment
    return (
        f"the log ends in segment {newest[:8]}{ended // each:08X}{ended % each:08X}, and {newest} is archived: what "
        "lies between is missing or damaged. Run 'landfall backup verify', and take a full backup"
    )


def loss(arrived: Arrived, live: int | None, ended: float, now: float) -> float:
    """Seconds of work that would be lost with the host, at most.

    :param live: the transaction that the original would begin next, at the drill's start; None when it did not say
    :param ended: when the backup ended
    :param now: the drill's start
    """
    if live is not None and arrived.next >= live:
        return 0.0
    return max(now - max(arrived.at, ended), 0.0)


def top(parent: str, stack: str, cluster: Cluster) -> str:
    """Where a drill lays a cluster: beside its data, where a restore would go."""
    return f"{parent.rstrip('/')}/{PREFIX}{stack}-{cluster.name}"


def sockets(directory: str) -> str:
    """Where the scratch server of a directory has its socket: a short name, since a socket's path is bounded."""
    return f"/run/{PREFIX}{hashlib.sha256(directory.encode()).hexdigest()[:12]}"


def settings(socket: str, restore: str, needed: Mapping[str, str]) -> dict[str, str]:
    """Those of the scratch server; nothing of the original's is left but what recovery needs.

    What is lost by a power cut may be lost: it is a copy.

    :param restore: its restore_command
    :param needed: see :func:`.pitr.recovery_settings`
    """
    return {
        **needed,
        "listen_addresses": "",
        "unix_socket_directories": socket,
        "archive_mode": "off",
        "restore_command": restore,
        # Nobody comes in before the end of the log.
        "hot_standby": "off",
        # A subscription would take the changes that the original waits for.
        "max_logical_replication_workers": "0",
        "autovacuum": "off",
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "max_wal_size": "4GB",
    }


def cipher_fault(kept: bytes, own: bytes) -> str:
    """Why a set would not open the repository, "" when it would. :param kept: what the set has; ``own``: the host's"""
    if kept.strip() == own.strip():
        return ""
    return f"{KEY} of the newest set is another cipher than this host's: take a set (landfall backup run)"
