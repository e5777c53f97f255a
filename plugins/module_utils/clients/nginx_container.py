# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An nginx in a container that runs a generation: the edge's, a relay's. What both need to be switched and watched."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .docker import DockerCli
from .docker_command import DockerCommand
from .nginx_process import Worker, accepts, connections, errors, hang_up, is_master, workers


@dataclass(frozen=True)
class Box:
    """Where an nginx runs.

    :param what: how messages call it (``the edge``)
    :param container: name of its container
    :param image: the image it should have
    :param user: ``uid:gid``
    :param root: its directory, mounted at the same path
    :param main: its main file within a generation
    :param control: the unix socket it answers on, relative to ``root``
    """

    what: str
    container: str
    image: str
    user: str
    root: str
    main: str = "nginx.conf"
    control: str = "run/edge.sock"


class NginxContainer(DockerCommand):
    """nginx in a container."""

    def __init__(self, box: Box, docker: DockerCli) -> None:
        super().__init__(docker)
        self.box = box
        self._pid = 0

    def inspect(self) -> dict[str, Any] | None:
        """``docker inspect`` of the container, None when there is none."""
        self._pid = 0
        one = self._inspected(self.box.container)
        if one is not None:
            self._pid = int(one["State"].get("Pid") or 0)
        return one

    @property
    def pid(self) -> int:
        """nginx's master as the host sees it, 0 when that cannot be told."""
        if not is_master(self._pid):
            self.inspect()
        return self._pid if is_master(self._pid) else 0

    def ensure_image(self) -> None:
        """Pull the image unless it is there. :raises EdgeError: it cannot be pulled"""
        image = self.box.image
        if not self.image_id():
            self._must(
                f"{self.box.what}'s image {image} cannot be pulled; check its name (edge_image) and the registry",
                "pull", "--quiet", image, slow=True,
            )  # fmt: skip

    def image_id(self) -> str:
        """The id of the wanted image, "" when it is not on the host."""
        return self._image_id(self.box.image)

    def test(self, generation: str) -> str:
        """``nginx -t`` where the configuration will run, or in a container of its own while none runs."""
        path = f"{self.box.root}/generations/{generation}/{self.box.main}"
        one = self.inspect()
        if one is not None and running(one) and one["Config"]["Image"] == self.box.image:
            if is_master(self._pid) and accepts(self._pid, self.box.user, path):
                return ""
            # In Docker's own way, for what it says.
            rc, out, err = self._docker("exec", self.box.container, "nginx", "-t", "-q", "-c", path)
        else:
            rc, out, err = self.test_apart(path)
        return "" if rc == 0 else (err or out or f"nginx -t ended with {rc}")

    def test_apart(self, path: str) -> tuple[int, str, str]:
        """``nginx -t`` of a main file in a container of its own, with the wanted image."""
        root, uid = self.box.root, self.box.user.partition(":")[0]
        return self._docker(
            "run", "--rm", "--network", "none", "--read-only", "--user", self.box.user,
            "--tmpfs", f"/tmp:uid={uid},mode=0770", "--volume", f"{root}:{root}:ro",
            "--tmpfs", f"{root}/run:uid={uid},mode=0770",
            "--entrypoint", "nginx", self.box.image, "-t", "-q", "-e", "/dev/stderr", "-c", path,
            slow=True,
        )  # fmt: skip

    def reload(self) -> None:
        """Have nginx read its configuration again."""
        # A signal from the kernel's side, or by a kill inside: `docker kill` marks a container as stopped by hand, and
        # restart policies heed that mark.
        if not hang_up(self.pid):
            self._must("nginx cannot be told to reload", "exec", self.box.container, "/bin/sh", "-c", "kill -HUP 1")

    def marker(self) -> str | None:
        """The generation nginx answers with."""
        answer = self.get("/.landfall/generation")
        return answer.strip() if answer else None

    def get(self, path: str, timeout: float = 2.0) -> str | None:
        """The body of a 200 answer on nginx's own socket; None for anything else."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(timeout)
                link.connect(f"{self.box.root}/{self.box.control}")
                link.sendall(f"GET {path} HTTP/1.0\r\nHost: landfall\r\n\r\n".encode())
                raw = b"".join(iter(lambda: link.recv(65536), b""))
        except OSError:
            return None
        head, _, body = raw.partition(b"\r\n\r\n")
        return body.decode(errors="replace") if re.match(rb"HTTP/1\.[01] 200 ", head) else None

    def last_words(self) -> str:
        """The latest errors in nginx's log, one line."""
        rc, out, err = self._docker("logs", "--tail", "100", self.box.container)
        return errors(out + err) if rc == 0 else ""

    def listening(self) -> frozenset[Worker] | None:
        """The workers that accept connections, None when that cannot be told."""
        found = workers(self.pid) if self.pid else None
        return None if found is None else frozenset(worker for worker, listens in found.items() if listens)

    def leaving(self) -> int:
        """Workers of former configurations that finish what they have; 0 also when that cannot be told."""
        found = workers(self.pid) if self.pid else None
        return sum(not listens for listens in (found or {}).values())

    def connected(self, addresses: Sequence[str]) -> int | None:
        """Connections to these addresses, None when that cannot be told."""
        return connections(self.pid, addresses) if self.pid else None


def running(one: dict[str, Any]) -> bool:
    """Whether an inspected container runs, and does not only start again and again."""
    return bool(one["State"]["Running"]) and not one["State"].get("Restarting")
