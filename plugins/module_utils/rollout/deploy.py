# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of a deployment: takes the plan's steps one by one, journal first, and undoes what fails.

It decides nothing about Docker's ways: clients are handed in (:class:`Effects`), judgements come from
:mod:`.health`, :mod:`.plan` and :mod:`.store`.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Protocol

from ..compose.envfile import parse_env
from ..compose.overlay import overlay
from ..compose.stack import Stack
from ..migration.move_state import side
from ..relay.spec import RelaySpec
from . import envfile, final, health, hooks, journal, plan, planner, release, rotated, rotation, store
from .changes import CONFIG_LABEL
from .executor import Interrupted, Options, Rollout, RolloutFailed
from .plan import Refused
from .release import Content, Release
from .strategy import strategies
from .target import Target, target

OVERLAY = "compose.landfall.yaml"
#: Names the release directory keeps for itself.
RESERVED = frozenset(
    {
        OVERLAY,
        "env",
        "env.user",
        "digests.json",
        "routes.json",
        "release.json",
        "evidence.json",
        "config.json",
        "report.json",
    }
)
LOG_LINES = 40


#: What Compose prints while it works.
_NOISE = re.compile(r"^\s*(time=|#\d+ |(Container|Network|Volume|Image) \S+\s+[A-Z][a-z]+\s*$)")


class DeployFailed(Exception):
    """A deployment failed; ``result`` is what a report needs (release, step, evidence path, rolled_back_to)."""

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        self.result = result
        super().__init__(message)


@dataclass(frozen=True)
class Secret:
    """One secret. ``env``: a variable too. ``owner``: its uid.

    ``value`` None: kept once it is there, and until then made up of ``nbytes``, or empty with 0 (a second key).
    """

    name: str
    value: str | None = field(repr=False)
    nbytes: int = 48
    env: bool = False
    owner: int = 0


@dataclass(frozen=True)
class Anew:
    """The current release, made anew with other values of some secrets.

    :param of: its id
    :param why: for the record
    :param rotation: where each rotated secret stands then, see release.Release
    """

    of: str
    why: str
    rotation: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Request:
    """What the operator asked for."""

    stack: str
    files: Mapping[str, bytes]
    compose_files: tuple[str, ...]
    executable: frozenset[str] = frozenset()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    env_file: str = field(default="", repr=False)
    secrets: tuple[Secret, ...] = ()
    version: str = ""
    profiles: tuple[str, ...] = ()
    pull: str = "missing"
    build: bool = False
    deadline: float = 120.0
    keep: int | None = None
    who: str = ""
    commit: str = ""
    migrate: bool = True
    anew: Anew | None = None


class ComposeProject(Protocol):
    """What the engine needs of clients.compose.ComposeCli."""

    def config(self) -> dict[str, Any]: ...

    def run(self, *args: str) -> str: ...


@dataclass(frozen=True)
class Effects:
    """The outside world, handed in.

    :param world: what the gates ask, see gates.World
    :param traffic: the edge and the stack's relay, see clients.traffic
    :param time: seconds since the epoch
    :param leave: (container, grace in seconds) tells a container to end without waiting for it
    :param uninterrupted: from now on the operator's interrupt is too late
    :param compose: (directory, files, env_files, profiles, seconds or None) → the project there
    :param model: (config, directory, files) → the validated model; raises Refused
    :param token: randomness in bytes → printable secret
    :param move: stack → the state of the move of its data to PostgreSQL, {} without one
    :param errors: what the clients raise when a tool fails
    """

    store: Any
    docker: Any
    compose: Callable[[str, Sequence[str], Sequence[str], Sequence[str], float | None], ComposeProject]
    model: Callable[[Mapping[str, Any], str, Sequence[str]], Stack]
    world: Any
    traffic: Any
    now: Callable[[], str]
    time: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    token: Callable[[int], str]
    move: Callable[[str], Mapping[str, Any]]
    leave: Callable[[str, float | None], None]
    uninterrupted: Callable[[], None]
    errors: tuple[type[Exception], ...]


@dataclass(frozen=True)
class Decision:
    """Whether there is anything to do, and why; computed without changing anything."""

    changed: bool
    why: str
    digest: str
    current: Release | None
    content: Content
    values: Mapping[str, str] = field(repr=False)
    env_digests: Mapping[str, str] = field(default_factory=dict)
    secret_digests: Mapping[str, str] = field(default_factory=dict)
    generated: tuple[str, ...] = ()
    rotation: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def because(self, why: str) -> Decision:
        """The same, with a reason to act after all."""
        return replace(self, changed=True, why=why)

    @property
    def env_changes(self) -> dict[str, list[str]]:
        """Names of variables added, changed and removed against the current release."""
        return release.changed_keys(self.current.env_digests if self.current else {}, self.env_digests)


