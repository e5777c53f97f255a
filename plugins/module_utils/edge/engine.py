# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a configuration and the routes files to a running edge: observe, plan, apply. Clients are handed in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..compose.routes import StackRoutes
from .errors import EdgeError
from .features import Features
from .plan import Action, Container, Desired, Observed, plan
from .project import EdgeConfig, compose, spec
from .render import render, sealed
from .routing import PLACEHOLDER, Certificate, hosts
from .switch import Clock, Nginx, Proof, Store, prove, stage, switch

#: The name in the certificate that is shown for hosts no certificate is for.
NOBODY = "placeholder.invalid"


class Docker(Nginx, Protocol):
    """What the engine needs of Docker on top of nginx itself."""

    def container(self) -> Container | None: ...
    def networks(self) -> frozenset[str]: ...
    def version(self) -> str: ...
    def answers(self) -> bool: ...
    def ensure_image(self) -> None: ...
    def image_id(self) -> str: ...
    def unreachable(self) -> str: ...
    def up(self) -> None: ...
    def restart(self) -> None: ...
    def connect(self, network: str) -> None: ...
    def disconnect(self, network: str) -> None: ...


class Disk(Store, Protocol):
    """What the engine needs of the edge's directory."""

    def unprepared(self, uid: int) -> list[str]: ...
    def prepare(self, uid: int) -> None: ...
    def stacks(self) -> list[StackRoutes]: ...
    def has_certificate(self, name: str) -> bool: ...
    def make_placeholder(self, name: str, domains: Sequence[str], uid: int) -> None: ...
    def files(self, generation: str) -> dict[str, str]: ...
    def read(self, name: str) -> str | None: ...
    def write_file(self, name: str, text: str) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """What is (or would be) done. ``files``: what changes, ``{name: (before, after)}``."""

    generation: str
    actions: tuple[Action, ...]
    hosts: tuple[str, ...]
    files: Mapping[str, tuple[str, str]]
    missing_networks: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.actions)


