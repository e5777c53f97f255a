# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx of the edge: its container through the Docker command line, its answers on a unix socket, its files on disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence

from ..compose.routes import RoutesError, StackRoutes, from_json
from ..edge.certificates import Wanted
from ..edge.engine import Edge
from ..edge.errors import EdgeError
from ..edge.plan import Container
from ..edge.project import NETWORK_LABEL, SPEC_LABEL, STOP_S, EdgeConfig
from ..edge.switch import Clock
from .certbot import CertificateError, Certificates
from .docker import DockerCli
from .docker_command import told
from .files import sync_dir, write_atomic
from .nginx_container import Box, NginxContainer, running
from .process import runner

KEEP = 5


class NginxClient(NginxContainer):
    """The edge's nginx."""

    def __init__(self, config: EdgeConfig, docker: DockerCli) -> None:
        super().__init__(Box("the edge", config.container, config.image, config.user, config.root), docker)
        self.config = config

    def answers(self) -> bool:
        """Whether there is a Docker Engine to talk to."""
        return self._docker("version", "--format", "{{.Server.Version}}")[0] == 0

    def container(self) -> Container | None:
        """The container as it is, None when there is none."""
        one = self.inspect()
        if one is None:
            return None
        return Container(
            image=one["Config"]["Image"],
            running=running(one),
            spec=(one["Config"].get("Labels") or {}).get(SPEC_LABEL, ""),
            ports=tuple(sorted(one["HostConfig"].get("PortBindings") or {})),
            networks=frozenset(one["NetworkSettings"]["Networks"]),
        )

    def networks(self) -> frozenset[str]:
        """The networks between the edge and stacks that exist on the host."""
        out = self._must("docker cannot list its networks", "network", "ls", "--filter", f"label={NETWORK_LABEL}",
                         "--format", "{{.Name}}")  # fmt: skip
        return frozenset(out.split())

    def unreachable(self) -> str:
        """Why nginx does not answer at its published HTTP port, "" when it does."""
        link = http.client.HTTPConnection(self.config.address or "127.0.0.1", self.config.http_port, timeout=5)
        try:
            link.request("GET", "/health", headers={"Connection": "close"})
            status = link.getresponse().status
        except (OSError, http.client.HTTPException) as problem:
            return str(problem) or type(problem).__name__
        finally:
            link.close()
        return "" if status == 200 else f"status {status}"

    def version(self) -> str:
        """What ``nginx -V`` of the wanted image prints; "" when the image is not on the host (check mode)."""
        image = self.config.image
        one = self.inspect()
        if one is not None and one["Config"]["Image"] == image and running(one):
            rc, out, err = self._docker("exec", self.config.container, "nginx", "-V")
            if rc == 0:
                return out + err
        if not self.image_id():
            return ""
        rc, out, err = self._docker("run", "--rm", "--network", "none", "--entrypoint", "nginx", image, "-V")
        return out + err or f"nothing, it ended with {rc}"

    def up(self) -> None:
        """Create or recreate the container from compose.yaml."""
        root = self.config.root
        where = ("--project-directory", root, "--file", f"{root}/compose.yaml")
        rc, out, err = self._docker("compose", *where, "up", "--detach", "--quiet-pull", "--timeout", str(STOP_S),
                                    slow=True)  # fmt: skip
        if rc == 0:
            return
        said = err or out
        taken = re.search(r"(?:0\.0\.0\.0|\[::\]|[\d.]+):(\d+)[^\n]*(?:address already in use|already allocated)", said)
        if taken or "already allocated" in said or "address already in use" in said:
            port = taken[1] if taken else f"{self.config.http_port} or {self.config.https_port}"
            raise EdgeError(
                f"port {port} is taken by another program; find it with `ss -ltnp 'sport = :{port}'` and stop it, "
                f"or give the edge another port (edge_http_port, edge_https_port). Docker said: {told(said)}"
            )
        if "is already in use by container" in said:
            raise EdgeError(f"container {self.config.container} is there and is not the edge's: remove or rename it")
        raise EdgeError(f"the edge's container cannot be started: {told(said)}")

    def restart(self) -> None:
        """Start the container again, with the networks it has."""
        self._must("the edge's container cannot be started", "restart", self.config.container, slow=True)

    def connect(self, network: str) -> None:
        """Join a network, without a new container."""
        self._must(f"the edge cannot join network {network}", "network", "connect", network, self.config.container)

    def disconnect(self, network: str) -> None:
        """Leave a network."""
        self._must(f"the edge cannot leave network {network}", "network", "disconnect", network, self.config.container)


