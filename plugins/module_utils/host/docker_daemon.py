# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""daemon.json has three authors: the role's defaults, a hand on the host, the inventory. Who wins, what then. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

# What dockerd takes over on SIGHUP; anything else needs a restart.
RELOADABLE = frozenset(
    (
        "allow-nondistributable-artifacts",
        "authorization-plugins",
        "debug",
        "default-runtime",
        "features",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    )
)
_ROTATING = ("local", "json-file")


@dataclass(frozen=True)
class Plan:
    """What daemon.json becomes, and what the daemon must do about it.

    config: the whole file. record: what to remember of it (managed: the share that is not a hand's; shadowed: a
    hand's values that the inventory overrides; applied: what the daemon has loaded afterwards). write: whether the
    file changes. reload, restart: the keys that make it necessary; at most one of them is not empty. act: whether there
    is anything to do.
    """

    config: dict[str, Any]
    record: dict[str, Any]
    write: bool
    act: bool
    reload: list[str] = field(default_factory=list)
    restart: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read(text: str, path: str) -> dict[str, Any]:
    """Parse a JSON file; {} when it is missing or empty. Raises ValueError that names the file and the remedy."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}). Mend it or move it away, then run again") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object. Mend it or move it away, then run again")
    return value


def plan(
    defaults: dict[str, Any], options: dict[str, Any], file_text: str, record_text: str = "", loaded: bool = False
) -> Plan:
    """Merge the three authors and compare with what the daemon runs on.

    defaults give way to what a hand wrote in the file, that gives way to options (the inventory). What is a hand's is
    told by the record of the last run: a key the role did not write, or whose value has changed since.
    loaded: the daemon started after the file was last written, so it runs on the file as it is. Otherwise it runs on
    what the record says was applied: a run that broke off between writing and restarting is finished by the next.
    """
    current = read(file_text, "/etc/docker/daemon.json")
    record = read(record_text, "/etc/landfall/docker.json")
    managed = record.get("managed", {})
    changed_by_hand = {key: value for key, value in current.items() if key not in managed or managed[key] != value}
    hand = {**record.get("shadowed", {}), **changed_by_hand}
    config = {**defaults, **hand, **options}
    explicit = {**hand, **options}
    if config.get("log-driver") not in _ROTATING and "log-opts" not in explicit:
        config.pop("log-opts", None)  # other drivers refuse the rotation's options

    running = current if loaded else record.get("applied", {})
    differs = sorted(key for key in {*running, *config} if running.get(key) != config.get(key))
    restart = [key for key in differs if key not in RELOADABLE]
    remembered = {
        "managed": {key: value for key, value in config.items() if key in options or key not in hand},
        "shadowed": {key: value for key, value in hand.items() if key in options},
        "applied": config,
    }
    return Plan(
        config=config,
        record=remembered,
        write=config != current,
        act=bool(config != current or remembered != record or differs),
        reload=[] if restart else differs,
        restart=restart,
    )