class Deployment:
    """One run of one stack. Call :meth:`decide`, then :meth:`apply` with the lock held."""

    def __init__(self, request: Request, effects: Effects) -> None:
        self.request = request
        self.fx = effects
        self.store = effects.store
        self.steps: list[str] = []
        self.warnings: list[str] = []
        self.plan_lines: list[str] = []
        self.halfway = False
        self.began = effects.monotonic()
        self._journal = threading.Lock()
        self._redact: list[str] = []

    # --- deciding

    def decide(self, key: bytes, docker_ready: bool) -> Decision:
        """Compare what is asked with what is there. Reads only."""
        req, store_ = self.request, self.store
        content, values, generated = self._content(key)
        anew = req.anew
        state = rotated.state(store_, self.good(), self._rotated(key)) if anew is None else dict(anew.rotation)
        digest = release.content_digest(content, key)
        env_digests = {name: release.keyed(key, value)[:16] for name, value in content.env.items()}
        from_file = release.keyed(key, req.env_file)[:16]
        env_digests = {**dict.fromkeys(envfile.names(req.env_file), from_file), **env_digests}
        releases = store_.releases()
        current = next((r for r in releases if r.id == store_.current()), None)

        def decision(why: str) -> Decision:
            return Decision(
                bool(why),
                why,
                digest,
                current,
                content,
                values,
                env_digests,
                content.secrets,
                tuple(generated),
                state,
            )

        if req.anew is not None:
            return decision(req.anew.why)
        if store.recover(releases, digest).resume:
            return decision("resumes a run that was interrupted")
        if current is None or current.outcome != release.SEALED:
            first = store.last_good(releases) is None
            return decision("first release" if first else "the current release is not sealed")
        if current.digest != digest:
            return decision("the content changed")
        if not docker_ready:
            return decision("Docker does not answer on this host")
        seen = self._observe()
        differs = health.drift(current.observed, seen)
        if not differs and self._routes_of(current.id) != self.fx.traffic.read_routes():
            differs = ["its routes file is not as written"]
        return decision("repair: " + "; ".join(differs) if differs else "")

    def _content(self, key: bytes) -> tuple[Content, dict[str, str], list[str]]:
        """The content asked for, the values of the secrets, and which of them are made up."""
        req = self.request
        values, generated = self._secret_values(key)
        self._redact = sorted((value for value in values.values() if len(value) >= 6), key=len, reverse=True)
        variables = {one.name: values[one.name] for one in req.secrets if one.env}
        clash = sorted(set(variables) & set(req.env))
        if clash:
            raise Refused(f"{', '.join(clash)}: given in env and in secrets; keep it in secrets")
        taken = sorted(RESERVED & {path.split("/")[0] for path in req.files})
        if taken:
            raise Refused(f"{', '.join(taken)}: the release directory keeps this name for itself; rename the file")
        env = {**req.env, **variables, "LANDFALL_SECRETS": self.store.secrets_dir}
        version = req.version or self._running_version()
        if version:
            env.setdefault("VERSION", version)
        digests = {name: release.keyed(key, value) for name, value in values.items()}
        content = Content(
            req.files, req.compose_files, env, req.env_file, digests, version, req.profiles, req.executable
        )
        return content, values, generated

    def _running_version(self) -> str:
        """The version that runs: a run that names none must not take it back."""
        current = self.store.current()
        return next((one.version for one in self.store.releases() if one.id == current), "")

    def moved_images(self, current: Release) -> list[str]:
        """With ``pull: always``: pull again and name the images that changed since the release was sealed."""
        moved = []
        for service, entry in sorted(self.store.images(current.id).items()):
            if entry.get("action") == "pull":
                try:
                    self.fx.docker.pull(entry["image"])
                except self.fx.errors as problem:
                    raise Refused(self._no_image(service, entry["image"], problem)) from problem
                info = self.fx.docker.image(entry["image"]) or {}
                if info.get("Id") != entry.get("id"):
                    moved.append(f"{service}: {entry['image']}")
        return moved

    def _secret_values(self, key: bytes) -> tuple[dict[str, str], list[str]]:
        values: dict[str, str] = {}
        generated: list[str] = []
        kept_by_rotation = self._rotated(key)
        for secret in self.request.secrets:
            if not secret.name or "/" in secret.name or secret.name.startswith("."):
                raise Refused(f"secret name {secret.name!r}: use letters, digits, '_', '-' and '.', no '/'")
            if secret.name in kept_by_rotation:
                values[secret.name] = kept_by_rotation[secret.name]
                continue
            if secret.value is not None:
                values[secret.name] = secret.value
                continue
            kept = self.store.secret(secret.name)
            if kept is None:
                if secret.nbytes:
                    generated.append(secret.name)
                kept = self.fx.token(secret.nbytes) if secret.nbytes else ""
            values[secret.name] = kept
        return values, generated

    def _rotated(self, key: bytes) -> dict[str, str]:
        """The values that rotations made; none for a rotation itself, which brings its own."""
        if self.request.anew is not None:
            return {}
        given = {one.name: one.value for one in self.request.secrets if one.value is not None}
        found = rotated.values(self.store, self.good(), given, key)
        return {one.name: found[one.name] for one in self.request.secrets if one.name in found}

    def _routes_of(self, rid: str) -> str:
        try:
            text: str = self.store.read(rid, "routes.json")
            return text
        except OSError:
            return ""

    # --- applying

    def apply(self, decision: Decision) -> dict[str, Any]:
        """Carry the release out. :raises Refused: nothing was changed. :raises DeployFailed: undone where possible."""
        with self._not_begun():
            recovery = self.recover(decision)
            releases = self.store.releases()
            previous = self._standing(releases)
            # A killed run may have replaced some services already: then "nothing was changed" would not be true.
            self.halfway = bool(recovery.resume or recovery.abandon)
            if recovery.resume:
                record = next(one for one in releases if one.id == recovery.resume)
                was = journal.last_step(self.store.journal(), record.id)
                record = replace(record, why=f"{record.why}; resumed after an interruption at '{was}'")
                self.store.save(record)
                directory = self.store.release_path(record.id)
                config, model = self._read(record, directory)
            else:
                record, config, model, directory = self._write_release(decision)
        rollout: Rollout | None = None
        try:
            images = self._images(record, model, previous)
            self._ready(decision, record, config, model, directory, images)
            options = Options(migrate=self.request.migrate)
            rollout, target = self._planned(record, config, model, options, previous)
            self._check_traffic(record, rollout)
            rollout.run()
            return self._seal(decision, record, previous, rollout, target, images)
        except (RolloutFailed, Interrupted, *self.fx.errors) as problem:  # type: ignore[misc]
            raise self._failed(record, previous, self._failure(problem), rollout) from problem

    @contextmanager
    def _not_begun(self) -> Iterator[None]:
        """An interrupt before the first container is touched needs no way back."""
        try:
            yield
        except Interrupted as problem:
            raise Refused(
                f"stack {self.request.stack}: interrupted ({problem}) before anything that runs was touched"
            ) from problem

    def good(self) -> Release | None:
        """The current release when it is good, else the last good one; None when there is none."""
        return self._standing(self.store.releases())

    def _standing(self, releases: Sequence[Release]) -> Release | None:
        """The release to go back to: the current one when it is good, else the last good one."""
        current = self.store.current()
        sealed = next((one for one in releases if one.id == current and one.outcome == release.SEALED), None)
        return sealed or store.last_good(releases)

    def _failure(self, problem: BaseException) -> RolloutFailed:
        if isinstance(problem, RolloutFailed):
            return problem
        if isinstance(problem, Interrupted):
            return RolloutFailed(f"interrupted ({problem})")
        return RolloutFailed(self._clean(problem))

    def interrupted(self) -> bool:
        """Whether a killed run left a release that is neither sealed nor failed."""
        return any(one.outcome == release.PENDING for one in self.store.releases())

    def untidy(self) -> bool:
        """Whether a killed run left something for :meth:`tidy`; asked when there is nothing else to do."""
        return self.interrupted() or bool(self._ended_hooks())

    def tidy(self, decision: Decision) -> None:
        """Clear what a killed run left, when there is nothing else to do. Needs the lock."""
        self.recover(decision)
        self._tidy_hooks()

    def recover(self, decision: Decision) -> store.Recovery:
        """Tidy up after killed runs; the release to resume stays pending. Needs the lock."""
        self.store.sweep()
        releases = self.store.releases()
        recovery = store.recover(releases, decision.digest)
        for one in releases:
            if one.id in recovery.abandon:
                self.store.save(one.finish(release.ABANDONED, self.fx.now()))
        return recovery

    def _ready(
        self,
        decision: Decision,
        record: Release,
        config: Mapping[str, Any],
        model: Stack,
        directory: str,
        images: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Everything that must stand before the first container is made; nothing that runs is touched."""
        self._overlay(record, model, self._extra(decision, config, model, directory),
                      {name: entry["pinned"] for name, entry in images.items()})  # fmt: skip
        self._step(record, "secrets")
        for secret in self.request.secrets:
            digest = decision.secret_digests[secret.name]
            self.store.write_secret(secret.name, decision.values[secret.name], secret.owner, digest)
        self.store.write_rotation(decision.rotation)

    def _extra(
        self, decision: Decision, config: Mapping[str, Any], model: Stack, directory: str
    ) -> dict[str, dict[str, Any]]:
        # A published release still speaks of the paths it was staged under.
        return self._additions(model, config, directory, frozenset(self.request.files), decision.secret_digests)

    def _additions(
        self,
        model: Stack,
        config: Mapping[str, Any],
        directory: str,
        shipped: frozenset[str],
        digests: Mapping[str, str],
    ) -> dict[str, dict[str, Any]]:
        return plan.additions(model, config, directory, shipped, self.store.data_dir, self.store.secrets_dir, digests)

    def _planned(
        self,
        record: Release,
        config: Mapping[str, Any],
        model: Stack,
        options: Options,
        previous: Release | None,
        back: bool = False,
        told: Collection[str] = (),
    ) -> tuple[Rollout, Target]:
        """The release on the disk against what runs.

        :param back: the way back, dependents first
        :param told: ids of containers that the run before it told to end
        """
        directory = self.store.release_path(record.id)
        aim = self._target(record, directory, config, model, self._comparable(previous))
        if not back:
            self.store.write(record.id, "config.json", json.dumps(aim.services, sort_keys=True), 0o600)
            self._label(record, aim)
        leaving = self._leaving(previous, told)
        layers = tuple(reversed(model.waves)) if back else model.waves
        routed = self._routed(model)
        made = planner.plan(aim.wanted, layers, self._observe(), frozenset(leaving), routed)
        # Of a release that is resumed some services are done already, and were worked on all the same.
        begun = [one.detail.get("services", []) for one in self.store.journal()
                 if one.release == record.id and one.step == "planned"]  # fmt: skip
        touched = [one.service for one in made.services]
        self._step(record, "planned", {"plan": made.lines(), "services": touched})
        options = replace(options, touched=frozenset([*touched, *(name for each in begun for name in each)]))
        self.plan_lines = made.lines()
        host = SimpleNamespace(**vars(self.fx), told=self._clean, progress=self.progress)
        project = self._project(record, directory, True, plan.start_bound(len(made.services), self.request.deadline))

        def step(name: str, detail: dict[str, Any] | None = None) -> None:
            self._step(record, name, detail)

        rollout = Rollout(
            host, self.request.stack, record.id, model, aim.wanted, made, project, aim.names, step, options
        )
        rollout.leaving |= leaving
        return rollout, aim

    def _routed(self, model: Stack) -> dict[str, set[str]]:
        """Service with routes → its containers that get requests now."""
        text = self.fx.traffic.read_routes()
        now, ports = planner.upstreams_of(text), planner.ports_of(text)
        # A port that gets requests for the first time has to be seen to listen, however well the container is known.
        return {
            name: now.get(name, set())
            if {route.port for route in model.services[name].routes} <= ports.get(name, set())
            else set()
            for name in model.routed
        }

    def _target(
        self,
        record: Release,
        directory: str,
        config: Mapping[str, Any],
        model: Stack,
        before: Mapping[str, Mapping[str, Any]],
    ) -> Target:
        """:param directory: where the project's files are (a scratch directory in check mode)"""
        project = self._project(record, directory, with_overlay=True)
        images = self.store.images(record.id)
        volumes = {}
        for name, service in model.services.items():
            ref = images.get(name, {}).get("pinned") or service.image
            info = (self.fx.docker.image(ref) if ref else None) or {}
            volumes[name] = sorted((info.get("Config") or {}).get("Volumes") or {})
        return target(model, config, project.config(), directory, self.request.deadline, volumes, before)

    def _comparable(self, record: Release | None) -> dict[str, dict[str, Any]]:
        """The services of a release as :func:`changes.reasons` compares them; {} when it was not written down."""
        if record is None:
            return {}
        try:
            loaded: dict[str, dict[str, Any]] = json.loads(self.store.read(record.id, "config.json"))
            return loaded
        except (OSError, ValueError):
            return {}

    def _leaving(self, record: Release | None, told: Collection[str] = ()) -> set[str]:
        """Ids of old containers that nobody waits for; those that have ended are removed."""
        recorded = self._recorded_leaving(record)
        left = set()
        for one in self._known_leaving(record):
            if one.status != "running":
                self.fx.docker.remove_one(one.id)
                continue
            left.add(one.id)
            if one.name not in recorded and one.id not in told:
                self.fx.docker.restarts_off(one.id)
                self.fx.leave(one.id, one.grace)
        return left

    def _known_leaving(self, record: Release | None) -> list[health.Observation]:
        """Old containers that nobody waits for.

        The last release recorded them; the journal knows those that a killed run told to end, or was about to.
        """
        recorded = self._recorded_leaving(record)
        begun = {entry.detail.get("leaving") for entry in self.store.journal() if entry.step == "stopping"}
        return [one for one in self._observe() if one.name in recorded or one.id in begun]

    @staticmethod
    def _recorded_leaving(record: Release | None) -> set[str]:
        observed = record.observed if record else {}
        return {name for name, was in observed.items() if was.get("state") == health.LEAVING}

    def _check_traffic(self, record: Release, rollout: Rollout) -> None:
        """Have nginx look at the routes before anything is touched."""
        try:
            self.fx.traffic.check(rollout.routes(), rollout.relay())
        except self.fx.errors as problem:
            standing = self.good()
            if standing is not None:
                self.store.restore_secrets(standing.secret_digests)
            raise self._unchanged(record, self._clean(problem)) from problem

    def _seal(
        self,
        decision: Decision,
        record: Release,
        previous: Release | None,
        rollout: Rollout,
        aim: Target,
        images: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Read back what really runs, and only then call the release done."""
        text = rollout.routes()
        routes_changed = previous is None or text != self._routes_of(previous.id)
        seen = self._verified(rollout, aim, text)
        self._step(record, "routes written")
        self.store.write(record.id, "routes.json", text)
        self._step(record, "switched current")
        self.store.switch(record.id)
        self._step(record, "sealed")
        sealed = record.finish(release.SEALED, self.fx.now(), observed=self._observed(seen, rollout))
        self.store.save(sealed)
        if self.request.anew is not None and previous is not None:
            self.store.save(replace(previous, outcome=release.REPLACED))
        self._tidy_hooks()
        for name in sorted({one.service for one in seen if one.status == "running" and one.restart_policy == "no"}):
            self.warnings.append(
                f"service {name} has no restart policy, so a reboot leaves it down: give it restart: unless-stopped"
            )
        self.warnings += rollout.report.notes + rollout.warnings
        report = self._report(rollout, seen, aim, images)
        self.store.write(record.id, "report.json", json.dumps(report, indent=2, sort_keys=True) + "\n")
        pruned = self._prune(record.id, self.request.keep or aim.model.keep)
        return {
            **report,
            "release": record.id,
            "previous": previous.id if previous else None,
            "outcome": release.SEALED,
            "why": record.why,
            "routes_changed": routes_changed,
            "pruned": pruned,
            "steps": self.steps,
            "secrets_generated": list(decision.generated),
        }

    @staticmethod
    def _observed(seen: Sequence[health.Observation], rollout: Rollout) -> dict[str, dict[str, str]]:
        """What the record keeps of each container."""

        def state(one: health.Observation) -> str:
            if one.id in rollout.leaving:
                return health.LEAVING
            if one.id in rollout.warm:
                return health.WARM
            return health.DONE if one.status == "exited" else "running"

        return {
            one.name: {
                "service": one.service,
                "config_hash": one.config_hash,
                "image": one.image,
                "state": state(one),
            }
            for one in seen
        }

    def _verified(self, rollout: Rollout, aim: Target, text: str) -> list[health.Observation]:
        """The containers as they are. :raises RolloutFailed: they are not what was wanted, whatever was done"""
        seen = self._observe()
        wrong = final.mismatches(aim.wanted, seen, rollout.leaving | rollout.warm)
        if self.fx.traffic.read_routes() != text:
            wrong.append("the edge's routes file is not the one that was written")
        if wrong:
            names = {item.partition(" ")[0] for item in wrong}
            raise RolloutFailed(
                "all steps were taken, but what runs is not what was wanted: " + "; ".join(wrong),
                [one for one in seen if one.name in names],
            )
        return seen

    def _report(
        self, rollout: Rollout, seen: Sequence[health.Observation], aim: Target, images: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        report = rollout.report
        rows = []
        for row in self._services(aim.model, seen, images):
            rows.append({**row, **report.services.get(row["service"], {})})
        hooks_s = report.hooks_s + sum(wave["hooks_s"] for wave in report.waves)
        spent = hooks_s + sum(wave["app_s"] + wave["start_s"] + wave["hold_s"] for wave in report.waves)
        total = self.fx.monotonic() - self.began
        return {
            "plan": self.plan_lines,
            "waves": report.waves,
            "services": rows,
            "timings": {
                "total_s": round(total, 2),
                "waves": len(report.waves),
                "app_s": round(sum(wave["app_s"] for wave in report.waves), 2),
                "start_s": round(sum(wave["start_s"] for wave in report.waves), 2),
                "hooks_s": round(hooks_s, 2),
                "bake_s": report.bake_s,
                "drain_s": report.drain_s,
                "overhead_s": round(max(total - spent - report.bake_s - report.drain_s, 0.0), 2),
            },
            "observed": [
                {"container": one.name, "service": one.service, "status": one.status, "health": one.health}
                for one in seen
            ],
        }

    def _tidy_hooks(self) -> None:
        """Remove the containers of hooks once their release is decided; the user's own one-off runs stay."""
        for name in self._ended_hooks():
            self.fx.docker.remove_one(name)

    def _ended_hooks(self) -> list[str]:
        """Containers of hooks that have ended."""
        mine = hooks.container_name(self.request.stack, "", "", "").split("--")[0]
        found = self.fx.docker.hooks(self.request.stack)
        ended = [one for one in found if (one.get("State") or {}).get("Status") != "running"]
        names = [str(one.get("Name", "")).lstrip("/") for one in ended]
        return [name for name in names if name.startswith(mine)]

    # --- going back on purpose

    def choose_back(self, wanted: str) -> tuple[Release, Release | None]:
        """The release to go back to, and the one that runs. :raises Refused: there is none, or it cannot be had"""
        releases = self.store.releases()
        current = next((one for one in releases if one.id == self.store.current()), None)
        good = [one for one in releases if one.outcome == release.SEALED]
        kept = ", ".join(one.id for one in reversed(good)) or "none"
        found: Release | None
        if wanted:
            # Ids differ from host to host, versions do not; of several with one version the newest is meant.
            found = next((one for one in good if one.id == wanted), None) or next(
                (one for one in reversed(good) if one.version == wanted), None
            )
            if found is None:
                raise Refused(f"release {wanted} is not kept on this host, or never was good; kept are: {kept}")
        elif current is not None and current in good and self.astray(current):
            # A deploy that failed or was killed left something behind: what "back" means then is the current release.
            found = current
        else:
            found = store.last_good(releases, current.id if current else None)
            if found is None:
                raise Refused(f"there is no release before {current.id if current else 'this'}; kept are: {kept}")
        self._same_side(found)
        self._have_images(found.id)
        return found, current

    def _have_images(self, rid: str) -> None:
        """See to it that a kept release's images are there. :raises Refused: one cannot be had"""
        for service, entry in sorted(self.store.images(rid).items()):
            if self.fx.docker.image(entry["pinned"]) is None:
                if entry.get("action") != "pull":
                    raise Refused(f"release {rid}: image {entry['pinned']} of service {service} is gone")
                try:
                    self.fx.docker.pull(entry["pinned"])
                except self.fx.errors as problem:
                    raise Refused(f"release {rid}: " + self._no_image(service, entry["pinned"], problem)) from problem

    def _same_side(self, aim: Release) -> None:
        """A release whose services work on another database than the data is in does not come back by itself."""
        move = self.fx.move(self.request.stack)
        there = datetime.fromisoformat(aim.created.replace("Z", "+00:00")).timestamp()
        then, now = side(move, there), move.get("serves", "sqlite")
        if then != now:
            names = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
            phase = "rollback" if then == "sqlite" else "cutover"
            raise Refused(
                f"release {aim.id} is from a time when the stack's data was in {names[then]}; now it is in "
                f"{names[now]}, and {names[then]} refuses writes. To have that version on {names[now]}: deploy.yml -e "
                f"version={aim.version or '...'}. To bring the data back, too: migrate.yml -e phase={phase}"
            )

    def astray(self, current: Release) -> bool:
        """Whether what runs is not the current release, as after a killed run or a way back that failed."""
        return self.interrupted() or bool(health.drift(current.observed, self._observe()))

    def go_back(self, aim_at: Release, current: Release | None) -> dict[str, Any]:
        """Bring a kept release back, whole. :raises DeployFailed: it could not; what ran before was brought back"""
        rollout: Rollout | None = None
        with self._not_begun():
            record = self._renewed(aim_at, current)
            self.store.sweep()
            for one in self.store.releases():
                if one.outcome == release.PENDING:
                    self.store.save(one.finish(release.ABANDONED, self.fx.now()))
            self._step(record, "rolled back", {"to": record.id, "from": current.id if current else ""})
        try:
            rollout, aim = self._restore(record, current)
            seen = self._verified(rollout, aim, rollout.routes())
            self._point(record, rollout, seen)
        except (RolloutFailed, Interrupted, *self.fx.errors) as problem:  # type: ignore[misc]
            raise self._failed(None, current, self._failure(problem), rollout) from problem
        return {
            **self._report(rollout, seen, aim, self.store.images(record.id)),
            "release": record.id,
            "previous": current.id if current else None,
            "outcome": release.SEALED,
            "why": f"rolled back from {current.id}" if current else "rolled back",
            "routes_changed": True,
            "steps": self.steps,
            "pruned": {},
        }

    def _renewed(self, record: Release, standing: Release | None) -> Release:
        """A kept release with the values that rotations made since: what was taken out of use stays out of use.

        Its record is written last, so that one that was killed here is done again.
        """
        if standing is None or standing.outcome != release.SEALED:
            return record
        mine = {name: of for name, of in rotation.names(standing.rotation).items()
                if of in record.secret_digests and name in standing.secret_digests}  # fmt: skip
        today = {name: standing.secret_digests[name] for name in mine}
        if all(record.secret_digests.get(name) == digest for name, digest in today.items()):
            return record
        env = parse_env(self.store.read(record.id, "env"))
        env.update({name: self.store.secret_version(name, today[name]) for name, of in mine.items() if of in env})
        self.store.write(record.id, "env", envfile.render(env), 0o600)
        told = {name: digest[:16] for name, digest in today.items() if name in env}
        renewed = replace(
            record,
            env_digests={**record.env_digests, **told},
            secret_digests={**record.secret_digests, **today},
            rotation={name: one for name, one in standing.rotation.items() if name in record.secret_digests},
        )
        directory = self.store.release_path(record.id)
        config, model = self._read(renewed, directory)
        shipped = frozenset(self.store.release_files(record.id)) - RESERVED
        extra = self._additions(model, config, directory, shipped, renewed.secret_digests)
        pins = {name: entry["pinned"] for name, entry in self.store.images(record.id).items()}
        self._overlay(renewed, model, extra, pins)
        aim = self._target(renewed, directory, config, model, {})
        self.store.write(record.id, "config.json", json.dumps(aim.services, sort_keys=True), 0o600)
        self._label(renewed, aim)
        self.store.save(renewed)
        return renewed

    def _restore(
        self, record: Release, standing: Release | None, warm: bool = True, told: Collection[str] = ()
    ) -> tuple[Rollout, Target]:
        """A kept release's own files, secrets and images, rolled like any other; its hooks are not run again."""
        self.store.restore_secrets(record.secret_digests)
        config, model = self._read(record, self.store.release_path(record.id))
        options = Options(hooks=False, bake=False, warm=warm)
        rollout, aim = self._planned(record, config, model, options, standing, True, told)
        rollout.run()
        return rollout, aim

    def _point(self, record: Release, rollout: Rollout, seen: Sequence[health.Observation]) -> None:
        self.store.write(record.id, "routes.json", rollout.routes())
        self.store.save(replace(record, observed=self._observed(seen, rollout)))
        self.store.switch(record.id)
        self._step(record, "restored")
        self._tidy_hooks()

    def _write_release(self, decision: Decision) -> tuple[Release, dict[str, Any], Stack, str]:
        req = self.request
        created = self.fx.now()
        record = Release(
            id=release.release_id(created, decision.digest),
            stack=req.stack,
            digest=decision.digest,
            created=created,
            who=req.who,
            commit=req.commit,
            version=decision.content.version,
            why=decision.why,
            compose_files=req.compose_files,
            profiles=req.profiles,
            env_digests=dict(decision.env_digests),
            secret_digests=dict(decision.secret_digests),
            rotation={name: dict(one) for name, one in decision.rotation.items()},
        )
        private = {**self._private(decision.content), "release.json": record.to_json()}
        try:
            staged = self.store.stage(record.id, req.files, req.executable, private)
            config, model = self._read(record, staged)
            plan.image_steps(model, req.build)
            strategies(model, config, req.deadline)
        except Exception:
            self.store.unstage(record.id)
            raise
        self._step(record, "written")
        self.store.publish(record.id)
        return record, config, model, staged

    def check_project(self, key: bytes, decision: Decision | None = None) -> Stack:
        """Validate the project in a scratch directory, before anything is written. :raises Refused: all problems

        :param decision: say what would be done, too, in ``plan_lines`` (check mode)
        """
        content = self._content(key)[0]
        with tempfile.TemporaryDirectory(prefix="landfall-") as directory:
            for path, data in self.request.files.items():
                target = os.path.join(directory, path)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "wb") as file:
                    file.write(data)
            for name, text in self._private(content).items():
                with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                    file.write(text)
            record = Release(
                "check",
                self.request.stack,
                "",
                "",
                compose_files=self.request.compose_files,
                profiles=self.request.profiles,
            )
            config, model = self._read(record, directory)
            plan.image_steps(model, self.request.build)
            strategies(model, config, self.request.deadline)
            if decision is not None:
                self._foresee(decision, record, config, model, directory)
        return model

    def _foresee(
        self, decision: Decision, record: Release, config: Mapping[str, Any], model: Stack, directory: str
    ) -> None:
        """What the rollout would do, into ``plan_lines``; an image that would be pulled counts as a new one."""
        standing = self.good()
        known = self.store.images(standing.id) if standing else {}
        pins = {
            name: known[name]["pinned"]
            for name, service in model.services.items()
            if name in known and known[name].get("image") == service.image
        }
        text = self._overlay_text(model, self._extra(decision, config, model, directory), pins)
        with open(os.path.join(directory, OVERLAY), "w", encoding="utf-8") as file:
            file.write(text)
        aim = self._target(record, directory, config, model, self._comparable(standing))
        leaving = frozenset(one.id for one in self._known_leaving(standing))
        made = planner.plan(aim.wanted, model.waves, self._observe(), leaving, self._routed(model))
        self.plan_lines = made.lines()

    @staticmethod
    def _private(content: Content) -> dict[str, str]:
        return {"env": envfile.render(content.env), "env.user": content.env_file}

    def _project(
        self, record: Release, directory: str, with_overlay: bool, bound: float | None = 120.0
    ) -> ComposeProject:
        files = [*record.compose_files, *([OVERLAY] if with_overlay else [])]
        paths = [os.path.join(directory, name) for name in files]
        env_files = [os.path.join(directory, name) for name in ("env.user", "env")]
        return self.fx.compose(directory, paths, env_files, record.profiles, bound)

    def _read(self, record: Release, directory: str) -> tuple[dict[str, Any], Stack]:
        try:
            config = self._project(record, directory, with_overlay=False).config()
        except self.fx.errors as problem:
            raise Refused(f"docker compose refuses the project: {self._clean(problem)}") from problem
        return config, self.fx.model(config, directory, record.compose_files)

    def _overlay(
        self, record: Release, model: Stack, extra: Mapping[str, Mapping[str, Any]], pins: Mapping[str, str]
    ) -> None:
        self.store.write(record.id, OVERLAY, self._overlay_text(model, extra, pins))

    def _label(self, record: Release, aim: Target) -> None:
        """Have each container carry the fingerprint of what it is made from."""
        head, _, text = self.store.read(record.id, OVERLAY).partition("\n")
        document = json.loads(text)
        for name, want in aim.wanted.items():
            document["services"].setdefault(name, {}).setdefault("labels", {})[CONFIG_LABEL] = want.config_hash
        self.store.write(record.id, OVERLAY, f"{head}\n{json.dumps(document, indent=2, sort_keys=True)}\n")

    @staticmethod
    def _overlay_text(model: Stack, extra: Mapping[str, Mapping[str, Any]], pins: Mapping[str, str]) -> str:
        document = overlay(model, pins)
        for name, entry in extra.items():
            document["services"].setdefault(name, {}).update(entry)
        for name in pins:
            document["services"][name]["pull_policy"] = "missing"
        # JSON is YAML, and needs no library to be written.
        head = "# Written by landfall for this release; the project's own files stand beside it.\n"
        return head + json.dumps(document, indent=2, sort_keys=True) + "\n"

    # --- images

    def _images(self, record: Release, model: Stack, previous: Release | None) -> dict[str, dict[str, Any]]:
        req = self.request
        if req.anew is not None:
            # Its own images, whatever their names mean by now.
            self._have_images(req.anew.of)
            same = self.store.images(req.anew.of)
            self.store.write(record.id, "digests.json", json.dumps(same, indent=2, sort_keys=True) + "\n")
            return same
        steps = plan.image_steps(model, req.build)
        built = [step.service for step in steps if step.action == "build"]
        self._step(record, "pulled")
        for ref in dict.fromkeys(step.ref for step in steps if step.action == "pull"):
            there = self.fx.docker.image(ref) is not None
            if there and req.pull != "always":
                continue
            service = next(step.service for step in steps if step.ref == ref)
            if req.pull == "never":
                raise self._unchanged(
                    record,
                    f"service {service}: image {ref} is not on the host and pull is 'never'; set pull: missing",
                )
            try:
                self.fx.docker.pull(ref)
            except self.fx.errors as problem:
                raise self._unchanged(record, self._no_image(service, ref, problem)) from problem
        if built:
            self._step(record, "built", {"services": built})
            try:
                self._project(record, self.store.release_path(record.id), False, None).run("build", *built)
            except self.fx.errors as problem:
                said = f"building {', '.join(built)} failed: {self._clean(problem)}"
                raise self._unchanged(record, said) from problem
        out = {}
        for step in steps:
            info = self.fx.docker.image(step.ref)
            if info is None:
                raise self._unchanged(
                    record, f"service {step.service}: image {step.ref} is not on the host after '{step.action}'"
                )
            pinned, tag = plan.pin(req.stack, step, info)
            if tag:
                self.fx.docker.tag(info["Id"], pinned)
            out[step.service] = {"image": step.ref, "pinned": pinned, "id": info["Id"], "action": step.action}
        self.store.write(record.id, "digests.json", json.dumps(out, indent=2, sort_keys=True) + "\n")
        return out

    @staticmethod
    def _no_image(service: str, ref: str, problem: Exception) -> str:
        return (
            f"service {service}: image {ref} cannot be pulled: {problem}. "
            "Check its name and tag, and that the host is logged in to the registry"
        )

    def _unchanged(self, record: Release, message: str) -> DeployFailed:
        """A failure before anything was touched: recorded, and nothing to undo."""
        message = self._scrub(message)
        if self.halfway:
            raise RolloutFailed(message)
        self._step(record, "failed", {"message": message})
        self.store.save(record.finish(release.FAILED, self.fx.now(), evidence={"message": message}))
        text = f"stack {self.request.stack}: {message.rstrip('.')}"
        if "Nothing was changed" not in message:
            text += ". Nothing was changed: what ran before runs on"
        return DeployFailed(text, {"release": record.id, "step": self.steps[-2] if len(self.steps) > 1 else ""})

    def _observe(self) -> list[health.Observation]:
        return [health.observe(one) for one in self.fx.docker.containers(self.request.stack)]

    # --- failing

    def _failed(
        self, record: Release | None, standing: Release | None, problem: RolloutFailed, rollout: Rollout | None
    ) -> DeployFailed:
        """Keep the evidence, go back, and say both. :param record: the release that failed; None: a way back did"""
        req = self.request
        # From here on an interrupt is too late: half a way back is worse than a whole one.
        self.fx.uninterrupted()
        # Others let old containers go meanwhile; that is not where it failed.
        step = next((one for one in reversed(self.steps) if one not in ("draining", "stopping")), "")
        message = self._scrub(str(problem))
        containers = [self._evidence(one) for one in problem.broken]
        evidence = {"message": message, "step": step, "containers": containers, **problem.detail}
        evidence = json.loads(self._scrub(json.dumps(evidence, default=str)))
        where = "the result of this task"
        if record is not None:
            self._step(record, "failed", {"message": message})
            self.store.write(record.id, "evidence.json", json.dumps(evidence, indent=2, sort_keys=True) + "\n", 0o600)
            self.store.save(record.finish(release.FAILED, self.fx.now(), evidence=evidence))
            where = os.path.join(self.store.release_path(record.id), "evidence.json")
        result: dict[str, Any] = {
            "changed": True,
            "release": record.id if record else None,
            "step": step,
            "evidence": evidence,
            "rolled_back_to": None,
            "plan": self.plan_lines,
            "steps": self.steps,
        }
        if rollout is not None:
            result["waves"] = rollout.report.waves
        text = [f"stack {req.stack}: {message}"]
        text += [_excerpt(item) for item in containers]
        if standing is None:
            self._stop_all()
            text.append(
                "This was the first deployment, so there is nothing to go back to: its containers were stopped "
                f"and left for inspection (docker logs <name>; evidence in {where}). Mend the cause and deploy again"
            )
        else:
            trouble = self._roll_back(standing, record or standing, rollout.leaving if rollout else ())
            if trouble:
                text.append(
                    f"Going back to release {standing.id} FAILED too: {trouble}. "
                    f"Look at 'landfall status' now; evidence in {where}"
                )
            else:
                result["rolled_back_to"] = standing.id
                text.append(
                    f"Rolled back to release {standing.id}, which runs and is healthy. Evidence: {where}. "
                    "Mend the cause and deploy again"
                )
            if "hook migrate" in self.steps:
                text.append("Migrations that ran stay as they are: going back brings no database back")
        result["steps"] = self.steps
        return DeployFailed("\n".join(text), result)

    def _roll_back(self, standing: Release, record: Release, told: Collection[str]) -> str:
        """Bring the standing release back, all services already replaced, in reverse order; "" when it stands."""
        self._step(record, "rolled back", {"to": standing.id})
        self._await_docker()
        try:
            rollout, aim = self._restore(standing, standing, warm=False, told=told)
            seen = self._verified(rollout, aim, rollout.routes())
            self._point(standing, rollout, seen)
        except (RolloutFailed, Refused, Interrupted, OSError, *self.fx.errors) as problem:  # type: ignore[misc]
            return self._scrub(str(problem))
        return ""

    def _await_docker(self, limit: float = 60.0) -> None:
        """Docker may have been restarted under the rollout: without it there is no way back."""
        began = self.fx.monotonic()
        while self.fx.docker.available() and self.fx.monotonic() - began < limit:
            self.fx.sleep(1.0)

    def _stop_all(self) -> None:
        try:
            # Nobody may be sent to what is stopped. Without a routes file nothing was switched yet.
            if self.fx.traffic.read_routes():
                self.fx.traffic.switch("", RelaySpec(self.request.stack))
        except self.fx.errors as problem:
            self.warnings.append(f"the routes of the failed deployment could not be taken back: {problem}")
        try:
            seen = self._observe()
            self.fx.docker.stop(one.id for one in seen if one.status in ("running", "restarting"))
            self.fx.docker.remove([one.id for one in seen if one.status == "created"])
        except self.fx.errors as problem:
            self.warnings.append(f"the failed containers could not be stopped: {problem}")

    def _evidence(self, one: health.Observation) -> dict[str, Any]:
        inspected = self.fx.docker.inspect([one.id])
        state = (inspected[0].get("State") or {}) if inspected else {}
        checks = ((state.get("Health") or {}).get("Log") or [])[-3:]
        return {
            "container": one.name,
            "service": one.service,
            "status": state.get("Status", one.status),
            "exit_code": state.get("ExitCode", one.exit_code),
            "oom_killed": bool(state.get("OOMKilled")),
            "error": state.get("Error", ""),
            "restarts": one.restarts,
            "image": one.image,
            "health": [
                {"exit_code": check.get("ExitCode"), "output": self._scrub(str(check.get("Output", "")))[-2000:]}
                for check in checks
            ],
            "log": [self._scrub(line) for line in self.fx.docker.logs(one.id, LOG_LINES)],
        }

    # --- afterwards

    def _prune(self, current: str, keep: int) -> dict[str, list[str]]:
        releases = self.store.releases()
        images = {one.id: self.store.images(one.id) for one in releases}
        todo = store.plan_prune(releases, current, keep, images, self.store.images_of_others())
        removed = []
        for ref, image_id in todo.images:
            try:
                if (self.fx.docker.image(ref) or {}).get("Id") == image_id and self.fx.docker.remove_image(ref):
                    removed.append(ref)
            except self.fx.errors as problem:
                self.warnings.append(f"old image {ref} could not be removed: {problem}")
        for rid in todo.releases:
            self.store.remove(rid)
        kept = self.store.releases()
        was = [{name: state["was"]} for one in kept for name, state in one.rotation.items() if state.get("was")]
        self.store.prune_secrets([*(one.secret_digests for one in kept), *was])
        return {"releases": list(todo.releases), "images": removed}

    @staticmethod
    def _services(
        model: Stack, seen: Sequence[health.Observation], images: Mapping[str, Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        out = []
        for name, service in model.services.items():
            mine = [one for one in seen if one.service == name]
            well = [one for one in mine if one.status == "running" or (one.status == "exited" and not one.exit_code)]
            out.append(
                {
                    "service": name,
                    "replicas": service.replicas,
                    "healthy": len(well),
                    "containers": sorted(one.name for one in mine),
                    "image": images.get(name, {}).get("image", ""),
                    "pinned": images.get(name, {}).get("pinned", ""),
                }
            )
        return out

    def _step(self, record: Release, step: str, detail: dict[str, Any] | None = None) -> None:
        # Threads that let old containers go write here too.
        with self._journal:
            self.store.log(journal.Entry(self.fx.now(), record.id, step, detail or {}))
            self.steps.append(step)

    def progress(self, _line: str) -> None:
        """What is waited for, for somebody who looks on; a subclass may show it."""

    def _clean(self, problem: BaseException) -> str:
        """The last telling lines of a tool's message, without secrets."""
        said = getattr(problem, "stderr", "") or str(problem)
        lines = [line.strip() for line in said.splitlines() if line.strip() and not _NOISE.match(line)]
        return self._scrub("\n".join(lines[-15:]) or said.strip())

    def _scrub(self, text: str) -> str:
        for value in self._redact:
            text = text.replace(value, "********")
        return text


def _excerpt(item: Mapping[str, Any]) -> str:
    """Evidence of one container for a person: state, health output, the last log lines."""
    out = [f"  {item['container']}: {item['status']}, exit code {item['exit_code']}, {item['restarts']} restarts"]
    said = [check["output"].strip()[-400:] for check in item["health"][-1:]]
    out += [f"    healthcheck: {text}" for text in said if text]
    out += [f"    log: {line}" for line in item["log"]]
    return "\n".join(out)
