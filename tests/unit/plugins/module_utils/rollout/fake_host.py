# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for the engine: a Docker, a Compose and an edge that are Python objects, and a real release store.

Compose's ways are kept where the engine leans on them: ``--scale N --no-recreate`` counts whatever containers of the
service there are, makes the missing ones with the numbers after the highest, and would remove running ones if N were
smaller; ``up --detach`` makes a replacement, stops and removes the old one, and renames. All that changes the host
stands in ``events``, in order.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

from fake_time import NEVER, Killed, Schedule

from ansible_collections.landfall.stack.plugins.module_utils.clients.files import StackDir
from ansible_collections.landfall.stack.plugins.module_utils.clients.host import undo_cut_short
from ansible_collections.landfall.stack.plugins.module_utils.compose.envfile import parse_env
from ansible_collections.landfall.stack.plugins.module_utils.compose.model import build_model
from ansible_collections.landfall.stack.plugins.module_utils.rollout.anew import request as request_anew
from ansible_collections.landfall.stack.plugins.module_utils.rollout.deploy import Deployment
from ansible_collections.landfall.stack.plugins.module_utils.rollout.effects import Effects
from ansible_collections.landfall.stack.plugins.module_utils.rollout.errors import Interrupted
from ansible_collections.landfall.stack.plugins.module_utils.rollout.health import observe
from ansible_collections.landfall.stack.plugins.module_utils.rollout.request import Request, Secret
from ansible_collections.landfall.stack.plugins.module_utils.rollout.rollback import Rollback

STACK = "toy"
#: What Compose's hash of a service leaves out.
NOT_HASHED = {"x-landfall", "deploy", "scale", "depends_on", "pull_policy", "build", "profiles"}
#: Seconds until a container's healthcheck passes.
READY = 1.0
HEALTHY, UNHEALTHY, STARTING, CRASH = "healthy", "unhealthy", "starting", "crash"


class ToolError(Exception):
    """What a client raises."""

    stderr = ""


@dataclass
class Container:
    """One container; what it does in time follows from ``started`` and ``fate``."""

    name: str
    id: str
    service: str
    image: str
    config_hash: str
    pid: int
    count: int
    networks: dict[str, list[str]]
    address: str
    restart: str
    checked: bool = True
    oneoff: bool = False
    fate: str = HEALTHY
    status: str = "created"
    started: float = 0.0
    stops_at: float = NEVER
    code: int = 0
    born: int = 0
    argv: tuple[str, ...] = ()
    labels: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)

    def at(self, now):
        """Let it come to what it is at a time."""
        if self.status == "running" and self.fate == CRASH and now - self.started >= 0.5:
            self.status, self.code = "exited", 3
        if self.status == "running" and now >= self.stops_at:
            self.status = "exited"
        return self

    def health(self, now):
        """What Docker's healthcheck says."""
        if not self.checked or self.status != "running":
            return ""
        return self.fate if now - self.started >= READY else STARTING

    def well(self, now):
        """Whether it would answer requests."""
        return self.status == "running" and self.fate == HEALTHY and (not self.checked or now - self.started >= READY)

    def inspect(self, now):
        """As `docker inspect` shows it."""
        labels = {
            **self.labels,
            "com.docker.compose.service": self.service,
            "com.docker.compose.config-hash": self.config_hash,
        }
        state = {"Status": self.at(now).status, "ExitCode": self.code, "Pid": self.pid}
        if self.status != "created":
            state["StartedAt"] = str(self.started)
        if self.checked:
            state["Health"] = {"Status": self.health(now), "Log": [{"ExitCode": 1, "Output": "nope"}]}
        address = self.address if self.status == "running" else ""
        return {
            "Name": f"/{self.name}",
            "Id": self.id,
            "Created": f"{self.born:08}",
            "Image": self.image,
            "Config": {
                "Labels": labels,
                **({"Healthcheck": {"Test": ["CMD", "check"]}} if self.checked else {}),
            },
            "State": state,
            "NetworkSettings": {
                "Networks": {
                    key: {"IPAddress": address, "Aliases": [self.name, *names, self.id[:12]]}
                    for key, names in self.networks.items()
                }
            },
            "HostConfig": {"RestartPolicy": {"Name": self.restart}},
        }


