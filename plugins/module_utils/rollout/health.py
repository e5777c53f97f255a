# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When is a container well? Judged from `docker inspect`, a clock reading and what listens, never from hope."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WAITING, HEALTHY, DONE, BROKEN = "waiting", "healthy", "done", "broken"
#: States in a release's record: told to end and not waited for; kept running without traffic for a way back.
LEAVING, WARM = "leaving", "warm"

_REPLACEMENT = re.compile(r"^[0-9a-f]{12}_")

#: So many restarts of one container in one deployment are a crash loop.
CRASH_LOOP = 3


@dataclass(frozen=True)
class Observation:
    """One container as inspected, reduced to what a judgement needs.

    :param health: ``healthy``, ``unhealthy``, ``starting``, or "" when it has no healthcheck or a disabled one
    :param config_hash: fingerprint of the configuration it was made from; Compose's own hash where landfall left none
    :param addresses: its addresses on the host's networks, IPv4 or IPv6
    :param restart_policy: ``no``, ``always``, ``unless-stopped``, ``on-failure``
    :param aliases: the names it is reached by on any network, besides its own name and id
    :param networks: Docker's name of each network → the endpoint as inspected
    :param grace: seconds between SIGTERM and SIGKILL, None for Docker's default
    :param test: its healthcheck as Docker runs it, ``()`` when it has none or a disabled one
    :param test_timeout: seconds one run of it may take
    """

    name: str
    id: str
    service: str
    status: str
    health: str = ""
    exit_code: int = 0
    restarts: int = 0
    started_at: str = ""
    pid: int = 0
    oom_killed: bool = False
    error: str = ""
    image: str = ""
    config_hash: str = ""
    restart_policy: str = "no"
    addresses: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None
    created: str = ""
    aliases: tuple[str, ...] = ()
    networks: Mapping[str, Mapping[str, Any]] | None = None
    grace: float | None = None
    test: tuple[str, ...] = ()
    test_timeout: float = 30.0


@dataclass(frozen=True)
class Verdict:
    """``state`` is one of waiting, healthy, done (a job that ended with 0), broken; ``reason`` says why."""

    state: str
    reason: str = ""


