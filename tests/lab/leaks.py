"""Where secrets of a run came out: output, logs, process lists, reports, files that others may read.

The command lines of *all* processes of this machine are watched, those of the lab's hosts among them: they are
containers on its kernel. A process that lives for less than the time between two looks (25 ms) can be missed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from .shell import docker
from .site import Site

EVERY = 0.025
#: A process begins as a copy of its parent and has its own command line a moment later.
LOOKS = 4
#: What grep reads of a host: each file with a secret, and whether somebody who owns nothing may read it (its mode alone
#: does not tell: what is in containerd's directories has 0644, and nobody gets to it).
PLACES = "/opt /etc /var/log /var/lib/landfall /var/backups /usr/local /home /root /tmp /var/tmp /run /dev/shm"
FILES = (
    f"grep -rslF -D skip -f - {PLACES} | tr '\\n' '\\0' | "
    """xargs -0 -r -n1 sh -c 'runuser -u nobody -- test -r "$0" && echo "open $0" || echo "shut $0"'"""
)
#: The journal, what containers said, and what `docker inspect` tells of how they were started, but their environment:
#: a secret that the operator has put there (`env: true`) is told to whoever may use Docker.
SAID = """journalctl -o cat --no-pager
docker ps -aq 2>/dev/null | xargs -r -n1 docker logs 2>&1
docker ps -aq 2>/dev/null | xargs -r docker inspect -f '{{json .Config.Labels}} {{json .Path}} {{json .Args}}
{{json .Config.Healthcheck}}'
landfall status 2>&1
"""


class Processes:
    """Command lines that were seen between start() and stop()."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._looks: dict[str, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> Processes:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(EVERY):
            there = [name for name in os.listdir("/proc") if name.isdigit()]
            self._looks = {name: self._looks.get(name, 0) for name in there}
            for name in there:
                if self._looks[name] < LOOKS:
                    self._looks[name] += 1
                    try:
                        self.seen.add(Path("/proc", name, "cmdline").read_bytes())
                    except OSError:
                        continue

    def with_one_of(self, secrets: Iterable[str]) -> list[str]:
        """The first words of the command lines that hold a secret."""
        wanted = [one.encode() for one in secrets]
        return sorted(
            {b" ".join(line.split(b"\0")[:3]).decode(errors="replace") for line in list(self.seen)
             if any(one in line for one in wanted)}
        )  # fmt: skip


def secrets_of(site: Site) -> set[str]:
    """All that lies in the stacks' directories of secrets on a host, those of earlier releases among it."""
    stacks = "/opt/landfall/*/secrets"
    places = f"{stacks}/* {stacks}/.versions/* /etc/landfall/backup/*.keys"
    # Most of them end without a line break.
    found = site.sh(f"for one in {places}; do [ ! -f $one ] || {{ cat $one; echo; }}; done")
    lines = {line.strip() for line in found.splitlines()}
    # Of a URL its password alone would be one too many.
    lines |= {password for line in lines if "://" in line and (password := urlsplit(line).password)}
    return {line for line in lines if len(line) >= 16}


def leaks(site: Site, secrets: Iterable[str], processes: Processes, *reports: Path) -> list[str]:
    """Where one of the secrets came out, [] for nowhere.

    :param reports: files and directories of the controller, beside the output of all runs of the lab
    """
    wanted = sorted(secrets)
    assert wanted and all(len(one) >= 12 for one in wanted), "no secret to look for"
    out = [f"process: {line}" for line in processes.with_one_of(wanted)]
    for top in (site.lab.state / "runs", *reports):
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and any(one.encode() in path.read_bytes() for one in wanted):
                out.append(f"output: {path.name}")
    host = site.lab.container(site.host)
    # By standard input: on a command line they would be in a list of processes.
    patterns = "\n".join(wanted) + "\n"
    found = docker("exec", "-i", host, "sh", "-c", FILES, check=False, stdin=patterns).splitlines()
    assert found, "the secrets are not even where they belong: what is looked for?"
    out += [f"file: {line}" for line in found if not line.startswith("shut ")]
    said = docker("exec", host, "sh", "-c", SAID, check=False)
    out += [f"said: {line[:60]}…" for line in said.splitlines() if any(one in line for one in wanted)]
    return out
