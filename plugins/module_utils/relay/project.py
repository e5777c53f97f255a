# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay's own Compose project, and what has to be done so that its containers are as they should be. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .render import HEAD, control, main
from .spec import RelayNetwork, RelaySpec

SPEC_LABEL = "landfall.relay.spec"
STACK_LABEL = "landfall.relay.stack"
KEY_LABEL = "landfall.relay.network"
INDEX_LABEL = "landfall.relay.index"
MEMORY = "256m"
#: Processes of a container: workers of two configurations and those of `docker exec`.
PIDS = 512


@dataclass(frozen=True)
class Relay:
    """A relay container as Docker reports it. ``names``: its aliases on its network, ``index``: see :class:`Place`."""

    running: bool
    spec: str
    network: str
    names: frozenset[str] = frozenset()
    key: str = ""
    index: int = 1


@dataclass(frozen=True)
class Place:
    """One relay container of a network and the names it holds there.

    Docker gives a running container no further name without cutting its connections. So names that come later are held
    by a further container of the same configuration: 1 is the first, and mostly the only one.
    """

    container: str
    key: str
    index: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """``create`` or ``start`` a container, or ``rename`` it (names go), or ``remove`` it, and why."""

    kind: str
    container: str
    reason: str
    place: Place | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.container}: {self.reason}"


def project_of(stack: str) -> str:
    """The relay's Compose project."""
    return f"landfall-relay-{stack}".lower()


def container_of(stack: str, key: str, index: int = 1) -> str:
    """The container of a network's relay."""
    return f"landfall-relay-{stack}-{key}" + (f"-{index}" if index > 1 else "")


def run_of(index: int) -> str:
    """The directory of a container's sockets on the host, relative to the stack's; in the container it is ``run``."""
    return "run" if index == 1 else f"run-{index}"


def aliases(network: RelayNetwork) -> tuple[str, ...]:
    """Every name the relay holds on a network, sorted."""
    return tuple(sorted({name for target in network.targets for name in target.names}))


def label(spec: RelaySpec, network: RelayNetwork, index: int, image: str, user: str, root: str) -> str:
    """The hash of all that needs a new container when it changes; its names are not among that."""
    text = "\n".join(_service(spec.stack, network, index, image, user, root, ""))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compose(spec: RelaySpec, places: Sequence[Place], image: str, user: str, root: str) -> str:
    """The text of ``compose.yaml``. :param root: the stack's directory"""
    quote = json.dumps
    lines = [HEAD.rstrip(), f"name: {project_of(spec.stack)}", "services:"]
    for network in spec.networks:
        for place in places:
            if place.key != network.key:
                continue
            mark = label(spec, network, place.index, image, user, root)
            lines += _service(spec.stack, network, place.index, image, user, root, mark)
            lines += ["    networks:", f"      {quote(network.key)}:", f"        aliases: {quote(list(place.names))}"]
    lines.append("networks:")
    for network in spec.networks:
        lines.append(f"  {quote(network.key)}: {{name: {quote(network.name)}, external: true}}")
    return "\n".join(lines) + "\n"


def _service(stack: str, network: RelayNetwork, index: int, image: str, user: str, root: str, mark: str) -> list[str]:
    quote = json.dumps
    uid, _, gid = user.partition(":")
    sockets = control(network.key).removesuffix(".sock")
    # Sockets left by a killed container would keep nginx from starting: only its own start may remove them.
    start = (
        f"rm -f {root}/{sockets}.sock {root}/{sockets}-p.sock; "
        f"exec nginx -e /dev/stderr -c {root}/current/{main(network.key)} -g 'daemon off;'"
    )
    return [
        # Compose gives a container its service's name as a DNS name: one nobody else has.
        f"  {container_of(stack, network.key, index)}:",
        f"    image: {quote(image)}",
        f"    container_name: {container_of(stack, network.key, index)}",
        f"    entrypoint: [/bin/sh, -c, {quote(start)}]",
        "    command: []",
        f"    user: {quote(user)}",
        "    restart: always",
        "    read_only: true",
        "    cap_drop: [ALL]",
        '    security_opt: ["no-new-privileges:true"]',
        f"    mem_limit: {quote(MEMORY)}",
        f"    pids_limit: {PIDS}",
        # Not SIGQUIT: nginx would wait for idle connections, too (keepalive_min_timeout), and listen no more meanwhile.
        "    stop_signal: SIGTERM",
        "    stop_grace_period: 5s",
        f"    tmpfs: [{quote(f'/tmp:rw,nosuid,nodev,noexec,size=64m,uid={uid},gid={gid or uid},mode=0770')}]",
        "    logging:",
        "      driver: json-file",
        '      options: {max-size: "10m", max-file: "2"}',
        f"    labels: {{{SPEC_LABEL}: {quote(mark)}, {STACK_LABEL}: {quote(stack)}, {KEY_LABEL}: {quote(network.key)},",
        f"      {INDEX_LABEL}: {quote(str(index))}}}",
        "    volumes:",
        f"      - {quote(f'{root}:{root}:ro')}",
        f"      - {quote(f'{root}/{run_of(index)}:{root}/run')}",
    ]


def plan(
    spec: RelaySpec, observed: Mapping[str, Relay], image: str, user: str, root: str
) -> tuple[list[Step], list[Place]]:
    """What has to be done, and the containers there are then. :param observed: the stack's relay containers by name"""
    steps: list[Step] = []
    places: list[Place] = []
    for network in sorted(spec.networks, key=lambda one: one.key):
        mine = {one.index: one for one in observed.values() if one.key == network.key}
        fits = {
            index: one
            for index, one in mine.items()
            if one.spec == label(spec, network, index, image, user, root) and one.network == network.name
        }
        wanted = frozenset(aliases(network))
        if 1 not in fits:
            # All names go to one container again; the others leave with the plan's last steps.
            why = "its image, limits or network changed" if 1 in mine else "there is none yet"
            places.append(_place(spec, network, 1, wanted))
            steps.append(Step("create", places[-1].container, why, places[-1]))
            continue
        come = wanted.difference(*(one.names for one in fits.values()))
        for index, one in sorted(fits.items()):
            kept = one.names & wanted
            if not kept and index > 1:
                continue
            gone = one.names - kept
            if gone:
                # It is cut anyway: it may take what comes, too.
                kept, come = kept | come, frozenset()
            place = _place(spec, network, index, kept)
            places.append(place)
            if not one.running:
                steps.append(Step("start", place.container, "it does not run", place))
            if gone:
                steps.append(Step("rename", place.container, f"{' and '.join(sorted(gone))} go", place))
        if come:
            index = next(number for number in range(2, 1000) if number not in mine)
            places.append(_place(spec, network, index, come))
            steps.append(Step("create", places[-1].container, f"{' and '.join(sorted(come))} come", places[-1]))
    left = sorted(set(observed) - {place.container for place in places})
    steps += [Step("remove", name, "nothing is relayed there any more") for name in left]
    return steps, places


def _place(spec: RelaySpec, network: RelayNetwork, index: int, names: frozenset[str]) -> Place:
    return Place(container_of(spec.stack, network.key, index), network.key, index, tuple(sorted(names)))
