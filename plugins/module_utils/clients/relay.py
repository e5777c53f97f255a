# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack's relay on this host: its containers, switched like the edge and together."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from ..edge.errors import EdgeError
from ..edge.features import Features
from ..edge.render import sealed
from ..edge.switch import Clock, Proof, explain, prove, stage, switch
from ..relay.project import (
    INDEX_LABEL,
    KEY_LABEL,
    SPEC_LABEL,
    STACK_LABEL,
    Place,
    Relay,
    Step,
    compose,
    container_of,
    plan,
    run_of,
)
from ..relay.render import control, main, render
from ..relay.spec import RelayNetwork, RelaySpec, to_json
from .docker import DockerCli
from .docker_command import DockerCommand
from .files import sync_dir, write_atomic
from .nginx import Generations
from .nginx_container import Box, NginxContainer, running


class Fleet:
    """Several nginx that run one generation, as one (:class:`..edge.switch.Nginx`)."""

    def __init__(self, members: Sequence[NginxContainer]) -> None:
        self.members = list(members)

    def test(self, generation: str) -> str:
        """The first refusal, "" when all accept it."""
        return next((said for one in self.members if (said := one.test(generation))), "")

    def reload(self) -> None:
        """Reload all."""
        for one in self.members:
            one.reload()

    def marker(self) -> str | None:
        """The generation all answer with; when they differ, all of them in one text."""
        found = [one.marker() for one in self.members]
        if not found or None in found:
            return None
        return str(found[0]) if len(set(found)) == 1 else " and ".join(sorted({str(one) for one in found}))

    def last_words(self) -> str:
        """The latest errors of all."""
        return " | ".join(filter(None, (one.last_words() for one in self.members)))

    def listening(self) -> frozenset[tuple[int, int]] | None:
        """The workers of all that accept connections; None when one does not tell, or has none (it starts)."""
        found: set[tuple[int, int]] = set()
        for one in self.members:
            some = one.listening()
            if not some:
                return None if some is None else frozenset()
            found |= some
        return frozenset(found)