class Generations:
    """The edge's directory: routes files in, generations out. Reading never creates anything."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.home = os.path.join(root, "generations")
        self.link = os.path.join(root, "current")

    def unprepared(self, uid: int) -> list[str]:
        """Directories that are missing or not as they should be."""
        found = []
        for name, (owner, mode) in _directories(uid).items():
            try:
                state = os.stat(os.path.join(self.root, name))
            except OSError:
                found.append(name)
                continue
            if (state.st_uid, state.st_mode & 0o7777) != (owner, mode):
                found.append(name)
        return found

    def prepare(self, uid: int) -> None:
        """Make the directories."""
        for name, (owner, mode) in _directories(uid).items():
            path = os.path.join(self.root, name)
            os.makedirs(path, mode=0o755, exist_ok=True)
            os.chmod(path, mode)
            os.chown(path, owner, 0)

    def stacks(self) -> list[StackRoutes]:
        """The routes of all stacks, by name. :raises EdgeError: a file that cannot be read"""
        folder = os.path.join(self.root, "stacks")
        found = []
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if name.endswith(".json") and not name.startswith("."):
                path = os.path.join(folder, name)
                try:
                    with open(path, encoding="utf-8") as file:
                        found.append(from_json(file.read(), path))
                except (OSError, RoutesError) as problem:
                    raise EdgeError(str(problem)) from problem
        return found

    def has_certificate(self, name: str) -> bool:
        """Whether both files of a certificate are there."""
        return all(os.path.isfile(f"{self.root}/certs/{name}/{part}.pem") for part in ("fullchain", "privkey"))

    def make_placeholder(self, name: str, domains: Sequence[str], uid: int) -> None:
        """A self-signed certificate for a name. :raises EdgeError: openssl cannot make it"""
        try:
            Certificates(self.root, directory="", owner=uid).placeholder(Wanted(name, tuple(domains)))
        except CertificateError as problem:
            raise EdgeError(f"{problem}; is openssl installed on this host?") from problem

    def read(self, name: str) -> str | None:
        """A file of the edge's directory, None when it is not there."""
        try:
            with open(os.path.join(self.root, name), encoding="utf-8") as file:
                return file.read()
        except OSError:
            return None

    def write_file(self, name: str, text: str) -> None:
        """Write a file of the edge's directory, atomically."""
        write_atomic(os.path.join(self.root, name), text)

    def files(self, generation: str) -> dict[str, str]:
        """The files of a generation, {} when it is not there."""
        home = os.path.join(self.home, generation)
        found = {}
        for folder, _, names in os.walk(home):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8", errors="replace") as file:
                    found[os.path.relpath(path, home)] = file.read()
        return found

    def write(self, generation: str, files: Mapping[str, str]) -> None:
        """Put a generation on the disk: in a directory of its own, flushed, then renamed."""
        target = os.path.join(self.home, generation)
        if os.path.isdir(target):
            self._mend(target, files)
            return
        os.makedirs(self.home, mode=0o755, exist_ok=True)
        work = os.path.join(self.home, f".new-{generation}")
        shutil.rmtree(work, ignore_errors=True)
        for name, text in files.items():
            path = os.path.join(work, name)
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            write_atomic(path, text)
        for folder, _, _ in os.walk(work):
            os.chmod(folder, 0o755)
            sync_dir(folder)
        os.rename(work, target)
        sync_dir(self.home)

    def _mend(self, target: str, files: Mapping[str, str]) -> None:
        for name in set(self.files(os.path.basename(target))) - set(files):
            os.unlink(os.path.join(target, name))
        for name, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(target, name)), mode=0o755, exist_ok=True)
            write_atomic(os.path.join(target, name), text)

    def discard(self, generation: str) -> None:
        """Remove a generation."""
        shutil.rmtree(os.path.join(self.home, generation), ignore_errors=True)

    def current(self) -> str | None:
        """The generation ``current`` names, None when there is none on the disk."""
        try:
            name = os.path.basename(os.readlink(self.link))
        except OSError:
            return None
        return name if os.path.isdir(os.path.join(self.home, name)) else None

    def point(self, generation: str) -> None:
        """Let ``current`` name a generation, atomically."""
        work = f"{self.link}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(work)
        os.symlink(f"generations/{generation}", work)
        os.replace(work, self.link)
        os.utime(os.path.join(self.home, generation))
        sync_dir(self.root)

    def prune(self) -> None:
        """Keep the current generation and the latest before it, five in all."""
        names = os.listdir(self.home)
        current = self.current()
        whole = [name for name in names if not name.startswith(".")]
        whole.sort(key=lambda name: (name == current, os.stat(os.path.join(self.home, name)).st_mtime))
        kept = whole[-KEEP:]
        for name in set(names) - set(kept):
            self.discard(name)

    @contextlib.contextmanager
    def lock(self, timeout: float = 60.0) -> Iterator[None]:
        """Keep a second run (the renewal's timer) out. The lock dies with the process."""
        handle = os.open(os.path.join(self.root, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + timeout
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as problem:
                    if problem.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() > until:
                        raise EdgeError(
                            f"another run works on the edge, {timeout:.0f} s waited; try again"
                        ) from problem
                time.sleep(0.1)
            yield
        finally:
            os.close(handle)


def _directories(uid: int) -> dict[str, tuple[int, int]]:
    """``{directory: (owner, mode)}``; nginx passes through certs without reading it, and writes in run only."""
    return {
        "": (0, 0o755),
        "stacks": (0, 0o755),
        "generations": (0, 0o755),
        "certs": (0, 0o711),
        "www": (0, 0o755),
        "www/.well-known": (0, 0o755),
        "www/.well-known/acme-challenge": (0, 0o755),
        "maintenance": (0, 0o755),
        "run": (uid, 0o750),
    }


def connect(config: EdgeConfig) -> tuple[Edge, Generations]:
    """The edge of this host with the real Docker, disk and clock."""
    disk = Generations(config.root)
    client = NginxClient(config, DockerCli(runner(60), runner(900)))
    return Edge(config, client, disk, Clock(time.monotonic, time.sleep)), disk
