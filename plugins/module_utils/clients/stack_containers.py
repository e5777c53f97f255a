# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers of a stack, as backups look at them: who is who, where their files lie, and holding them still."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..backup.ports import BackupError
from .docker import DockerCli, DockerError
from .files import write_atomic


def read_secret(path: str) -> str:
    """What a file holds, without the newline at its end. :raises BackupError: it cannot be read"""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().rstrip("\r\n")
    except (OSError, ValueError) as problem:
        raise BackupError(f"{path} cannot be read: {getattr(problem, 'strerror', problem)}") from problem


def service_of(container: Mapping[str, Any]) -> str:
    """The service that an inspected container is of."""
    return str((container["Config"].get("Labels") or {}).get("com.docker.compose.service", ""))


class StackContainers:
    """Containers by service. :param held_path: the file that names what is held still, for the run after a crash"""

    def __init__(self, stack: str, docker: DockerCli, held_path: str) -> None:
        self._stack, self._docker, self._held = stack, docker, held_path

    def all(self) -> list[dict[str, Any]]:
        """``docker inspect`` of all. :raises BackupError: Docker does not answer"""
        try:
            return self._docker.containers(self._stack)
        except DockerError as problem:
            raise BackupError(f"Docker does not answer: {problem}") from problem

    def of(self, service: str) -> list[dict[str, Any]]:
        """The containers of one service."""
        return [one for one in self.all() if service_of(one) == service]

    def one(self, service: str) -> str:
        """The running container of a service. :raises BackupError: none runs"""
        running = [one for one in self.of(service) if one["State"]["Status"] == "running"]
        if not running:
            raise BackupError(f"service {service} of stack {self._stack} does not run; start it, see: landfall status")
        return str(running[0]["Id"])

    def env(self, container: str) -> Mapping[str, str]:
        """The environment a container was made with."""
        found = self._docker.inspect([container])
        pairs = [str(line).partition("=") for line in (found[0]["Config"].get("Env") or [])] if found else []
        return {name: value for name, _equals, value in pairs}

    def image(self, container: str) -> str:
        """The name of the image a container was made from."""
        found = self._docker.inspect([container])
        return str(found[0]["Config"].get("Image") or "") if found else ""

    def host_path(self, service: str, path: str) -> str:
        """Where a path of a service's container lies on the host. :raises BackupError: on no volume, so not for long"""
        them = self.of(service)
        if not them:
            raise BackupError(f"service {service} of stack {self._stack} has no container; deploy the stack first")
        mounts = [(str(m["Destination"]).rstrip("/"), str(m["Source"])) for m in them[0].get("Mounts") or ()]
        fitting = [pair for pair in mounts if path == pair[0] or path.startswith(f"{pair[0]}/")]
        if not fitting:
            raise BackupError(
                f"service {service}: {path} lies on no volume, so that it is gone with the container; put it on one"
            )
        target, source = max(fitting, key=lambda pair: len(pair[0]))
        return os.path.normpath(os.path.join(source, path[len(target) :].lstrip("/")))

    def volume_path(self, name: str) -> str:
        """Where a volume's files lie on the host. :raises BackupError: there is no such volume, or it is elsewhere"""
        rc, out, err = self._docker._run(["docker", "volume", "inspect", name], "/", {})
        if rc:
            raise BackupError(f"volume {name}: {err.strip() or 'docker volume inspect failed'}")
        found = json.loads(out)[0]
        if found.get("Driver") != "local" or not os.path.isdir(str(found.get("Mountpoint"))):
            raise BackupError(f"volume {name} is not on this host's disk (driver {found.get('Driver')}); name a path")
        return str(found["Mountpoint"])

    def new_volume(self, name: str) -> str:
        """Where a volume's files lie; it is made when it is not there."""
        self._do("volume", ["create", name])
        return self.volume_path(name)

    def nudge_proxies(self) -> None:
        """Have the edge and the stack's relay look their names up again: addresses may have changed by a new start."""
        for name in ("landfall-edge", f"landfall-relay-{self._stack}"):
            with contextlib.suppress(DockerError):
                for one in self._docker.inspect([name]):
                    if one["State"]["Running"]:
                        self._docker._docker("exec", str(one["Id"]), "sh", "-c", "kill -HUP 1")

    # --- holding still

    @contextlib.contextmanager
    def still(self, ids: Sequence[str], how: str) -> Iterator[None]:
        """Pause or stop containers; they always go on afterwards, by the next run if this one is killed."""
        if not ids:
            yield
            return
        self.resume()
        write_atomic(self._held, json.dumps({"how": how, "ids": list(ids)}), 0o600)
        try:
            self._do("pause" if how == "pause" else "stop", ids)
            yield
        finally:
            self.resume()

    def running(self, service: str) -> list[str]:
        """Ids of a service's running containers."""
        return [str(one["Id"]) for one in self.of(service) if one["State"]["Status"] == "running"]

    def resume(self) -> list[str]:
        """Let everything go on that a run holds, or held when it was killed. Their names."""
        try:
            with open(self._held, encoding="utf-8") as file:
                held = json.load(file)
        except (OSError, ValueError):
            return []
        there = {str(one["Id"]): one for one in self._docker.inspect(held["ids"])}
        paused = [sid for sid, one in there.items() if one["State"]["Status"] == "paused"]
        ended = [sid for sid in reversed(held["ids"]) if sid in there and there[sid]["State"]["Status"] == "exited"]
        if paused:
            self._do("unpause", paused)
        if ended and held["how"] == "stop":
            self._do("start", ended)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._held)
        return [str(one["Name"]).lstrip("/") for one in there.values()]

    def _do(self, verb: str, ids: Sequence[str]) -> None:
        try:
            self._docker._docker(verb, *ids, slow=True)
        except DockerError as problem:
            raise BackupError(f"docker {verb}: {problem}") from problem
