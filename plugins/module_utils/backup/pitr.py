# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time: how far behind the archive is, and what a restore to a moment needs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from .layout import stamp
from .pgbackrest import Cluster, Info, Taken
from .ports import BackupError

#: A record this old means that nobody looks any more: the timer does every five minutes.
STALE = 1800.0
#: Settings of which a server that recovers needs at least what the original had; pg_controldata's words → setting.
_NEEDED = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}
#: Room beside the cluster's own size: its log, and what recovery writes.
_SPARE = 1.1
#: Of a cluster beside. Debian's units of systemd cannot have a dash in it.
_COPY = re.compile(r"^[a-z0-9][a-z0-9_]{0,40}$")
_MOMENT = re.compile(
    r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(\.\d{1,6})?\s?(Z|UTC|[+-]\d{2}(?::?\d{2})?)$", re.IGNORECASE
)

#: One row of JSON about a server's archive.
QUESTION = """SELECT json_build_object(
 'mode', current_setting('archive_mode'), 'command', current_setting('archive_command'),
 'timeout', (SELECT setting::int FROM pg_settings WHERE name = 'archive_timeout'),
 'recovering', pg_is_in_recovery(), 'system', (SELECT system_identifier::text FROM pg_control_system()),
 'waiting', (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
 'oldest', (SELECT coalesce(extract(epoch FROM now() - min(modification)), 0)
            FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
 'archived', coalesce(last_archived_wal, ''), 'failed', coalesce(last_failed_wal, ''),
 'archived_at', coalesce(extract(epoch FROM last_archived_time), 0),
 'failed_at', coalesce(extract(epoch FROM last_failed_time), 0)) FROM pg_stat_archiver"""


@dataclass(frozen=True)
class Seen:
    """What was seen of a cluster's archive. Moments are seconds since 1970, 0 for never.

    :param problems: what is wrong, each with what to do
    :param lag: so many seconds of work would be lost with the host, at most; None when that is not known
    :param verified: label → when it was verified
    :param damaged: labels of backups of which the last verification found bytes changed or missing
    :param faults: what it said; ``failure``: why the last backup was none
    """

    name: str
    at: float = 0.0
    lag: float | None = None
    max_lag: float = 900.0
    waiting: int = 0
    backups: int = 0
    newest: str = ""
    newest_at: float = 0.0
    problems: tuple[str, ...] = ()
    verified: Mapping[str, float] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    failure: str = ""


def judge(
    cluster: Cluster, wanted: Mapping[str, str], facts: Mapping[str, Any] | None, found: Info | None,
    trouble: Sequence[str], now: float, before: Seen, max_age: float,
) -> Seen:  # fmt: skip
    """How a cluster's archive stands.

    :param wanted: the settings it must have
    :param facts: the answer to :data:`QUESTION`, None when the server gave none
    :param found: what is in the repository, None when it gave no answer
    :param trouble: why there was no answer
    :param before: what was recorded last
    :param max_age: the newest backup may be that old, in seconds
    """
    out, lag, waiting = list(trouble), None, 0
    if facts is not None:
        out += [
            f"{name} is {facts[key]!r}, not {wanted[name]!r}: run 'landfall backup setup'"
            for name, key in (("archive_mode", "mode"), ("archive_command", "command"), ("archive_timeout", "timeout"))
            if str(facts[key]) != wanted[name]
        ]
        waiting = int(facts["waiting"])
        # What is not closed yet is at most archive_timeout old; what waits was that old when it was closed.
        lag = float(facts["timeout"]) + (float(facts["oldest"]) if waiting else 0.0)
        if float(facts["failed_at"]) > float(facts["archived_at"]):
            out.append(f"archiving fails at {facts['failed']}: see the server's log")
        if lag > cluster.max_lag:
            out.append(
                f"the archive is {lag:.0f} s behind ({cluster.max_lag:.0f} are allowed), {waiting} segments wait"
            )
        if found and found.system and facts["system"] != found.system:
            out.append("the repository belongs to another cluster: was this one made anew?")
        elif found and _older(found.wal, str(facts["archived"])):
            out.append(
                f"the server says that {facts['archived']} is archived, and the newest in the repository is "
                f"{found.wal or 'none'}: take a full backup, and look who else writes there"
            )
    newest = newest_good(found.backups) if found else None
    if found is not None and newest is None:
        out.append("there is no backup yet: run 'landfall backup run STACK --engine pgbackrest'")
    elif newest is not None and now - newest.ended > max_age:
        out.append(f"the newest backup, {newest.label}, is {(now - newest.ended) / 3600:.0f} hours old")
    if before.faults:
        out.append(
            f"the last verification failed: {'; '.join(before.faults)}: take a full backup where it is damage, and "
            "verify again"
        )
    out += [f"the last backup failed: {before.failure}"] if before.failure else []
    there = {one.label for one in found.backups} if found else set(before.verified)
    seen = replace(
        before, name=cluster.name, at=now, lag=lag, max_lag=cluster.max_lag, waiting=waiting, problems=tuple(out),
        verified={label: at for label, at in before.verified.items() if label in there},
    )  # fmt: skip
    if found is None:
        return seen
    return replace(
        seen,
        backups=len(found.backups),
        newest=newest.label if newest else "",
        newest_at=newest.ended if newest else 0.0,
    )


