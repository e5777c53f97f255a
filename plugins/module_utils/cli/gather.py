# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rim of the host program: reads releases, containers, routes and certificates."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..clients import x509
from ..clients.backup_state import set_up
from ..clients.docker import PROJECT_LABEL, DockerCli
from ..clients.files import StackDir, stacks
from ..compose.routes import RoutesError, StackRoutes, from_json
from ..rollout.health import observe
from .status import Certificate, Gathered


def gather(root: str, edge: str, docker: DockerCli) -> list[Gathered]:
    """All stacks of this host. :raises DockerError: Docker does not answer"""
    names = stacks(root)
    containers = docker.containers() if names else []
    out = []
    for name in names:
        store = StackDir(root, name)
        current = store.current()
        entries = store.journal()
        kept = set_up(name)
        out.append(
            Gathered(
                name=name,
                releases=store.releases(),
                current=current,
                containers=[
                    observe(one) for one in containers if (one["Config"].get("Labels") or {}).get(PROJECT_LABEL) == name
                ],
                images=store.images(current) if current else {},
                routes=routes(edge, name),
                maintenance=os.path.exists(flag(edge, name)),
                lock=store.holder(),
                step=entries[-1].step if entries else "",
                backup=kept[0] if kept else None,
                drills=kept[1] if kept else None,
                archives=kept[2] if kept else (),
                relay={
                    str(one["Name"]).lstrip("/"): str(one["State"]["Status"])
                    for one in containers
                    if (one["Config"].get("Labels") or {}).get(PROJECT_LABEL) == f"landfall-relay-{name}"
                },
            )
        )
    return out


def routes(edge: str, stack: str) -> StackRoutes | None:
    """The routes file of a stack, None when there is none that can be read."""
    path = os.path.join(edge, "stacks", f"{stack}.json")
    try:
        with open(path, encoding="utf-8") as file:
            return from_json(file.read(), path)
    except (OSError, RoutesError):
        return None


def flag(edge: str, stack: str) -> str:
    """The file whose presence puts a stack into maintenance."""
    return os.path.join(edge, "maintenance", stack)


def certificates(edge: str, now: datetime | None = None) -> Sequence[Certificate]:
    """The certificates the edge serves."""
    moment = now or datetime.now(timezone.utc)
    found = []
    for path in sorted(Path(edge, "certs").glob("*/fullchain.pem")):
        try:
            seen = x509.read(path.read_bytes())
        except x509.UnreadableError as problem:
            found.append(Certificate(path.parent.name, error=str(problem)))
            continue
        left = (seen.not_after - moment).total_seconds() / 86400
        found.append(Certificate(path.parent.name, seen.names, left, seen.issuer, seen.self_signed))
    return found


def moves(directory: str) -> dict[str, dict[str, Any]]:
    """Stack → ``state`` and ``progress`` of the move of its data, {} of what is not known."""
    found = {}
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        told = {}
        for part in ("state", "progress"):
            try:
                told[part] = json.loads(Path(directory, name, f"{part}.json").read_text(encoding="utf-8"))
            except FileNotFoundError:
                told[part] = {}
        if told["state"]:
            found[name] = told
    return found
