# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A MongoDB of a drill's own: a container without any network, its data in a directory, found by its label."""

from __future__ import annotations

import os
import time

from ..backup import commands
from ..backup.ports import BackupError
from . import restore_mongo
from .docker import DockerCli, DockerError
from .docker_command import told
from .process import runner
from .scratch_postgres import INSIDE, LABEL, STARTS_IN


class ScratchMongo:
    """One server, of no replica set and with no users. :param directory: an empty one, for its data

    :raises BackupError: it does not start
    """

    def __init__(self, docker: DockerCli, stack: str, name: str, image: str, directory: str) -> None:
        self._docker, self.image = docker, image
        os.makedirs(directory, mode=0o700, exist_ok=True)
        # The server's user is another in each image; who may come here at all, the parent says.
        os.chmod(directory, 0o1777)
        try:
            self.container = docker._docker(
                "run", "--detach", "--name", f"landfall-drill-{stack}-{name}", "--label", f"{LABEL}={stack}",
                "--network", "none", "--cpu-shares", "256", "--volume", f"{directory}:{INSIDE}",
                "--entrypoint", "mongod", image, "--dbpath", INSIDE, "--bind_ip", "127.0.0.1", slow=True,
            ).strip()  # fmt: skip
        except DockerError as problem:
            raise BackupError(f"the scratch server cannot be started from {image}: {told(str(problem))}") from problem
        self._wait()

    def _wait(self) -> None:
        """Until a dump of a database that is not there goes well: not every image has a shell for questions."""
        ask = commands.mongo(self.container, "", ["landfall"])
        until = time.monotonic() + STARTS_IN
        while True:
            rc, _out, err = runner(STARTS_IN)(ask.argv, "/", ask.env)
            if not rc:
                return
            found = self._docker.inspect([self.container])
            if not (found and found[0]["State"]["Running"]) or time.monotonic() > until:
                said = " ".join(self._docker.logs(self.container, 5)) or told(err)
                raise BackupError(f"the scratch server of {self.image} does not start: {said}")
            time.sleep(0.3)

    def load(self, archive: str, oplog: bool) -> int:
        """Load a dump: how many documents were written. :raises BackupError: not all of it, or none"""
        written = restore_mongo.load(commands.mongo_load(self.container, "", oplog), archive)
        if written < 1:
            raise BackupError("mongorestore wrote no document")
        return written
