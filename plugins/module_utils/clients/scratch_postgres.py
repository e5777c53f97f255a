# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL of a drill's own: a container without any network, its data in a directory, found by its label."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any

from ..backup import postgres
from ..backup.ports import BackupError
from ..backup.postgres import Access
from .docker import DockerCli, DockerError
from .docker_command import told
from .pg_server import Server
from .process import runner

LABEL = "landfall.drill"
#: Seconds an empty server may take to start.
STARTS_IN = 120.0
INSIDE = "/scratch"
#: Of the image only its programs are used, so that what its entrypoint would do cannot matter. What is lost by a power
#: cut may be lost: it is a copy.
_START = (
    f"initdb --pgdata={INSIDE}/data --username=postgres --auth=trust --encoding=UTF8 --no-locale --no-sync >/dev/null "
    f"&& exec postgres -D {INSIDE}/data -c listen_addresses= -c unix_socket_directories=/tmp -c fsync=off "
    "-c full_page_writes=off -c synchronous_commit=off -c autovacuum=off -c archive_mode=off -c max_wal_size=4GB"
)


class ScratchServer:
    """One server. :param directory: an empty one, for its data and for the archives that are restored

    :raises BackupError: it does not start
    """

    def __init__(self, docker: DockerCli, stack: str, name: str, image: str, directory: str) -> None:
        self._docker, self.image, self.directory = docker, image, directory
        os.makedirs(directory, mode=0o700, exist_ok=True)
        # The server's user is another in each image; who may come here at all, the parent says.
        os.chmod(directory, 0o1777)
        try:
            self.container = docker._docker(
                "run", "--detach", "--name", f"landfall-drill-{stack}-{name}", "--label", f"{LABEL}={stack}",
                "--network", "none", "--user", "postgres", "--shm-size", "256m", "--cpu-shares", "256",
                "--volume", f"{directory}:{INSIDE}", "--entrypoint", "sh", image, "-c", _START, slow=True,
            ).strip()  # fmt: skip
        except DockerError as problem:
            raise BackupError(f"the scratch server cannot be started from {image}: {told(str(problem))}") from problem
        self.server = self._wait()

    def _wait(self) -> Server:
        until = time.monotonic() + STARTS_IN
        access = Access(("docker", "exec", "-i", "ENV", self.container), env={"PGUSER": "postgres", "PGHOST": "/tmp"})
        while True:
            try:
                return Server(access, "landfall-drill", image=self.image)
            except BackupError as problem:
                found = self._docker.inspect([self.container])
                running = bool(found and found[0]["State"]["Running"])
                if not running or time.monotonic() > until:
                    said = " ".join(self._docker.logs(self.container, 5)) or str(problem)
                    raise BackupError(f"the scratch server of {self.image} does not start: {said}") from problem
                time.sleep(0.3)

    def path(self, name: str) -> str:
        """Where a file lies on the host that the server sees as :func:`inside` of the same name."""
        return os.path.join(self.directory, name)

    def load(self, archive: str, database: str, jobs: int) -> tuple[int, str]:
        """pg_restore of an archive in the directory: (exit code, all it said)."""
        command = self.server.access.command(
            "pg_restore", "--no-password", f"--dbname={database}", f"--jobs={jobs}", f"{INSIDE}/{archive}"
        )
        os.chmod(self.path(archive), 0o644)
        # Without a bound: a database may be large.
        rc, _out, err = runner(None)(command.argv, "/", command.env)
        return rc, err

    def check_indexes(self, database: str) -> str:
        """amcheck over all B-tree indexes and tables of a database: what was checked.

        :raises BackupError: one is damaged
        """
        return check_indexes(self.server, database)

    def ask(self, database: str, query: str) -> list[str]:
        """The lines a query gives."""
        with self.server.session(database) as session:
            return session.ask(query.strip().rstrip(";") + ";")


def check_indexes(server: Server, database: str) -> str:
    """amcheck over all B-tree indexes and tables of a database of a scratch server: what was checked.

    :raises BackupError: one is damaged
    """
    with server.session(database) as session:
        known = session.ask("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck';")
        if known != ["1"]:
            return "amcheck is not in this image" if server.image else "amcheck is not installed"
        session.ask(postgres.AMCHECK)
        (count,) = session.ask(postgres.AMCHECK_INDEXES)
        if server.major >= 14:
            wrong = session.ask(postgres.AMCHECK_TABLES)
            if wrong:
                raise BackupError(f"database {database} is damaged: {'; '.join(wrong[:3])}")
    return f"{count} indexes"


def sweep(docker: DockerCli, stack: str) -> list[str]:
    """Remove the scratch servers of a stack's drills: their names. :raises DockerError: they cannot be removed"""
    them = docker.labelled(f"{LABEL}={stack}")
    if them:
        docker._docker("rm", "--force", "--volumes", *(str(one["Id"]) for one in them))
    return [str(one["Name"]).lstrip("/") for one in them]


def image_of(docker: DockerCli, container: Mapping[str, Any]) -> str:
    """The image a container was made from: by its id, which stays when a tag moves on."""
    with contextlib.suppress(DockerError):
        if docker.image(str(container["Image"])):
            return str(container["Image"])
    return ""
