# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs run by argv, with an environment of their own and a bound on their time."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: ``run(argv, cwd, env) -> (rc, stdout, stderr)``
Runner = Callable[[Sequence[str], str, Mapping[str, str]], "tuple[int, str, str]"]

TIMED_OUT = 124
#: What a program may inherit. All else stays out: a variable in somebody's shell must not change a release.
INHERITED = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel end the child when this process is killed, so that no orphan works on an unlocked stack."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def base_env() -> dict[str, str]:
    """The environment programs start from."""
    env = {name: os.environ[name] for name in INHERITED + PROXIES if name in os.environ}
    env.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    env.setdefault("HOME", "/root")
    env["LC_ALL"] = "C.UTF-8"
    return env


def _identity(user: str) -> dict[str, Any]:
    """Options of Popen for another user, with the user's groups."""
    if not user:
        return {}
    known = pwd.getpwnam(user)
    return {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": os.getgrouplist(user, known.pw_gid)}


def runner(timeout: float | None = None, user: str = "") -> Runner:
    """A :data:`Runner` over subprocess.

    :param timeout: seconds; past it the program is ended and rc is 124
    :param user: whose process it is, "" for this one's. Unlike a child of runuser it dies with this process
    """

    def run(argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> tuple[int, str, str]:
        try:
            process = subprocess.Popen(
                list(argv),
                cwd=cwd or "/",
                env={**base_env(), **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                preexec_fn=die_with_parent,
                **_identity(user),
            )
        except KeyError:
            return 127, "", f"the user {user} is not there"
        except FileNotFoundError:
            return 127, "", f"{argv[0]} is not installed on this host"
        except OSError as problem:
            return 126, "", f"{argv[0]} cannot be started: {problem}"
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                out, err = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
            return TIMED_OUT, out, f"{err}\nended after {timeout:.0f} s"
        return process.returncode, out, err

    return run
