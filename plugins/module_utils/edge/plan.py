# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done so that the edge is as it should be: observed against desired. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Container:
    """nginx's container as Docker reports it. ``running`` is False also while it restarts again and again."""

    image: str
    running: bool
    spec: str
    ports: tuple[str, ...] = ()
    networks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Observed:
    """The edge as it is.

    :param container: None when there is none (or no Docker yet)
    :param networks: networks on the host that carry the edge's label
    :param current: the generation that ``current`` names
    :param intact: whether that generation's files are as they were written
    :param marker: the generation nginx answers with; None when it does not answer
    :param compose: the text of compose.yaml, None when there is none
    :param docker: whether Docker answers on this host
    """

    container: Container | None = None
    networks: frozenset[str] = frozenset()
    current: str | None = None
    intact: bool = True
    marker: str | None = None
    compose: str | None = None
    docker: bool = True


@dataclass(frozen=True)
class Desired:
    """The edge as it should be. ``networks``: those of the stacks, whether they exist or not."""

    generation: str
    spec: str
    compose: str
    image: str
    networks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Action:
    """One step: what, on what, and why, in the operator's words.

    ``compose`` write compose.yaml · ``connect``/``disconnect`` a network · ``switch`` to a generation ·
    ``create``/``recreate``/``start`` the container · ``reload`` nginx
    """

    kind: str
    target: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.target}: {self.reason}"


def plan(observed: Observed, desired: Desired) -> list[Action]:
    """The steps, in the order they are taken; none when all is as it should be."""
    actions: list[Action] = []
    if observed.compose != desired.compose:
        why = "there is none yet" if observed.compose is None else "its content changed"
        actions.append(Action("compose", "compose.yaml", why))
    container = observed.container
    stale: list[Action] = []
    if container is not None and container.spec == desired.spec:
        actions += [
            Action("connect", name, "a stack is reached through it")
            for name in sorted((desired.networks & observed.networks) - container.networks)
        ]
        stale = [
            Action("disconnect", name, "no stack is reached through it any more")
            for name in sorted((container.networks & observed.networks) - desired.networks)
        ]
    if observed.current != desired.generation:
        why = "there is none yet" if observed.current is None else f"{observed.current} runs"
        actions.append(Action("switch", desired.generation, why))
    elif not observed.intact:
        actions.append(Action("switch", desired.generation, "its files were changed by hand"))
    if container is None:
        actions.append(Action("create", "container", "there is none yet"))
    elif container.spec != desired.spec:
        actions.append(Action("recreate", "container", _why(container, desired)))
    elif not container.running:
        actions.append(Action("start", "container", "it does not run"))
    elif observed.marker != desired.generation and not any(one.kind == "switch" for one in actions):
        runs = "nginx does not say which it runs" if observed.marker is None else f"nginx still runs {observed.marker}"
        actions.append(Action("reload", desired.generation, runs))
    return actions + stale


def _why(container: Container, desired: Desired) -> str:
    if container.image != desired.image:
        return f"its image is {container.image}, not {desired.image}"
    return "its ports, mounts or limits changed" if container.spec else "it was made by something else"