class RelayClient(DockerCommand):
    """The relay of one stack.

    :param root: directory of all relays; this stack's is ``<root>/<stack>``
    :param image: image of its containers, :param user: ``uid:gid`` nginx runs as
    """

    def __init__(self, stack: str, root: str, image: str, user: str, docker: DockerCli, clock: Clock) -> None:
        self.stack, self.image, self.user, self.clock = stack, image, user, clock
        self.home = os.path.join(root, stack)
        self.disk = Generations(self.home)
        super().__init__(docker)

    def box(self, place: Place) -> NginxContainer:
        """The nginx of a container."""
        socket = control(place.key).replace("run/", f"{run_of(place.index)}/", 1)
        where = Box("the relay", place.container, self.image, self.user, self.home, main(place.key), socket)
        return NginxContainer(where, self._client)

    def places(self) -> list[Place]:
        """The containers as they were made last."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            rows = json.loads(self.disk.read("places.json") or "[]")
            return [Place(row["container"], row["key"], int(row["index"]), tuple(row["names"])) for row in rows]
        return []

    def fleet(self, spec: RelaySpec) -> Fleet:
        """The nginx of all networks. :raises EdgeError: one is missing"""
        places = [one for one in self.places() if one.key in {network.key for network in spec.networks}]
        missing = {network.key for network in spec.networks} - {one.key for one in places}
        if missing:
            raise EdgeError(f"the relay of stack {self.stack} has no container on network {', '.join(sorted(missing))}")
        return Fleet([self.box(one) for one in places])

    def observed(self) -> dict[str, Relay]:
        """The stack's relay containers by name."""
        found = {}
        for one in self._labelled(f"{STACK_LABEL}={self.stack}"):
            name = one["Name"].lstrip("/")
            networks = one["NetworkSettings"]["Networks"]
            network = next(iter(networks), "")
            # Docker and Compose add these of their own.
            extra = {name, one["Id"][:12]}
            held = frozenset((networks.get(network) or {}).get("Aliases") or ())
            labels = one["Config"].get("Labels") or {}
            index = int(labels.get(INDEX_LABEL) or 1)
            found[name] = Relay(
                running(one), labels.get(SPEC_LABEL, ""), network, held - extra, labels.get(KEY_LABEL, ""), index
            )
        return found

    def current_render(self, spec: RelaySpec, features: Features) -> tuple[str, dict[str, str]]:
        """The generation of a spec."""
        return sealed(render(spec, self.home, features))

    def check(self, spec: RelaySpec, features: Callable[[], Features]) -> None:
        """Before anything changes. :raises EdgeError: it cannot be made, or there is no image for it"""
        if not spec.networks:
            return
        first = self.box(Place(container_of(self.stack, spec.networks[0].key), spec.networks[0].key, 1, ()))
        first.ensure_image()
        name, files = self.current_render(spec, features())
        if name == self.disk.current():
            return
        self._directories()
        self.disk.write(name, files)
        try:
            for network in spec.networks:
                box = self.box(Place(container_of(self.stack, network.key), network.key, 1, ()))
                said = box.test(name)
                if said:
                    raise EdgeError(explain(said, files))
        finally:
            if name != self.disk.current():
                self.disk.discard(name)

    def _directories(self, places: Sequence[Place] = ()) -> None:
        uid = int(self.user.partition(":")[0])
        wanted = {self.home: (0, 0o755), f"{self.home}/generations": (0, 0o755), f"{self.home}/run": (uid, 0o750)}
        wanted |= {f"{self.home}/{run_of(place.index)}": (uid, 0o750) for place in places}
        for path, (owner, mode) in wanted.items():
            os.makedirs(path, mode=0o755, exist_ok=True)
            os.chmod(path, mode)
            if os.geteuid() == 0:
                os.chown(path, owner, 0)

    def prepare(self, spec: RelaySpec, features: Callable[[], Features]) -> bool:
        """Containers that run with the right names; True when something changed. :raises EdgeError: it cannot be"""
        steps, places = plan(spec, self.observed(), self.image, self.user, self.home)
        if not steps:
            if places != self.places():
                self._remember(places)
            return False
        self._directories(places)
        networks = {network.key: network for network in spec.networks}
        rising = [step.place for step in steps if step.place and step.kind in ("create", "start")]
        name, files = self.current_render(spec, features())
        if places:
            boxes = {place: self.box(place) for place in places}
            write_atomic(f"{self.home}/compose.yaml", compose(spec, places, self.image, self.user, self.home))
            next(iter(boxes.values())).ensure_image()
            steady = [box for place, box in boxes.items() if place not in rising]
            if steady and self.disk.current() != name:
                # Names come to a relay that knows them already.
                switch(name, files, self.disk, Fleet(steady), self.clock)
            elif self.disk.current() != name:
                stage(name, files, self.disk, Fleet(list(boxes.values())))
                self.disk.point(name)
        self._remember(places)
        for step in steps:
            self._take(step, networks)
        for place in rising:
            prove(name, self.box(place), self.clock, Proof(answers=1, every=0.02))
        return True

    def _remember(self, places: Sequence[Place]) -> None:
        text = json.dumps([asdict(place) for place in places], indent=2, sort_keys=True)
        self.disk.write_file("places.json", text + "\n")

    def _take(self, step: Step, networks: Mapping[str, RelayNetwork]) -> None:
        name, place = step.container, step.place
        if step.kind == "create":
            where = ("--project-directory", self.home, "--file", f"{self.home}/compose.yaml")
            self._must(f"the relay {name} cannot be started", "compose", *where, "up", "--detach", "--no-deps",
                       "--quiet-pull", name, slow=True)  # fmt: skip
        elif step.kind == "start":
            self._must(f"the relay {name} cannot be started", "restart", name, slow=True)
        elif step.kind == "rename" and place:
            # Docker has no other way to take a name from a running container: this cuts what is under way there.
            network = networks[place.key].name
            self._must(f"the relay {name} cannot leave its network", "network", "disconnect", network, name)
            given = [word for alias in place.names for word in ("--alias", alias)]
            self._must(f"the relay {name} cannot join its network", "network", "connect", *given, network, name)
        elif step.kind == "remove":
            self._must(f"the relay {name} cannot be removed", "rm", "--force", name)

    def former(self) -> str | None:
        """The generation that is current."""
        return self.disk.current()

    def switch(self, spec: RelaySpec, features: Callable[[], Features], force: bool) -> tuple[str, dict[str, float]]:
        """To the generation of a spec; no parts when it runs already. :raises EdgeError: it could not"""
        if not spec.networks:
            return "", {}
        fleet = self.fleet(spec)
        name, files = self.current_render(spec, features())
        if not force and self.disk.current() == name and fleet.marker() == name:
            return name, {}
        with self.disk.lock():
            parts = switch(name, files, self.disk, fleet, self.clock)
            self.disk.write_file("spec.json", to_json(spec))
        return name, parts

    def back(self, spec: RelaySpec, generation: str) -> None:
        """To a generation that ran before."""
        fleet = self.fleet(spec)
        former = fleet.listening()
        self.disk.point(generation)
        fleet.reload()
        prove(generation, fleet, self.clock, former=former)

    def nginx(self) -> list[NginxContainer]:
        """The nginx that are there, for watching them."""
        return [self.box(place) for place in self.places()]

    def remove(self) -> None:
        """Take the containers and the directory away."""
        names = sorted(self.observed())
        if names:
            self._must("the relay cannot be removed", "rm", "--force", *names)
            rc, out, _ = self._docker("network", "ls", "--quiet", "--filter", "label=com.docker.compose.project="
                                      f"landfall-relay-{self.stack}")  # fmt: skip
            if rc == 0 and out.split():
                self._docker("network", "rm", *out.split())
        if os.path.isdir(self.home):
            shutil.rmtree(self.home)
            sync_dir(os.path.dirname(self.home))
