# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Compose command line: the only room that runs ``docker compose``.

Every command is an argv list handed to an injected runner, so that tests need no Docker and no shell ever
sees a value of the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

try:
    import yaml

    YAML_ERROR: str | None = None
except ImportError as exc:  # reported by the module that uses this room
    yaml = None  # type: ignore[assignment]
    YAML_ERROR = str(exc)

#: ``run(argv, cwd, env) -> (rc, stdout, stderr)``; ``env`` is added to the process's own environment.
Runner = Callable[[Sequence[str], str, Mapping[str, str]], "tuple[int, str, str]"]


class ComposeError(Exception):
    """``docker compose`` could not do what was asked; ``str()`` says what, where and what to do."""

    def __init__(self, argv: Sequence[str], rc: int, stderr: str) -> None:
        self.argv = list(argv)
        self.rc = rc
        self.stderr = stderr.strip()
        super().__init__(f"{' '.join(argv)} ended with {rc}: {self.stderr or 'no message'}")


class ComposeCli:
    """One Compose project as the command line sees it.

    :param run: the injected runner (see :data:`Runner`)
    :param project_name: Compose project name, ``None`` lets Compose choose (``name:`` or the directory)
    :param project_dir: absolute path; relative paths in the files count from here
    :param files: Compose files in the order they merge, relative to ``project_dir`` or absolute
    :param env_files: files for ``--env-file``; none given means Compose's own ``.env`` lookup
    :param profiles: profiles to switch on
    :param env: variables for the interpolation, on top of the process's environment
    """

    def __init__(
        self,
        run: Runner,
        project_name: str | None,
        project_dir: str,
        files: Sequence[str] = ("compose.yaml",),
        env_files: Sequence[str] = (),
        profiles: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._run = run
        self.project_name = project_name
        self.project_dir = project_dir
        self.files = list(files)
        self.env_files = list(env_files)
        self.profiles = list(profiles)
        self.env = dict(env or {})

    def argv(self, *args: str) -> list[str]:
        """The full argv of ``docker compose <args>`` for this project."""
        out = ["docker", "compose"]
        if self.project_name:
            out += ["--project-name", self.project_name]
        out += ["--project-directory", self.project_dir]
        for name in self.files:
            out += ["--file", name]
        for name in self.env_files:
            out += ["--env-file", name]
        for name in self.profiles:
            out += ["--profile", name]
        return out + list(args)

    def run(self, *args: str) -> str:
        """Run ``docker compose <args>`` in the project directory; stdout, or :class:`ComposeError`."""
        argv = self.argv(*args)
        rc, stdout, stderr = self._run(argv, self.project_dir, self.env)
        if rc != 0:
            raise ComposeError(argv, rc, stderr)
        return stdout

    def config(self) -> dict[str, Any]:
        """The merged, interpolated project.

        YAML, not JSON: Compose 2.26 drops the ``x-`` keys of services from its JSON output.
        """
        if yaml is None:
            raise ComposeError(self.argv("config"), 1, "python3-yaml is missing on this host: install python3-yaml")
        loaded = yaml.safe_load(self.run("config", "--format", "yaml"))
        if not isinstance(loaded, dict):
            raise ComposeError(self.argv("config"), 1, "docker compose config printed no mapping")
        return loaded
