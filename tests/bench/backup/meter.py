"""What a command costs: wall time, processor time of all who work for it, memory of its whole tree, temporary bytes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAUSE = 0.1
#: Below it is bookkeeping: a state that is written under another name first.
LEAST = 1 << 16


@dataclass(frozen=True)
class Cost:
    """:param temp: most bytes at a time in files that were not there before, or are gone afterwards"""

    wall: float
    cpu: float
    rss_mb: float
    temp: int


def cpu_of(pid: int, children: bool) -> float:
    """Seconds of processor time of a process that goes on. :param children: of those of its children that have ended"""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    at = 13 if children else 11
    return (int(words[at]) + int(words[at + 1])) / TICK


def tree(root: int) -> list[int]:
    """A process and all that it has started."""
    found, at = [root], 0
    while at < len(found):
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{found[at]}/task"):
                children = Path(f"/proc/{found[at]}/task/{task}/children").read_text().split()
                found += [int(one) for one in children]
        at += 1
    return found


def used(directory: Path) -> int:
    """Bytes of the files below a directory."""
    total = 0
    for top, _directories, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(top, name)).st_size
    return total


def _unlinked(pid: int) -> int:
    """Bytes of files that a process holds open without a name."""
    total = 0
    with contextlib.suppress(OSError):
        for handle in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{handle}"
            with contextlib.suppress(OSError):
                if os.readlink(path).endswith(" (deleted)"):
                    total += os.stat(path).st_size
    return total


def _resident(pid: int) -> int:
    """Its share of the memory: a page that two processes have counts half for each."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return 0


def measure(argv: Sequence[str], env: Mapping[str, str], watched: Path, servers: Callable[[], float]) -> Cost:
    """Run a command to its end. :param watched: where it may lay files; :param servers: processor seconds of servers

    :raises RuntimeError: it did not end with 0
    """
    peak = {"rss": 0, "disk": 0}
    done = threading.Event()
    before_disk, before_cpu = used(watched), servers()
    began = time.monotonic()
    process = subprocess.Popen(
        argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )

    def watch() -> None:
        while not done.wait(PAUSE):
            pids = tree(process.pid)
            peak["rss"] = max(peak["rss"], sum(map(_resident, pids)))
            peak["disk"] = max(peak["disk"], used(watched) + sum(map(_unlinked, pids)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    assert process.stdout
    said = process.stdout.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    done.set()
    thread.join()
    if status:
        raise RuntimeError(f"{' '.join(argv)[:200]}: {said.decode(errors='replace')[-1500:]}")
    temp = peak["disk"] - max(before_disk, used(watched))
    # A server's process that served it ends a moment later.
    time.sleep(0.3)
    cpu = usage.ru_utime + usage.ru_stime + servers() - before_cpu
    return Cost(wall, cpu, peak["rss"] / 1e6, temp if temp > LEAST else 0)
