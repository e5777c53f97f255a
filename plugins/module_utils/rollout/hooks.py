# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's commands around a rollout: once a release in a container of the new image, or inside an instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..compose.values import seconds

LINES = 40


class HookFailed(Exception):
    """A hook failed; ``evidence`` holds its command, exit code and last lines."""

    def __init__(self, message: str, evidence: Mapping[str, Any]) -> None:
        self.evidence = dict(evidence)
        super().__init__(message)


def argv(command: Any) -> list[str]:
    """A hook's command as a list; one line is for ``sh -c``."""
    return ["sh", "-c", command] if isinstance(command, str) else [str(item) for item in command]


def container_name(stack: str, service: str, kind: str, release: str) -> str:
    """The name of a hook's container: the same for every run of a release, so that a second run finds the first's."""
    return f"{stack}-hook-{service}-{kind.replace('_', '-')}-{release.lower()}"


def once(
    fx: Any,
    project: Any,
    stack: str,
    release: str,
    service: str,
    kind: str,
    hook: Mapping[str, Any],
    step: Callable[[str, dict[str, Any] | None], None],
) -> None:
    """Run a hook once for a release, in a container of its own.

    The container stays until the release is sealed: a run that was killed in between finds it, waits for it, and does
    not run the command a second time. :raises HookFailed: it ended with another code than 0, or took too long
    """
    name = container_name(stack, service, kind, release)
    found = fx.docker.inspect([name])
    if not found:
        step(f"hook {kind}", {"service": service, "container": name})
        project.run("run", "--detach", "--no-deps", "--name", name, service, *argv(hook["command"]))
    limit = seconds(str(hook.get("timeout", "10m")))
    began = fx.monotonic()
    while True:
        found = fx.docker.inspect([name])
        if not found:
            raise HookFailed(f"service {service}: the container of hook {kind} is gone", {"hook": kind})
        state = found[0].get("State") or {}
        if state.get("Status") in ("exited", "dead"):
            break
        if state.get("Status") == "created" and fx.monotonic() - began > 5.0:
            # A run was killed between creating and starting it.
            fx.docker.start(name)
        if fx.monotonic() - began > limit:
            said = _evidence(fx, service, kind, hook, name, None)
            fx.docker.stop_one(name, 10)
            fx.docker.remove_one(name)
            raise HookFailed(_sentence(service, kind, f"took longer than {limit:.0f} s", said), said)
        fx.sleep(0.2)
    code = int(state.get("ExitCode") or 0)
    if code:
        said = _evidence(fx, service, kind, hook, name, code)
        # Gone, so that the next try runs it again.
        fx.docker.remove_one(name)
        raise HookFailed(_sentence(service, kind, f"ended with exit code {code}", said), said)


def inside(fx: Any, service: str, kind: str, hook: Mapping[str, Any], container: str, fatal: bool = True) -> None:
    """Run a hook in a running instance. :raises HookFailed: it failed, unless ``fatal`` is False"""
    command = argv(hook["command"])
    limit = int(seconds(str(hook.get("timeout", "10m"))))
    try:
        # The bound is kept inside, so that a hook that hangs ends there too.
        code, said = fx.docker.execute(container, command, timeout=limit)
    except fx.errors as problem:
        code, said = -1, fx.told(problem)
    if code and fatal:
        evidence = {"hook": kind, "service": service, "exit_code": code, "log": said.splitlines()[-LINES:]}
        why = f"took longer than {limit} s" if code == 124 else f"ended with exit code {code}"
        raise HookFailed(_sentence(service, kind, why, evidence), evidence)


def _evidence(fx: Any, service: str, kind: str, hook: Mapping[str, Any], name: str, code: int | None) -> dict[str, Any]:
    return {
        "hook": kind,
        "service": service,
        "command": " ".join(argv(hook["command"])),
        "exit_code": code,
        "log": fx.docker.logs(name, LINES),
    }


def _sentence(service: str, kind: str, why: str, evidence: Mapping[str, Any]) -> str:
    last = "".join(f"\n    {line}" for line in evidence["log"][-10:])
    return f"service {service}: hook {kind} {why}" + (f". It said:{last}" if last else "")
