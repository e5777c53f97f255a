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
from typing import Any

from ..edge.errors import EdgeError
from ..edge.features import Features
from ..edge.render import sealed
from ..edge.switch import Clock, Proof, explain, prove, stage, switch
from ..relay.project import SPEC_LABEL, STACK_LABEL, Relay, Step, aliases, compose, container_of, plan
from ..relay.render import control, main, render
from ..relay.spec import RelayNetwork, RelaySpec, to_json
from .files import sync_dir, write_atomic
from .nginx import Generations
from .nginx_container import Box, NginxContainer, running, told
from .process import Runner


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


class RelayClient:
    """The relay of one stack.

    :param root: directory of all relays; this stack's is ``<root>/<stack>``
    :param image: image of its containers, :param user: ``uid:gid`` nginx runs as
    """

    def __init__(self, stack: str, root: str, image: str, user: str, run: Runner, slow: Runner, clock: Clock) -> None:
        self.stack, self.image, self.user, self.clock = stack, image, user, clock
        self.home = os.path.join(root, stack)
        self.disk = Generations(self.home)
        self._run, self._slow = run, slow

    def box(self, key: str) -> NginxContainer:
        """The nginx of a network."""
        name = container_of(self.stack, key)
        where = Box("the relay", name, self.image, self.user, self.home, main(key), control(key))
        return NginxContainer(where, self._run, self._slow)

    def fleet(self, spec: RelaySpec) -> Fleet:
        """The nginx of all networks."""
        return Fleet([self.box(network.key) for network in spec.networks])

    def _docker(self, *args: str, slow: bool = False) -> tuple[int, str, str]:
        return (self._slow if slow else self._run)(["docker", *args], "/", {})

    def _must(self, what: str, *args: str, slow: bool = False) -> str:
        rc, out, err = self._docker(*args, slow=slow)
        if rc:
            raise EdgeError(f"{what}: {told(err or out)}")
        return out

    def observed(self) -> dict[str, Relay]:
        """The stack's relay containers by name."""
        ids = self._must("docker cannot list the relay's containers", "ps", "--all", "--quiet", "--no-trunc",
                         "--filter", f"label={STACK_LABEL}={self.stack}").split()  # fmt: skip
        if not ids:
            return {}
        found = {}
        for one in json.loads(self._must("docker cannot say how the relay is", "container", "inspect", *ids)):
            name = one["Name"].lstrip("/")
            networks = one["NetworkSettings"]["Networks"]
            network = next(iter(networks), "")
            # Docker and Compose add these of their own.
            extra = {name, one["Id"][:12]}
            held = frozenset((networks.get(network) or {}).get("Aliases") or ())
            spec = (one["Config"].get("Labels") or {}).get(SPEC_LABEL, "")
            found[name] = Relay(running(one), spec, network, held - extra)
        return found

    def current_render(self, spec: RelaySpec, features: Features) -> tuple[str, dict[str, str]]:
        """The generation of a spec."""
        return sealed(render(spec, self.home, features))

    def check(self, spec: RelaySpec, features: Callable[[], Features]) -> None:
        """Before anything changes. :raises EdgeError: it cannot be made, or there is no image for it"""
        if not spec.networks:
            return
        first = self.box(spec.networks[0].key)
        first.ensure_image()
        name, files = self.current_render(spec, features())
        observed = self.observed()
        if name == self.disk.current():
            return
        self._directories()
        self.disk.write(name, files)
        try:
            for network in spec.networks:
                box = self.box(network.key)
                one = observed.get(container_of(self.stack, network.key))
                said = box.test(name) if one and one.running else self._said(box, name)
                if said:
                    raise EdgeError(explain(said, files))
        finally:
            if name != self.disk.current():
                self.disk.discard(name)

    def _said(self, box: NginxContainer, generation: str) -> str:
        rc, out, err = box.test_apart(f"{self.home}/generations/{generation}/{box.box.main}")
        return "" if rc == 0 else (err or out or f"nginx -t ended with {rc}")

    def _directories(self) -> None:
        uid = int(self.user.partition(":")[0])
        for path, owner, mode in ((self.home, 0, 0o755), (f"{self.home}/generations", 0, 0o755),
                                  (f"{self.home}/run", uid, 0o750)):  # fmt: skip
            os.makedirs(path, mode=0o755, exist_ok=True)
            os.chmod(path, mode)
            if os.geteuid() == 0:
                os.chown(path, owner, 0)

    def prepare(self, spec: RelaySpec, features: Callable[[], Features]) -> bool:
        """Containers that run with the right names; True when something changed. :raises EdgeError: it cannot be"""
        observed = self.observed()
        steps = plan(spec, observed, self.image, self.user, self.home)
        if not steps:
            return False
        self._directories()
        rising = [step for step in steps if step.kind in ("create", "start")]
        if rising:
            self.box(rising[0].key).ensure_image()
        if spec.networks:
            write_atomic(f"{self.home}/compose.yaml", compose(spec, self.image, self.user, self.home))
            name, files = self.current_render(spec, features())
            if rising:
                # All that is started reads the new generation; what runs already is told to.
                stage(name, files, self.disk, self.fleet(spec))
                self.disk.point(name)
            elif self.disk.current() != name:
                # Names come to a relay that knows them already.
                switch(name, files, self.disk, self.fleet(spec), self.clock)
        by_key = {network.key: network for network in spec.networks}
        for step in steps:
            self._take(step, by_key.get(step.key))
        if rising:
            for network in spec.networks:
                box = self.box(network.key)
                if not any(step.key == network.key for step in rising):
                    former = box.listening()
                    box.reload()
                    prove(name, box, self.clock, former=former)
                else:
                    prove(name, box, self.clock, Proof(answers=1, every=0.02))
        self.remember(spec)
        return True

    def remember(self, spec: RelaySpec) -> None:
        """Write down what was wanted last."""
        write_atomic(f"{self.home}/spec.json", to_json(spec))

    def _take(self, step: Step, network: RelayNetwork | None) -> None:
        name = step.container
        if step.kind == "create" and network:
            where = ("--project-directory", self.home, "--file", f"{self.home}/compose.yaml")
            self._must(f"the relay {name} cannot be started", "compose", *where, "up", "--detach", "--no-deps",
                       "--quiet-pull", name, slow=True)  # fmt: skip
        elif step.kind == "start":
            self._must(f"the relay {name} cannot be started", "restart", name, slow=True)
        elif step.kind == "rename" and network:
            # Docker has no other way to give a running container names: this cuts what is under way there.
            self._must(f"the relay {name} cannot leave its network", "network", "disconnect", network.name, name)
            given = [word for alias in aliases(network) for word in ("--alias", alias)]
            self._must(f"the relay {name} cannot join its network", "network", "connect", *given, network.name, name)
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
            self.remember(spec)
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
        with contextlib.suppress(ValueError):
            data: Mapping[str, Any] = json.loads(self.disk.read("spec.json") or "{}")
            return [self.box(str(one["key"])) for one in data.get("networks", ())]
        return []

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
