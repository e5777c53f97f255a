# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker as the edge and the relay use it."""

from __future__ import annotations

from typing import Any

from ..edge.errors import EdgeError
from .docker import DockerCli, DockerError


class DockerCommand:
    """Runs ``docker …``, and asks what is asked often in the quickest way that ``docker`` knows."""

    def __init__(self, docker: DockerCli) -> None:
        self._client = docker

    def _docker(self, *args: str, slow: bool = False) -> tuple[int, str, str]:
        return self._client.command(*args, slow=slow)

    def _labelled(self, label: str) -> list[dict[str, Any]]:
        """``docker inspect`` of all containers with a label. :raises EdgeError: docker does not say"""
        try:
            return self._client.labelled(label)
        except DockerError as problem:
            raise EdgeError(f"docker cannot list the containers with {label}: {told(str(problem))}") from problem

    def _inspected(self, container: str) -> dict[str, Any] | None:
        """``docker inspect``, None when there is no such container. :raises EdgeError: docker does not say"""
        try:
            return next(iter(self._client.inspect([container])), None)
        except DockerError as problem:
            raise EdgeError(f"docker cannot say how container {container} is: {told(str(problem))}") from problem

    def _image_id(self, ref: str) -> str:
        """ "" when it is not on the host, or docker does not say."""
        try:
            return str((self._client.image(ref) or {}).get("Id") or "")
        except DockerError:
            return ""

    def _must(self, what: str, *args: str, slow: bool = False) -> str:
        """Its standard output. :raises EdgeError: ``what``, and docker's last words"""
        rc, out, err = self._docker(*args, slow=slow)
        if rc:
            raise EdgeError(f"{what}: {told(err or out)}")
        return out


def told(text: str) -> str:
    """The last lines of what a program said, for a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-3:])[:600] or "no message"
