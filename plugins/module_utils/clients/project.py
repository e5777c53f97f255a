# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a Compose project, read from disk: the rim of :mod:`..compose.validate`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from ..compose.envfile import EnvSyntaxError, parse_env

_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|DSN|DATABASE_URL", re.IGNORECASE)


class ProjectFilesError(Exception):
    """A file that is missing or can't be read; ``str()`` names it and says what to do."""


def read_texts(src: str, files: Sequence[str], contents: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """(name, text) of each Compose file; ``contents`` gives texts that stand on no disk."""
    given = dict(contents or {})
    return [(name, given[name] if name in given else _read(src, name, "Compose file")) for name in files]


def read_env(src: str, env_files: Sequence[str], contents: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of the env files, later ones win; none given means ``.env`` when there is one, as in Compose."""
    given = dict(contents or {})
    names = list(env_files)
    if not names and os.path.isfile(os.path.join(src, ".env")):
        names = [".env"]
    out: dict[str, str] = {}
    for name in names:
        text = given[name] if name in given else _read(src, name, "env file")
        try:
            out.update(parse_env(text, out))
        except EnvSyntaxError as exc:
            raise ProjectFilesError(f"{name}:{exc.line}: {str(exc).split(': ', 1)[1]}") from exc
    return out


def secret_values(env: Mapping[str, str]) -> set[str]:
    """The values that must not show in a result.

    Not all of them: masking VERSION=1 would turn every 1 of the result into asterisks.
    """
    return {value for name, value in env.items() if _SECRET_NAME.search(name) and len(value) >= 6}


def _read(src: str, name: str, what: str) -> str:
    path = os.path.join(src, name)
    if name.endswith(".j2"):
        raise ProjectFilesError(f"{path}: a template; render it first and hand its text over in 'contents'")
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except UnicodeDecodeError as exc:
        raise ProjectFilesError(f"{path}: not UTF-8 text; save the {what} as UTF-8") from exc
    except OSError as exc:
        raise ProjectFilesError(
            f"{path}: {exc.strerror}; check the name of the {what} and 'src' or 'project_dir'"
        ) from exc
