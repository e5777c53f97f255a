# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where requests go: the edge and a stack's relay, changed together and proven, or not at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..compose.routes import RoutesError, StackRoutes, from_json
from ..edge.access_log import Request, parse
from ..edge.errors import EdgeError
from ..edge.features import Features
from ..edge.project import EdgeConfig, compose
from ..edge.render import render, sealed
from ..edge.switch import Clock, prove, stage, switch
from ..relay.spec import RelaySpec
from .docker import DockerCli
from .nginx import Generations, NginxClient
from .nginx_container import NginxContainer, running
from .process import runner
from .relay import RelayClient

#: Seconds in which a worker has certainly handed on what it had read when it was told to go.
HANDED_ON = 0.1


class TrafficError(Exception):
    """A switch was refused or not proven; the former configuration runs on. ``str()`` says what, where, what to do."""


@dataclass(frozen=True)
class Switched:
    """What a switch did.

    :param edge: generation proven, "" when no edge is on this host (then only the routes file was written)
    :param relay: generation proven, "" when there is no relay
    :param seconds: wall time
    :param parts: seconds of test, reload and prove, ``edge.test`` and so on
    :param changed: whether a file differed or anything was reloaded
    """

    edge: str
    relay: str
    seconds: float
    parts: Mapping[str, float] = field(default_factory=dict)
    changed: bool = False


