# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay's own Compose project, and what has to be done so that its containers are as they should be. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from .render import HEAD, control, main
from .spec import RelayNetwork, RelaySpec

SPEC_LABEL = "landfall.relay.spec"
STACK_LABEL = "landfall.relay.stack"
MEMORY = "256m"


@dataclass(frozen=True)
class Relay:
    """A relay container as Docker reports it. ``names``: its aliases on its network."""

    running: bool
    spec: str
    network: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Step:
    """``create`` or ``start`` a container, or ``rename`` it (other aliases), or ``remove`` it, and why."""

    kind: str
    container: str
    reason: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.container}: {self.reason}"


def project_of(stack: str) -> str:
    """The relay's Compose project."""
    return f"landfall-relay-{stack}".lower()


def container_of(stack: str, key: str) -> str:
    """The container of a network's relay."""
    return f"landfall-relay-{stack}-{key}"


def aliases(network: RelayNetwork) -> tuple[str, ...]:
    """Every name the relay holds on a network, sorted."""
    return tuple(sorted({name for target in network.targets for name in target.names}))


def label(spec: RelaySpec, network: RelayNetwork, image: str, user: str, root: str) -> str:
    """The hash of all that needs a new container when it changes; its names are not among that."""
    return hashlib.sha256("\n".join(_service(spec.stack, network, image, user, root, "")).encode()).hexdigest()[:16]


def compose(spec: RelaySpec, image: str, user: str, root: str) -> str:
    """The text of ``compose.yaml``. :param root: the stack's directory"""
    quote = json.dumps
    lines = [HEAD.rstrip(), f"name: {project_of(spec.stack)}", "services:"]
    for network in spec.networks:
        lines += _service(spec.stack, network, image, user, root, label(spec, network, image, user, root))
        lines += ["    networks:", f"      {quote(network.key)}:", f"        aliases: {quote(list(aliases(network)))}"]
    lines.append("networks:")
    for network in spec.networks:
        lines.append(f"  {quote(network.key)}: {{name: {quote(network.name)}, external: true}}")
    return "\n".join(lines) + "\n"


def _service(stack: str, network: RelayNetwork, image: str, user: str, root: str, mark: str) -> list[str]:
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
        f"  {container_of(stack, network.key)}:",
        f"    image: {quote(image)}",
        f"    container_name: {container_of(stack, network.key)}",
        f"    entrypoint: [/bin/sh, -c, {quote(start)}]",
        "    command: []",
        f"    user: {quote(user)}",
        "    restart: always",
        "    read_only: true",
        "    cap_drop: [ALL]",
        '    security_opt: ["no-new-privileges:true"]',
        f"    mem_limit: {quote(MEMORY)}",
        # Not SIGQUIT: nginx would wait for idle connections, too (keepalive_min_timeout), and listen no more meanwhile.
        "    stop_signal: SIGTERM",
        "    stop_grace_period: 5s",
        f"    tmpfs: [{quote(f'/tmp:rw,nosuid,nodev,noexec,size=64m,uid={uid},gid={gid or uid},mode=0770')}]",
        "    logging:",
        "      driver: json-file",
        '      options: {max-size: "10m", max-file: "2"}',
        f"    labels: {{{SPEC_LABEL}: {quote(mark)}, {STACK_LABEL}: {quote(stack)}}}",
        "    volumes:",
        f"      - {quote(f'{root}:{root}:ro')}",
        f"      - {quote(f'{root}/run:{root}/run')}",
    ]


def plan(spec: RelaySpec, observed: Mapping[str, Relay], image: str, user: str, root: str) -> list[Step]:
    """What has to be done. :param observed: the stack's relay containers by name"""
    steps = []
    wanted = {container_of(spec.stack, network.key): network for network in spec.networks}
    for name, network in sorted(wanted.items()):
        one = observed.get(name)
        if one is None:
            steps.append(Step("create", name, "there is none yet", network.key))
        elif one.spec != label(spec, network, image, user, root) or one.network != network.name:
            steps.append(Step("create", name, "its image, limits or network changed", network.key))
        elif not one.running:
            steps.append(Step("start", name, "it does not run", network.key))
        elif one.names != frozenset(aliases(network)):
            new, old = set(aliases(network)) - one.names, one.names - set(aliases(network))
            what = [f"{' and '.join(sorted(new))} come"] if new else []
            what += [f"{' and '.join(sorted(old))} go"] if old else []
            steps.append(Step("rename", name, ", ".join(what), network.key))
    steps += [Step("remove", name, "nothing is relayed there any more") for name in sorted(set(observed) - set(wanted))]
    return steps