def _older(one: str, other: str) -> bool:
    """Whether a segment lies before another of its timeline. Names of histories and backups do not count."""
    plain = re.compile(r"^[0-9A-F]{24}$")
    if not plain.match(other):
        return False
    return not one or (bool(plain.match(one)) and one[:8] == other[:8] and one < other)


def newest_good(backups: Sequence[Taken]) -> Taken | None:
    """The newest without an error."""
    return max((one for one in backups if not one.error), key=lambda one: one.ended, default=None)


# --- what monitoring sees


def to_json(seen: Sequence[Seen]) -> str:
    """For the file on the host."""
    return json.dumps([asdict(one) for one in seen], indent=1, sort_keys=True) + "\n"


def from_json(text: str) -> tuple[Seen, ...]:
    """What is in the file; nothing when it cannot be read."""
    try:
        return tuple(
            Seen(**{**one, **{name: tuple(one[name]) for name in ("problems", "damaged", "faults")}})
            for one in json.loads(text)
        )
    except (ValueError, TypeError, KeyError):
        return ()


def problems(seen: Sequence[Seen], now: float) -> list[str]:
    """What is wrong, for `status` and for exit codes."""
    out = []
    for one in seen:
        out += [f"{one.name}: {problem}" for problem in one.problems]
        if now - one.at > STALE:
            out.append(
                f"{one.name}: nobody looked at its archive since {stamp(one.at) if one.at else 'it was set up'}: is "
                "the timer of 'landfall backup watch' running?"
            )
    return out


def lines(seen: Sequence[Seen]) -> list[str]:
    """One line a cluster for `status`."""
    out = []
    for one in seen:
        behind = "lag unknown" if one.lag is None else f"loss at most {one.lag:.0f} s"
        newest = f"newest {one.newest}" if one.newest else "no backup"
        out.append(f"point in time: {one.name}, {one.backups} backups, {newest}, {behind}")
    return out


def textfile(stack: str, seen: Sequence[Seen]) -> str:
    """For the node exporter's textfile collector. A lag that is not known is no number."""
    rows = (
        ("archive_lag_seconds", "Seconds of work that would be lost with the host.",
         lambda one: "NaN" if one.lag is None else one.lag),
        ("archive_max_lag_seconds", "How many are allowed.", lambda one: one.max_lag),
        ("archive_waiting_segments", "Closed segments that are not archived.", lambda one: one.waiting),
        ("archive_seen_timestamp_seconds", "When that was looked at.", lambda one: one.at),
        ("archive_success", "Whether nothing is wrong.", lambda one: int(not one.problems)),
        ("cluster_last_backup_timestamp_seconds", "When the newest backup ended.", lambda one: one.newest_at),
        ("cluster_backups", "Backups in the repository.", lambda one: one.backups),
    )  # fmt: skip
    out = []
    for name, text, value in rows:
        full = f"landfall_backup_{name}"
        out += [f"# HELP {full} {text}", f"# TYPE {full} gauge"]
        out += [f'{full}{{stack="{stack}",cluster="{one.name}"}} {value(one)}' for one in seen]
    return "\n".join(out) + "\n"


# --- restore


