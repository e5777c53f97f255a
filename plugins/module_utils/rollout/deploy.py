# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of a deployment: takes the plan's steps one by one, journal first, and undoes what fails.

It decides nothing about Docker's ways: clients are handed in (:class:`Effects`), judgements come from
:mod:`.health`, :mod:`.plan` and :mod:`.store`.
"""

from __future__ import annotations

import functools
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..compose.overlay import overlay, routes_of
from ..compose.routes import network_of, to_json
from ..compose.stack import Stack
from . import envfile, health, journal, plan, ports, release, store
from .plan import Refused
from .release import Content, Release

OVERLAY = "compose.landfall.yaml"
#: Names the release directory keeps for itself.
RESERVED = frozenset({OVERLAY, "env", "env.user", "digests.json", "routes.json", "release.json", "evidence.json"})
#: Seconds a routed port may take to open after its container is otherwise well.
PORT_GRACE = 10.0
TICK = 0.5
LOG_LINES = 40


#: What Compose prints while it works.
_NOISE = re.compile(r"^\s*(time=|#\d+ |(Container|Network|Volume|Image) \S+\s+[A-Z][a-z]+\s*$)")


class DeployFailed(Exception):
    """A deployment failed; ``result`` is what a report needs (release, step, evidence path, rolled_back_to)."""

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        self.result = result
        super().__init__(message)


class _StepFailed(Exception):
    def __init__(self, message: str, broken: Sequence[health.Observation] = ()) -> None:
        self.broken = list(broken)
        super().__init__(message)


@dataclass(frozen=True)
class Secret:
    """One secret. ``value`` None: made up once of ``nbytes``. ``env``: a variable too. ``owner``: its uid."""

    name: str
    value: str | None = field(repr=False)
    nbytes: int = 48
    env: bool = False
    owner: int = 0


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


class ComposeProject(Protocol):
    """What the engine needs of clients.compose.ComposeCli."""

    def config(self) -> dict[str, Any]: ...

    def run(self, *args: str) -> str: ...


@dataclass(frozen=True)
class Effects:
    """The outside world, handed in.

    :param compose: (directory, files, env_files, profiles, seconds or None) → the project there
    :param model: (config, directory, files) → the validated model; raises Refused
    :param token: randomness in bytes → printable secret
    :param errors: what the clients raise when a tool fails
    """

    store: Any
    docker: Any
    compose: Callable[[str, Sequence[str], Sequence[str], Sequence[str], float | None], ComposeProject]
    model: Callable[[Mapping[str, Any], str, Sequence[str]], Stack]
    connects: Callable[[Sequence[str], int], bool]
    proc_net: Callable[[int], str]
    now: Callable[[], str]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    token: Callable[[int], str]
    write_routes: Callable[[str], bool]
    read_routes: Callable[[], str]
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
        self._redact: list[str] = []

    # --- deciding

    def decide(self, key: bytes, docker_ready: bool) -> Decision:
        """Compare what is asked with what is there. Reads only."""
        req, store_ = self.request, self.store
        content, values, generated = self._content(key)
        digest = release.content_digest(content, key)
        env_digests = {name: release.keyed(key, value)[:16] for name, value in content.env.items()}
        from_file = release.keyed(key, req.env_file)[:16]
        env_digests = {**dict.fromkeys(envfile.names(req.env_file), from_file), **env_digests}
        releases = store_.releases()
        current = next((r for r in releases if r.id == store_.current()), None)

        def decision(why: str) -> Decision:
            return Decision(
                bool(why), why, digest, current, content, values, env_digests, content.secrets, tuple(generated)
            )

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
        if not differs and self._routes_of(current.id) != self.fx.read_routes():
            differs = ["its routes file is not as written"]
        return decision("repair: " + "; ".join(differs) if differs else "")

    def _content(self, key: bytes) -> tuple[Content, dict[str, str], list[str]]:
        """The content asked for, the values of the secrets, and which of them are made up."""
        req = self.request
        values, generated = self._secret_values()
        self._redact = sorted((value for value in values.values() if len(value) >= 6), key=len, reverse=True)
        variables = {one.name: values[one.name] for one in req.secrets if one.env}
        clash = sorted(set(variables) & set(req.env))
        if clash:
            raise Refused(f"{', '.join(clash)}: given in env and in secrets; keep it in secrets")
        taken = sorted(RESERVED & {path.split("/")[0] for path in req.files})
        if taken:
            raise Refused(f"{', '.join(taken)}: the release directory keeps this name for itself; rename the file")
        env = {**req.env, **variables, "LANDFALL_SECRETS": self.store.secrets_dir}
        if req.version:
            env.setdefault("VERSION", req.version)
        digests = {name: release.keyed(key, value) for name, value in values.items()}
        content = Content(
            req.files, req.compose_files, env, req.env_file, digests, req.version, req.profiles, req.executable
        )
        return content, values, generated

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

    def _secret_values(self) -> tuple[dict[str, str], list[str]]:
        values: dict[str, str] = {}
        generated: list[str] = []
        for secret in self.request.secrets:
            if not secret.name or "/" in secret.name or secret.name.startswith("."):
                raise Refused(f"secret name {secret.name!r}: use letters, digits, '_', '-' and '.', no '/'")
            if secret.value is not None:
                values[secret.name] = secret.value
                continue
            kept = self.store.secret(secret.name)
            if kept is None:
                generated.append(secret.name)
                kept = self.fx.token(secret.nbytes)
            values[secret.name] = kept
        return values, generated

    def _routes_of(self, rid: str) -> str:
        try:
            text: str = self.store.read(rid, "routes.json")
            return text
        except OSError:
            return ""

    # --- applying

    def apply(self, decision: Decision) -> dict[str, Any]:
        """Carry the release out. :raises Refused: nothing was changed. :raises DeployFailed: undone where possible."""
        recovery = self.recover(decision)
        releases = self.store.releases()
        previous = store.last_good(releases)
        if recovery.resume:
            record = next(one for one in releases if one.id == recovery.resume)
            was = journal.last_step(self.store.journal(), record.id)
            record = replace(record, why=f"{record.why}; resumed after an interruption at '{was}'")
            self.store.save(record)
            directory = self.store.release_path(record.id)
            config, model = self._read(record, directory)
        else:
            record, config, model, directory = self._write_release(decision)
        try:
            return self._carry_out(decision, record, config, model, directory, previous)
        except _StepFailed as problem:
            raise self._failed(record, previous, problem) from problem

    def interrupted(self) -> bool:
        """Whether a killed run left a release that is neither sealed nor failed."""
        return any(one.outcome == release.PENDING for one in self.store.releases())

    def recover(self, decision: Decision) -> store.Recovery:
        """Tidy up after killed runs; the release to resume stays pending. Needs the lock."""
        self.store.sweep()
        releases = self.store.releases()
        recovery = store.recover(releases, decision.digest)
        for one in releases:
            if one.id in recovery.abandon:
                self.store.save(one.finish(release.ABANDONED, self.fx.now()))
        return recovery

    def _carry_out(
        self,
        decision: Decision,
        record: Release,
        config: Mapping[str, Any],
        model: Stack,
        directory: str,
        previous: Release | None,
    ) -> dict[str, Any]:
        req = self.request
        # A published release still speaks of the paths it was staged under.
        extra = plan.additions(
            model,
            config,
            directory,
            frozenset(req.files),
            self.store.data_dir,
            self.store.secrets_dir,
            decision.secret_digests,
        )
        self._step(record, "secrets")
        for secret in req.secrets:
            digest = decision.secret_digests[secret.name]
            self.store.write_secret(secret.name, decision.values[secret.name], secret.owner, digest)
        images = self._images(record, model, previous)
        self._overlay(record, model, extra, {name: entry["pinned"] for name, entry in images.items()})
        if model.routed:
            self._step(record, "network created")
            labels = {"landfall.edge": "true", "landfall.stack": req.stack}
            self._guard(lambda: self.fx.docker.ensure_network(network_of(req.stack), labels, internal=True))
        awaited = plan.watches(model, req.deadline)
        before = {one.id: one.restarts for one in self._observe()}
        self._step(record, "started")
        self._up(record, plan.start_bound(model, awaited), awaited, before)
        self._step(record, "healthy")
        seen = self._wait(awaited, before)
        for name in sorted({one.service for one in seen if one.status == "running" and one.restart_policy == "no"}):
            self.warnings.append(
                f"service {name} has no restart policy, so a reboot leaves it down: give it restart: unless-stopped"
            )
        self._step(record, "routes written")
        text = self._routes(model, seen)
        self.store.write(record.id, "routes.json", text)
        routes_changed = self.fx.write_routes(text)
        self._step(record, "switched current")
        self.store.switch(record.id)
        observed = {
            one.name: {
                "service": one.service,
                "config_hash": one.config_hash,
                "image": one.image,
                "state": health.DONE if one.status == "exited" else "running",
            }
            for one in seen
        }
        self._step(record, "sealed")
        self.store.save(record.finish(release.SEALED, self.fx.now(), observed=observed))
        pruned = self._prune(record.id, req.keep or model.keep)
        return {
            "release": record.id,
            "previous": previous.id if previous else None,
            "outcome": release.SEALED,
            "why": record.why,
            "routes_changed": routes_changed,
            "services": self._services(model, seen, images),
            "pruned": pruned,
            "steps": self.steps,
            "secrets_generated": list(decision.generated),
        }

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
            version=req.version,
            why=decision.why,
            compose_files=req.compose_files,
            profiles=req.profiles,
            env_digests=dict(decision.env_digests),
            secret_digests=dict(decision.secret_digests),
        )
        private = {**self._private(decision.content), "release.json": record.to_json()}
        try:
            staged = self.store.stage(record.id, req.files, req.executable, private)
            config, model = self._read(record, staged)
            plan.image_steps(model, req.build)
        except Exception:
            self.store.unstage(record.id)
            raise
        self._step(record, "written")
        self.store.publish(record.id)
        return record, config, model, staged

    def check_project(self, key: bytes) -> Stack:
        """Validate the project in a scratch directory, before anything is written. :raises Refused: all problems"""
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
            _config, model = self._read(record, directory)
        plan.image_steps(model, self.request.build)
        return model

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
        document = overlay(model, pins)
        for name, entry in extra.items():
            document["services"].setdefault(name, {}).update(entry)
        for name in pins:
            document["services"][name]["pull_policy"] = "missing"
        # JSON is YAML, and needs no library to be written.
        head = "# Written by landfall for this release; the project's own files stand beside it.\n"
        self.store.write(record.id, OVERLAY, head + json.dumps(document, indent=2, sort_keys=True) + "\n")

    # --- images

    def _images(self, record: Release, model: Stack, previous: Release | None) -> dict[str, dict[str, Any]]:
        req = self.request
        steps = plan.image_steps(model, req.build)
        built = [step.service for step in steps if step.action == "build"]
        self._step(record, "pulled")
        for ref in dict.fromkeys(step.ref for step in steps if step.action == "pull"):
            there = self._guard(functools.partial(self.fx.docker.image, ref)) is not None
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
        self._step(record, "failed", {"message": message})
        self.store.save(record.finish(release.FAILED, self.fx.now(), evidence={"message": message}))
        text = f"stack {self.request.stack}: {message}. Nothing was changed: what ran before runs on"
        return DeployFailed(text, {"release": record.id, "step": self.steps[-2] if len(self.steps) > 1 else ""})

    # --- starting and waiting

    def _observe(self) -> list[health.Observation]:
        return [health.observe(one) for one in self.fx.docker.containers(self.request.stack)]

    def _up(self, record: Release, bound: float, awaited: Mapping[str, plan.Watch], before: Mapping[str, int]) -> None:
        project = self._project(record, self.store.release_path(record.id), True, bound)
        try:
            self.fx.docker.remove(health.leftovers(self._observe()))
            project.run("up", "--detach", "--no-build", "--remove-orphans", "--quiet-pull")
        except self.fx.errors as problem:
            broken = []
            reasons = []
            for one in self._observe():
                watch = awaited.get(one.service)
                if watch is None:
                    continue
                verdict = health.judge(one, 0.0, watch.healthy_for, before.get(one.id, 0), watch.wants)
                if verdict.state == health.BROKEN:
                    broken.append(one)
                    reasons.append(f"service {one.service}: {verdict.reason} ({one.name})")
            said = self._clean(problem)
            raise _StepFailed("; ".join(reasons) or f"docker compose up failed: {said}", broken) from problem

    def _wait(self, awaited: Mapping[str, plan.Watch], before: Mapping[str, int]) -> list[health.Observation]:
        began = self.fx.monotonic()
        running_since: dict[tuple[str, str], float] = {}
        settled_since: dict[str, float] = {}
        while True:
            now = self.fx.monotonic()
            seen = self._observe()
            waiting: dict[str, str] = {}
            broken: list[tuple[health.Observation, str]] = []
            for name, watch in awaited.items():
                mine = [one for one in seen if one.service == name]
                if len(mine) < watch.replicas:
                    waiting[name] = f"{len(mine)} of {watch.replicas} containers are there"
                for one in mine:
                    since = running_since.setdefault((one.id, one.started_at), now)
                    verdict = health.judge(one, now - since, watch.healthy_for, before.get(one.id, 0), watch.wants)
                    if verdict.state == health.HEALTHY and watch.routes:
                        settled = settled_since.setdefault(one.id, now)
                        verdict = self._listens(one, watch, now - settled)
                    elif verdict.state == health.DONE and watch.routes:
                        verdict = health.Verdict(health.BROKEN, "is routed and ended with exit code 0")
                    if verdict.state == health.BROKEN:
                        broken.append((one, verdict.reason))
                    elif verdict.state == health.WAITING:
                        waiting[name] = verdict.reason
                        if now - began > watch.deadline:
                            broken.append((one, f"not well after {watch.deadline:.0f} s: {verdict.reason}"))
                if name in waiting and not mine and now - began > watch.deadline:
                    raise _StepFailed(f"service {name}: {waiting[name]} after {watch.deadline:.0f} s")
            if broken:
                reasons = [
                    why if why.startswith("service ") else f"service {one.service}: {why} ({one.name})"
                    for one, why in broken
                ]
                raise _StepFailed("; ".join(dict.fromkeys(reasons)), [one for one, _why in broken])
            if not waiting:
                return seen
            self.fx.sleep(TICK)

    def _listens(self, one: health.Observation, watch: plan.Watch, settled: float) -> health.Verdict:
        for path, port in watch.routes:
            if self.fx.connects(one.addresses, port):
                continue
            listeners = ports.parse_proc_net(self.fx.proc_net(one.pid))
            reason = ports.complaint(watch.service, path, port, listeners)
            # With listeners elsewhere the program is up, and the port is simply not this one.
            if settled > PORT_GRACE and listeners:
                return health.Verdict(health.BROKEN, reason)
            return health.Verdict(health.WAITING, reason)
        return health.Verdict(health.HEALTHY)

    def _routes(self, model: Stack, seen: Sequence[health.Observation]) -> str:
        names: dict[str, list[str]] = {}
        for one in seen:
            if one.status == "running":
                names.setdefault(one.service, []).append(one.name)
        return to_json(routes_of(model, names))

    # --- failing

    def _failed(self, record: Release, previous: Release | None, problem: _StepFailed) -> DeployFailed:
        req = self.request
        step = self.steps[-1] if self.steps else ""
        message = self._scrub(str(problem))
        containers = [self._evidence(one) for one in problem.broken]
        evidence = {"message": message, "step": step, "containers": containers}
        self._step(record, "failed", {"message": message})
        self.store.write(record.id, "evidence.json", json.dumps(evidence, indent=2, sort_keys=True) + "\n", 0o600)
        self.store.save(record.finish(release.FAILED, self.fx.now(), evidence=evidence))
        result: dict[str, Any] = {"changed": True, "release": record.id, "step": step, "evidence": evidence}
        result["rolled_back_to"] = None
        text = [f"stack {req.stack}: {message}"]
        text += [_excerpt(item) for item in containers]
        where = os.path.join(self.store.release_path(record.id), "evidence.json")
        if previous is None:
            self._stop_all()
            text.append(
                "This was the first deployment, so there is nothing to go back to: its containers were stopped "
                f"and left for inspection (docker logs <name>; evidence in {where}). Mend the cause and deploy again"
            )
        else:
            trouble = self._roll_back(previous, record)
            if trouble:
                text.append(
                    f"Going back to release {previous.id} FAILED too: {trouble}. "
                    f"Look at 'landfall status' now; evidence in {where}"
                )
            else:
                result["rolled_back_to"] = previous.id
                text.append(
                    f"Rolled back to release {previous.id}, which runs and is healthy. Evidence: {where}. "
                    "Mend the cause and deploy again"
                )
        return DeployFailed("\n".join(text), result)

    def _roll_back(self, previous: Release, record: Release) -> str:
        """Start the previous release's own files again; "" when it stands, else what went wrong."""
        self._step(record, "rolled back", {"to": previous.id})
        directory = self.store.release_path(previous.id)
        try:
            self.store.restore_secrets(previous.secret_digests)
            _config, model = self._read(previous, directory)
            awaited = plan.watches(model, self.request.deadline)
            before = {one.id: one.restarts for one in self._observe()}
            self._up(previous, plan.start_bound(model, awaited), awaited, before)
            seen = self._wait(awaited, before)
            text = self._routes(model, seen)
            self.store.write(previous.id, "routes.json", text)
            self.fx.write_routes(text)
            self.store.switch(previous.id)
        except (_StepFailed, Refused, OSError) as problem:
            return self._scrub(str(problem))
        except self.fx.errors as problem:
            return self._scrub(str(problem))
        return ""

    def _stop_all(self) -> None:
        try:
            self.fx.docker.stop(one.name for one in self._observe() if one.status in ("running", "restarting"))
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
        self.store.prune_secrets([one.secret_digests for one in self.store.releases()])
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
        self.store.log(journal.Entry(self.fx.now(), record.id, step, detail or {}))
        self.steps.append(step)

    def _guard(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except self.fx.errors as problem:
            raise _StepFailed(self._clean(problem)) from problem

    def _clean(self, problem: Exception) -> str:
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
