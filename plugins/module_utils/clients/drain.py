# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rim of the drain: locks of all who work on this host, containers stopped and started in order, the record."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..compose.values import seconds
from ..edge.errors import EdgeError
from ..edge.project import EdgeConfig
from ..host import drain
from .backup_state import CONFIG_DIR, STATE_DIR
from .docker import DockerCli
from .files import MOVES, StackDir, stacks, write_atomic
from .nginx import NginxClient
from .nginx_process import workers
from .process import Runner

DIRECTORY = "/var/lib/landfall/drain"
#: What brings containers back at boot; without it nothing is drained.
UNIT = "landfall-drain.service"
REQUIRED = "/run/reboot-required"
#: Held by apt and by unattended-upgrades while they work.
PACKAGES = ("/var/lib/dpkg/lock-frontend", "/run/unattended-upgrades.lock")
#: What others read of who holds their lock.
WHO = "the drain of this host"


class NotDrained(Exception):
    """Why the host was not drained, or not brought back; ``str()`` is for the journal."""


@dataclass(frozen=True)
class Lock:
    """A lock on this host. :param posix: of the kind that apt takes"""

    path: str
    what: str
    posix: bool = False

    def take(self) -> tuple[int, str]:
        """A handle, or -1 and who holds it."""
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | (0 if self.posix else os.O_CREAT), 0o600)
        except FileNotFoundError:
            # Nobody works where there is no directory, and nobody installs packages where apt never did.
            return -1, ""
        try:
            (fcntl.lockf if self.posix else fcntl.flock)(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            said = "" if self.posix else _said(handle)
            os.close(handle)
            return -1, f"{self.what}{said}"
        if not self.posix:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            text = json.dumps({"who": WHO, "what": WHO, "pid": os.getpid(), "since": now}).encode() + b"\n"
            os.ftruncate(handle, 0)
            os.pwrite(handle, text, 0)
        return handle, ""


def _said(handle: int) -> str:
    """What a holder wrote of itself."""
    try:
        found = json.loads(os.pread(handle, 4096, 0) or b"{}")
        who, pid = found.get("who") or found.get("what"), found.get("pid")
    except (ValueError, AttributeError):
        return ""
    return f" by {who} (pid {pid})" if who else ""


def locks(root: str, edge: str, config_dir: str = CONFIG_DIR, moves: str = MOVES) -> list[Lock]:
    """The locks of all that must not be cut short: rollouts, backups, moves of data, the edge, packages."""
    found = stack_locks(root)
    for path in sorted(Path(config_dir).glob("*.json")):
        try:
            state = str(json.loads(path.read_text(encoding="utf-8")).get("state", STATE_DIR))
        except (OSError, ValueError, AttributeError):
            state = STATE_DIR
        for kind, what in (("", "a backup"), (".pitr", "a backup of a cluster"), (".drill", "a drill")):
            found.append(Lock(os.path.join(state, f"{path.stem}{kind}.lock"), f"{what} of {path.stem} goes on"))
    for path in sorted(Path(moves).glob("*/lock")):
        found.append(Lock(str(path), f"the data of {path.parent.name} are being moved"))
    found.append(Lock(os.path.join(edge, ".lock"), "the edge is being changed"))
    return found + [Lock(path, "packages are being installed", posix=True) for path in PACKAGES]


def stack_locks(root: str) -> list[Lock]:
    """Those of the stacks alone."""
    return [
        Lock(os.path.join(StackDir(root, name).path, "lock"), f"stack {name} is being worked on")
        for name in stacks(root)
    ]


@contextlib.contextmanager
def hold(wanted: Sequence[Lock], patience: float, poll: float = 2.0) -> Iterator[None]:
    """Hold all of them, or none while waiting. :raises NotDrained: one was not free within ``patience`` seconds"""
    until = time.monotonic() + patience
    while True:
        held, why = [], ""
        for lock in wanted:
            handle, why = lock.take()
            if handle >= 0:
                held.append((lock, handle))
            if why:
                break
        if not why:
            break
        _release(held)
        if time.monotonic() >= until:
            raise NotDrained(f"{why}; {patience:.0f} s waited")
        time.sleep(poll)
    try:
        yield
    finally:
        _release(held)


def _release(held: Sequence[tuple[Lock, int]]) -> None:
    for lock, handle in held:
        if not lock.posix:
            os.ftruncate(handle, 0)
        os.close(handle)


def boot() -> str:
    """The id of this boot: of the kernel's, and of the system's own, since one in a container has the kernel's."""
    try:
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The name, in brackets, may hold anything; the start time is the 20th field after it.
        return f"{kernel}/{Path('/proc/1/stat').read_text(encoding='utf-8').rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return ""


class Drain:
    """The drain of one host.

    :param run: for commands that answer at once; ``slow``: without a bound, since a container may take its time to end
    :param say: one line for a person, as things happen
    """

    def __init__(
        self,
        root: str,
        edge: str,
        run: Runner,
        slow: Runner,
        say: Callable[[str], None],
        directory: str = DIRECTORY,
    ) -> None:
        self.root, self.edge, self.directory = root, edge, directory
        self._run, self._say = run, say
        self._docker = DockerCli(run, slow)
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._record: dict[str, Any] = {}

    # --- what is there

    def plan(self, edge_most: float | None = None) -> drain.Plan:
        """What would be stopped. :param edge_most: seconds the edge gets at most, None for as long as routes drain"""
        running = [one for one in map(drain.container, self._docker.containers()) if one is not None]
        full = self._edge_drain()
        return drain.plan(running, full if edge_most is None else min(full, edge_most))

    def _edge_drain(self) -> float:
        """How long nginx waits for its connections before it cuts them, by its own configuration."""
        try:
            text = Path(self.edge, "current", "nginx.conf").read_text(encoding="utf-8")
        except OSError:
            return 0.0
        found = re.search(r"^worker_shutdown_timeout (\S+);", text, re.MULTILINE)
        return seconds(found[1]) if found else 0.0

    def due(self) -> str:
        """What asks for a reboot, "" when nothing does."""
        if os.path.exists(REQUIRED):
            try:
                return drain.packages(Path(f"{REQUIRED}.pkgs").read_text(encoding="utf-8"))
            except OSError:
                return drain.packages("")
        # Debian itself asks after a new kernel only; needrestart, where it is installed, compares what runs.
        if shutil.which("needrestart"):
            _, said, _ = self._run(["needrestart", "-b", "-k", "-r", "l"], "/", {})
            if re.search(r"^NEEDRESTART-KSTA: [23]$", said, re.MULTILINE):
                newer = re.search(r"^NEEDRESTART-KEXP: (\S+)$", said, re.MULTILINE)
                return f"kernel {newer[1] if newer else ''}".strip()
        return ""

    def stopping(self) -> bool:
        """Whether the host is on its way down."""
        return self._run(["systemctl", "is-system-running"], "/", {})[1].strip() == "stopping"

    def brought_back(self) -> bool:
        """Whether something starts at boot what was stopped: else a drain would leave services down."""
        return self._run(["systemctl", "--quiet", "is-enabled", UNIT], "/", {})[0] == 0

    def kept(self) -> dict[str, Any] | None:
        """The record of what is stopped, None when nothing is."""
        return _json(os.path.join(self.directory, "record.json"))

    # --- the drain

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One drain, or one way back, at a time. :raises NotDrained: another one goes on"""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        mine = Lock(os.path.join(self.directory, "lock"), "the host is being drained, or brought back,")
        with hold([mine], patience=10.0, poll=0.25):
            yield

    def stop(self, plan: drain.Plan) -> None:
        """Stop all of the plan, in its order. :raises NotDrained: a container does not end"""
        self._record = drain.record(plan, boot(), time.time(), self.kept())
        if not self._record["waves"]:
            return
        self._save()
        if plan.edge:
            self._close(plan.edge_drain)
        with ThreadPoolExecutor(max_workers=max(len(plan.projects), 1)) as pool:
            try:
                list(pool.map(self._project, plan.projects.items()))
            except BaseException:
                self._over.set()
                raise
        if plan.edge:
            self._project(("edge", [plan.edge]))
        left = [str(one["Name"]).lstrip("/") for one in self._inspect(plan.containers) if one["State"]["Running"]]
        if left:
            raise NotDrained(f"{', '.join(sorted(left))} did not end")

    def _close(self, patience: float) -> None:
        """New requests get the maintenance page; those that are under way finish.

        nginx's own way (SIGQUIT) closes the sockets between its two stages as well: a request whose body still arrives
        would find nobody. A reload has workers for both.
        """
        names = [path.stem for path in sorted(Path(self.edge, "stacks").glob("*.json"))]
        names = [name for name in names if not os.path.exists(self._flag(name))]
        self._record["maintenance"] = [*self._record["maintenance"], *names]
        self._save()
        for name in names:
            write_atomic(self._flag(name), "")
        try:
            with open(os.path.join(self.edge, "edge.json"), encoding="utf-8") as file:
                nginx = NginxClient(EdgeConfig.from_json(file.read()), self._docker)
            before = workers(nginx.pid) if nginx.pid else None
            nginx.reload()
        except (OSError, EdgeError) as problem:
            raise NotDrained(f"the edge cannot be told to finish its requests: {problem}") from problem
        self._say("the edge answers new requests with its maintenance page")
        began = time.monotonic()
        while before and before.keys() & (workers(nginx.pid) or {}).keys():
            if time.monotonic() - began > patience + 5:
                break
            time.sleep(0.2)
        self._say(f"the edge's requests ended after {time.monotonic() - began:.0f} s")

    def _flag(self, stack: str) -> str:
        return os.path.join(self.edge, "maintenance", stack)

    def _project(self, item: tuple[str, Sequence[Sequence[drain.Container]]]) -> None:
        name, layers = item
        for layer in layers:
            if self._over.is_set():
                return
            self._ask(layer)
            began = time.monotonic()
            rc, _, err = self._docker.command("stop", *(one.id for one in layer), slow=True)
            said = f": {err.strip()}" if rc else ""
            names = ", ".join(one.name for one in layer)
            self._say(f"{name}: {names} ended after {time.monotonic() - began:.0f} s{said}")

    def _ask(self, them: Sequence[drain.Container]) -> None:
        with self._writing:
            self._record["asked"] += [one.id for one in them]
            self._save()

    def _save(self) -> None:
        write_atomic(os.path.join(self.directory, "record.json"), json.dumps(self._record) + "\n", 0o600)

    def _inspect(self, them: Sequence[drain.Container]) -> list[dict[str, Any]]:
        return self._docker.inspect([one.id for one in them])

    # --- the way back

    def bring_back(self) -> list[str]:
        """Start what a drain stopped, the other way round. :returns: the names

        :raises NotDrained: a container cannot be started; it is tried again by the next call
        """
        kept = self.kept()
        if kept is None:
            return []
        began = time.monotonic()
        started: list[str] = []
        opened = False
        while True:
            there = self._there(kept)
            why = ""
            for layer in drain.to_start(kept, there, boot()):
                _, _, err = self._docker.command("start", *(str(one["Id"]) for one in layer))
                started += [str(one["Name"]).lstrip("/") for one in layer]
                why = why or err.strip()
            # What was told to end and has not yet is started when it has; what runs again is not waited for.
            asked = [cid for cid in kept["asked"] if cid in there and there[cid]["State"]["Running"]]
            kept["asked"] = asked
            # A worker that takes half an hour to end keeps nobody from the rest.
            if not opened:
                self._open(kept, asked)
                opened = True
            ending = drain.still_ending(kept, there, boot())
            if not ending or time.monotonic() - began > max(one.grace for one in ending) + drain.SLACK:
                break
            time.sleep(0.5)
        # A container that somebody removed meanwhile is nobody's problem.
        left = [one for layer in drain.to_start(kept, self._there(kept), boot()) for one in layer]
        if left:
            raise NotDrained(why or f"{', '.join(str(one['Name']).lstrip('/') for one in left)} ended again")
        os.unlink(os.path.join(self.directory, "record.json"))
        return started

    def _open(self, kept: Mapping[str, Any], ending: Collection[str], patience: float = 60.0) -> None:
        """Take the maintenance pages away when the containers are well, or have had time for that."""
        until = time.monotonic() + patience
        while time.monotonic() < until and drain.starting(self._there(kept), ending):
            time.sleep(0.5)
        for name in kept.get("maintenance", ()):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._flag(name))

    def _there(self, kept: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        ids = [one["id"] for layer in kept["waves"] for one in layer]
        return {str(one["Id"]): one for one in self._docker.inspect(ids)}

    # --- what is told

    def refuse(self, due: str, why: str) -> None:
        """Keep why a reboot was not done, for `landfall status`."""
        text = json.dumps({"boot": boot(), "at": time.time(), "due": due, "why": why})
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        write_atomic(os.path.join(self.directory, "refused.json"), text + "\n", 0o600)

    def settle(self) -> None:
        """Nothing is due any more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.directory, "refused.json"))


def status_lines(directory: str = DIRECTORY) -> list[str]:
    """What `landfall status` says of drains."""
    path = os.path.join(directory, "lock")
    busy = False
    with contextlib.suppress(OSError), open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = True
    kept, report = (_json(os.path.join(directory, f"{name}.json")) for name in ("record", "refused"))
    return drain.status_lines(kept, report, boot(), busy)


def _json(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
