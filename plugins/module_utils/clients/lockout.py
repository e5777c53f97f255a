# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rim of the lock-out protection: copies of files, the timer, the SSH session this process came in by."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import pwd
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

from ..hardening import lockout
from . import put_back
from .files import sync_dir, write_atomic
from .process import Runner

DIRECTORY = "/var/lib/landfall/lockout"
UNITS = "/etc/systemd/system"


class NotArmed(Exception):
    """Why the protection could not be set up, or is not there any more, and what to do."""


def session() -> dict[str, Any] | None:
    """The SSH connection this process came in by, None when it is none: see `hardening.lockout.proven`."""
    pid, client = os.getpid(), ""
    while pid > 1:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                name, _, rest = file.read().partition(" (")[2].rpartition(") ")
            with open(f"/proc/{pid}/environ", "rb") as file:
                pairs = dict(part.partition(b"=")[::2] for part in file.read().split(b"\0"))
        except OSError:
            return None
        fields = rest.split()
        if name.startswith("sshd"):
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
            return {"client": client, "began": time.time() - age} if client else None
        # "client port server port": the first two name the controller's end of the connection.
        words = pairs.get(b"SSH_CONNECTION", b"").decode("ascii", "replace").split()
        client = " port ".join(words[:2]) or client
        pid = int(fields[1])
    return None


def manifest(directory: str = DIRECTORY) -> dict[str, Any] | None:
    """The change that waits for its confirmation, None when there is none."""
    return _json(os.path.join(directory, "armed", "manifest.json"))


def report(directory: str = DIRECTORY) -> dict[str, Any] | None:
    """What was put back and not yet told by a run, None when there is nothing."""
    return _json(os.path.join(directory, "put-back.json"))


