# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two versions of a service, in words that show no value of a variable. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

#: Keys that say nothing about the container itself.
_IGNORED = frozenset({"depends_on", "deploy", "scale", "x-landfall", "pull_policy", "build", "profiles"})
_SECRETS_LABEL = "landfall.secrets"
#: Label with a service's fingerprint; what a container carries it was made from.
CONFIG_LABEL = "landfall.config"


def fingerprint(service: Mapping[str, Any]) -> str:
    """16 hex digits over all of a service's configuration that makes its container.

    Compose's own hash will not do: it changes with ``--no-deps``, and with the version of Compose.
    """
    plain = {key: value for key, value in service.items() if key not in _IGNORED}
    deploy = {key: value for key, value in (service.get("deploy") or {}).items() if key == "resources"}
    text = json.dumps({**plain, "deploy": deploy}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def reasons(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[str]:
    """Why a service changes.

    :param old: the service in the former release's ``docker compose config``, its directory written as ``@release@``
        (:func:`normalised`); None when it was not there
    """
    if old is None:
        return ["new service"]
    out = []
    if old.get("image") != new.get("image"):
        out.append(f"image {_short(old.get('image'))} -> {_short(new.get('image'))}")
    before, after = _variables(old.get("environment")), _variables(new.get("environment"))
    names = [f"+{key}" for key in sorted(set(after) - set(before))]
    names += [f"~{key}" for key in sorted(set(after) & set(before)) if before[key] != after[key]]
    names += [f"-{key}" for key in sorted(set(before) - set(after))]
    if names:
        out.append("environment " + " ".join(names))
    for key in ("command", "entrypoint"):
        if old.get(key) != new.get(key):
            out.append(key)
    labels = (_variables(old.get("labels")), _variables(new.get("labels")))
    if labels[0].get(_SECRETS_LABEL) != labels[1].get(_SECRETS_LABEL):
        out.append("a secret file it reads")
    for each in labels:
        each.pop(_SECRETS_LABEL, None)
        each.pop(CONFIG_LABEL, None)
    if labels[0] != labels[1]:
        out.append("labels")
    limits = [(each.get("deploy") or {}).get("resources") for each in (old, new)]
    if _plain(limits[0]) != _plain(limits[1]):
        out.append("resource limits")
    told = {"image", "environment", "command", "entrypoint", "labels"}
    for key in sorted((set(old) | set(new)) - told - _IGNORED):
        if _plain(old.get(key)) != _plain(new.get(key)):
            out.append(key)
    return out


def normalised(config: Mapping[str, Any], directory: str) -> dict[str, Any]:
    """Service → its configuration with the release's directory written as ``@release@``, so that two compare."""
    text = json.dumps(config.get("services") or {}, sort_keys=True, default=str)
    loaded: dict[str, Any] = json.loads(text.replace(json.dumps(directory)[1:-1], "@release@"))
    return loaded


def mounts_release(service: Mapping[str, Any]) -> bool:
    """Whether a service mounts files of its release, which are others with each release."""
    return "@release@" in json.dumps([service.get("volumes"), service.get("configs"), service.get("env_file")])


def _variables(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(key): str(item) for key, item in value.items()}
    return {str(item).partition("=")[0]: str(item).partition("=")[2] for item in value or ()}


def _plain(value: Any) -> str:
    return json.dumps(value or None, sort_keys=True, default=str)


def _short(image: Any) -> str:
    """An image's name without the registry, a digest cut to 12 digits."""
    name, _, digest = str(image or "none").rpartition("/")[2].partition("@")
    return f"{name}@{digest.removeprefix('sha256:')[:12]}" if digest else name
