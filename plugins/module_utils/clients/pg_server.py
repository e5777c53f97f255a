# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server as a source names it: how it is reached, with programs of its own major version."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..backup import postgres
from ..backup.ports import BackupError
from ..backup.postgres import Access
from ..backup.sources import Source
from .pg_session import Session
from .process import runner
from .stack_containers import StackContainers, read_secret

DEBIAN_BIN = "/usr/lib/postgresql/{major}/bin"


class Server:
    """A server and the way to it.

    :param app: application_name of all sessions
    :param image: name of the image that it, or its client, runs in; "" for none
    """

    def __init__(self, access: Access, app: str, first: str = "postgres", image: str = "") -> None:
        self.access, self.app, self.first, self.image = access, app, first, image
        with self.session() as session:
            self.facts: Mapping[str, Any] = session.value(postgres.SERVER)
            self.databases: list[str] = session.value(postgres.DATABASES)

    @property
    def major(self) -> int:
        """The server's major version."""
        return postgres.major(int(self.facts["version"]))

    def session(self, database: str = "") -> Session:
        """A session. :raises BackupError: at the first question, when it cannot be had"""
        return Session(self.access, database or self.first, self.app)

    def client_major(self) -> int:
        """The major version of pg_dump on the way to it. :raises BackupError: it is not there"""
        command = self.access.command("pg_dump", "--version")
        rc, out, err = runner(60.0)(command.argv, "/", command.env)
        if rc:
            raise BackupError(f"pg_dump cannot be run: {err.strip()}; install postgresql-client-{self.major}")
        return postgres.client_major(out)

    def end_sessions(self) -> None:
        """End all that this run has open there."""
        with self.session() as session:
            session.end_others()


def reach(source: Source, containers: StackContainers, app: str) -> Server:
    """The server of a source. :raises BackupError: it does not answer, or no programs of its version are there"""
    said = source.options
    env = postgres.env_of_url(read_secret(str(said["url_file"]))) if said.get("url_file") else {}
    for option, name in (("host", "PGHOST"), ("port", "PGPORT"), ("user", "PGUSER")):
        if said.get(option):
            env[name] = str(said[option])
    if said.get("password_file"):
        env["PGPASSWORD"] = read_secret(str(said["password_file"]))
    first = env.pop("PGDATABASE", "postgres")
    if source.service and "PGHOST" not in env:
        container = containers.one(source.service)
        user = str(said.get("user") or containers.env(container).get("POSTGRES_USER") or "postgres")
        access = postgres.in_container(container, user)
        if "PGPASSWORD" in env:
            access = Access(access.prefix, env={**access.env, "PGPASSWORD": env["PGPASSWORD"]})
        return _checked(Server(access, app, first, containers.image(container)))
    if said.get("image"):
        return _checked(Server(postgres.in_image(str(said["image"]), env), app, first, str(said["image"])))
    run_as = str(said.get("run_as", ""))
    server = Server(postgres.on_host(env, run_as, str(said.get("bin_dir", ""))), app, first)
    own = DEBIAN_BIN.format(major=server.major)
    if not said.get("bin_dir") and os.path.exists(f"{own}/pg_dump"):
        server.access = postgres.on_host(env, run_as, own)
    return _checked(server)


def _checked(server: Server) -> Server:
    client = server.client_major()
    if client != server.major:
        raise BackupError(
            f"the server is PostgreSQL {server.major}, the client {client}: a dump by another version cannot be relied "
            f"on. Install postgresql-client-{server.major}, or give the source image: postgres:{server.major}"
        )
    return server