class Traffic:
    """The edge and the relay as one stack sees them. One instance may be used by several threads.

    :param stack: its name
    :param edge_root: the edge's directory; without ``edge.json`` in it there is no edge on this host
    :param relay_root: directory of all stacks' relays
    :param docker: with which Docker is asked; default: its command line, 60 s for quick commands, 900 s for pulls
    """

    def __init__(
        self,
        stack: str,
        edge_root: str = "/etc/landfall/edge",
        relay_root: str = "/etc/landfall/relay",
        docker: DockerCli | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.stack, self.edge_root, self.relay_root = stack, edge_root, relay_root
        self._docker = docker or DockerCli(runner(60), runner(900))
        self._clock = clock or Clock(time.monotonic, time.sleep)
        self._known: Features | None = None
        self._path = os.path.join(edge_root, "stacks", f"{stack}.json")

    # --- what is there

    def _config(self) -> EdgeConfig | None:
        try:
            with open(os.path.join(self.edge_root, "edge.json"), encoding="utf-8") as file:
                return EdgeConfig.from_json(file.read())
        except FileNotFoundError:
            return None

    def _edge(self) -> tuple[EdgeConfig, NginxClient, Generations] | None:
        config = self._config()
        if config is None:
            return None
        return config, NginxClient(config, self._docker), Generations(self.edge_root)

    def _relay(self) -> RelayClient:
        config = self._config() or EdgeConfig()
        return RelayClient(self.stack, self.relay_root, config.image, config.user, self._docker, self._clock)

    def _features(self) -> Features:
        """Of the edge's image, which the relay shares; asked for once for each image, and kept as the edge keeps it."""
        if self._known is not None:
            return self._known
        config = self._config() or EdgeConfig()
        there = os.path.exists(os.path.join(self.edge_root, "edge.json"))
        disk = Generations(self.edge_root if there else self.relay_root)
        client = NginxClient(config, self._docker)
        image = client.image_id()
        try:
            kept = json.loads(disk.read("nginx.json") or "{}")
        except ValueError:
            kept = {}
        says = str(kept.get("says") or "") if image and kept.get("image") == image else client.version()
        if image and says and kept.get("image") != image:
            os.makedirs(disk.root, mode=0o755, exist_ok=True)
            disk.write_file("nginx.json", json.dumps({"image": image, "says": says}, indent=2) + "\n")
        self._known = Features.parse(says) if says else None
        return self._known or Features()

    def read_routes(self) -> str:
        """The stack's routes file as it is, "" when there is none."""
        try:
            with open(self._path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def _write_routes(self, text: str) -> bool:
        """True when it changed."""
        if text == self.read_routes():
            return False
        os.makedirs(os.path.dirname(self._path), mode=0o755, exist_ok=True)
        if text:
            Generations(self.edge_root).write_file(f"stacks/{self.stack}.json", text)
        else:
            os.unlink(self._path)
        return True

    def _stacks(self, disk: Generations, text: str) -> list[StackRoutes]:
        """All stacks' routes, this one's as given."""
        mine = []
        if text:
            try:
                mine = [from_json(text, f"the routes of stack {self.stack}")]
            except RoutesError as problem:
                raise EdgeError(str(problem)) from problem
        return [one for one in disk.stacks() if one.stack != self.stack] + mine

    def _rendered(self, config: EdgeConfig, disk: Generations, text: str) -> tuple[str, dict[str, str]]:
        stacks = self._stacks(disk, text)
        wanted = config.wanted_certificates()
        return sealed(render(stacks, wanted, config.edge_settings(), self._features(), config.root))

    # --- the contract

    def check(self, routes_text: str, relay: RelaySpec) -> None:
        """Before anything changes: would nginx take these? Nothing stays. :raises TrafficError: it would not"""
        try:
            there = self._edge()
            if there is not None:
                config, client, disk = there
                name, files = self._rendered(config, disk, routes_text)
                one = client.inspect()
                if one is not None and running(one) and name != disk.current():
                    with disk.lock():
                        stage(name, files, disk, client)
                        disk.discard(name)
            self._relay().check(relay, self._features)
        except EdgeError as problem:
            raise TrafficError(str(problem)) from problem

    def prepare(self, relay: RelaySpec) -> bool:
        """Have the relay's containers run under the right names. Networks and the new names' services are there.

        :returns: whether something changed. :raises TrafficError: it cannot be
        """
        try:
            return self._relay().prepare(relay, self._features)
        except EdgeError as problem:
            raise TrafficError(str(problem)) from problem

    def switch(self, routes_text: str, relay: RelaySpec, force: bool = False) -> Switched:
        """Send requests where these say, from now on.

        When this returns, nothing that is not in them gets a request any more but those it is already answering.

        :param force: reload although the text is the same
        :raises TrafficError: both run their former configurations again, the former routes file is back
        """
        began = self._clock.now()
        try:
            self._features()
        except EdgeError as problem:
            raise TrafficError(str(problem)) from problem
        with ThreadPoolExecutor(2) as pool:
            sides = [
                pool.submit(_Side.run, lambda: self._switch_edge(routes_text, force)),
                pool.submit(_Side.run, lambda: self._switch_relay(relay, force)),
            ]
            edge, relayed = (side.result() for side in sides)
        problems = [side.problem for side in (edge, relayed) if side.problem]
        if problems:
            for side in (edge, relayed):
                if not side.problem:
                    try:
                        side.undo()
                    except EdgeError as problem:
                        problems.append(f"and it could not be taken back: {problem}")
            raise TrafficError(" · ".join(problems))
        parts = {f"edge.{name}": value for name, value in edge.parts.items()}
        parts |= {f"relay.{name}": value for name, value in relayed.parts.items()}
        return Switched(
            edge.generation,
            relayed.generation,
            round(self._clock.now() - began, 3),
            {name: round(value, 3) for name, value in parts.items()},
            edge.changed or relayed.changed,
        )

    def _switch_edge(self, text: str, force: bool) -> _Side:
        there = self._edge()
        before_text = self.read_routes()
        if there is None:
            changed = self._write_routes(text)
            return _Side("", {}, changed, lambda: void(self._write_routes(before_text)))
        config, client, disk = there
        with disk.lock():
            one = client.inspect()
            before = disk.current()
            if one is None:
                changed = self._write_routes(text)
                return _Side("", {}, changed, lambda: void(self._write_routes(before_text)))
            if not running(one):
                raise EdgeError(
                    f"the edge's container {config.container} does not run; see `docker logs {config.container}`, "
                    "and run site.yml to start it"
                )
            name, files = self._rendered(config, disk, text)
            changed = self._write_routes(text)
            try:
                changed = self._join(config, client, disk, one, text) or changed
                if not force and before == name and client.marker() == name:
                    return _Side(name, {}, changed, lambda: void(self._write_routes(before_text)))
                parts = switch(name, files, disk, client, self._clock)
            except EdgeError:
                self._write_routes(before_text)
                raise

        def undo() -> None:
            with disk.lock():
                self._write_routes(before_text)
                if before and before != name:
                    former = client.listening()
                    disk.point(before)
                    client.reload()
                    prove(before, client, self._clock, former=former)

        return _Side(name, parts, True, undo)

    def _join(self, config: EdgeConfig, client: NginxClient, disk: Generations, one: Mapping[str, Any],
              text: str) -> bool:  # fmt: skip
        """Have the edge join the stack's network; True when it had to."""
        network = from_json(text).network if text and from_json(text).routes else ""
        if not network or network in one["NetworkSettings"]["Networks"]:
            return False
        client.connect(network)
        wanted = {stack.network for stack in disk.stacks() if stack.routes}
        disk.write_file("compose.yaml", compose(config, sorted(wanted & client.networks())))
        return True

    def _switch_relay(self, spec: RelaySpec, force: bool) -> _Side:
        client = self._relay()
        before = client.former()
        name, parts = client.switch(spec, self._features, force)

        def undo() -> None:
            if parts and before and before != name:
                client.back(spec, before)

        return _Side(name, parts, bool(parts), undo)

    def requests(self, since: float) -> list[Request]:
        """This stack's requests at the edge since epoch seconds; none when there is no edge."""
        config = self._config()
        if config is None:
            return []
        rc, out, _ = self._docker.command("logs", "--since", f"{since:.3f}", config.container)
        # A request is logged when its answer ends: `since` counts from there.
        return parse(out.splitlines(), self.stack, since) if rc == 0 else []

    def remove(self) -> None:
        """Take the stack's relay away."""
        try:
            self._relay().remove()
        except EdgeError as problem:
            raise TrafficError(str(problem)) from problem

    # --- draining

    def _all(self) -> list[NginxContainer]:
        there = self._edge()
        return [*([there[1]] if there else []), *self._relay().nginx()]

    def old_workers(self) -> int:
        """Workers of former configurations of the edge and the relay that still finish something.

        For telling an operator. A drain need not wait for them: they hand new requests over to the running
        configuration (see ..edge.pools), and what they finish shows as a connection of the container.
        """
        return sum(one.leaving() for one in self._all())

    def settled(self, since: float) -> bool:
        """Whether all that was read before a switch reached its container. :param since: its end, epoch seconds"""
        return time.time() - since >= HANDED_ON

    def quiet(self, addresses: Sequence[str]) -> bool:
        """Whether neither edge nor relay has a connection to these addresses; False when that cannot be told."""
        return all(one.connected(addresses) == 0 for one in self._all() if one.pid)


@dataclass
class _Side:
    generation: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    changed: bool = False
    undo: Callable[[], None] = lambda: None
    problem: str = ""

    @staticmethod
    def run(action: Callable[[], _Side]) -> _Side:
        """Do it; what goes wrong becomes ``problem``."""
        try:
            return action()
        except (EdgeError, OSError) as problem:
            return _Side(problem=str(problem))


def void(value: object) -> None:
    """Drop a result."""
    del value
