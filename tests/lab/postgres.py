"""A private cluster of PostgreSQL, from the machine's own binaries: for tests and benches that need a real server.

As root it runs as the user `postgres` (or `nobody`): PostgreSQL refuses root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg


def binaries() -> Path:
    """Where initdb and postgres are; $LANDFALL_POSTGRES_BIN, or the newest of the machine."""
    chosen = os.environ.get("LANDFALL_POSTGRES_BIN")
    found = (
        [Path(chosen)]
        if chosen
        else sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    )
    found = [path for path in found if (path / "initdb").exists()]
    if not found:
        raise RuntimeError(
            "PostgreSQL's server is not installed: apt-get install postgresql (or run scripts/setup test)"
        )
    return found[-1]


class Cluster:
    """One server with a directory, socket and port of its own; nothing of it is left after remove()."""

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        self.bin = binaries()
        self.root = Path(tempfile.mkdtemp(prefix="landfall-pg-"))
        self.data = self.root / "data"
        self.user = None
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            self.user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(self.root, self.user)
        os.chmod(self.root, 0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run("initdb", "-D", self.data, "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust", "-U", "postgres", "-N")
        lines = {
            "port": str(self.port),
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": f"'{self.root}'",
            **(settings or {}),
        }
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("".join(f"{name} = {value}\n" for name, value in lines.items()))
        self.start()

    def _run(self, program: str, *args: object) -> str:
        done = subprocess.run(
            [self.bin / program, *map(str, args)],
            user=self.user,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout[-800:]}")
        return done.stdout

    def start(self) -> None:
        """Start it; after a kill its shared memory may be in use for a moment."""
        for attempt in range(20):
            try:
                return self._start()
            except RuntimeError:
                if attempt == 19:
                    raise RuntimeError((self.root / "log").read_text()[-600:]) from None
                time.sleep(0.3)

    def _start(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-l", self.root / "log", "-w", "-t", "60", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")

    def kill(self) -> None:
        """SIGKILL to the whole server, as a power cut would."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGSTOP)  # so that it makes no more children
        children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        for one in (pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        until = time.monotonic() + 10
        while any(
            Path(f"/proc/{one}/cmdline").exists() and Path(f"/proc/{one}/cmdline").read_bytes()
            for one in (pid, *children)
        ):
            if time.monotonic() > until:
                raise RuntimeError("the server does not die")
            time.sleep(0.02)

    def dsn(self, database: str = "postgres") -> str:
        return f"host={self.root} port={self.port} user=postgres dbname={database}"

    def database(self, name: str, options: str = "") -> str:
        """A new, empty database; its DSN."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" {options}')
        return self.dsn(name)

    def remove(self) -> None:
        try:
            if (self.data / "postmaster.pid").exists():
                self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")
        finally:
            shutil.rmtree(self.root, ignore_errors=True)
