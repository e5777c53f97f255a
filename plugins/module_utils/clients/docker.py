# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker command line: containers, images and networks, as `docker inspect` reports them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .process import Runner

PROJECT_LABEL = "com.docker.compose.project"
ONEOFF_LABEL = "com.docker.compose.oneoff"


class DockerError(Exception):
    """A docker command failed; ``str()`` is what docker said, without its usage hints."""

    def __init__(self, argv: Sequence[str], rc: int, stderr: str) -> None:
        self.argv, self.rc, self.stderr = list(argv), rc, stderr.strip()
        super().__init__(self.stderr or f"{' '.join(argv)} ended with {rc}")


class DockerCli:
    """Docker by argv. :param run: the runner to use; :param slow: one without a short bound, for pulls"""

    def __init__(self, run: Runner, slow: Runner | None = None) -> None:
        self._run = run
        self._slow = slow or run

    def command(self, *args: str, slow: bool = False) -> tuple[int, str, str]:
        """Run ``docker …``: (exit code, standard output, errors). :param slow: without a short bound"""
        return (self._slow if slow else self._run)(["docker", *args], "/", {})

    def _docker(self, *args: str, slow: bool = False) -> str:
        rc, out, err = self.command(*args, slow=slow)
        if rc:
            raise DockerError(["docker", *args], rc, err)
        return out

    def available(self) -> str | None:
        """None when the Engine and Compose answer, else what is missing."""
        for args, what in (
            (("version", "--format", "{{.Server.Version}}"), "Docker Engine"),
            (("compose", "version", "--short"), "Docker Compose v2"),
        ):
            try:
                self._docker(*args)
            except DockerError as problem:
                return f"{what} does not answer on this host: {problem}"
        return None

    def containers(self, project: str | None = None) -> list[dict[str, Any]]:
        """``docker inspect`` of the containers of a project (None: of all projects), one-off runs left out."""
        return [one for one in self.labelled(of_project(project)) if not oneoff(one)]

    def labelled(self, label: str) -> list[dict[str, Any]]:
        """``docker inspect`` of all containers with a label, ``name`` or ``name=value``."""
        return self.inspect(self._docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}").split())

    def inspect(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """``docker inspect``; containers that went away in the meantime are left out."""
        if not ids:
            return []
        argv = ["docker", "container", "inspect", *ids]
        rc, out, err = self._run(argv, "/", {})
        if rc and "no such container" not in err.lower():
            raise DockerError(argv, rc, err)
        loaded: list[dict[str, Any]] = json.loads(out or "[]")
        return loaded

    def image(self, ref: str) -> dict[str, Any] | None:
        """``docker image inspect``, None when the image is not on the host."""
        try:
            loaded: list[dict[str, Any]] = json.loads(self._docker("image", "inspect", ref))
        except DockerError as problem:
            if "no such image" in problem.stderr.lower():
                return None
            raise
        return loaded[0] if loaded else None

    def pull(self, ref: str) -> None:
        """Pull an image. :raises DockerError: with the registry's own words"""
        self._docker("pull", "--quiet", ref, slow=True)

    def tag(self, source: str, target: str) -> None:
        """Give an image one more name."""
        self._docker("image", "tag", source, target)

    def remove_image(self, ref: str) -> bool:
        """Remove a reference, never by force: an image in use stays. True when it is gone."""
        try:
            self._docker("image", "rm", ref)
        except DockerError:
            return False
        return True

    def logs(self, container: str, tail: int = 40) -> list[str]:
        """The last lines of a container's output, both streams."""
        rc, out, err = self._run(["docker", "logs", "--tail", str(tail), container], "/", {})
        lines = (out + err).splitlines() if rc == 0 else []
        return lines[-tail:]

    def remove(self, containers: Sequence[str]) -> None:
        """Remove containers that do not run; never by force."""
        if containers:
            self._docker("rm", *containers)

    def stop(self, containers: Iterable[str]) -> None:
        """Stop containers, each with its own grace period; restart policies do not bring them back."""
        names = list(containers)
        if names:
            self._docker("stop", *names, slow=True)


def of_project(project: str | None) -> str:
    """The label of a Compose project's containers; None: of all projects'."""
    return PROJECT_LABEL if project is None else f"{PROJECT_LABEL}={project}"


def oneoff(inspected: Mapping[str, Any]) -> bool:
    """Whether an inspected container is a one-off run (``docker compose run``)."""
    labels = (inspected.get("Config") or {}).get("Labels") or {}
    return str(labels.get(ONEOFF_LABEL, "")).lower() == "true"


def connects(addresses: Sequence[str], port: int, timeout: float = 1.0) -> bool:
    """Whether a TCP connection from the host to one of the addresses succeeds."""
    for address in addresses:
        try:
            with socket.create_connection((address, port), timeout=timeout):
                return True
        except OSError:
            continue
    return False


def proc_net(pid: int) -> str:
    """/proc/<pid>/net/tcp and tcp6 in one text with one header line; "" when the process is gone."""
    lines = ["header"]
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{name}", encoding="ascii") as file:
                lines += file.read().splitlines()[1:]
        except OSError:
            continue
    return "\n".join(lines)
