# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's processes as the host's kernel sees them: which workers still accept connections, and the way to a reload.

A worker that has to go closes its listening sockets first. So "no worker from before holds a listening socket" says for
certain what answers on a socket can only make likely. Needs root on the host that runs the container; where /proc does
not tell (a remote Docker), everything here says so and callers fall back.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterable

from .process import base_env

#: A process that cannot be taken for another: its pid and the tick it started at.
Worker = tuple[int, int]


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def is_master(pid: int, proc: str = "/proc") -> bool:
    """Whether the process is an nginx master (and not one that got its pid later)."""
    try:
        return pid > 1 and _read(f"{proc}/{pid}/cmdline").startswith("nginx: master process")
    except OSError:
        return False


def workers(pid: int, proc: str = "/proc") -> dict[Worker, bool] | None:
    """The workers of a master: whether each still listens. None when /proc does not tell."""
    try:
        listening = _listening(pid, proc)
        children = _read(f"{proc}/{pid}/task/{pid}/children").split()
    except OSError:
        return None
    found: dict[Worker, bool] = {}
    for child in children:
        try:
            if not _read(f"{proc}/{child}/cmdline").startswith("nginx: worker process"):
                continue
            # The name, in brackets, may hold anything; the start time is the 20th field after it.
            started = int(_read(f"{proc}/{child}/stat").rpartition(")")[2].split()[19])
            found[int(child), started] = bool(listening & _sockets(child, proc))
        except PermissionError:
            return None
        except (OSError, ValueError, IndexError):
            continue
    return found


def _sockets(pid: str, proc: str) -> set[str]:
    found = set()
    for name in os.listdir(f"{proc}/{pid}/fd"):
        try:
            link = os.readlink(f"{proc}/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        if link.startswith("socket:["):
            found.add(link[8:-1])
    return found


def _listening(pid: int, proc: str) -> set[str]:
    """Inodes of the sockets that listen in the process's network namespace."""
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            rows = _read(f"{proc}/{pid}/net/{name}").splitlines()[1:]
        except FileNotFoundError:
            continue
        found |= {row.split()[9] for row in rows if row.split()[3] == "0A"}
    for row in _read(f"{proc}/{pid}/net/unix").splitlines()[1:]:
        fields = row.split()
        if int(fields[3], 16) & 0x10000:  # the socket accepts connections
            found.add(fields[6])
    return found


def connections(pid: int, addresses: Iterable[str], proc: str = "/proc") -> int | None:
    """TCP connections of the process's network namespace to IPv4 addresses; None: unknown.

    Counted are those that may still carry a request or an answer: SYN_SENT, ESTABLISHED, and FIN_WAIT or CLOSE_WAIT
    with data still on its way.
    """
    wanted = {f"{int.from_bytes(bytes(map(int, one.split('.'))), 'little'):08X}" for one in addresses if "." in one}
    try:
        text = _read(f"{proc}/{pid}/net/tcp")
    except OSError:
        return None
    count = 0
    for row in text.splitlines()[1:]:
        fields = row.split()
        if fields[2].partition(":")[0] in wanted and (
            fields[3] in ("01", "02") or (fields[3] in ("04", "05", "08") and fields[4] != "00000000:00000000")
        ):
            count += 1
    return count


def hang_up(pid: int, proc: str = "/proc") -> bool:
    """Have a master read its configuration again; False when the process is none."""
    if not is_master(pid, proc):
        return False
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError:
        return False
    return True


def accepts(pid: int, user: str, path: str) -> bool:
    """Whether ``nginx -t`` accepts a main file where a master runs; False also when it cannot be asked this way.

    The kernel's way into the container takes 0.02 s, `docker exec` 0.1 s on an idle machine and 0.5 s on a busy one.
    :param user: ``uid:gid`` nginx runs as, :param path: of the main file, in the container
    """
    uid, _, gid = user.partition(":")
    argv = [
        f"--target={pid}",
        "--mount",
        "--net",
        "--pid",
        "--ipc",
        "--uts",
        f"--setuid={uid}",
        f"--setgid={gid or uid}",
    ]
    with tempfile.TemporaryFile() as said:
        # nginx opens /dev/stderr by name, as its own user.
        os.fchmod(said.fileno(), 0o666)
        try:
            done = subprocess.run(
                ["nsenter", *argv, "--", "nginx", "-t", "-q", "-c", path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=base_env(),
                timeout=30,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def errors(text: str) -> str:
    """The latest errors of nginx's log, one line."""
    bad = [line for line in text.splitlines() if re.search(r"\[(emerg|alert|crit)\]", line)]
    return " | ".join(bad[-3:])
