# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a plan out: create, start, gate, switch, drain, stop; wave after wave, each step written down before.

The order is what keeps requests alive: nothing old is stopped before traffic was proven to go to something new, and
nothing new gets traffic before it passed its gates. What a killed run leaves is only ever one of three things:
containers nobody talks to yet, old and new ones that both serve, or old ones that nobody talks to any more. The next
run plans from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ..compose.overlay import routes_of
from ..compose.routes import to_json
from ..compose.stack import Stack
from ..compose.values import seconds
from ..relay.spec import RelayNetwork, RelaySpec, RelayTarget
from . import gates, health, hooks, judge
from .planner import Plan, ServicePlan, Wanted, sick, unlike, upstreams_of, weights
from .strategy import BLUE_GREEN, CANARY, JOB, RECREATE, Strategy

#: Seconds between two looks at whether anybody talks to an old instance; two in a row have to say nobody.
DRAIN_LOOK = 0.1


class Interrupted(BaseException):
    """The operator ended the run; it goes back. Not an Exception: nothing on the way may swallow it."""


class RolloutFailed(Exception):
    """The rollout cannot go on. ``broken``: containers to keep evidence of; ``detail``: what else was seen."""

    def __init__(
        self, message: str, broken: Sequence[health.Observation] = (), detail: Mapping[str, Any] | None = None
    ) -> None:
        self.broken = list(broken)
        self.detail = dict(detail or {})
        super().__init__(message)


@dataclass(frozen=True)
class Options:
    """How this run differs from the ordinary one.

    :param hooks: run the stack's hooks; a way back runs ``pre_stop`` only
    :param migrate: run migrations (on one host of several only)
    :param bake: watch the new version after the last switch
    :param touched: services that this release changed, in this run or in one that was killed
    :param warm: blue-green keeps what it replaces running; what failed is not worth it
    """

    hooks: bool = True
    migrate: bool = True
    bake: bool = True
    warm: bool = True
    touched: frozenset[str] = frozenset()


@dataclass
class Clock:
    """Where the time of a wave went, in seconds: ``start`` is Docker's for starting containers, ``app`` theirs."""

    app: float = 0.0
    start: float = 0.0
    hooks: float = 0.0
    hold: float = 0.0
    switch: float = 0.0


@dataclass
class Report:
    """What happened, for the module's result. Times in seconds."""

    waves: list[dict[str, Any]] = field(default_factory=list)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    bake_s: float = 0.0
    drain_s: float = 0.0
    hooks_s: float = 0.0  # of hooks outside the waves
    notes: list[str] = field(default_factory=list)


