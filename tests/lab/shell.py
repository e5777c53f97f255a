"""Run programs by argument list, with messages that say which program failed and with what words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence


class LabError(Exception):
    """Something the user has to know or do; printed without a traceback."""


def sudo() -> list[str]:
    """The prefix that makes a command run as root: nothing for root itself."""
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


_docker: list[str] | None = None


def docker_argv() -> list[str]:
    """`docker`, or `sudo docker` for a user who is not in the docker group."""
    global _docker
    if _docker is None:
        if not shutil.which("docker"):
            raise LabError("docker is not installed; run `make setup` first")
        plain = subprocess.run(["docker", "info"], capture_output=True, check=False)
        _docker = ["docker"] if plain.returncode == 0 else [*sudo(), "docker"]
        if plain.returncode and subprocess.run([*_docker, "info"], capture_output=True, check=False).returncode:
            raise LabError(
                "no Docker daemon answers: "
                + plain.stderr.decode(errors="replace").strip()
                + "\n  start it (systemctl start docker) or run `make setup`"
            )
    return _docker


def run(argv: Sequence[str], *, check: bool = True, stdin: bytes | str | None = None, timeout: float = 900) -> str:
    """Run `argv`, give back its stdout. Raises LabError with both streams' ends when it fails."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        list(argv),
        input=data,
        stdin=None if data is not None else subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode:
        tail = (done.stdout[-1500:] + b"\n" + done.stderr[-3000:]).decode(errors="replace").strip()
        raise LabError(f"{' '.join(argv)[:300]}\n  ended with {done.returncode}:\n{tail}")
    return done.stdout.decode(errors="replace")


def docker(*args: str, check: bool = True, stdin: bytes | str | None = None, timeout: float = 900) -> str:
    return run([*docker_argv(), *args], check=check, stdin=stdin, timeout=timeout)


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def wait_for(what: str, probe, seconds: float = 60, every: float = 0.25) -> None:
    """Call `probe` until it gives something true. Raises LabError naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        if probe():
            return
        if time.monotonic() > end:
            raise LabError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(every)