def _json(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
            return found
    except OSError:
        return None


@contextlib.contextmanager
def locked(directory: str = DIRECTORY) -> Iterator[None]:
    """Hold the protection's lock: nothing is put back meanwhile."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    handle = put_back.lock(directory)
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def guarded(wanted: bool, directory: str = DIRECTORY) -> Iterator[None]:
    """Change something only while the old state is kept and the timer runs. ``wanted`` False: no protection asked for.

    :raises NotArmed: the window is over; changing anything now would be without a way back
    """
    if not wanted:
        yield
        return
    with locked(directory):
        if manifest(directory) is None:
            raise NotArmed(
                "the lock-out protection is not armed any more (its window was over before the change was made), so "
                "nothing was changed here. Run again, with a longer hardening_lockout_window on a slow host"
            )
        yield


class Protection:
    """Keeps the old state, and has systemd put it back."""

    def __init__(self, run: Runner, directory: str = DIRECTORY, units: str = UNITS) -> None:
        self.directory = directory
        self._units = units
        self._runner = run

    def _run(self, *argv: str) -> tuple[int, str]:
        code, out, err = self._runner(argv, "/", {"LC_ALL": "C"})
        return code, (err or out).strip() if code else out

    def _must(self, *argv: str) -> None:
        code, said = self._run(*argv)
        if code:
            raise NotArmed(
                f"{' '.join(argv)} failed: {said}. Nothing would be put back without it: nothing was changed"
            )

    def timer_runs(self) -> bool:
        """Whether the timer, or the service it starts, is at work."""
        return any(
            self._run("systemctl", "--quiet", "is-active", f"{lockout.UNIT}.timer")[0] == 0
            or self._run("systemctl", "show", "-P", "ActiveState", f"{lockout.UNIT}.service")[1].strip() == state
            for state in ("activating", "active")
        )

    def install(self) -> None:
        """The program and its two units; nothing is done when they are there."""
        program = os.path.join(self.directory, "put_back.py")
        write_atomic(program, inspect.getsource(put_back), 0o600)
        values = {"python": sys.executable, "program": program, "directory": self.directory}
        service = os.path.join(self._units, f"{lockout.UNIT}.service")
        boot = os.path.join(self._units, f"{lockout.UNIT}-boot.service")
        fresh = write_atomic(service, lockout.SERVICE.format(**values))
        if write_atomic(boot, lockout.BOOT.format(**values)) or fresh:
            self._must("systemctl", "daemon-reload")
        self._must("systemctl", "--quiet", "enable", f"{lockout.UNIT}-boot.service")

    def arm(self, who: str, window: int, paths: list[str], sshd: bool, firewall: bool) -> dict[str, Any]:
        """Keep the old state and start the timer. The caller holds the lock.

        :param window: seconds until all is put back. :raises NotArmed: nothing was changed
        """
        waiting = manifest(self.directory)
        if waiting is not None:
            if self.timer_runs():
                raise NotArmed(
                    f"a change made by {waiting['who']} waits to be confirmed; it is put back at "
                    f"{lockout.ends_at(waiting)} (UTC, the host's clock). Run again after that. Nothing was changed"
                )
            # Its run was killed, and so was the timer.
            put_back.put_back(self.directory, "its run broke off, and no timer was left to put it back")
        self.install()
        # The timer first: copies without a timer would be put back at some later boot.
        self._run("systemctl", "stop", f"{lockout.UNIT}.timer")
        self._must("systemd-run", "--quiet", f"--unit={lockout.UNIT}.service", f"--on-active={window}s",
                   "--timer-property=AccuracySec=100ms")  # fmt: skip
        try:
            found = self._keep(who, window, paths, sshd, firewall)
        except BaseException:
            self._run("systemctl", "stop", f"{lockout.UNIT}.timer")
            raise
        return found

    def _keep(self, who: str, window: int, paths: list[str], sshd: bool, firewall: bool) -> dict[str, Any]:
        fresh = os.path.join(self.directory, "armed.new")
        shutil.rmtree(fresh, ignore_errors=True)
        os.mkdir(fresh, 0o700)
        files = []
        for number, name in enumerate(dict.fromkeys([*paths, *(lockout.UFW_FILES if firewall else ())])):
            path = os.path.realpath(name)
            data = put_back.read(path)
            if data is None:
                files.append({"path": path, "saved": None})
                continue
            facts = os.stat(path)
            put_back.write(os.path.join(fresh, str(number)), data, 0o600)
            mode = facts.st_mode & 0o7777
            files.append({"path": path, "saved": str(number), "mode": mode, "uid": facts.st_uid, "gid": facts.st_gid})
        ssh_active = (
            self._run("systemctl", "--quiet", "is-active", "ssh.service")[0] == 0
            and self._run("systemctl", "--quiet", "is-active", "ssh.socket")[0] != 0
        )
        ufw_active = self._run("ufw", "status")[1].startswith("Status: active") if firewall else False
        policies = []
        for program in ("iptables", "ip6tables") if firewall else ():
            code, listing = self._run(program, "-w", "10", "-S")
            policies += lockout.policies_of(program, listing) if code == 0 else []
        first, then = lockout.put_back_commands(sshd, firewall, ssh_active, ufw_active, policies)
        found = {
            "who": who,
            "window": window,
            "armed_at": time.time(),
            "session": session(),
            "files": files,
            "first": first,
            "then": then,
        }
        put_back.write(os.path.join(fresh, "manifest.json"), json.dumps(found).encode(), 0o600)
        os.rename(fresh, os.path.join(self.directory, "armed"))
        sync_dir(self.directory)
        return found

    def disarm(self) -> None:
        """Keep the change. The caller holds the lock. :raises NotArmed: it was put back, or this proves no way in"""
        waiting = manifest(self.directory)
        if waiting is None:
            raise NotArmed(
                "nothing is armed any more: the window was over before this connection came. On a slow host give a "
                "longer hardening_lockout_window"
            )
        reason = lockout.proven(waiting, session())
        if reason:
            raise NotArmed(reason)
        put_back.forget(self.directory)
        self._run("systemctl", "stop", f"{lockout.UNIT}.timer")

    def undo(self, why: str) -> dict[str, Any] | None:
        """Put it back now. The caller holds the lock. None when nothing is armed."""
        found = put_back.put_back(self.directory, why)
        self._run("systemctl", "stop", f"{lockout.UNIT}.timer")
        return found

    def told(self) -> None:
        """A run has said what was put back: nothing more is to be told of it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.directory, "put-back.json"))


def keys_file(user: str) -> str:
    """Where Ansible writes a user's public keys; for an account that is still to be made, where its home will be."""
    try:
        home = pwd.getpwnam(user).pw_dir
    except KeyError:
        home = os.path.join("/home", user)
    return os.path.join(home, ".ssh", "authorized_keys")