class World:
    """The host.

    :ivar fates: image → what becomes of containers started from it
    :ivar fuse: the process is killed before the so-manieth change from now on
    :ivar signal: the same for the operator's interrupt
    :ivar light: (step, fuse): the fuse is lit when this step is written to the journal
    :ivar faults: what must never happen and did
    """

    def __init__(self, root):
        self.schedule = Schedule()
        self.store = StackDir(str(root / "stacks"), STACK)
        self.there: dict[str, Container] = {}
        self.images = {"app:1", "app:2", "app:3", "job:1", "redis:1", "redis:2"}
        self.local: dict[str, str] = {}
        self.fates: dict[str, str] = {}
        self.unchecked: set[str] = set()
        self.moves: dict[str, dict] = {}
        self.listens = {8080}
        self.busy: dict[str, float] = {}
        self.hook_codes: dict[str, int] = {}
        self.hook_takes = 1.0
        self.hook_stuck = False
        self.lingers = 20.0
        self.refuse = ""
        self.refuse_switch = False
        self.refuse_routes = ""
        self.unbuildable: set[str] = set()
        self.answers = lambda _since: []
        self.routes = ""
        self.relay_upstreams: dict[str, tuple[str, ...]] = {}
        self.relay_names: dict[str, str] = {}
        self.events: list[tuple] = []
        self.faults: list[str] = []
        self.fuse: int | None = None
        self.light: tuple[str, int] | None = None
        self.signal: int | None = None
        self.kills = 0
        self.late = False
        self.days = 0
        self.made = 0
        self.traffic = Traffic(self)

    # --- time, and the end of it

    def now(self):
        self.days += 1
        return f"2026-11-21T{self.days // 3600:02}:{self.days // 60 % 60:02}:{self.days % 60:02}Z"

    @property
    def clock(self):
        return self.schedule.now

    def change(self, *event):
        """Something is about to be changed: it is written down, unless the process dies right before."""
        self.schedule.check()
        if self.light is not None and event[:2] == ("step", self.light[0]):
            self.fuse, self.light = self.light[1], None
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                self.kills += 1
                self.schedule.die()
        if self.signal is not None and not self.late and self.schedule.current is self.schedule.main:
            # A signal arrives in the first thread.
            self.signal -= 1
            if self.signal < 0:
                self.signal = None
                raise Interrupted("SIGTERM")
        self.events.append(event)

    def fault(self, text):
        self.faults.append(f"{text} (after {self.events[-6:]})")

    def killed(self, point, run):
        """Run, and kill it before its so-manieth change. False: it came to its end before that."""
        self.fuse = point
        try:
            run()
        except Killed:
            return True
        finally:
            self.fuse = None
        return False

    # --- what the tests ask

    def of(self, service, status=None):
        """Names of a service's containers, the oldest first."""
        return [
            one.name
            for one in sorted(self.there.values(), key=lambda one: one.born)
            if one.service == service and not one.oneoff and status in (None, one.at(self.clock).status)
        ]

    def names(self):
        return sorted(self.there)

    def routed(self, service="web"):
        """Container names the edge's routes lead to."""
        found = [route for route in json.loads(self.routes)["routes"] if route["service"] == service]
        return found[0]["upstreams"]

    def resolve(self, name):
        """Who answers when a container of the stack asks Docker's DNS for a name."""
        found = ["relay"] if name in self.relay_names else []
        for one in self.there.values():
            if one.at(self.clock).status == "running" and any(name in names for names in one.networks.values()):
                found.append(one.name)
        return found

    def happened(self, *kinds):
        """The events of these kinds, in order."""
        return [event for event in self.events if event[0] in kinds]

    def index(self, *event):
        """Where an event stands; the last one when it happened twice."""
        return len(self.events) - 1 - self.events[::-1].index(event)

    def outcomes(self):
        return [one.outcome for one in self.store.releases()]

    # --- docker: looking

    def available(self):
        return None

    def find(self, key):
        return next((one for one in self.there.values() if key in (one.name, one.id)), None)

    def must(self, key):
        one = self.find(key)
        if one is None:
            raise ToolError(f"No such container: {key}")
        return one

    def containers(self, _project):
        return [one.inspect(self.clock) for one in self.there.values() if not one.oneoff]

    def hooks(self, _project):
        return [one.inspect(self.clock) for one in self.there.values() if one.oneoff]

    def inspect(self, ids):
        return [one.inspect(self.clock) for key in ids if (one := self.find(key))]

    def image(self, ref):
        return {"Id": self.local[ref], "RepoDigests": []} if ref in self.local else None

    def logs(self, _container, _tail):
        return ["it said hunter2-secret"]

    # --- docker: doing

    def pull(self, ref):
        if ref not in self.images:
            raise ToolError("manifest unknown")
        self.local[ref] = "sha256:" + hashlib.sha256(ref.encode()).hexdigest()

    def tag(self, source, target):
        self.local[target] = source

    def remove_image(self, ref):
        return bool(self.local.pop(ref, ""))

    def start(self, name):
        one = self.must(name)
        self.change("start", one.name)
        if one.status != "running":
            refs = [ref for ref, known in self.local.items() if known == one.image]
            one.fate = next((self.fates[ref] for ref in refs if ref in self.fates), HEALTHY)
            one.status, one.started, one.code = "running", self.clock, 0
            if one.oneoff:
                one.stops_at = self.clock + self.hook_takes

    def stop_one(self, key, _grace):
        one = self.find(key)
        if one is not None and one.at(self.clock).status == "running":
            self.change("stop", one.name)
            if one.name in self.serving():
                self.fault(f"{one.name} is stopped while requests go to it")
            one.status, one.code = "exited", 143

    def serving(self):
        """Containers that the edge or the relay sends requests to."""
        routes = json.loads(self.routes)["routes"] if self.routes.startswith("{") else []
        found = {name for route in routes for name in route["upstreams"]}
        return found | {name for names in self.relay_upstreams.values() for name in names}

    def remove_one(self, key, force=False):
        one = self.find(key)
        if one is not None:
            if one.at(self.clock).status == "running" and not force:
                raise ToolError(f"container {one.name} is running: stop it first")
            self.change("remove", one.name)
            del self.there[one.name]

    def stop(self, keys):
        # Only a first deployment that failed is stopped as a whole.
        for key in list(keys):
            self.change("stop all", self.must(key).name)
            self.must(key).status = "exited"

    def remove(self, keys):
        for key in keys:
            self.remove_one(key)

    def rename_on(self, network, key, endpoint, aliases):
        one = self.must(key)
        self.change("rename", one.name)
        if one.status != "created":
            self.fault(f"{one.name} is taken from network {network} while it is {one.status}")
        assert endpoint["Aliases"]
        one.networks[network] = [name for name in aliases if name != one.name]

    def execute(self, key, argv, timeout):
        one = self.must(key)
        self.change("exec", one.name, " ".join(argv))
        return self.hook_codes.get(" ".join(argv), 0), "said"

    def restarts_off(self, key):
        self.change("restarts off", self.must(key).name)
        self.must(key).restart = "no"

    def leave(self, key, _grace):
        one = self.must(key)
        self.change("leave", one.name)
        if one.name in self.serving():
            self.fault(f"{one.name} is told to end while requests go to it")
        one.stops_at = self.clock + self.lingers

    # --- the gates' world

    def look(self, names):
        return [observe(one) for one in self.inspect(names)]

    def check(self, one):
        return self.must(one.id).well(self.clock), "checked"

    def connects(self, addresses, port):
        return any(one.address in addresses and one.status == "running" for one in self.there.values()) and (
            port in self.listens
        )

    def http_status(self, addresses, port, host, path):
        return 200 if self.connects(addresses, port) else None

    def proc_net(self, pid):
        lines = ["header"] + [f"0: 00000000:{port:04X} 0:0 0A" for port in sorted(self.listens)]
        one = next((one for one in self.there.values() if one.pid == pid), None)
        if one is not None and self.clock < self.busy.get(one.name, 0.0):
            lines += [f"1: 0100000A:{port:04X} 0200000A:9999 01" for port in sorted(self.listens)]
        return "\n".join(lines) + "\n"

    def monotonic(self):
        return self.schedule.now

    def sleep(self, seconds):
        self.schedule.sleep(seconds)

    # --- compose

    def compose(self, directory, files, env_files, profiles, _bound):
        return Project(self, directory, files, env_files)

    def make(self, service, raw, image, config_hash, number, name="", **more):
        self.made += 1
        image_id = self.local.get(image) or self.local.get(image.partition("@")[0])
        if image_id is None:
            raise ToolError(f"No such image: {image}")
        one = Container(
            name=name or f"{STACK}-{service}-{number}",
            id=hashlib.sha256(str(self.made).encode()).hexdigest(),
            service=service,
            image=image_id,
            config_hash=config_hash,
            pid=self.made,
            count=number,
            labels=dict(raw.get("labels") or {}),
            environment=dict(raw.get("environment") or {}),
            networks={
                f"{STACK}_{key}": [service, *((entry or {}).get("aliases") or ())]
                for key, entry in raw["networks"].items()
            },
            address=f"10.0.{self.made // 250}.{self.made % 250 + 1}",
            restart=raw.get("restart", "unless-stopped"),
            checked=service not in self.unchecked,
            born=self.made,
            **more,
        )
        if one.name in self.there:
            raise ToolError(f"Conflict. The container name {one.name} is already in use")
        self.there[one.name] = one
        return one

    # --- the whole

    def effects(self):
        return Effects(
            store=self.store,
            docker=self,
            compose=self.compose,
            model=lambda config, _directory, _files: build_model(config, STACK),
            world=self,
            traffic=self.traffic,
            now=self.now,
            time=self.schedule.time,
            monotonic=self.monotonic,
            sleep=self.sleep,
            token=lambda count: "t" * count,
            move=lambda stack: self.moves.get(stack, {}),
            leave=self.leave,
            uninterrupted=lambda: setattr(self, "late", True),
            errors=(ToolError,),
        )

    def _logged(self):
        """The same; each step of the journal is a change, too."""
        log = self.store.log

        def logged(entry):
            log(entry)
            self.change("step", entry.step, entry.detail)

        store = type("Store", (), {"__getattr__": lambda _self, name: getattr(self.store, name)})()
        store.log = logged
        return replace(self.effects(), store=store)

    def deploy(self, **changes):
        """What the module does with ``state: deployed``; None when there was nothing to do."""
        try:
            deployment = Deployment(request(**changes), self._logged())
            self.store.prepare()
            decision = deployment.decide(self.store.key(), True)
            with self.store.lock("me", "now", 1.0):
                if decision.changed:
                    return deployment.apply(decision)
                deployment.tidy(decision)
                return None
        finally:
            self.schedule.end()

    def back(self, to=""):
        """What the module does with ``state: rolled_back``."""
        try:
            rollback = Rollback(Request(stack=STACK, files={}, compose_files=()), self._logged())
            with self.store.lock("me", "now", 1.0):
                return rollback.bring_back(*rollback.choose(to))
        finally:
            self.schedule.end()

    def rotate(self, *steps):
        """What the module rotation does; None when there was nothing to do."""
        try:
            rollback = Rollback(Request(stack=STACK, files={}, compose_files=()), self._logged())
            with self.store.lock("me", "now", 1.0):
                undo_cut_short(rollback)
                asked = request_anew(self.store, rollback.run.good(), list(steps), self.now(), who="me@here")
                if asked is None:
                    return None
                deployment = Deployment(asked, self._logged())
                return deployment.apply(deployment.decide(self.store.key(), True))
        finally:
            self.schedule.end()


