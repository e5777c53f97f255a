# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drain of a host as values: what is stopped in which order, what is started again, what is told. Pure.

The record (a dict, JSON on the host) is written before the first container is stopped: ``boot`` (id of the boot),
``at`` (seconds since 1970), ``waves`` (lists of ``{id, name}`` in the order they are stopped), ``asked`` (ids of those
that were told to end), ``maintenance`` (stacks whose maintenance page is shown until they are back). The report of a
refusal: ``boot``, ``at``, ``why``, ``due``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..compose.graph import CycleError, waves
from ..hardening.lockout import clock

#: Docker's own grace period, seconds.
GRACE = 10.0
#: Seconds that Docker needs around a stop, on a busy host.
SLACK = 20.0

_COMPOSE = "com.docker.compose."
_EDGE = "landfall.edge.spec"
_RELAY = "landfall.relay.stack"


@dataclass(frozen=True)
class Container:
    """A running container of a Compose project.

    :param project: the stack's name for a relay, too
    :param needs: services of the project it depends on
    :param grace: seconds between SIGTERM and SIGKILL
    :param kind: ``edge``, ``relay`` or "" for a stack's own
    """

    id: str
    name: str
    project: str
    service: str
    needs: tuple[str, ...] = ()
    grace: float = GRACE
    kind: str = ""


@dataclass(frozen=True)
class Plan:
    """What is stopped: each project's waves one after the other, the projects side by side, and the edge at last.

    :param edge_drain: seconds the edge may take for the requests it has, before anything is stopped
    """

    edge: tuple[Container, ...]
    projects: Mapping[str, tuple[tuple[Container, ...], ...]]
    edge_drain: float = 0.0

    @property
    def containers(self) -> list[Container]:
        """All of them."""
        return [*self.edge, *(one for layers in self.projects.values() for layer in layers for one in layer)]

    @property
    def longest(self) -> float:
        """Seconds it takes at most: every container until its grace period ends."""
        edge = self.edge_drain + max(one.grace for one in self.edge) + 2 * SLACK if self.edge else 0.0
        paths = [
            sum(max(one.grace for one in layer) + SLACK for layer in layers if layer)
            for layers in self.projects.values()
        ]
        return edge + max(paths, default=0.0)

    def lines(self) -> list[str]:
        """The order, for a person."""
        names = ", ".join(one.name for one in self.edge)
        out = [f"{names}: show the maintenance page, and finish what it has ({self.edge_drain:.0f} s)"] if names else []
        for project, layers in sorted(self.projects.items()):
            for layer in layers:
                said = ", ".join(f"{one.name} ({one.grace:.0f} s)" for one in layer)
                out.append(f"{project}: stop {said}")
        return [*out, *([f"edge: stop {names}"] if names else [])]


def container(inspected: Mapping[str, Any]) -> Container | None:
    """The :class:`Container` in ``docker inspect``; None for one that does not run, or that Swarm looks after."""
    config = inspected.get("Config") or {}
    labels = config.get("Labels") or {}
    project = labels.get(f"{_COMPOSE}project", "")
    if not project or not (inspected.get("State") or {}).get("Running") or "com.docker.swarm.task" in labels:
        return None
    grace = config.get("StopTimeout")
    needs = [part.partition(":")[0] for part in str(labels.get(f"{_COMPOSE}depends_on", "")).split(",")]
    return Container(
        id=str(inspected["Id"]),
        name=str(inspected.get("Name", "")).lstrip("/"),
        project=labels.get(_RELAY) or project,
        service=labels.get(f"{_COMPOSE}service", ""),
        needs=tuple(sorted(one for one in needs if one)),
        grace=GRACE if grace is None else float(grace),
        kind="edge" if _EDGE in labels else "relay" if _RELAY in labels else "",
    )


def plan(running: Sequence[Container], edge_drain: float = 0.0) -> Plan:
    """What depends on others is stopped before them; a stack's relays carry its calls until the last one ended."""
    edge = tuple(one for one in running if one.kind == "edge")
    projects: dict[str, tuple[tuple[Container, ...], ...]] = {}
    for name in sorted({one.project for one in running if one.kind != "edge"}):
        mine = [one for one in running if one.project == name and one.kind != "edge"]
        own = [one for one in mine if not one.kind]
        layers = [
            tuple(sorted((one for one in own if one.service in layer), key=lambda one: one.name))
            for layer in _layers(own)
        ]
        layers.append(tuple(one for one in mine if one.kind == "relay"))
        projects[name] = tuple(layer for layer in layers if layer)
    return Plan(edge, projects, edge_drain)