@dataclass(frozen=True)
class Restore:
    """What a restore is to do.

    :param backup: it begins from
    :param target: moment to which the log is followed, None for its end
    :param cluster: the new one beside, "" for in place
    :param tablespaces: that lie outside of the data directory, name → path
    """

    backup: Taken
    target: datetime | None = None
    cluster: str = ""
    tablespaces: Mapping[str, str] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """Bytes it needs."""
        return int(self.backup.size * _SPARE)

    def words(self) -> list[str]:
        """Arguments of ``pgbackrest restore``. A copy never archives into the original's repository."""
        out = ["restore", f"--set={self.backup.label}"]
        if self.target is not None:
            out += [
                "--type=time",
                f"--target={self.target.strftime('%Y-%m-%d %H:%M:%S.%f')}+00",
                "--target-action=promote",
            ]
        return [*out, "--archive-mode=off"] if self.cluster else out


def refuse(wanted: Restore, cluster: str) -> None:
    """Before anything is done. :param cluster: version/name of the original. :raises BackupError: it would lose data

    In place all is fetched while the original still runs, and that holds its tablespaces where they would go.
    """
    if wanted.tablespaces and not wanted.cluster:
        there = ", ".join(f"{name} in {path}" for name, path in sorted(wanted.tablespaces.items()))
        raise BackupError(
            f"{cluster} has tablespaces outside of its data directory ({there}): it is not restored in place. "
            "Restore it beside with --as NAME, which gives the copy tablespaces of its own, and take from there what "
            "is wanted; or drop the original when the copy is right, and go on with the copy"
        )


def copy_name(text: str) -> str:
    """A name for a cluster beside. :raises BackupError: it is none"""
    if not _COPY.match(text):
        raise BackupError(f"{text!r} is no name for a cluster: lower-case letters, digits and '_'")
    return text


def moment(text: str) -> datetime:
    """A moment in UTC. :raises BackupError: it is none, or nobody says in which zone"""
    found = _MOMENT.match(text.strip())
    if not found:
        raise BackupError(
            f"{text!r} is no point in time: write it with its offset from UTC, as '2026-11-22 03:00:00Z' or "
            "'2026-11-22 04:00:00+01:00'"
        )
    day, clock, part, zone = found.groups()
    try:
        plain = datetime.fromisoformat(f"{day}T{clock if clock.count(':') == 2 else clock + ':00'}")
    except ValueError as problem:
        raise BackupError(f"{text!r} is no point in time: {problem}") from problem
    plain = plain.replace(microsecond=int(f"{(part or '.0')[1:]:0<6}"), tzinfo=timezone.utc)
    if zone.upper() in ("Z", "UTC"):
        return plain
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return plain - offset if zone[0] == "+" else plain + offset


def choose(found: Info, label: str, target: datetime | None, damaged: Sequence[str], now: float) -> Taken:
    """The newest whole backup that ended before the moment. :raises BackupError: there is none"""
    whole = [one for one in found.backups if not one.error and not {one.label, *one.needs} & set(damaged)]
    if target is not None and target.timestamp() > now:
        raise BackupError(f"{target:%Y-%m-%d %H:%M:%S}Z is in the future: it is {stamp(now)} now")
    if label != "latest":
        chosen = next((one for one in found.backups if one.label == label), None)
        if chosen is None:
            there = ", ".join(one.label for one in found.backups) or "none"
            raise BackupError(f"there is no backup {label}; there are: {there}")
        whole = [chosen]
    # It is told in whole seconds, and cut.
    reach = [one for one in whole if target is None or one.ended + 1 <= target.timestamp()]
    if not reach:
        first = min((one.ended for one in whole), default=0.0)
        raise BackupError(
            f"no whole backup ended before {target:%Y-%m-%d %H:%M:%S}Z; the first point in time is {stamp(first + 1)}"
            if target is not None and whole
            else "there is no whole backup in the repository"
        )
    return max(reach, key=lambda one: one.ended)


def recovery_settings(controldata: str) -> dict[str, str]:
    """Settings a copy needs to recover, of what ``pg_controldata`` prints."""
    found = {}
    for line in controldata.splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() in _NEEDED and value.strip().isdigit():
            found[_NEEDED[name.strip()]] = value.strip()
    return found
