"""How busy the machine was during a case, and with what: numbers taken beside somebody else's work say so."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import NamedTuple

from lab.lab import Lab
from lab.shell import docker


class Sample(NamedTuple):
    busy: float  # CPU seconds of all cores, idle and waiting for disks left out
    total: float  # all there were
    own: float  # of them: the bench itself, its children, and the lab's host


def share(begin: Sample, end: Sample) -> tuple[float, float]:
    """(own, others') share of the machine's CPU between two samples, 0 to 1."""
    total = max(0.001, end.total - begin.total)
    own = (end.own - begin.own) / total
    return round(own, 2), round(max(0.0, (end.busy - begin.busy) / total - own), 2)


class Machine:
    def __init__(self, lab: Lab) -> None:
        self.tick = os.sysconf("SC_CLK_TCK")
        self.container = docker("inspect", "-f", "{{.Id}}", lab.container("host")).strip()

    def sample(self) -> Sample:
        values = [int(value) / self.tick for value in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        idle = values[3] + values[4]
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(one.ru_utime + one.ru_stime for one in usage) + self._host()
        return Sample(sum(values) - idle, sum(values), own)

    def _host(self) -> float:
        """CPU seconds of the lab's host: cgroup v1, or v2; 0 where neither can be read."""
        first = Path(f"/sys/fs/cgroup/cpuacct/docker/{self.container}/cpuacct.usage")
        if first.exists():
            return int(first.read_text()) / 1e9
        second = Path(f"/sys/fs/cgroup/system.slice/docker-{self.container}.scope/cpu.stat")
        if second.exists():
            return int(second.read_text().split()[1]) / 1e6
        return 0.0
