# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outside world as the engine needs it. The engine knows nothing of Docker's ways: clients are handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..compose.stack import Stack


class ComposeProject(Protocol):
    """What the engine needs of clients.compose.ComposeCli."""

    def config(self) -> dict[str, Any]: ...

    def run(self, *args: str) -> str: ...


@dataclass(frozen=True)
class Effects:
    """The outside world, handed in.

    :param store: the stack's directory, see clients.files.StackDir
    :param docker: see clients.engine.DockerEngine
    :param world: what the gates ask, see gates.World
    :param traffic: the edge and the stack's relay, see clients.traffic
    :param now: ISO time in UTC
    :param time: seconds since the epoch
    :param leave: (container, grace in seconds) tells a container to end without waiting for it
    :param uninterrupted: from now on the operator's interrupt is too late
    :param compose: (directory, files, env_files, profiles, seconds or None) → the project there
    :param model: (config, directory, files) → the validated model; raises Refused
    :param token: randomness in bytes → printable secret
    :param move: stack → the state of the move of its data to PostgreSQL, {} without one
    :param errors: what the clients raise when a tool fails
    """

    store: Any
    docker: Any
    compose: Callable[[str, Sequence[str], Sequence[str], Sequence[str], float | None], ComposeProject]
    model: Callable[[Mapping[str, Any], str, Sequence[str]], Stack]
    world: Any
    traffic: Any
    now: Callable[[], str]
    time: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    token: Callable[[int], str]
    move: Callable[[str], Mapping[str, Any]]
    leave: Callable[[str, float | None], None]
    uninterrupted: Callable[[], None]
    errors: tuple[type[Exception], ...]
