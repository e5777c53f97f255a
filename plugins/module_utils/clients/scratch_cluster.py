# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of a drill's own on the host: a directory beside the original's, a server that listens to one socket."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

from ..backup import drill_cluster
from ..backup.ports import BackupError
from ..backup.postgres import Access
from .files import write_atomic
from .pg_cluster import OWNER, owner
from .pg_server import DEBIAN_BIN, Server
from .process import base_env, die_with_parent

#: How the files begin that say where a drill's directories are.
POINTER = "drill-cluster-"
#: Seconds until a server must have a socket, and until one that is told to end has ended.
STARTS_IN, ENDS_IN = 60.0, 120.0
#: What may be at work in such a directory.
_OURS = ("postgres", "pgbackrest")


class ScratchCluster:
    """Its directories and its server. :param top: of all that belongs to it; nothing else lies there

    :ivar data: the data directory; ``spaces``: where tablespaces go; ``lock``: of pgBackRest, so that nobody's real
        restore waits for a drill
    """

    def __init__(self, version: int, top: str) -> None:
        self.version, self.top, self.sockets = version, top, drill_cluster.sockets(top)
        self.data, self.spaces, self.lock = (os.path.join(top, name) for name in ("data", "tablespaces", "lock"))
        self._log = os.path.join(top, "log")
        self._process: subprocess.Popen[bytes] | None = None

    def make(self, pointer: str) -> None:
        """Empty directories. :param pointer: a file that tells whoever comes next where they are, written before"""
        os.makedirs(os.path.dirname(pointer), mode=0o700, exist_ok=True)
        write_atomic(pointer, json.dumps({"top": self.top}) + "\n", 0o600)
        for path in (self.top, self.data, self.spaces, self.lock, self.sockets):
            os.mkdir(path, 0o700)
            os.chown(path, *owner())

    def program(self, name: str) -> str:
        """A program of its version."""
        return os.path.join(DEBIAN_BIN.format(major=self.version), name)

    def configure(self, text: str) -> None:
        """Its settings; those that the original had set by itself are gone, and who is here may come in."""
        for name, words in (
            ("postgresql.conf", text),
            ("postgresql.auto.conf", ""),
            ("pg_hba.conf", "local all all trust\n"),
            ("pg_ident.conf", ""),
        ):
            write_atomic(os.path.join(self.data, name), words, 0o600, *owner())

    def start(self, network: bool) -> Server:
        """Start it, and wait until it takes somebody in, for as long as it says that it works on that.

        :param network: False: it has none but its own loopback
        :raises BackupError: it does not start
        """
        argv = [*([] if network else ["unshare", "--net", "--"]), "setpriv", f"--reuid={OWNER}", f"--regid={OWNER}",
                "--init-groups", "--pdeathsig=QUIT", "--", self.program("postgres"), "-D", self.data]  # fmt: skip
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                argv, cwd=self.top, env=base_env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        access = Access((), os.path.dirname(self.program("psql")), {"PGHOST": self.sockets, "PGUSER": OWNER})
        until = time.monotonic() + STARTS_IN
        while True:
            try:
                return Server(access, "landfall-drill")
            except BackupError as problem:
                if self._process.poll() is not None:
                    raise BackupError(f"the scratch server ended: {self.said()}") from problem
                # It may follow its log for hours, and says so.
                if "the database system is" not in str(problem) and time.monotonic() > until:
                    raise BackupError(f"the scratch server does not answer: {self.said()}") from problem
                time.sleep(0.2)

    def stop(self) -> None:
        """End it in order. :raises BackupError: it does not end"""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(ENDS_IN)
        except subprocess.TimeoutExpired as problem:
            raise BackupError(f"the scratch server does not end: {self.said()}") from problem
        self._process = None

    def said(self) -> str:
        """The last words of its log."""
        with contextlib.suppress(OSError), open(self._log, encoding="utf-8", errors="replace") as file:
            return " ".join(line.strip() for line in file.readlines()[-6:])[-900:]
        return ""


def sweep(directory: str) -> list[str]:
    """End and remove what drills of clusters left: the paths. :param directory: where their pointers lie

    :raises BackupError: something does not go
    """
    gone = []
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        if not name.startswith(POINTER):
            continue
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            where = str(json.load(file)["top"])
        if not os.path.basename(where).startswith(drill_cluster.PREFIX):
            raise BackupError(f"{os.path.join(directory, name)} names {where}, which is no directory of a drill")
        _end(where)
        for path in (where, drill_cluster.sockets(where)):
            if os.path.isdir(path):
                shutil.rmtree(path)
                gone.append(path)
        os.unlink(os.path.join(directory, name))
    return gone


def _end(where: str) -> None:
    until = time.monotonic() + 20.0
    while True:
        left = list(_at_work(where))
        if not left:
            return
        if time.monotonic() > until:
            raise BackupError(f"processes {', '.join(map(str, left))} in {where} do not end")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT if time.monotonic() < until - 10 else signal.SIGKILL)
        time.sleep(0.3)


def _at_work(where: str) -> Iterator[int]:
    """Processes of servers and of pgBackRest whose directory or arguments lie there."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        # What has just ended, or is not ours to look at, is not at work.
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/comm", encoding="utf-8") as file:
                if file.read().strip() not in _OURS:
                    continue
            with open(f"/proc/{name}/cmdline", "rb") as words:
                named = f"{where}/".encode() in words.read()
            if named or f"{os.readlink(f'/proc/{name}/cwd')}/".startswith(f"{where}/"):
                yield int(name)
