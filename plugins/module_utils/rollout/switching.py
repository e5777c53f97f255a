# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets requests: what the edge and the stack's relay send them to, and the switch from one to the next."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..compose.overlay import routes_of
from ..compose.routes import to_json
from ..compose.stack import Stack
from ..relay.spec import RelayNetwork, RelaySpec, RelayTarget
from .context import Clock, Context
from .health import Observation
from .planner import Wanted, upstreams_of


class Switching:
    """What serves now.

    :ivar serving: service → its containers that get requests
    :ivar weights: service → the shares of its containers, while they are not equal
    :ivar bare: containers whose names stand at the relay and not on themselves
    :ivar switched_at: seconds since the epoch of the last switch, None before the first
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.fx = context.fx
        self.serving: dict[str, list[str]] = {}
        self.weights: dict[str, tuple[tuple[str, int], ...]] = {}
        self.bare: set[str] = set()
        self.switched_at: float | None = None
        self._prepared = RelaySpec(context.stack)

    def begin(self, observed: Sequence[Observation]) -> None:
        """What serves before anything is done."""
        up = {one.name for one in observed if one.status == "running"}
        self.bare = {one.name for one in observed if one.service and one.service not in one.aliases}
        routed = upstreams_of(self.fx.traffic.read_routes())
        planned = {one.service: one for one in self.context.plan.services}
        for name in self.context.wanted:
            one = planned.get(name)
            if one is None:
                self.serving[name] = sorted(
                    item.name for item in observed if item.service == name and item.status == "running"
                )
                continue
            # What a killed run left serves only if it did so before: it may not have passed its gates, or be kept
            # warm. Of a service without a route nothing is written down; there health has to do.
            well = {item.name for item in observed if item.health in ("", "healthy")}
            serves = routed.get(name, well)
            self.serving[name] = [item for item in (*one.old, *one.keep) if item in up and item in serves]

    def prepare(self) -> None:
        """Have the relay know the names that it answers to, before anything new is started."""
        self._prepared = self.relay()
        self.fx.traffic.prepare(self._prepared)

    def switch(self, what: str, clock: Clock, force: bool = False, detail: dict[str, Any] | None = None) -> None:
        """Send requests to what serves now.

        :param what: the journal's step; :param detail: what else is written there
        :param force: also when the routes are the same
        """
        text = self.routes()
        self.context.step(
            what, {**(detail or {}), "upstreams": {name: them for name, them in self.serving.items() if them}}
        )
        began = self.fx.monotonic()
        done = self.fx.traffic.switch(text, self.relay(), force=force)
        clock.switch += self.fx.monotonic() - began
        self.switched_at = self.fx.time()
        report = self.context.report
        if done.edge:
            report.notes = [note for note in report.notes if not note.startswith("no edge")]
        elif self.context.model.routed and not report.notes:
            report.notes.append("no edge runs on this host yet: the routes were written for it")

    def names_settled(self) -> None:
        """Take names from the relay that it held for the last nameless containers of a service only."""
        relay = self.relay()
        if _relayed_names(relay) != _relayed_names(self._prepared):
            self.context.step("relay names", {})
            self.fx.traffic.prepare(relay)

    def routes(self) -> str:
        """The text of the routes file for what serves now."""
        return to_json(routes_of(self.context.model, self.serving, self.weights))

    def relay(self) -> RelaySpec:
        """What the relay shall answer for now."""
        # A service that leaves the relay stays there until none of its old, nameless containers serves any more.
        relayed = {
            name
            for name, want in self.context.wanted.items()
            if want.strategy.relayed or (want.strategy.ports and self.bare.intersection(self.serving.get(name, ())))
        }
        given = self.context
        return relay_spec(given.stack, given.model, given.wanted, relayed, given.names, self.serving, self.weights)


def relay_spec(
    stack: str,
    model: Stack,
    wanted: Mapping[str, Wanted],
    relayed: Collection[str],
    names: Mapping[str, Mapping[str, Sequence[str]]],
    serving: Mapping[str, Sequence[str]],
    shares: Mapping[str, tuple[tuple[str, int], ...]],
) -> RelaySpec:
    """What the relay shall answer for: each relayed service on each of its networks."""
    targets: dict[str, list[RelayTarget]] = {}
    for name, want in sorted(wanted.items()):
        if name not in relayed:
            continue
        for key, known in sorted(names.get(name, {}).items()):
            targets.setdefault(key, []).append(
                RelayTarget(
                    service=name,
                    ports=want.strategy.ports,
                    names=tuple(known),
                    upstreams=tuple(sorted(serving.get(name, ()))),
                    weights=shares.get(name, ()),
                )
            )
    networks = tuple(
        RelayNetwork(key, model.networks.get(key, f"{stack}_{key}"), tuple(each))
        for key, each in sorted(targets.items())
    )
    return RelaySpec(stack, networks)


def _relayed_names(relay: RelaySpec) -> set[tuple[str, str]]:
    """(network, name) of all that the relay answers to."""
    return {(network.key, name) for network in relay.networks for target in network.targets for name in target.names}