class Traffic:
    """The edge and the relay."""

    def __init__(self, world):
        self.world = world

    def check(self, text, relay):
        json.loads(text)
        if self.world.refuse_routes:
            raise ToolError(self.world.refuse_routes)

    def read_routes(self):
        return self.world.routes

    def prepare(self, relay):
        wanted = {name: target.service for network in relay.networks for target in network.targets
                  for name in target.names}  # fmt: skip
        if wanted == self.world.relay_names:
            return False
        self.world.change("relay names", tuple(sorted(wanted)))
        self.world.relay_names = wanted
        return True

    def switch(self, text, relay, force=False):
        world = self.world
        routes = json.loads(text)["routes"] if text else []
        upstreams = {route["service"]: tuple(route["upstreams"]) for route in routes}
        relayed = {one.service: one.upstreams for network in relay.networks for one in network.targets}
        weights = {route["service"]: dict(route["weights"]) for route in routes if route.get("weights")}
        world.change("switch", {**relayed, **upstreams}, weights)
        if world.refuse_switch:
            world.refuse_switch = False
            raise ToolError("nginx refuses the configuration")
        for name in sorted({name for them in (*upstreams.values(), *relayed.values()) for name in them}):
            if name not in world.there or not world.there[name].at(world.clock).well(world.clock):
                world.fault(f"requests are sent to {name}, which is not well")
        world.routes, world.relay_upstreams = text, relayed
        return SimpleNamespace(edge="g", relay="g" if relayed else "", seconds=0.0, parts={}, changed=True)

    def requests(self, since):
        return [one for one in self.world.answers(since) if one.time >= since]

    def settled(self, since):
        return self.world.clock - since >= 0.1


