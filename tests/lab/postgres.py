"""Private servers of PostgreSQL, for tests and benches that need a real one: of the machine's own binaries, or a newer
version in a container.

As root the machine's own runs as the user `postgres` (or `nobody`): PostgreSQL refuses root.
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

from . import images
from .shell import docker, wait_for


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


class Server:
    """What all servers of this module have in common. :ivar port: on 127.0.0.1"""

    port: int

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL to the whole server, as a power cut would."""
        raise NotImplementedError

    def remove(self) -> None:
        """Nothing of it is left."""
        raise NotImplementedError

    def dsn(self, database: str = "postgres") -> str:
        raise NotImplementedError

    def database(self, name: str, options: str = "") -> str:
        """A new, empty database; its DSN."""
        self.drop(name)
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" {options}')
        return self.dsn(name)

    def drop(self, name: str) -> None:
        """Drop a database, if it is there."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Container(Server):
    """A server of PostgreSQL 17, Debian 13's, in a container; its data last as long as it is there."""

    IMAGE = "landfall-lab/postgres:17"

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        images.ensure(self.IMAGE)
        self.port = free_port()
        told = [word for name, value in (settings or {}).items() for word in ("-c", f"{name}={value}")]
        self.id = docker(
            "run", "-d", "--label", f"landfall.checkout={images.PROJECT}", "--shm-size", "256m",
            "-p", f"127.0.0.1:{self.port}:5432", self.IMAGE, "postgres", *told,
        ).strip()  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        def answers() -> bool:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.dsn(), connect_timeout=2).close()
                return True
            return False

        wait_for("PostgreSQL 17", answers, 60, 0.1)

    def start(self) -> None:
        docker("start", self.id)
        self._wait()

    def kill(self) -> None:
        # Its processes are those of the container, and end with the first.
        docker("kill", "-s", "KILL", self.id)

    def dsn(self, database: str = "postgres") -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"

    def remove(self) -> None:
        docker("rm", "-f", "-v", self.id, check=False)


class Cluster(Server):
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
        self.port = free_port()
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

    def remove(self) -> None:
        try:
            if (self.data / "postmaster.pid").exists():
                self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")
        finally:
            shutil.rmtree(self.root, ignore_errors=True)
