# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether there is anything to deploy, and why: what is asked for compared with what is there. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from . import envfile, health, release, rotated, store
from .plan import Refused
from .release import RESERVED, Content, Release
from .run import Run


@dataclass(frozen=True)
class Decision:
    """Whether there is anything to do, and why; computed without changing anything.

    :param why: for a person, "" when there is nothing to do
    :param digest: of the content that is asked for
    :param current: the release that ``current`` points to, whatever its outcome
    :param values: secret → value; ``secret_digests``: secret → keyed digest
    :param env_digests: variable → the first 16 characters of its keyed digest
    :param generated: names of secrets that are made up now
    :param rotation: where each rotated secret stands, see release.Release
    """

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


def decide(run: Run, key: bytes, docker_ready: bool) -> Decision:
    """Compare what is asked with what is there.

    :param key: the stack's digest key
    :param docker_ready: whether Docker can be asked what runs
    :raises Refused: what is asked for cannot be
    """
    content, values, generated = content_of(run, key)
    anew = run.request.anew
    state = rotated.state(run.store, run.good(), _rotated(run, key)) if anew is None else dict(anew.rotation)
    digest = release.content_digest(content, key)
    env_digests = {name: release.keyed(key, value)[:16] for name, value in content.env.items()}
    from_file = release.keyed(key, run.request.env_file)[:16]
    env_digests = {**dict.fromkeys(envfile.names(run.request.env_file), from_file), **env_digests}
    releases = run.store.releases()
    current = next((r for r in releases if r.id == run.store.current()), None)
    why = _why(run, digest, releases, current, docker_ready)
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


def _why(run: Run, digest: str, releases: list[Release], current: Release | None, docker_ready: bool) -> str:
    """The reason to act, "" when there is none."""
    if run.request.anew is not None:
        return run.request.anew.why
    if store.recover(releases, digest).resume:
        return "resumes a run that was interrupted"
    if current is None or current.outcome != release.SEALED:
        first = store.last_good(releases) is None
        return "first release" if first else "the current release is not sealed"
    if current.digest != digest:
        return "the content changed"
    if not docker_ready:
        return "Docker does not answer on this host"
    seen = run.observe()
    differs = health.drift(current.observed, seen)
    if not differs and run.routes_of(current.id) != run.fx.traffic.read_routes():
        differs = ["its routes file is not as written"]
    return "repair: " + "; ".join(differs) if differs else ""


def content_of(run: Run, key: bytes) -> tuple[Content, dict[str, str], list[str]]:
    """The content asked for, the values of the secrets, and which of them are made up.

    From here on the values do not appear in what the run says. :raises Refused: what is asked for cannot be
    """
    req = run.request
    values, generated = _secret_values(run, key)
    run.hide(values.values())
    variables = {one.name: values[one.name] for one in req.secrets if one.env}
    clash = sorted(set(variables) & set(req.env))
    if clash:
        raise Refused(f"{', '.join(clash)}: given in env and in secrets; keep it in secrets")
    taken = sorted(RESERVED & {path.split("/")[0] for path in req.files})
    if taken:
        raise Refused(f"{', '.join(taken)}: the release directory keeps this name for itself; rename the file")
    env = {**req.env, **variables, "LANDFALL_SECRETS": run.store.secrets_dir}
    version = req.version or _running_version(run)
    if version:
        env.setdefault("VERSION", version)
    digests = {name: release.keyed(key, value) for name, value in values.items()}
    content = Content(req.files, req.compose_files, env, req.env_file, digests, version, req.profiles, req.executable)
    return content, values, generated


def _running_version(run: Run) -> str:
    """The version that runs: a run that names none must not take it back."""
    current = run.store.current()
    return next((one.version for one in run.store.releases() if one.id == current), "")


def _secret_values(run: Run, key: bytes) -> tuple[dict[str, str], list[str]]:
    values: dict[str, str] = {}
    generated: list[str] = []
    kept_by_rotation = _rotated(run, key)
    for secret in run.request.secrets:
        if not secret.name or "/" in secret.name or secret.name.startswith("."):
            raise Refused(f"secret name {secret.name!r}: use letters, digits, '_', '-' and '.', no '/'")
        if secret.name in kept_by_rotation:
            values[secret.name] = kept_by_rotation[secret.name]
            continue
        if secret.value is not None:
            values[secret.name] = secret.value
            continue
        kept = run.store.secret(secret.name)
        if kept is None:
            if secret.nbytes:
                generated.append(secret.name)
            kept = run.fx.token(secret.nbytes) if secret.nbytes else ""
        values[secret.name] = kept
    return values, generated


def _rotated(run: Run, key: bytes) -> dict[str, str]:
    """The values that rotations made; none for a rotation itself, which brings its own."""
    if run.request.anew is not None:
        return {}
    given = {one.name: one.value for one in run.request.secrets if one.value is not None}
    found = rotated.values(run.store, run.good(), given, key)
    return {one.name: found[one.name] for one in run.request.secrets if one.name in found}