class Project:
    """`docker compose` for one release's directory."""

    def __init__(self, world, directory, files, env_files):
        self.world, self.directory, self.files, self.env_files = world, directory, files, env_files

    def config(self):
        if self.world.refuse:
            raise ToolError(self.world.refuse)
        return self._read()

    def _read(self):
        env = {}
        for path in self.env_files:
            env.update(parse_env(read(path)))
        document = {}
        for path in self.files:
            text = "\n".join(line for line in read(path).splitlines() if not line.startswith("#"))
            merge(document, json.loads(re.sub(r"\$\{(\w+)\}", lambda match: env.get(match[1], ""), text)))
        for raw in document["services"].values():
            raw["networks"] = raw.get("networks") or {"default": None}
        keys = {key for raw in document["services"].values() for key in raw["networks"]}
        said = document.get("networks") or {}
        document["networks"] = {key: {"name": f"{STACK}_{key}", **(said.get(key) or {})} for key in sorted(keys)}
        return document

    def run(self, *args):
        if args[0] == "run":
            return self._run_once(args)
        if args[0] == "build":
            return self._build(args[1:])
        assert args[0] == "up" and "--no-build" in args
        scales, services = self._split(args[1:])
        if "--no-start" in args:
            assert "--no-recreate" in args and "--no-deps" not in args
            return self._create(scales, services or sorted(self.config()["services"]))
        # Without --no-deps Compose would start what the service depends on, new containers among it.
        assert {"--detach", "--no-deps"} <= set(args) and services
        return self._replace(services)

    @staticmethod
    def _split(args):
        scales, services, rest = {}, [], list(args)
        while rest:
            word = rest.pop(0)
            if word == "--scale":
                name, _, count = rest.pop(0).partition("=")
                scales[name] = int(count)
            elif not word.startswith("--"):
                services.append(word)
        return scales, services

    def _mine(self, service):
        return sorted(
            (one for one in self.world.there.values() if one.service == service and not one.oneoff),
            key=lambda one: one.count,
        )

    def _fresh(self, service, raw):
        number = max((one.count for one in self._mine(service)), default=0) + 1
        self.world.change("create", service, number)
        name = raw.get("container_name", "")
        return self.world.make(service, raw, raw["image"], hash_of(raw), number, name)

    def _create(self, scales, services):
        for service in services:
            raw = self.config()["services"][service]
            there = self._mine(service)
            count = scales.get(service, replicas(raw))
            if len(there) > count:
                self.world.fault(f"Compose is told to remove containers: {count} of {len(there)} {service}")
            for _each in range(count - len(there)):
                self._fresh(service, raw)
        return ""

    def _replace(self, services):
        world = self.world
        for service in services:
            raw = self.config()["services"][service]
            wanted = hash_of(raw)
            count = replicas(raw)
            mine = self._mine(service)
            stuck = [one.name for one in mine if re.match(r"^[0-9a-f]{12}_", one.name)]
            assert not stuck, f"Compose stumbles over {stuck}"
            for one in mine[count:]:
                world.change("compose stops", one.name)
                del world.there[one.name]
            for one in mine[:count]:
                if one.config_hash != wanted:
                    self._swap(one, raw, wanted)
                elif one.at(world.clock).status != "running":
                    world.start(one.name)
            while len(self._mine(service)) < count:
                world.start(self._fresh(service, raw).name)
            for one in self._mine(service):
                if service in JOBS:
                    one.stops_at = min(one.stops_at, one.started + 1.0)
        return ""

    def _swap(self, old, raw, wanted):
        world = self.world
        world.change("compose makes", old.name)
        number = old.count
        fresh = world.make(old.service, raw, raw["image"], wanted, number, f"{old.id[:12]}_{old.name}")
        world.change("compose stops", old.name)
        old.status, old.code = "exited", 143
        world.change("compose removes", old.name)
        del world.there[old.name]
        world.change("compose renames", old.name)
        del world.there[fresh.name]
        fresh.name = old.name
        world.there[old.name] = fresh
        world.start(fresh.name)

    def _build(self, services):
        for service in services:
            self.world.change("build", service)
            if service in self.world.unbuildable:
                raise ToolError(f"target {service}: exit code 1")
            ref = self.config()["services"][service]["image"]
            self.world.local[ref] = "sha256:" + hashlib.sha256(f"built {ref}".encode()).hexdigest()
        return ""

    def _run_once(self, args):
        name, service = args[args.index("--name") + 1 : args.index("--name") + 3]
        argv = args[args.index("--name") + 3 :]
        world = self.world
        world.change("hook", name, " ".join(argv))
        raw = self.config()["services"][service]
        one = world.make(service, raw, raw["image"], "", 0, name, oneoff=True, argv=argv)
        one.code = world.hook_codes.get(" ".join(argv), 0)
        if not world.hook_stuck:
            one.status, one.started, one.stops_at = "running", world.clock, world.clock + world.hook_takes
        return ""


