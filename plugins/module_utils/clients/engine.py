# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker Engine through its SDK: what the rollout asks often and must not wait for."""

from __future__ import annotations

import functools
import shlex
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

try:
    import docker
    from docker.errors import APIError, NotFound
    from docker.errors import DockerException as _SdkError
    from requests.exceptions import ReadTimeout

    SDK_ERROR: str | None = None
except ImportError as exc:  # reported by the module that uses this room
    docker = None
    SDK_ERROR = str(exc)

    class _Absent(Exception):
        """Never raised: were these names Exception, "the SDK is missing" would pass for "the container is gone"."""

    APIError = NotFound = ReadTimeout = _SdkError = _Absent  # type: ignore[assignment,misc]

from .docker import DockerCli, DockerError, of_project, oneoff
from .process import Runner

#: Seconds one call may take.
TIMEOUT = 120


class DockerEngine(DockerCli):
    """Docker through its SDK; images are pulled by the command line, which knows the operator's registry logins.

    Threads may share it: each gets a connection of its own.
    """

    def __init__(self, run: Runner, slow: Runner | None = None) -> None:
        super().__init__(run, slow)
        self._local = threading.local()

    @property
    def _api(self) -> Any:
        if docker is None:
            raise DockerError(["docker"], 1, "python3-docker is missing on this host: install python3-docker")
        if getattr(self._local, "api", None) is None:
            try:
                self._local.api = docker.APIClient(version="auto", timeout=TIMEOUT)
            except _SdkError as problem:
                raise DockerError(["docker"], 1, str(problem)) from problem
        return self._local.api

    def _call(self, what: str, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except DockerError:
            raise
        except (_SdkError, OSError) as problem:
            said = getattr(problem, "explanation", None) or str(problem)
            raise DockerError(["docker", *what.split()], 1, f"docker {what}: {said}") from problem

    def available(self) -> str | None:
        """None when the Engine, Compose and the SDK are there, else what is missing."""
        if SDK_ERROR is not None:
            return "python3-docker is missing on this host"
        return super().available()

    def hooks(self, project: str) -> list[dict[str, Any]]:
        """``docker inspect`` of the one-off containers of a project (``docker compose run``)."""
        return [one for one in self.labelled(of_project(project)) if oneoff(one)]

    def labelled(self, label: str) -> list[dict[str, Any]]:
        """``docker inspect`` of all containers with a label, ``name`` or ``name=value``."""
        listed = self._call("ps", lambda: self._api.containers(all=True, filters={"label": [label]}))
        return self.inspect([one["Id"] for one in listed])

    def inspect(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """``docker inspect``; containers that went away in the meantime are left out."""
        found = [self._call(f"inspect {one}", functools.partial(self._inspected, one)) for one in ids]
        return [one for one in found if one is not None]

    def _inspected(self, container: str) -> Any:
        try:
            return self._api.inspect_container(container)
        except NotFound:
            return None

    def image(self, ref: str) -> dict[str, Any] | None:
        """``docker image inspect``, None when the image is not on the host."""

        def ask() -> Any:
            try:
                return self._api.inspect_image(ref)
            except NotFound:
                return None

        found: dict[str, Any] | None = self._call(f"image inspect {ref}", ask)
        return found

    def start(self, container: str) -> None:
        """Start a container."""
        self._call(f"start {container}", lambda: self._api.start(container))

    def stop_one(self, container: str, grace: float | None) -> None:
        """Stop a container. :param grace: seconds until SIGKILL, None for Docker's 10; gone is as good as stopped"""
        seconds = 10 if grace is None else max(int(grace), 0)
        self._call(f"stop {container}", lambda: self._gone_is_fine(lambda: self._api.stop(container, seconds)))

    def remove_one(self, container: str, force: bool = False) -> None:
        """Remove a container; its anonymous volumes stay. Gone already is fine."""
        self._call(
            f"rm {container}",
            lambda: self._gone_is_fine(lambda: self._api.remove_container(container, force=force)),
        )

    @staticmethod
    def _gone_is_fine(action: Callable[[], Any]) -> None:
        try:
            action()
        except NotFound:
            pass
        except APIError as problem:
            if "is already in progress" not in str(problem):
                raise

    def stop(self, containers: Iterable[str]) -> None:
        """Stop containers, each with its own grace period; restart policies do not bring them back."""
        for one in self.inspect(list(containers)):
            self.stop_one(one["Id"], (one.get("Config") or {}).get("StopTimeout"))

    def remove(self, containers: Sequence[str]) -> None:
        """Remove containers that do not run; never by force."""
        for name in containers:
            self.remove_one(name)

    def logs(self, container: str, tail: int = 40) -> list[str]:
        """The last lines of a container's output, both streams; [] when it is gone."""
        try:
            raw = self._api.logs(container, tail=tail)
        except (_SdkError, OSError):
            return []
        return raw.decode(errors="replace").splitlines()[-tail:]  # type: ignore[no-any-return]

    def rename_on(self, network: str, container: str, settings: Mapping[str, Any], aliases: Sequence[str]) -> None:
        """Join a network anew under other names. Only for containers that do not run: a running one would be cut off.

        :param settings: its endpoint as inspected; a fixed address is kept
        """
        fixed = settings.get("IPAMConfig") or {}

        def work() -> None:
            self._api.disconnect_container_from_network(container, network, force=True)
            self._api.connect_container_to_network(
                container,
                network,
                aliases=list(aliases),
                ipv4_address=fixed.get("IPv4Address") or None,
                ipv6_address=fixed.get("IPv6Address") or None,
                links=settings.get("Links") or None,
                driver_opt=settings.get("DriverOpts") or None,
            )

        self._call(f"network connect {network} {container}", work)

    def execute(self, container: str, argv: Sequence[str], timeout: float = 30.0) -> tuple[int, str]:
        """Run a program in a container: (exit code, output of both streams); 124 when it was silent too long.

        :param timeout: seconds without output; Docker knows no way to end the program then, it ends with its container
        """

        def work() -> tuple[int, str]:
            made = self._api.exec_create(container, list(argv))
            patient = docker.APIClient(version=self._api.api_version, timeout=max(int(timeout), 1))
            try:
                raw = patient.exec_start(made["Id"])
            except ReadTimeout:
                return 124, ""
            finally:
                patient.close()
            code = self._api.exec_inspect(made["Id"]).get("ExitCode")
            return (-1 if code is None else int(code)), (raw or b"").decode(errors="replace")

        found: tuple[int, str] = self._call(f"exec {container} {shlex.join(argv)}", work)
        return found

    def signal(self, container: str, name: str) -> None:
        """Send a signal to a container's first process."""
        self._call(f"kill {container}", lambda: self._api.kill(container, name))

    def restarts_off(self, container: str) -> None:
        """Have Docker not start a container again when it ends."""
        self._call(f"update {container}", lambda: self._api.update_container(container, restart_policy={"Name": "no"}))