def observe(inspected: Mapping[str, Any]) -> Observation:
    """The :class:`Observation` in one element of ``docker inspect``'s list."""
    state = inspected.get("State") or {}
    config = inspected.get("Config") or {}
    labels = config.get("Labels") or {}
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = []
    for network in networks.values():
        addresses += [network.get(key) for key in ("IPAddress", "GlobalIPv6Address") if network.get(key)]
    test = (config.get("Healthcheck") or {}).get("Test") or []
    health = (state.get("Health") or {}).get("Status", "")
    return Observation(
        name=str(inspected.get("Name", "")).lstrip("/"),
        id=str(inspected.get("Id", "")),
        service=labels.get("com.docker.compose.service", ""),
        status=state.get("Status", ""),
        health="" if health == "none" or test[:1] == ["NONE"] else health,
        exit_code=int(state.get("ExitCode") or 0),
        restarts=int(inspected.get("RestartCount") or 0),
        started_at=state.get("StartedAt", ""),
        pid=int(state.get("Pid") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        image=str(inspected.get("Image", "")),
        config_hash=labels.get("landfall.config") or labels.get("com.docker.compose.config-hash", ""),
        restart_policy=((inspected.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no",
        addresses=tuple(addresses),
        labels=labels,
        created=str(inspected.get("Created", "")),
        aliases=tuple(
            sorted({alias for one in networks.values() for alias in one.get("Aliases") or ()} - _own_names(inspected))
        ),
        networks=networks,
        grace=config.get("StopTimeout"),
        test=() if test[:1] == ["NONE"] else tuple(test),
        test_timeout=((config.get("Healthcheck") or {}).get("Timeout") or 30_000_000_000) / 1e9,
    )


def _own_names(inspected: Mapping[str, Any]) -> set[str]:
    """What Docker counts among the aliases but no other container can have: the name, and the id's first digits."""
    return {str(inspected.get("Name", "")).lstrip("/"), str(inspected.get("Id", ""))[:12]}


def judge(
    seen: Observation, running_for: float, healthy_for: float, restarts_before: int = 0, wants: str = "running"
) -> Verdict:
    """The state of one container.

    :param running_for: seconds since it was first seen running with its present start time
    :param healthy_for: seconds a container *without* a healthcheck must stay up; with one, Docker's word counts
    :param restarts_before: its restart count when the deployment began
    :param wants: ``running``, or ``done`` for a service others wait for with service_completed_successfully
    """
    restarts = seen.restarts - restarts_before
    if seen.status == "exited" or seen.status == "dead":
        if seen.exit_code == 0 and (wants == "done" or seen.restart_policy in ("no", "on-failure")):
            return Verdict(DONE, "ended with exit code 0")
        if seen.restart_policy in ("always", "unless-stopped") and restarts < CRASH_LOOP:
            return Verdict(WAITING, f"exited with code {seen.exit_code}, Docker starts it again")
        return Verdict(BROKEN, _ended(seen))
    if seen.status == "restarting" or restarts >= CRASH_LOOP:
        if restarts >= CRASH_LOOP:
            # While it runs for a moment Docker has no exit code to tell.
            ended = f"; it {_ended(seen)}" if seen.exit_code or seen.oom_killed else ""
            return Verdict(BROKEN, f"restarted {restarts} times{ended}")
        return Verdict(WAITING, f"restarting after exit code {seen.exit_code}")
    if seen.status != "running":
        return Verdict(WAITING, f"is {seen.status or 'missing'}" + (f": {seen.error}" if seen.error else ""))
    if wants == "done":
        return Verdict(WAITING, "the job is still running")
    if seen.health == "healthy":
        return Verdict(HEALTHY)
    if seen.health == "unhealthy":
        return Verdict(BROKEN, "its healthcheck fails")
    if seen.health:
        return Verdict(WAITING, f"its healthcheck says {seen.health}")
    if running_for < healthy_for:
        return Verdict(WAITING, f"has no healthcheck, up for {running_for:.0f} of {healthy_for:.0f} s")
    return Verdict(HEALTHY, "has no healthcheck; it stayed up")


def _ended(seen: Observation) -> str:
    why = " (killed: out of memory)" if seen.oom_killed else ""
    return f"exited with code {seen.exit_code}{why}" + (f": {seen.error}" if seen.error else "")


def leftovers(seen: Sequence[Observation]) -> list[str]:
    """Names of containers that a killed ``docker compose up`` left in mid-replacement.

    Compose creates the replacement as ``<12 hex digits>_<name>``, and gives it its name when the old one is gone.
    The next ``up`` would stumble over such a container instead of finishing it; it was never started.
    """
    return sorted(one.name for one in seen if one.status == "created" and _REPLACEMENT.match(one.name))


def drift(
    recorded: Mapping[str, Mapping[str, str]], seen: Sequence[Observation], jobs: frozenset[str] = frozenset()
) -> list[str]:
    """How the containers differ from those recorded when the release was sealed; [] when nothing does.

    :param recorded: container name → {service, config_hash, image, state}
    :param jobs: services that run to their end; they may be gone or exited with 0
    """
    by_name = {one.name: one for one in seen}
    out = []
    for name, was in sorted(recorded.items()):
        one = by_name.get(name)
        if was.get("state") in (LEAVING, WARM):
            continue
        done = was.get("state") == DONE or was.get("service") in jobs
        if one is None:
            if not done:
                out.append(f"{name} is gone")
        elif one.config_hash != was.get("config_hash"):
            out.append(f"{name} was changed by hand (its Compose configuration differs)")
        elif one.image != was.get("image"):
            out.append(f"{name} runs another image")
        elif done:
            if one.status == "exited" and one.exit_code:
                out.append(f"{name} exited with code {one.exit_code}")
        elif one.status != "running":
            out.append(f"{name} is {one.status}")
        # Not "starting": Docker's first own check comes an interval after the rollout has run the same one.
        elif one.health == "unhealthy":
            out.append(f"{name} is {one.health}")
    out += [f"{name} is not part of the release" for name in sorted(set(by_name) - set(recorded))]
    return out