def read(path):
    """The text of a file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def hash_of(raw):
    """Compose's hash of a service."""
    hashed = {key: raw[key] for key in raw if key not in NOT_HASHED}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def replicas(raw):
    """How many containers Compose makes of a service when it is not told."""
    return int((raw.get("deploy") or {}).get("replicas", 1))


#: Services that run to their end.
JOBS = {"job"}


def merge(into, document):
    """As Compose merges files, as far as the overlay goes."""
    for key, value in document.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        elif value or key not in into:
            into[key] = value


def service(image="app:1", replicas=1, path="", rollout=None, hooks=None, **more):
    """One service of a Compose file; ``path`` gives it a route to port 8080."""
    extra = {}
    if path:
        extra["route"] = {"path": path, "port": more.pop("port", 8080)}
    if rollout:
        extra["rollout"] = rollout
    if hooks:
        extra["hooks"] = hooks
    return {"image": image, "deploy": {"replicas": replicas}, **({"x-landfall": extra} if extra else {}), **more}


def after(*services, condition="service_healthy"):
    """``depends_on`` for a service."""
    return {name: {"condition": condition} for name in services}


def stack_file(**services):
    """A whole Compose file."""
    return json.dumps({"x-landfall": {"domains": ["toy.localhost"]}, "services": services}).encode()