def _layers(own: Sequence[Container]) -> list[list[str]]:
    needs: dict[str, set[str]] = {}
    for one in own:
        # Containers of two releases may run side by side, and name different ones.
        needs.setdefault(one.service, set()).update(one.needs)
    try:
        return waves(needs)[::-1]
    except CycleError:
        return [sorted(needs)]


def record(found: Plan, boot: str, at: float, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The record of a drain that begins. :param before: what a killed drain left; it stays stopped, and is kept"""
    depth = max((len(layers) for layers in found.projects.values()), default=0)
    order: list[list[Container]] = [
        [one for layers in found.projects.values() for layer in layers[at_depth : at_depth + 1] for one in layer]
        for at_depth in range(depth)
    ]
    order.append(list(found.edge))
    new = [[{"id": one.id, "name": one.name} for one in layer] for layer in order]
    runs = {one.id for one in found.containers}
    old = [[one for one in layer if one["id"] not in runs] for layer in (before or {}).get("waves", ())]
    return {
        "boot": boot,
        "at": at,
        "waves": [layer for layer in (*old, *new) if layer],
        "asked": [one for one in (before or {}).get("asked", ()) if one not in runs],
        "maintenance": list((before or {}).get("maintenance", ())),
    }


def to_start(
    kept: Mapping[str, Any], there: Mapping[str, Mapping[str, Any]], boot: str
) -> list[list[Mapping[str, Any]]]:
    """What is to be started again, in its order: ``docker inspect`` of each container that is still there.

    :param there: id → ``docker inspect``
    :param boot: id of this boot; after another one a container without a restart policy stays down, as ever
    """
    same = kept.get("boot") == boot
    out = []
    for layer in reversed(kept.get("waves") or []):
        found = [there[one["id"]] for one in layer if one["id"] in there]
        out.append([one for one in found if not one["State"]["Running"] and (same or _policy(one) != "no")])
    return [layer for layer in out if layer]


def still_ending(kept: Mapping[str, Any], there: Mapping[str, Mapping[str, Any]], boot: str) -> list[Container]:
    """Containers that a killed drain told to end, and that have not yet: started now, they would end a moment later."""
    if kept.get("boot") != boot:
        return []
    asked = set(kept.get("asked") or ())
    found = [container(one) for cid, one in there.items() if cid in asked]
    return [one for one in found if one is not None]


def starting(there: Mapping[str, Mapping[str, Any]], ending: Collection[str] = ()) -> list[str]:
    """Containers whose healthcheck has not had its say yet. :param ending: ids that do not count"""
    return [
        str(one["Name"]).lstrip("/")
        for cid, one in there.items()
        if cid not in ending and (one["State"].get("Health") or {}).get("Status") == "starting"
    ]


def _policy(inspected: Mapping[str, Any]) -> str:
    return str(((inspected.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no")


def status_lines(
    kept: Mapping[str, Any] | None, report: Mapping[str, Any] | None, boot: str, busy: bool = False
) -> list[str]:
    """What `landfall status` says of it. :param busy: a drain, or a way back, goes on at this moment"""
    if busy:
        return ["the host is being drained, or brought back; see: journalctl -u landfall-reboot -u landfall-drain"]
    lines = []
    if kept:
        names = ", ".join(one["name"] for layer in kept["waves"] for one in layer)
        lines.append(
            f"the host was drained at {clock(kept['at'])} and not brought back: {names}. Start them: landfall recover"
        )
    if report and report.get("boot") == boot:
        lines.append(
            f"a reboot is due ({report['due']}) and was not done at {clock(report['at'])}: {report['why']}. "
            "Tried again in the next window; now: landfall reboot"
        )
    return lines


def packages(text: str, most: int = 4) -> str:
    """What asks for a reboot, out of /run/reboot-required.pkgs."""
    names: Collection[str] = dict.fromkeys(text.split())
    shown = ", ".join([*names][:most]) or "an upgrade"
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