class Edge:
    """The edge of one host."""

    def __init__(self, config: EdgeConfig, docker: Docker, disk: Disk, clock: Clock) -> None:
        self.config, self.docker, self.disk, self.clock = config, docker, disk, clock
        self.proof = Proof()

    @property
    def uid(self) -> int:
        """The uid nginx runs as."""
        return int(self.config.user.partition(":")[0])

    def run(self, apply: bool = True) -> Outcome:
        """Bring the edge to where it should be, or only say how (``apply=False``). :raises EdgeError: it cannot be"""
        config, disk, docker = self.config, self.disk, self.docker
        stacks = disk.stacks()
        there = docker.answers()
        if there and apply:
            docker.ensure_image()
        version = self._version(apply) if there else ""
        features = Features.parse(version) if version else Features()
        wanted = config.wanted_certificates()
        # Those without files get placeholders before nginx reads the configuration.
        bare_names = [
            one for one in (Certificate(PLACEHOLDER, (NOBODY,)), *wanted) if not disk.has_certificate(one.name)
        ]
        generation, files = sealed(render(stacks, wanted, config.edge_settings(), features, config.root))
        observed = self._observe(there)
        networks = frozenset(stack.network for stack in stacks if stack.routes)
        text = compose(config, sorted(networks & observed.networks))
        desired = Desired(generation, spec(config), text, config.image, networks)
        actions = plan(observed, desired)
        if disk.read("edge.json") != config.to_json():
            actions.insert(0, Action("write", "edge.json", "it says something else or is not there"))
        actions[:0] = [Action(PLACEHOLDER, one.name, "nginx starts with a self-signed one") for one in bare_names]
        bare = disk.unprepared(self.uid)
        if bare:
            actions.insert(0, Action("prepare", "directories", f"missing or changed: {', '.join(bare).lstrip(', ')}"))
        outcome = Outcome(
            generation,
            tuple(actions),
            tuple(sorted(host for stack in stacks for host in hosts(stack))),
            _changes(disk.files(observed.current) if observed.current else {}, files, observed.compose, text),
            tuple(sorted(networks - observed.networks)) if there else (),
        )
        if not apply:
            return outcome
        timings = self._apply(actions, generation, files, text)
        self._reach()
        return Outcome(**{**outcome.__dict__, "timings": timings})

    def _version(self, apply: bool) -> str:
        """What ``nginx -V`` of the wanted image prints; asked once for each image, since that takes a container."""
        image = self.docker.image_id()
        try:
            known = json.loads(self.disk.read("nginx.json") or "{}")
        except ValueError:
            known = {}
        if image and known.get("image") == image:
            return str(known.get("says") or "")
        says = self.docker.version()
        if apply and image and says:
            self.disk.write_file("nginx.json", json.dumps({"image": image, "says": says}, indent=2) + "\n")
        return says

    def _reach(self, tries: int = 5) -> None:
        """Ask nginx at its published port; its own socket says nothing of that way. :raises EdgeError: no answer"""
        for turn in range(tries):
            why = self.docker.unreachable()
            if not why:
                return
            if turn < tries - 1:
                self.clock.sleep(1)
        port, where = self.config.http_port, self.config.address or "this host"
        raise EdgeError(
            f"nginx runs, but /health at port {port} of {where} does not answer: {why}. "
            f"See `ss -ltnp 'sport = :{port}'`, `docker logs {self.config.container}` and the host's firewall"
        )

    def _observe(self, there: bool) -> Observed:
        current = self.disk.current()
        intact = True
        if current:
            name, _ = sealed({path: text.replace(current, "@generation@") for path, text in
                              self.disk.files(current).items()})  # fmt: skip
            intact = name == current
        return Observed(
            container=self.docker.container() if there else None,
            networks=self.docker.networks() if there else frozenset(),
            current=current,
            intact=intact,
            marker=self.docker.marker() if there else None,
            compose=self.disk.read("compose.yaml"),
            docker=there,
        )

    def _apply(
        self, actions: Sequence[Action], generation: str, files: Mapping[str, str], text: str
    ) -> dict[str, float]:
        disk, docker = self.disk, self.docker
        timings: dict[str, float] = {}
        wanted = self.config.wanted_certificates()
        kinds = {action.kind for action in actions}
        replaced = bool(kinds & {"create", "recreate", "start"})
        for action in actions:
            began = self.clock.now()
            if action.kind == "prepare":
                disk.prepare(self.uid)
            elif action.kind == PLACEHOLDER:
                names = next((one.domains for one in wanted if one.name == action.target), ())
                disk.make_placeholder(action.target, names or (NOBODY,), self.uid)
            elif action.kind == "write":
                disk.write_file("edge.json", self.config.to_json())
            elif action.kind == "compose":
                disk.write_file("compose.yaml", text)
            elif action.kind == "connect":
                docker.connect(action.target)
            elif action.kind == "disconnect":
                docker.disconnect(action.target)
            elif action.kind == "switch" and replaced:
                # The container that will read it is made next; the test runs in one of its own.
                stage(generation, files, disk, docker)
                disk.point(generation)
            elif action.kind == "switch":
                timings |= switch(generation, files, disk, docker, self.clock, self.proof)
            elif action.kind == "reload":
                stage(generation, files, disk, docker)
                docker.reload()
                timings["prove"] = prove(generation, docker, self.clock, self.proof)
            elif action.kind in ("create", "recreate", "start"):
                docker.restart() if action.kind == "start" else docker.up()
                timings["prove"] = prove(generation, docker, self.clock, self.proof)
                disk.prune()
            name = action.kind if action.kind not in timings else f"{action.kind}_all"
            timings[name] = timings.get(name, 0.0) + self.clock.now() - began
        return {name: round(value, 3) for name, value in timings.items()}


def reload(edge: Edge) -> None:
    """Have nginx read its files again though the configuration is the same (a new certificate); prove it answers."""
    current = edge.disk.current()
    if current is None:
        return
    switch(current, edge.disk.files(current), edge.disk, edge.docker, edge.clock, edge.proof)


def _changes(old: Mapping[str, str], new: Mapping[str, str], compose_old: str | None, compose_new: str
             ) -> dict[str, tuple[str, str]]:  # fmt: skip
    pairs = {name: (old.get(name, ""), new.get(name, "")) for name in sorted({*old, *new})}
    pairs["compose.yaml"] = (compose_old or "", compose_new)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