def compose_file(image="app:1", port=8080, **services):
    """The file of the ordinary tests: one routed service ``web``."""
    return stack_file(web=service(image, path="/", port=port, environment={"A": "${A}"}), **services)


def request(image="app:1", port=8080, env=None, secrets=None, **changes):
    """What the operator asks for."""
    default = (Secret("KEY", None, 48, True), Secret("token", "hunter2-secret"))
    return Request(
        stack=STACK,
        files={"compose.yaml": changes.pop("compose", None) or compose_file(image, port)},
        compose_files=("compose.yaml",),
        env=env or {},
        secrets=default if secrets is None else secrets,
        who="me@here",
        **changes,
    )


def assert_settled(world, image="app:1", **counts):
    """Exactly these services with so many well containers of the image each, and nothing else at all."""
    for name, count in counts.items():
        mine = [world.there[one] for one in world.of(name)]
        assert len(mine) == count, f"{name}: {[one.name for one in mine]}"
        assert all(one.at(world.clock).status == "running" for one in mine), f"{name}: {mine}"
        assert {one.image for one in mine} <= {world.local[image]}, f"{name}: {mine}"
    extra = [one for one in world.there.values() if one.service not in counts]
    extra += [one for one in world.there.values() if one.oneoff]
    assert not extra, [one.name for one in extra]
    for route in json.loads(world.routes)["routes"]:
        assert route["upstreams"] == sorted(world.of(route["service"])), route
        assert not route.get("weights")
    assert "pending" not in world.outcomes()
    assert not world.faults, world.faults


def release_files(world):
    """What stands in the directory of releases."""
    return sorted(os.listdir(world.store.releases_dir))
