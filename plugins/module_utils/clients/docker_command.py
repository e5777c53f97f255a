# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``docker`` command line as the edge and the relay use it."""

from __future__ import annotations

from ..edge.errors import EdgeError
from .process import Runner


class DockerCommand:
    """Runs ``docker …``. :param run: runner for quick commands, :param slow: for pulls and starts"""

    def __init__(self, run: Runner, slow: Runner | None = None) -> None:
        self._run, self._slow = run, slow or run

    def _docker(self, *args: str, slow: bool = False) -> tuple[int, str, str]:
        return (self._slow if slow else self._run)(["docker", *args], "/", {})

    def _must(self, what: str, *args: str, slow: bool = False) -> str:
        """Its standard output. :raises EdgeError: ``what``, and docker's last words"""
        rc, out, err = self._docker(*args, slow=slow)
        if rc:
            raise EdgeError(f"{what}: {told(err or out)}")
        return out


def told(text: str) -> str:
    """The last lines of what a program said, for a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-3:])[:600] or "no message"
