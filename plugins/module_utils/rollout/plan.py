# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment will do, derived from the stack model and from what was asked; values in, values out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..compose.stack import Stack

#: How the names begin that images get which no registry names by a digest.
OWN = "landfall.local/"


class Refused(Exception):
    """The request cannot be carried out; nothing was changed. ``str()`` says what to do."""


@dataclass(frozen=True)
class ImageStep:
    """How a service gets its image: ``action`` is ``build`` or ``pull``; ``ref`` the name the user gave it."""

    service: str
    action: str
    ref: str


def start_bound(services: int, deadline: float) -> float:
    """Seconds one ``docker compose`` call of a rollout may take: it stops and makes containers, it does not wait."""
    return max(deadline, 120.0) + 30.0 * services


def image_steps(model: Stack, build: bool) -> list[ImageStep]:
    """How each service gets its image, in the order of the dependency waves.

    :param build: build what has a ``build`` section on the host; otherwise its image is pulled
    :raises Refused: a service that can only be built, and building was not asked for
    """
    steps = []
    for wave in model.waves:
        for name in wave:
            service = model.services[name]
            if service.build and build:
                steps.append(ImageStep(name, "build", service.image or f"{model.name}-{name}"))
            elif service.image:
                steps.append(ImageStep(name, "pull", service.image))
            else:
                raise Refused(
                    f"service {name} has no image, only a build section: set build: true to build it on the host, "
                    "or give it an image that a registry has"
                )
    return steps


def pin(stack: str, step: ImageStep, info: Mapping[str, Any]) -> tuple[str, bool]:
    """The reference that always means this image, and whether it must be made by tagging.

    An image of a registry is named by its digest; one that was built or loaded has none and gets a tag of ours
    that carries its id, so that the same image has the same name in every release.
    """
    repository = _repository(step.ref)
    for digest in sorted(info.get("RepoDigests") or []):
        if step.action == "pull" and _repository(digest) == repository:
            return digest, False
    short = str(info["Id"]).removeprefix("sha256:")[:12]
    return f"{OWN}{stack}/{repository.rpartition('/')[2]}:{short}", True


def _repository(ref: str) -> str:
    """The repository in an image reference, Docker Hub's defaults taken away."""
    name = ref.partition("@")[0]
    head, _, last = name.rpartition("/")
    name = f"{head}/{last.partition(':')[0]}" if head else last.partition(":")[0]
    for prefix in ("docker.io/library/", "docker.io/", "library/"):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def additions(
    model: Stack,
    config: Mapping[str, Any],
    project_dir: str,
    shipped: frozenset[str],
    data_dir: str,
    secrets_dir: str,
    secrets: Mapping[str, str],
) -> dict[str, dict[str, Any]]:
    """What the overlay says about services beyond networks and images (service → Compose keys).

    * A relative bind mount that the release does not ship is data: it moves to ``data_dir``, which outlives releases.
    * A service that reads secret files carries a label with their digest, so that a new value restarts it.

    :param project_dir: where ``docker compose config`` was run; relative mounts came out below it
    :param shipped: paths of the release's own files
    :param secrets: secret name → keyed digest
    """
    files = {
        key: str(value["file"])[len(secrets_dir) + 1 :]
        for key, value in (config.get("secrets") or {}).items()
        if isinstance(value, Mapping) and str(value.get("file", "")).startswith(f"{secrets_dir}/")
    }
    out: dict[str, dict[str, Any]] = {}
    for name, service in model.services.items():
        entry: dict[str, Any] = {}
        volumes = []
        for mount in service.mounts:
            if mount.kind != "bind" or not f"{mount.source}/".startswith(f"{project_dir}/"):
                continue
            relative = mount.source[len(project_dir) + 1 :]
            if relative in shipped or any(path.startswith(f"{relative}/") for path in shipped) or not relative:
                continue
            volumes.append(
                {
                    "type": "bind",
                    "source": f"{data_dir}/{relative}",
                    "target": mount.target,
                    "read_only": mount.read_only,
                    "bind": {"create_host_path": True},
                }
            )
        if volumes:
            entry["volumes"] = volumes
        used = sorted(files[key] for key in service.secrets if key in files)
        if used:
            text = ";".join(f"{item}={secrets.get(item, '')}" for item in used)
            entry["labels"] = {"landfall.secrets": hashlib.sha256(text.encode()).hexdigest()[:16]}
        if entry:
            out[name] = entry
    return out