class Rollout:
    """One plan on one host.

    :param fx: the outside world, see effects.Effects
    :param project: the release's Compose project (``run(*args)``)
    :param networks: Compose's network key → Docker's name
    :param names: service → network key → the DNS names it has there
    :param step: writes a line to the journal, before the step it names
    """

    def __init__(
        self,
        fx: Any,
        stack: str,
        release: str,
        model: Stack,
        wanted: Mapping[str, Wanted],
        plan: Plan,
        project: Any,
        names: Mapping[str, Mapping[str, Sequence[str]]],
        step: Callable[[str, dict[str, Any] | None], None],
        options: Options,
    ) -> None:
        self.fx, self.stack, self.release, self.model = fx, stack, release, model
        self.wanted, self.plan, self.project, self.names = wanted, plan, project, names
        self.step, self.options = step, options
        self.report = Report()
        self.warnings: list[str] = []
        #: Ids of containers told to end and not waited for, and of those kept warm for a way back.
        self.leaving: set[str] = set()
        self.warm: set[str] = set()
        self._serving: dict[str, list[str]] = {}
        self._left: dict[str, list[str]] = {}
        #: Containers whose names stand at the relay and not on themselves.
        self._bare: set[str] = set()
        self._weights: dict[str, tuple[tuple[str, int], ...]] = {}
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="landfall")
        self._retiring: list[Future[None]] = []
        self._retiring_of: dict[str, list[Future[None]]] = {}
        self._abort = threading.Event()
        self._restarts: dict[str, int] = {}
        self._switched_at: float | None = None
        self._prepared = RelaySpec(stack)
        self._began_at = 0.0
        self._created: dict[str, list[str]] = {}
        self._creating: Future[None] | None = None
        self._deferred: list[ServicePlan] = []

    # --- the whole

    def run(self) -> None:
        """Carry the plan out. :raises RolloutFailed: what was done stands as it is; the caller goes back"""
        self._began_at = self.fx.time()
        try:
            with self._failures():
                self._prepare()
                self._migrate_first()
                for number, wave in enumerate(self.plan.waves, 1):
                    self._wave(number, wave)
                self._switch_deferred()
                self._let_go()
                self._post_deploy()
                self._bake()
                self._join()
                self._names_settled()
        except BaseException:
            self._abort.set()
            self._settle()
            raise
        finally:
            self._pool.shutdown(wait=False)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except gates.GateFailed as problem:
            raise RolloutFailed(str(problem), problem.broken) from problem
        except hooks.HookFailed as problem:
            raise RolloutFailed(str(problem), (), {"hook": problem.evidence}) from problem
        except self.fx.errors as problem:
            raise RolloutFailed(self.fx.told(problem)) from problem

    def _prepare(self) -> None:
        observed = self._observe()
        self._restarts = {one.id: one.restarts for one in observed}
        up = {one.name for one in observed if one.status == "running"}
        self._bare = {one.name for one in observed if one.service and one.service not in one.aliases}
        routed = upstreams_of(self.fx.traffic.read_routes())
        planned = {one.service: one for one in self.plan.services}
        for name in self.wanted:
            one = planned.get(name)
            if one is None:
                self._serving[name] = sorted(
                    item.name for item in observed if item.service == name and item.status == "running"
                )
                continue
            self._left[name] = list(one.old)
            # What a killed run left serves only if it did so before: it may not have passed its gates, or be kept
            # warm. Of a service without a route nothing is written down; there health has to do.
            well = {item.name for item in observed if item.health in ("", "healthy")}
            serves = routed.get(name, well)
            self._serving[name] = [item for item in (*one.old, *one.keep) if item in up and item in serves]
        debris = [name for one in self.plan.services for name in one.debris]
        if debris:
            self.step("debris removed", {"containers": debris})
            for name in debris:
                self.fx.docker.remove_one(name)
        rolling = [one for one in self.plan.services if one.wanted.strategy.rolls and one.starts]
        if rolling:
            self.step("created", {"services": {one.service: one.starts for one in rolling}})
            first = self._first_of(rolling)
            self._create(first)
            if len(first) < len(rolling):
                # While the first wave starts, nothing old goes yet that Compose could miscount.
                rest = [one for one in rolling if one not in first]
                self._creating = self._pool.submit(self._create, rest)
        self._prepared = self.relay()
        self.fx.traffic.prepare(self._prepared)

    def _first_of(self, rolling: Sequence[ServicePlan]) -> list[ServicePlan]:
        """What has to be created before the first wave starts; all, where that wave replaces something in place."""
        first = next(iter(self.plan.waves), ())
        mine = [one for one in rolling if one in first]
        return mine if mine and all(one.wanted.strategy.rolls for one in first) else list(rolling)

    def _create(self, services: Sequence[ServicePlan]) -> None:
        """Have Compose create the new containers of these services.

        :raises RolloutFailed: it made fewer than it should
        """
        there = self._observe()
        before = {one.name for one in there}
        # The whole project, not --no-deps: that would change Compose's own hash of a service, and an ordinary
        # `docker compose up` would then replace everything. --scale says of each service what there already is:
        # with fewer Compose would take running containers away.
        args = ["up", "--no-start", "--no-recreate", "--no-build", "--quiet-pull"]
        wants = {one.service: one.starts for one in services}
        for name in self.model.services:
            count = sum(1 for item in there if item.service == name) + wants.get(name, 0)
            args += ["--scale", f"{name}={count}"]
        self.project.run(*args)
        fresh = [one for one in self._observe() if one.name not in before and one.status == "created"]
        # A container that was told to end may go while Compose counts: it makes one more then.
        for item in sorted(fresh, key=lambda one: _number(one.name)):
            wants[item.service] = wants.get(item.service, 0) - 1
            if wants[item.service] < 0:
                self.fx.docker.remove_one(item.id)
                fresh = [one for one in fresh if one.id != item.id]
        for service in services:
            mine = [item for item in fresh if item.service == service.service]
            if len(mine) < service.starts:
                raise RolloutFailed(
                    f"service {service.service}: Compose made {len(mine)} containers instead of {service.starts}"
                )
            self._created[service.service] = sorted((item.name for item in mine), key=_number)
            if service.wanted.strategy.relayed:
                for item in mine:
                    self._nameless(item)

    def _all_created(self) -> None:
        """Wait for what is created beside the first wave's start."""
        if self._creating is not None:
            creating, self._creating = self._creating, None
            creating.result()

    def _nameless(self, one: health.Observation) -> None:
        """Take the service's names off a container that was not started yet: they belong to the relay."""
        for network, endpoint in (one.networks or {}).items():
            own = [one.name]
            if set(endpoint.get("Aliases") or ()) - {one.name, one.id[:12]}:
                self.fx.docker.rename_on(network, one.id, endpoint, own)
        self._bare.add(one.name)

    # --- waves

    def _wave(self, number: int, wave: Sequence[ServicePlan]) -> None:
        began = self.fx.monotonic()
        clock = Clock()
        entry: dict[str, Any] = {"wave": number, "services": [one.service for one in wave]}
        self._in_place([one for one in wave if not one.wanted.strategy.rolls], number, clock)
        rolling = [one for one in wave if one.wanted.strategy.rolls]
        for service in rolling:
            self._migrate(service, clock)
        for index in range(max((len(one.steps) for one in rolling), default=0)):
            batch = {one.service: one for one in rolling if index < len(one.steps)}
            fresh = self._start(number, batch, index, clock)
            entry.setdefault("healthy_s", round(self.fx.monotonic() - began, 2))
            self._all_created()
            self._smoke(batch, fresh, index, clock)
            self._traffic(number, batch, index, fresh, clock)
        total = self.fx.monotonic() - began
        entry["switched_s"] = round(total, 2)
        entry["app_s"] = round(clock.app, 2)
        entry["start_s"] = round(clock.start, 2)
        entry["hooks_s"] = round(clock.hooks, 2)
        entry["hold_s"] = round(clock.hold, 2)
        entry["switch_s"] = round(clock.switch, 2)
        entry["overhead_s"] = round(max(total - clock.start - clock.app - clock.hooks - clock.hold, 0.0), 2)
        self.report.waves.append(entry)

    def _in_place(self, services: Sequence[ServicePlan], number: int, clock: Clock) -> None:
        """Services that cannot run twice: Compose replaces them, the old container first."""
        if not services:
            return
        for one in services:
            self._migrate(one, clock)
        going = [one for one in services if one.old or one.starts]
        for one in going:
            for name in one.old:
                self._pre_stop(one, name, clock)
        if going:
            self.step(f"wave {number} replaced", {"services": [one.service for one in going]})
            args = ["up", "--detach", "--no-deps", "--no-build", "--quiet-pull"]
            there = self._observe()
            self.fx.docker.remove(health.leftovers(there))
            for item in there:
                if any(item.name in one.old and not unlike(one.wanted, item) for one in going) and sick(item):
                    # As wanted but for its health: Compose would leave it alone, stopped it starts it again.
                    self.fx.docker.stop_one(item.id, item.grace)
            self.project.run(*args, *[one.service for one in going])
        observed = self._observe()
        names = {one.service: [item.name for item in observed if item.service == one.service] for one in services}
        self._gate(number, {one.service: one for one in services}, names, clock)
        for one in services:
            self._serving[one.service] = names[one.service] if one.wanted.strategy.kind == RECREATE else []
            self._record(one, names[one.service])
        # The containers may have other addresses behind the same names.
        moved = any(self.model.services[one.service].routes for one in going)
        self._switch(f"wave {number} switched", clock, force=moved)

    def _start(self, number: int, batch: Mapping[str, ServicePlan], index: int, clock: Clock) -> dict[str, list[str]]:
        """Start the step's instances and see them through their gates."""
        fresh: dict[str, list[str]] = {}
        for name, one in batch.items():
            count = one.steps[index].start
            if count:
                # Those of the step before count, as long as they are there: max_surge is a promise about memory.
                for going in self._retiring_of.pop(name, []):
                    going.result()
            fresh[name] = self._created.get(name, [])[:count]
            if len(fresh[name]) < count:
                raise RolloutFailed(f"service {name}: {len(fresh[name])} of {count} new containers are there")
            self._created[name] = self._created.get(name, [])[count:]
            if index == 0:
                self._record(one, [*fresh[name], *self._created[name]])
        if any(fresh.values()):
            self.step(
                f"wave {number} started", {"containers": sorted(name for them in fresh.values() for name in them)}
            )
            began = self.fx.monotonic()
            for each in [self._pool.submit(self.fx.docker.start, name) for them in fresh.values() for name in them]:
                each.result()
            clock.start += self.fx.monotonic() - began
        kept = {name: [*fresh[name], *(one.keep if index == 0 else ())] for name, one in batch.items()}
        self._gate(number, batch, kept, clock)
        return kept

    def _gate(
        self, number: int, services: Mapping[str, ServicePlan], names: Mapping[str, Sequence[str]], clock: Clock
    ) -> None:
        awaited = {name: self._awaited(name, one.wanted.strategy) for name, one in services.items()}
        if not any(names.values()):
            return
        self.step(f"wave {number} gated", {"services": sorted(name for name in names if names[name])})
        passages = gates.wait(awaited, names, self.fx.world, self._restarts, self._pool)
        clock.app += max((one.well_at or 0.0 for one in passages.values()), default=0.0)
        for passage in passages.values():
            entry = self.report.services.setdefault(passage.service, {})
            entry.setdefault("health", []).append(gates.to_dict(passage))

    def _awaited(self, name: str, strategy: Strategy) -> gates.Awaited:
        service = self.model.services[name]
        return gates.Awaited(
            name,
            "done" if strategy.kind == JOB else "running",
            strategy.healthy_for,
            strategy.deadline,
            tuple((route.host, route.path, route.port) for route in service.routes),
            listens=bool(strategy.ports),
        )

    def _smoke(
        self, batch: Mapping[str, ServicePlan], fresh: Mapping[str, Sequence[str]], index: int, clock: Clock
    ) -> None:
        for name in batch:
            hook = self._hook(name, "smoke")
            if hook and index == 0 and fresh[name]:
                self.step("smoke test", {"service": name, "container": fresh[name][0]})
                began = self.fx.monotonic()
                hooks.inside(self.fx, name, "smoke", hook, fresh[name][0])
                clock.hooks += self.fx.monotonic() - began

    def _traffic(
        self,
        number: int,
        batch: Mapping[str, ServicePlan],
        index: int,
        fresh: Mapping[str, Sequence[str]],
        clock: Clock,
    ) -> None:
        """Give the new instances their requests, then let the old ones of this step go."""
        retire: list[tuple[ServicePlan, list[str]]] = []
        canaries = []
        for name, one in batch.items():
            kind = one.wanted.strategy.kind
            if kind == BLUE_GREEN and one.old:
                # What does not serve any more (kept warm by the release before) goes at once.
                idle = [item for item in one.old if item not in self._serving[name]]
                retire += [(one, idle)] if idle else []
                old = tuple(item for item in one.old if item not in idle)
                self._deferred.append(replace(one, keep=tuple(fresh[name]), old=old))
                continue
            if kind == CANARY and one.old:
                canaries.append((one, list(fresh[name])))
                continue
            serving = [item for item in self._serving[name] if item not in fresh[name]]
            going = next_to_go(self._left[name], serving, one.steps[index].retire)
            self._left[name] = [item for item in self._left[name] if item not in going]
            self._serving[name] = [*(item for item in serving if item not in going), *fresh[name]]
            if going:
                retire.append((one, going))
        self._switch(f"wave {number} switched", clock)
        for one, going in retire:
            self._retire(one.service, one.wanted.strategy, going)
        for one, new in canaries:
            self._canary(number, one, new, clock)

    def _canary(self, number: int, one: ServicePlan, new: list[str], clock: Clock) -> None:
        old = [name for name in self._serving[one.service] if name not in new]
        strategy = one.wanted.strategy
        for percent in (*strategy.steps, 100):
            self._serving[one.service] = [*old, *new] if percent < 100 else new
            self._weights[one.service] = weights(new, old, percent)
            self._switch(f"wave {number} canary", clock, detail={"service": one.service, "percent": percent})
            if percent >= 100:
                break
            began = self.fx.monotonic()
            self._watch([one], strategy.hold, f"canary at {percent} %", only=frozenset(new))
            clock.hold += self.fx.monotonic() - began
        self._retire(one.service, strategy, list(one.old))

    def _switch_deferred(self) -> None:
        """Blue-green: everything new is up and checked, now one switch for all."""
        if not self._deferred:
            return
        for one in self._deferred:
            self._serving[one.service] = list(one.keep)
        self._switch("blue-green switched", Clock())
        observed = {item.name: item.id for item in self._observe()}
        for one in self._deferred:
            if self.options.warm:
                self.warm.update(observed[name] for name in one.old if name in observed)
            else:
                self._retire(one.service, one.wanted.strategy, list(one.old))

    def _let_go(self) -> None:
        """Services that are no longer part of the project; also the last switch when only those are left."""
        if self.plan.removed or self._switched_at is None:
            self._switch("services removed" if self.plan.removed else "routes written", Clock())
        for name, gone in sorted(self.plan.removed.items()):
            self._retire(name, Strategy("", "", drain=30.0), list(gone))

    # --- traffic

    def _switch(self, what: str, clock: Clock, force: bool = False, detail: dict[str, Any] | None = None) -> None:
        text = self.routes()
        self.step(what, {**(detail or {}), "upstreams": {name: them for name, them in self._serving.items() if them}})
        began = self.fx.monotonic()
        done = self.fx.traffic.switch(text, self.relay(), force=force)
        clock.switch += self.fx.monotonic() - began
        self._switched_at = self.fx.time()
        if done.edge:
            self.report.notes = [note for note in self.report.notes if not note.startswith("no edge")]
        elif self.model.routed and not self.report.notes:
            self.report.notes.append("no edge runs on this host yet: the routes were written for it")

    def routes(self) -> str:
        """The text of the routes file for what serves now."""
        return to_json(routes_of(self.model, self._serving, self._weights))

    def relay(self) -> RelaySpec:
        """What the relay shall answer for now."""
        # A service that leaves the relay stays there until none of its old, nameless containers serves any more.
        relayed = {
            name
            for name, want in self.wanted.items()
            if want.strategy.relayed or (want.strategy.ports and self._bare.intersection(self._serving.get(name, ())))
        }
        return relay_spec(self.stack, self.model, self.wanted, relayed, self.names, self._serving, self._weights)

    # --- letting go

    def _retire(self, service: str, strategy: Strategy, names: Sequence[str]) -> None:
        """In the background: the next wave need not wait for connections that take their time."""
        if names:
            self.step("draining", {"service": service, "containers": list(names)})
        for name in names:
            going = self._pool.submit(self._retire_one, service, strategy, name, self.fx.time())
            self._retiring.append(going)
            self._retiring_of.setdefault(service, []).append(going)

    def _retire_one(self, service: str, strategy: Strategy, name: str, since: float) -> None:
        found = self.fx.world.look([name])
        if not found:
            return
        one = found[0]
        began = self.fx.monotonic()
        drained = one.status != "running" or self._drain(service, strategy, one, since)
        if self._abort.is_set() and one.status == "running":
            return
        entry = self.report.services.setdefault(service, {}).setdefault("drain", {})
        entry[name] = {"drained": drained, "drain_s": round(self.fx.monotonic() - began, 2)}
        hook = self._hook(service, "pre_stop") if service in self.model.services else None
        if hook and one.status == "running":
            hooks.inside(self.fx, service, "pre_stop", hook, name, fatal=False)
        told = {} if strategy.wait else {"leaving": one.id}
        self.step("stopping", {"service": service, "container": name, **told})
        if strategy.wait:
            self.fx.docker.stop_one(one.id, one.grace)
            self.fx.docker.remove_one(one.id)
        else:
            self.fx.docker.restarts_off(one.id)
            self.fx.leave(one.id, one.grace)
            self.leaving.add(one.id)
        entry[name]["gone_s"] = round(self.fx.monotonic() - began, 2)

    def _drain(self, service: str, strategy: Strategy, one: health.Observation, since: float) -> bool:
        """Wait until nobody talks to an old instance any more, within its window. False: the window ran out."""
        spec = self.model.services.get(service)
        served = bool(spec and spec.routes) or strategy.relayed
        if not served:
            # Callers by its own name find it until it stops: waiting would end nothing.
            return True
        window = max([strategy.drain, *(seconds(r.drain) for r in (spec.routes if spec else ()) if r.drain)])
        ports = set(strategy.ports) | {route.port for route in (spec.routes if spec else ())}
        began = self.fx.monotonic()
        quiet = 0
        while not self._abort.is_set():
            idle = judge.connections(self.fx.world.proc_net(one.pid), sorted(ports)) == 0
            quiet = quiet + 1 if idle and self.fx.traffic.settled(since) else 0
            if quiet >= 2:
                return True
            if self.fx.monotonic() - began >= window:
                return False
            self.fx.sleep(DRAIN_LOOK)
        return False

    def _pre_stop(self, one: ServicePlan, name: str, clock: Clock) -> None:
        hook = self._hook(one.service, "pre_stop")
        if hook and any(item.status == "running" for item in self.fx.world.look([name])):
            began = self.fx.monotonic()
            hooks.inside(self.fx, one.service, "pre_stop", hook, name, fatal=False)
            clock.hooks += self.fx.monotonic() - began

    def _join(self) -> None:
        """Wait for what still drains; the deploy ends when all is as the plan says."""
        began = self.fx.monotonic()
        if self._retiring:
            self.step("drained", {})
        for each in self._retiring:
            each.result()
        self.report.drain_s = round(self.fx.monotonic() - began, 2)

    def _names_settled(self) -> None:
        """Take names from the relay that it held for the last nameless containers of a service only."""
        relay = self.relay()
        if _relayed_names(relay) != _relayed_names(self._prepared):
            self.step("relay names", {})
            self.fx.traffic.prepare(relay)

    def _settle(self) -> None:
        """After a failure: what is being stopped is stopped to the end; what still drains is left standing."""
        for each in (*self._retiring, *([self._creating] if self._creating else [])):
            each.exception()

    # --- hooks

    def _hook(self, service: str, kind: str) -> Mapping[str, Any] | None:
        # A worker's last words are heard on a way back too.
        if not self.options.hooks and kind != "pre_stop":
            return None
        found: Mapping[str, Any] | None = (self.model.services[service].extra.get("hooks") or {}).get(kind)
        return found

    def _migrate_first(self) -> None:
        """Migrations whose dependencies stay as they are run before anything is started."""
        touched: set[str] = {one.service for one in self.plan.services}
        clock = Clock()
        for one in self.plan.services:
            below = _below(self.model, one.service)
            if not (below & touched):
                self._migrate(one, clock)
        self.report.hooks_s += clock.hooks

    def _migrate(self, one: ServicePlan, clock: Clock) -> None:
        hook = self._hook(one.service, "migrate")
        changed = one.starts or one.old
        if hook and self.options.migrate and changed:
            began = self.fx.monotonic()
            hooks.once(self.fx, self.project, self.stack, self.release, one.service, "migrate", hook, self.step)
            clock.hooks += self.fx.monotonic() - began

    def _post_deploy(self) -> None:
        began = self.fx.monotonic()
        for name in [name for wave in self.model.waves for name in wave if name in self.options.touched]:
            hook = self._hook(name, "post_deploy")
            if hook and self.options.migrate:
                hooks.once(self.fx, self.project, self.stack, self.release, name, "post_deploy", hook, self.step)
        self.report.hooks_s += self.fx.monotonic() - began

    # --- watching

    def _bake(self) -> None:
        rolled = [one for one in self.plan.services if one.wanted.strategy.kind != JOB and (one.starts or one.old)]
        window = max((one.wanted.strategy.bake for one in rolled), default=0.0)
        # On a first deployment nobody is there yet to fail for, and the gates have been passed.
        if not self.options.bake or not any(one.old for one in rolled) or window <= 0:
            return
        self.step("baked", {"seconds": window})
        began = self.fx.monotonic()
        self._watch(rolled, window, "after the switch")
        self.report.bake_s = round(self.fx.monotonic() - began, 2)

    def _watch(
        self, services: Sequence[ServicePlan], window: float, when: str, only: frozenset[str] | None = None
    ) -> None:
        """Watch containers and the edge's log for some seconds. :raises RolloutFailed: they are not good enough"""
        since = self._switched_at or self.fx.time()
        began = self.fx.monotonic()
        before = [one for one in self.fx.traffic.requests(self._began_at - 60.0) if one.time < self._began_at]
        names = [name for one in services for name in self._serving[one.service] if only is None or name in only]
        while True:
            left = window - (self.fx.monotonic() - began)
            seen = self.fx.world.look(names)
            broken = [
                (one, why)
                for one in seen
                if (why := self._crashed(one))
            ]  # fmt: skip
            if len(seen) < len(names):
                raise RolloutFailed(f"{when}: {', '.join(sorted(set(names) - {one.name for one in seen}))} is gone")
            if broken:
                reasons = "; ".join(f"service {one.service}: {why} ({one.name})" for one, why in broken)
                raise RolloutFailed(f"{when}: {reasons}", [one for one, _why in broken])
            requests = self.fx.traffic.requests(since)
            addresses = {f"{address}:" for one in seen for address in one.addresses}
            mine = judge.telling(requests, addresses, since if only is None else None)
            for one in services:
                strategy = one.wanted.strategy
                said = judge.complaint(one.service, mine, before, strategy.max_error_rate, strategy.max_p99)
                if said:
                    bad = [each for each in mine if each.service == one.service and each.status >= 500][-5:]
                    raise RolloutFailed(
                        f"{when}: {said}",
                        [item for item in seen if item.service == one.service],
                        {"requests": [vars(each) for each in bad]},
                    )
            if left <= 0:
                return
            self.fx.sleep(min(left, 1.0))

    def _crashed(self, one: health.Observation) -> str:
        if one.status != "running":
            return f"ended with exit code {one.exit_code}"
        if one.restarts > self._restarts.get(one.id, 0):
            return f"restarted {one.restarts - self._restarts.get(one.id, 0)} times"
        return "its healthcheck fails" if one.health == "unhealthy" else ""

    # --- small things

    def _observe(self) -> list[health.Observation]:
        return [health.observe(one) for one in self.fx.docker.containers(self.stack)]

    def _record(self, one: ServicePlan, new: Sequence[str]) -> None:
        strategy = one.wanted.strategy
        self.report.services.setdefault(one.service, {}).update(
            strategy=strategy.kind,
            reason=strategy.reason,
            changes=list(one.reasons),
            old=list(one.old),
            new=list(new),
            kept=list(one.keep),
        )


def next_to_go(old: Sequence[str], serving: Sequence[str], count: int) -> list[str]:
    """Which old containers go in a step: those that serve nobody first, then the oldest."""
    return sorted(old, key=lambda name: name in serving)[:count]


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


def _below(model: Stack, name: str) -> set[str]:
    """All services that a service depends on, directly or not."""
    found: set[str] = set()
    todo = [on.service for on in model.services[name].depends_on]
    while todo:
        one = todo.pop()
        if one not in found and one in model.services:
            found.add(one)
            todo += [on.service for on in model.services[one].depends_on]
    return found


def _number(container: str) -> tuple[int, str]:
    """Sorts ``web-9`` before ``web-10``."""
    tail = container.rpartition("-")[2]
    return (int(tail) if tail.isdigit() else 0, container)
