# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `landfall status` says, computed from what was gathered: values in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..backup import drill_state, metrics, pitr
from ..backup.drill_state import Drills
from ..backup.pitr import Seen
from ..compose.routes import StackRoutes
from ..rollout import rotation
from ..rollout.health import DONE, LEAVING, WARM, Observation, drift
from ..rollout.release import FAILED, PENDING, SEALED, Release


@dataclass(frozen=True)
class Certificate:
    """A certificate as the edge has it; ``days_left`` counts from now, negative when it has run out.

    :param error: why nothing is known of it; the other fields are empty then
    """

    name: str
    names: tuple[str, ...] = ()
    days_left: float = 0.0
    issuer: str = ""
    self_signed: bool = False
    error: str = ""

    def covers(self, host: str) -> bool:
        """Whether it is valid for a host, wildcards counted."""
        return host in self.names or any(
            name.startswith("*.") and host.partition(".")[2] == name[2:] for name in self.names
        )


@dataclass(frozen=True)
class Gathered:
    """All that is known of one stack.

    :param step: the last step in its journal
    :param relay: container of its relay → state
    :param backup: what is recorded of its backups, None when they are not set up; ``drills`` likewise
    :param archives: what was seen of the clusters that pgBackRest keeps
    """

    name: str
    releases: Sequence[Release] = ()
    current: str | None = None
    containers: Sequence[Observation] = ()
    images: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    routes: StackRoutes | None = None
    maintenance: bool = False
    lock: Mapping[str, Any] = field(default_factory=dict)
    step: str = ""
    relay: Mapping[str, str] = field(default_factory=dict)
    backup: metrics.State | None = None
    drills: Drills | None = None
    archives: Sequence[Seen] = ()


@dataclass(frozen=True)
class ServiceRow:
    """One service: containers wanted and well, image name, short image id, start of its youngest container."""

    service: str
    wanted: int
    healthy: int
    image: str
    id: str
    since: str


@dataclass(frozen=True)
class StackRow:
    """One stack, and what is wrong with it."""

    name: str
    release: str
    version: str
    deployed: str
    who: str
    services: tuple[ServiceRow, ...]
    routes: tuple[str, ...]
    certificates: tuple[str, ...]
    maintenance: bool
    problems: tuple[str, ...]
    backup: str = ""
    drills: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    rotations: tuple[str, ...] = ()


def summarise(stack: Gathered, certificates: Sequence[Certificate], now: float = 0.0) -> StackRow:
    """Everything `landfall status` shows of one stack. :param now: seconds since 1970, for the age of backups"""
    record = next((one for one in stack.releases if one.id == stack.current), None)
    recorded = dict(record.observed) if record else {}
    spare = {name for name, was in recorded.items() if was.get("state") in (LEAVING, WARM)}
    # A new container's first healthcheck by Docker comes after an interval; the rollout asked it before that.
    running = [
        one
        for one in stack.containers
        if one.status == "running" and one.health != "unhealthy" and one.name not in spare
    ]
    services = sorted({was["service"] for was in recorded.values()} | {one.service for one in stack.containers})
    rows = []
    for name in services:
        mine = [one for one in stack.containers if one.service == name]
        entry = stack.images.get(name, {})
        kept = [was for key, was in recorded.items() if was["service"] == name and key not in spare]
        wanted = sum(1 for was in kept if was.get("state") != DONE) if kept else len(mine)
        rows.append(
            ServiceRow(
                service=name,
                wanted=wanted,
                healthy=sum(1 for one in running if one.service == name),
                image=str(entry.get("image", "")),
                id=str(entry.get("id", "")).removeprefix("sha256:")[:12],
                since=max((one.started_at[:19] + "Z" for one in mine if one.started_at), default=""),
            )
        )
    routes = stack.routes.routes if stack.routes else ()
    hosts = list(dict.fromkeys(route.host for route in routes))
    problems = list(_release_problems(stack, record))
    problems += [
        f"{name} is {state}: calls between services fail; deploy again"
        for name, state in sorted(stack.relay.items())
        if state != "running"
    ]
    if record and record.outcome == SEALED:
        problems += drift(recorded, stack.containers)
    if stack.backup:
        problems += metrics.problems(stack.backup, now)
    if stack.drills:
        problems += drill_state.problems(stack.drills, now)
    problems += pitr.problems(stack.archives, now)
    shown = []
    for host in hosts:
        found = max((one for one in certificates if one.covers(host)), key=lambda one: one.days_left, default=None)
        unknown = [one for one in certificates if one.error]
        if found is None and unknown:
            why = "; ".join(f"certificate {one.name}: {one.error}" for one in unknown)
            shown.append(f"{host}: unknown")
            problems.append(f"which certificate {host} has is unknown: {why}")
            continue
        shown.append(_certificate(host, found))
        if found is None or found.self_signed:
            problems.append(f"{host} has no certificate of a CA yet: run 'landfall certificates renew'")
        elif found.days_left <= 0:
            problems.append(f"the certificate of {host} has run out: run 'landfall certificates renew'")
    return StackRow(
        name=stack.name,
        release=record.id if record else "",
        version=record.version if record else "",
        deployed=record.finished if record else "",
        who=record.who if record else "",
        services=tuple(rows),
        routes=tuple(f"https://{route.host}{route.path} -> {route.service}:{route.port}" for route in routes),
        certificates=tuple(shown),
        maintenance=stack.maintenance,
        problems=tuple(problems),
        backup=metrics.line(stack.backup, now) if stack.backup else "",
        drills=tuple(drill_state.lines(stack.drills, now)) if stack.drills else (),
        archives=tuple(pitr.lines(stack.archives)),
        rotations=tuple(rotation.lines(record.rotation)) if record else (),
    )


