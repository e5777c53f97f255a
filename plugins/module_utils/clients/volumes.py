# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files inside the volumes of a Compose project, as paths of the host."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ..migration.problems import Stopped
from .docker import PROJECT_LABEL
from .process import Runner

VOLUME_LABEL = "com.docker.compose.volume"


def host_path(spec: Mapping[str, Any], project: str, run: Runner) -> str:
    """The file on the host.

    :param spec: ``path``, of the host; or relative to ``volume``, as the Compose file names it
    :raises Stopped: there is no such volume, or its path leads out of it
    """
    path, volume = str(spec.get("path") or ""), str(spec.get("volume") or "")
    if not volume:
        if not os.path.isabs(path):
            raise Stopped(f"{path}: give an absolute path of the host, or the volume that it is in")
        return path
    root = _mountpoint(volume, project, run)
    found = os.path.realpath(os.path.join(root, path.lstrip("/")))
    if not found.startswith(os.path.realpath(root) + os.sep):
        raise Stopped(f"{path} leads out of the volume {volume}; name a file inside it")
    return found


def _mountpoint(volume: str, project: str, run: Runner) -> str:
    filters = ["--filter", f"label={PROJECT_LABEL}={project}", "--filter", f"label={VOLUME_LABEL}={volume}"]
    rc, out, err = run(["docker", "volume", "ls", "--quiet", *filters], "/", {})
    if rc:
        raise Stopped(f"Docker does not list its volumes: {err.strip()}")
    # An external volume has no labels of the project.
    for name in [*out.split(), f"{project}_{volume}", volume]:
        rc, out, _err = run(["docker", "volume", "inspect", name], "/", {})
        if not rc:
            return str(json.loads(out)[0]["Mountpoint"])
    raise Stopped(f"the project {project} has no volume {volume} on this host; deploy the stack first")
