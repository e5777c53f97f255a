# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put back the state that nobody confirmed.

Stands alone (standard library only): the host keeps a copy of this very file, and systemd runs it when the window is
over, or at boot. It may be killed at any line: until all is back the copies stay, and it is run again.

    put_back.py DIRECTORY [--boot]
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any


def lock(directory: str) -> int:
    """Hold the directory's lock until the descriptor is closed, or this process ends."""
    handle = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def write(path: str, data: bytes, mode: int, uid: int = 0, gid: int = 0) -> None:
    """Write a whole file by rename, flushed to the disk with its directory."""
    temporary = f"{path}.landfall-new"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        if os.geteuid() == 0:
            os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync(os.path.dirname(path))


def sync(directory: str) -> None:
    """Flush a directory to the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: str) -> bytes | None:
    """The content of a file, None where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _same(path: str, data: bytes | None, one: dict[str, Any]) -> bool:
    if data is None or not os.path.exists(path):
        return data is None and not os.path.lexists(path)
    now = os.stat(path)
    owner = (now.st_mode & 0o7777, now.st_uid, now.st_gid)
    return read(path) == data and owner == (one["mode"], one["uid"], one["gid"])


def _command(argv: list[str]) -> str:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"{' '.join(argv)}: {problem}"
    return f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}" if done.returncode else ""


def put_back(directory: str, why: str, boot: bool = False) -> dict[str, Any] | None:
    """Put all files back as they were kept, and have the services read them. The caller holds the lock.

    :param boot: the services have not started yet and will read the files themselves
    :return: the report, None when nothing is armed. :raises OSError: a file could not be written; all copies stay
    """
    armed = os.path.join(directory, "armed")
    raw = read(os.path.join(armed, "manifest.json"))
    if raw is None:
        return None
    manifest = json.loads(raw)
    # A command that fails (there is nothing to reload) keeps no file from being put back.
    errors = [] if boot else [_command(argv) for argv in manifest["first"]]
    paths = []
    for one in manifest["files"]:
        data = read(os.path.join(armed, one["saved"])) if one["saved"] else None
        if one["saved"] and data is None:
            errors.append(f"{one['path']}: its copy is gone")
        elif not _same(one["path"], data, one):
            paths.append(one["path"])
            if data is None:
                os.unlink(one["path"])
            else:
                os.makedirs(os.path.dirname(one["path"]), exist_ok=True)
                write(one["path"], data, one["mode"], one["uid"], one["gid"])
    errors += [] if boot else [_command(argv) for argv in manifest["then"]]
    report = {
        "who": manifest["who"],
        "at": time.time(),
        "why": why or f"nobody confirmed it over a new connection within {manifest['window']} s",
        "paths": paths,
        "errors": [text for text in errors if text],
    }
    write(os.path.join(directory, "put-back.json"), json.dumps(report).encode(), 0o600)
    forget(directory)
    return report


def forget(directory: str) -> None:
    """Nothing is armed any more: in one step, so that no half a set of copies is ever put back."""
    old = os.path.join(directory, "armed.old")
    shutil.rmtree(old, ignore_errors=True)
    os.rename(os.path.join(directory, "armed"), old)
    sync(directory)
    shutil.rmtree(old, ignore_errors=True)


def main(argv: list[str]) -> int:
    """0: all is back, or nothing was to be put back."""
    boot = "--boot" in argv
    held = lock(argv[0])
    try:
        report = put_back(argv[0], "the host was restarted before anybody confirmed it" if boot else "", boot)
    except OSError as problem:
        sys.stderr.write(f"{problem}; it is tried again\n")
        return 1
    finally:
        os.close(held)
    if report:
        sys.stdout.write(f"put back, because {report['why']}: {', '.join(report['paths']) or 'nothing had changed'}\n")
        sys.stdout.write("".join(f"went wrong: {text}\n" for text in report["errors"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
