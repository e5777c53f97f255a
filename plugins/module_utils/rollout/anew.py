# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The current release once more, with other values of some secrets: what a rotation's step rolls out.

Nothing is asked of the controller: files, environment, images and secrets are those the host has. So a rotation never
brings along what somebody has changed in the project since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..compose.envfile import parse_env
from . import rotation
from .plan import Refused
from .release import RESERVED, Release
from .request import Anew, Request, Secret
from .rotation import ANNOUNCED, SETTLED, SWITCHED, CannotRotate, Spec, Standing


@dataclass(frozen=True)
class Step:
    """What a host is to do with one secret.

    :param stage: where it goes to: announced, switched or settled
    :param undo: go back to settled, whatever it stands at
    :param key: with ``announced`` the new key
    :param user, password: with ``switched`` of a login the new login
    """

    spec: Spec
    stage: str
    undo: bool = False
    key: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)


def standing(store: Any, current: Release, spec: Spec, now: float) -> Standing:
    """Where a secret stands. :param now: seconds since the epoch :raises Refused: there is no such secret"""
    name = spec.secret
    if name not in current.secret_digests:
        raise Refused(
            f"stack {current.stack}: rotate names {name}, which is none of its secrets; they are: "
            + (", ".join(sorted(current.secret_digests)) or "none")
        )
    if spec.second and spec.second not in current.secret_digests:
        raise Refused(
            f"stack {current.stack}: its release {current.id} does not know {spec.second} yet: run deploy.yml once, "
            f"and see that its services accept a token signed with the key in {spec.second}"
        )
    state = current.rotation.get(name, {})
    since = _seconds(state["at"]) if state.get("at") else store.secret_time(name)
    user = base = ""
    if not spec.second:
        try:
            user, base = rotation.login_of(store.secret_version(name, current.secret_digests[name]))
        except CannotRotate as problem:
            raise Refused(f"stack {current.stack}: secret {name}: {problem}") from problem
    return Standing(state.get("stage", SETTLED), max(now - since, 0.0), user, base)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def request(store: Any, current: Release, steps: list[Step], now: str, **more: Any) -> Request | None:
    """What to roll out so that each secret has got where its step goes to; None when all are there.

    :param now: ISO time, for the record
    :param more: further fields of the request (who, deadline)
    """
    values = {name: store.secret_version(name, digest) for name, digest in current.secret_digests.items()}
    state = {name: dict(one) for name, one in current.rotation.items()}
    told = []
    for step in steps:
        name, before = step.spec.secret, state.get(step.spec.secret, {})
        stage = before.get("stage", SETTLED)
        if stage == (SETTLED if step.undo else step.stage):
            continue
        if step.undo:
            was = store.secret_version(name, before["was"]) if before.get("was") else ""
            values.update(rotation.back(stage, step.spec, values, was))
            told.append(f"{name}: taken back")
        else:
            values.update(_changed(step, values))
            told.append(f"{name}: {_said(step)}")
        state[name] = _state(step, before, current.secret_digests[name], now)
    if not told:
        return None
    names = set(values)
    env = parse_env(store.read(current.id, "env"))
    files = {path: one for path, one in store.release_files(current.id).items() if path not in RESERVED}
    secrets = tuple(
        Secret(name, values[name], env=name in env, owner=store.secret_owner(name)) for name in sorted(values)
    )
    return Request(
        stack=current.stack,
        files={path: data for path, (data, _executable) in files.items()},
        compose_files=current.compose_files,
        executable=frozenset(path for path, (_data, executable) in files.items() if executable),
        env={name: value for name, value in env.items() if name not in names and name != "LANDFALL_SECRETS"},
        env_file=store.read(current.id, "env.user"),
        secrets=secrets,
        version=current.version,
        profiles=current.profiles,
        commit=current.commit,
        # Migrations belong to a new version.
        migrate=False,
        anew=Anew(current.id, "rotation: " + "; ".join(told), state),
        **more,
    )


def _changed(step: Step, values: Mapping[str, str]) -> dict[str, str]:
    spec = step.spec
    fresh = step.key
    if step.stage == SWITCHED and not spec.second:
        fresh = rotation.with_login(values[spec.secret], step.user, step.password)
    if step.stage == ANNOUNCED and spec.second and not fresh:
        raise Refused(f"secret {spec.secret}: no new key was given")
    return rotation.step(step.stage, spec, values, fresh)


def _state(step: Step, before: Mapping[str, str], digest: str, now: str) -> dict[str, str]:
    """What the record says. ``given`` stays what it was before the first rotation."""
    stage = SETTLED if step.undo else step.stage
    out = {"stage": stage, "at": now, "second": step.spec.second, "given": before.get("given") or digest}
    if step.undo:
        # It was not rotated: it is as old as it was.
        out["at"] = before.get("settled_at", "")
    elif stage == SETTLED:
        # Its age counts from when it came into use.
        out["at"] = before.get("at") or now
    if stage != SETTLED:
        out["settled_at"] = before.get("settled_at") or before.get("at", "")
        if not step.spec.second:
            out["was"] = digest
    return {name: value for name, value in out.items() if value}


def _said(step: Step) -> str:
    if step.spec.second:
        return {
            ANNOUNCED: "a new key is accepted beside the one in use",
            SWITCHED: "the new key is in use, the one before is accepted",
            SETTLED: "the key before is accepted no longer",
        }[step.stage]
    return {SWITCHED: f"logs in as {step.user}", SETTLED: "the login before is not needed any more"}[step.stage]
