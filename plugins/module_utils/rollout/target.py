# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a release on the disk to what shall run: strategies, fingerprints, names, and what differs from before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..compose.stack import Stack
from .changes import CONFIG_LABEL, fingerprint, mounts_release, normalised, reasons
from .planner import Wanted
from .strategy import Strategy, strategies


@dataclass(frozen=True)
class Target:
    """A release as the planner and the executor need it.

    :param wanted: service → what is wanted of it
    :param names: service → network key → the DNS names it has there (its own first, the user's aliases after)
    :param services: service → its configuration, comparable with another release's (:func:`.changes.normalised`)
    """

    model: Stack
    wanted: Mapping[str, Wanted]
    names: Mapping[str, Mapping[str, tuple[str, ...]]]
    services: Mapping[str, Mapping[str, Any]]

    @property
    def strategies(self) -> dict[str, Strategy]:
        """Service → how it is replaced."""
        return {name: want.strategy for name, want in self.wanted.items()}


def target(
    model: Stack,
    config: Mapping[str, Any],
    full: Mapping[str, Any],
    directory: str,
    deadline: float,
    image_volumes: Mapping[str, Sequence[str]],
    before: Mapping[str, Mapping[str, Any]],
) -> Target:
    """Put a target together.

    :param config: the project as Compose reads it; :param full: the same with the release's overlay
    :param directory: the release's directory
    :param deadline: seconds, for services that say none
    :param before: :attr:`Target.services` of the release that runs, {} when there is none
    :raises Refused: a strategy that cannot be
    """
    chosen = strategies(model, config, deadline, image_volumes)
    services = normalised(full, directory)
    names = {name: _names(name, (config.get("services") or {}).get(name) or {}, model) for name in model.services}
    raw = full.get("services") or {}
    wanted = {}
    for name, service in model.services.items():
        why = reasons(before.get(name), services.get(name, {})) if before else []
        if before and not why and mounts_release(services.get(name, {})):
            why = ["it mounts files of the release"]
        wanted[name] = Wanted(
            service=name,
            config_hash=labels(raw.get(name) or {}).get(CONFIG_LABEL) or fingerprint(raw.get(name) or {}),
            replicas=service.replicas,
            strategy=chosen[name],
            names=tuple(dict.fromkeys(item for each in names[name].values() for item in each)),
            reasons=tuple(why),
        )
    return Target(model, wanted, names, services)


def labels(service: Mapping[str, Any]) -> dict[str, str]:
    """A service's labels as a mapping."""
    found = service.get("labels") or {}
    if isinstance(found, Mapping):
        return {str(key): str(value) for key, value in found.items()}
    return {str(item).partition("=")[0]: str(item).partition("=")[2] for item in found}


def _names(name: str, raw: Mapping[str, Any], model: Stack) -> dict[str, tuple[str, ...]]:
    networks = raw.get("networks") or {}
    out = {}
    for key in model.services[name].networks:
        entry = networks.get(key) if isinstance(networks, Mapping) else None
        out[key] = tuple(dict.fromkeys([name, *((entry or {}).get("aliases") or ())]))
    return out
