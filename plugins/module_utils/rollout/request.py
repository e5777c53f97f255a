# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator asks of a deployment, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Secret:
    """One secret. ``env``: a variable too. ``owner``: its uid.

    ``value`` None: kept once it is there, and until then made up of ``nbytes``, or empty with 0 (a second key).
    """

    name: str
    value: str | None = field(repr=False)
    nbytes: int = 48
    env: bool = False
    owner: int = 0


@dataclass(frozen=True)
class Anew:
    """The current release, made anew with other values of some secrets.

    :param of: its id
    :param why: for the record
    :param rotation: where each rotated secret stands then, see release.Release
    """

    of: str
    why: str
    rotation: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Request:
    """What the operator asked for.

    :param files: path inside the release → bytes
    :param compose_files: the Compose files in merge order, paths inside the release
    :param executable: paths whose executable bit is set
    :param env: variable → value; ``env_file``: text of the operator's own env file
    :param version: "" keeps the one that runs
    :param pull: missing, always or never
    :param deadline: seconds for services that say none
    :param keep: sealed releases to keep, None: what the project says
    :param migrate: run migrations (on one host of several only)
    :param anew: set by a rotation only, which brings the files, variables and secrets the host has
    """

    stack: str
    files: Mapping[str, bytes]
    compose_files: tuple[str, ...]
    executable: frozenset[str] = frozenset()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    env_file: str = field(default="", repr=False)
    secrets: tuple[Secret, ...] = ()
    version: str = ""
    profiles: tuple[str, ...] = ()
    pull: str = "missing"
    build: bool = False
    deadline: float = 120.0
    keep: int | None = None
    who: str = ""
    commit: str = ""
    migrate: bool = True
    anew: Anew | None = None
