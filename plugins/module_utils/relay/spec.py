# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack wants of its relay, as plain values and as the file on the host."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from ..edge.errors import EdgeError

VERSION = 1
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")


@dataclass(frozen=True)
class RelayTarget:
    """One service on one network.

    :param ports: container ports it speaks HTTP on
    :param names: the DNS names it answers to on this network, the service's first, the user's aliases after
    :param upstreams: container names, sorted; ``()``: answered with 502
    :param weights: container → weight for a canary; ``()``: all equal
    """

    service: str
    ports: tuple[int, ...]
    names: tuple[str, ...]
    upstreams: tuple[str, ...] = ()
    weights: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class RelayNetwork:
    """One network of the stack: its key in the Compose file (``default``) and Docker's name (``jarvis_default``)."""

    key: str
    name: str
    targets: tuple[RelayTarget, ...]


@dataclass(frozen=True)
class RelaySpec:
    """All relays of a stack; no networks: no relay is wanted."""

    stack: str
    networks: tuple[RelayNetwork, ...] = ()


def check(spec: RelaySpec) -> None:
    """Refuse what nginx would misread or what two services both want. :raises EdgeError: all problems, one a line"""
    problems = []
    if not _NAME.match(spec.stack):
        problems.append(f"stack {spec.stack!r} is no stack name")
    for network in spec.networks:
        where = f"stack {spec.stack}, network {network.key}"
        owner: dict[tuple[str, int], str] = {}
        if not _NAME.match(network.key):
            problems.append(f"{where}: {network.key!r} is no network key")
        for target in network.targets:
            for name in (target.service, *target.names, *target.upstreams):
                if not _NAME.match(name):
                    problems.append(f"{where}, service {target.service}: {name!r} is no container, service or DNS name")
            if not target.ports:
                problems.append(f"{where}, service {target.service}: it has no port; a relayed service speaks HTTP")
            for port in target.ports:
                if not 1 <= port <= 65535:
                    problems.append(f"{where}, service {target.service}: {port} is no port")
                for name in target.names:
                    other = owner.setdefault((name.lower(), port), target.service)
                    if other != target.service:
                        problems.append(
                            f"{where}: services {other} and {target.service} both answer to {name}:{port}; take the "
                            "alias from one of them, or set its x-landfall.rollout.east_west to direct"
                        )
    if problems:
        raise EdgeError("the relay cannot be made:\n- " + "\n- ".join(dict.fromkeys(problems)))


def to_json(spec: RelaySpec) -> str:
    """The text of ``spec.json``."""
    return json.dumps({"version": VERSION, **asdict(spec)}, indent=2, sort_keys=True) + "\n"


def from_json(text: str, source: str = "spec.json") -> RelaySpec:
    """Read ``spec.json``. :raises EdgeError: it was not written by this version of the collection"""
    try:
        data: dict[str, Any] = json.loads(text)
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']!r}, this collection reads {VERSION}")
        return RelaySpec(
            str(data["stack"]),
            tuple(
                RelayNetwork(
                    str(one["key"]),
                    str(one["name"]),
                    tuple(
                        RelayTarget(
                            str(each["service"]),
                            tuple(int(port) for port in each["ports"]),
                            tuple(str(name) for name in each["names"]),
                            tuple(str(name) for name in each["upstreams"]),
                            tuple((str(name), int(weight)) for name, weight in each["weights"]),
                        )
                        for each in one["targets"]
                    ),
                )
                for one in data["networks"]
            ),
        )
    except (ValueError, KeyError, TypeError) as problem:
        raise EdgeError(f"{source} cannot be read ({problem}); deploy the stack again to write it anew") from problem