def _release_problems(stack: Gathered, record: Release | None) -> list[str]:
    latest = max(stack.releases, key=lambda one: one.id, default=None)
    if stack.lock:
        step = f", at '{stack.step}'" if stack.step else ""
        return [f"{stack.lock.get('who', 'somebody')} is deploying (pid {stack.lock.get('pid')}{step})"]
    if latest is not None and latest.outcome == PENDING:
        return [f"the deployment of {latest.id} was interrupted: deploy again to finish it"]
    if latest is not None and latest.outcome == FAILED and (record is None or latest.id > record.id):
        why = str(latest.evidence.get("message", "")).splitlines()
        return [f"the last deployment, {latest.id}, failed: {why[0] if why else 'see its evidence.json'}"]
    return [] if record else ["no release is current: deploy the stack"]


def _certificate(host: str, found: Certificate | None) -> str:
    if found is None:
        return f"{host}: none"
    if found.self_signed:
        return f"{host}: self-signed placeholder"
    left = f"{found.days_left:.0f} days" if found.days_left >= 2 else f"{found.days_left * 24:.0f} hours"
    return f"{host}: {left} left, issued by {found.issuer}"


def advice(rows: Sequence[StackRow], host: Sequence[str] = ()) -> str:
    """The last line: what to do."""
    if host:
        return "To do: see the lines marked '!'; those of the host stand first."
    if not rows:
        return "No stack is deployed here. Deploy one with the playbook site.yml."
    bad = [row for row in rows if row.problems]
    if not bad:
        quiet = [row.name for row in rows if row.maintenance]
        return f"All well; in maintenance: {', '.join(quiet)}." if quiet else "All well, nothing to do."
    name = bad[0].name
    return f"To do: see the lines marked '!', then 'landfall logs {name}', or deploy again: drift is repaired."


def to_dict(rows: Sequence[StackRow], host: Sequence[str] = ()) -> dict[str, Any]:
    """For ``--json``. :param host: what is wrong with the host itself"""
    return {
        "stacks": [asdict(row) for row in rows],
        "host": list(host),
        "well": not host and not any(row.problems for row in rows),
        "advice": advice(rows, host),
    }


def render(rows: Sequence[StackRow], host: Sequence[str] = ()) -> list[str]:
    """For a person. :param host: what is wrong with the host itself"""
    out: list[str] = [f"! {line}" for line in host]
    for row in rows:
        version = f", version {row.version}" if row.version else ""
        state = "  [maintenance]" if row.maintenance else ""
        out.append(f"{row.name}  release {row.release or 'none'}{version}{state}")
        if row.deployed:
            out.append(f"  deployed {row.deployed} by {row.who or 'unknown'}")
        out += [f"  {line}" for line in _table(row.services)]
        out += [f"  {line}" for line in row.routes]
        out += [f"  certificate {line}" for line in row.certificates]
        out += [f"  {line}" for line in (row.backup, *row.drills, *row.archives, *row.rotations) if line]
        out += [f"  ! {line}" for line in row.problems]
        out.append("")
    return [*out, advice(rows, host)]


def _table(services: Sequence[ServiceRow]) -> list[str]:
    lines = [("SERVICE", "HEALTHY", "IMAGE", "ID", "SINCE")]
    lines += [(s.service, f"{s.healthy}/{s.wanted}" if s.wanted else "done", s.image, s.id, s.since) for s in services]
    return columns(lines) if services else []


def columns(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Left-aligned columns, two spaces between them."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
