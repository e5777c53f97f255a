# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each service is replaced, and why so: chosen from what the file says and from what the image declares. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..compose.stack import Service, Stack
from ..compose.values import seconds
from .plan import Refused

ROLLING, BLUE_GREEN, CANARY, RECREATE, JOB = "rolling", "blue-green", "canary", "recreate", "job"

#: Programs that own their data: two of them on one directory destroy it.
_DATABASES = re.compile(
    r"^(postgres|postgresql|pgvector|timescaledb|postgis|mysql|mariadb|percona.*|mongo|mongodb.*|redis|redis-stack.*|"
    r"valkey|keydb|chroma|chromadb|qdrant|weaviate|milvus|elasticsearch|opensearch|cassandra|couchdb|clickhouse.*|"
    r"influxdb|neo4j|rabbitmq|nats|kafka|zookeeper|etcd|consul|minio|memcached|meilisearch|typesense)$"
)
#: Sockets and devices, not data.
_NOT_DATA = re.compile(r"^((/var)?/run/docker\.sock|/etc/(localtime|timezone)|/(dev|sys|proc)/.*)$")


@dataclass(frozen=True)
class Strategy:
    """How one service is replaced. Times in seconds, rates as a share of 1.

    :param kind: ``rolling``, ``blue-green``, ``canary``, ``recreate``, or ``job`` (others wait for it to end)
    :param reason: why, in one line
    :param batch: instances started at a time
    :param surge: instances above the wanted number while replacing
    :param unavailable: instances below it
    :param healthy_for: how long a new instance must be healthy; None: 5 s without a healthcheck, else 0
    :param drain: how long an old instance may finish what it has
    :param wait: whether the deploy waits for old instances to end after they were told to
    :param relayed: the DNS names of the service belong to the stack's relay
    :param ports: container ports that carry HTTP, for the relay
    """

    kind: str
    reason: str
    batch: int = 1
    surge: int = 1
    unavailable: int = 0
    healthy_for: float | None = None
    deadline: float = 120.0
    drain: float = 30.0
    bake: float = 15.0
    max_error_rate: float = 0.05
    max_p99: float | None = None
    steps: tuple[int, ...] = (10, 50, 100)
    hold: float = 60.0
    wait: bool = True
    relayed: bool = False
    ports: tuple[int, ...] = ()

    @property
    def rolls(self) -> bool:
        """Whether new instances stand beside old ones."""
        return self.kind in (ROLLING, BLUE_GREEN, CANARY)


def strategies(
    model: Stack,
    config: Mapping[str, Any],
    deadline: float,
    image_volumes: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Strategy]:
    """Service → :class:`Strategy`.

    :param config: what ``docker compose config`` printed: fixed addresses and environments stand only there
    :param deadline: seconds, for services that say none
    :param image_volumes: service → the paths its image declares as volumes
    :raises Refused: a strategy was asked for that cannot be
    """
    jobs = {
        on.service
        for service in model.services.values()
        for on in service.depends_on
        if on.condition == "service_completed_successfully"
    }
    raw = config.get("services") or {}
    calls = internal_calls(raw)
    return {
        name: _strategy(service, raw.get(name) or {}, name in jobs, deadline, (image_volumes or {}).get(name, ()),
                        calls.get(name))
        for name, service in model.services.items()
    }  # fmt: skip


def _strategy(
    service: Service,
    raw: Mapping[str, Any],
    job: bool,
    deadline: float,
    image_volumes: Sequence[str],
    called: tuple[int, ...] | None,
) -> Strategy:
    said = service.extra.get("rollout") or {}
    asked = said.get("strategy")
    if job:
        return Strategy(JOB, "others wait for it to end", deadline=_time(said, "deadline", deadline))
    never, unwise = cannot_run_twice(service, raw, image_volumes)
    kind, reason = asked or ROLLING, "asked for" if asked else "new instances start before old ones stop"
    if asked and asked != RECREATE and never:
        raise Refused(
            f"service {service.name}: x-landfall.rollout.strategy {asked} cannot be, since {never[0]}. "
            "Take that away, or leave the strategy out: then it is stopped first"
        )
    if asked in (BLUE_GREEN, CANARY) and not service.routes:
        raise Refused(
            f"service {service.name}: x-landfall.rollout.strategy {asked} is for services the edge routes to; "
            "give it a route, or use rolling"
        )
    if not asked and (never or unwise):
        kind, reason = RECREATE, "; ".join([*never, *unwise])
    batch = int(said.get("batch", service.replicas)) or 1
    surge = int(said.get("max_surge", batch))
    unavailable = int(said.get("max_unavailable", 0))
    if kind == ROLLING and surge + unavailable < 1:
        raise Refused(
            f"service {service.name}: x-landfall.rollout max_surge 0 and max_unavailable 0 leave no room to replace "
            "anything; set one of them to 1"
        )
    relayed, ports = _relay(service, said, kind, called)
    return Strategy(
        kind=kind,
        reason=reason,
        batch=max(batch, 1) if kind == ROLLING else max(service.replicas, 1),
        surge=surge,
        unavailable=unavailable,
        healthy_for=_time(said, "healthy_for", None),
        deadline=_time(said, "deadline", deadline),
        drain=_time(said, "drain", 30.0),
        bake=_time(said, "bake", 15.0),
        max_error_rate=_share(said.get("max_error_rate", "5%")),
        max_p99=_time(said, "max_p99", None),
        steps=tuple(said.get("steps", (10, 50, 100))),
        hold=_time(said, "hold", 60.0),
        wait=bool(said.get("wait", True)),
        relayed=relayed,
        ports=ports,
    )


def _relay(
    service: Service, said: Mapping[str, Any], kind: str, called: tuple[int, ...] | None
) -> tuple[bool, tuple[int, ...]]:
    """Whether the relay answers for the service's names, and on which ports."""
    if kind not in (ROLLING, BLUE_GREEN, CANARY) or not service.networks:
        return False, ()
    wish = said.get("east_west")
    ports = sorted({route.port for route in service.routes} | set(called or ()))
    if wish == "direct" or (wish is None and not called):
        # The ports count all the same: the relay serves it on while old containers have no names of their own.
        return False, tuple(ports)
    if wish == "relay":
        ports = sorted({*ports, *service.expose})
        if not ports:
            raise Refused(
                f"service {service.name}: x-landfall.rollout.east_west relay needs to know its HTTP ports; "
                "list them under expose"
            )
    return True, tuple(ports)


def cannot_run_twice(
    service: Service, raw: Mapping[str, Any], image_volumes: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Why two instances cannot stand side by side at all, and why they had better not. Both empty: they can."""
    never, unwise = [], []
    if service.container_name:
        never.append(f"container_name {service.container_name} can be had by one container only")
    for port in service.ports:
        if port.published and "-" not in port.published:
            never.append(f"host port {port.published} can be bound by one container only")
    if service.network_mode and service.network_mode not in ("bridge", "none"):
        never.append(f"network_mode {service.network_mode} shares the ports of another")
    for key, entry in (raw.get("networks") or {}).items():
        if entry and (entry.get("ipv4_address") or entry.get("ipv6_address")):
            never.append(f"its address on network {key} is fixed")
    image = re.split(r"[:@]", service.image.rpartition("/")[2])[0]
    if service.image and _DATABASES.match(image):
        unwise.append(f"{image} is a database: two on one directory would destroy it")
    if service.replicas <= 1:
        for mount in service.mounts:
            if mount.kind in ("volume", "bind") and not mount.read_only and not _NOT_DATA.match(mount.source):
                what = "an anonymous volume" if not mount.source else f"{mount.kind} {mount.source}"
                unwise.append(f"{what} is written by one instance at a time")
    covered = {mount.target.rstrip("/") for mount in service.mounts}
    covered |= {str(item).partition(":")[0].rstrip("/") for item in _listed(raw.get("tmpfs"))}
    for path in image_volumes:
        if path.rstrip("/") not in covered:
            unwise.append(f"its image keeps data in the anonymous volume {path}")
    return never, unwise


def internal_calls(services: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    """The services that others call over HTTP by name, and on which ports, read from environments and commands.

    ``http://api:8000/v1`` and ``ws://api:8000`` count. A mention with a port and another scheme, or none
    (``api:50051``), says that something else than HTTP is spoken there: such a service is left out.
    """
    found: dict[str, set[int]] = {}
    other: set[str] = set()
    for name in services:
        pattern = re.compile(
            r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^@/\s]*@)?)?(?<![\w.-])"
            + re.escape(name)
            + r"(?::(?P<port>\d+))?(?![\w.-])",
        )
        for caller, raw in services.items():
            if caller == name:
                continue
            for text in _texts(raw):
                for match in pattern.finditer(text):
                    scheme, port = match["scheme"], match["port"]
                    if scheme in ("http", "ws"):
                        found.setdefault(name, set()).add(int(port or 80))
                    elif port or scheme:
                        other.add(name)
    return {name: tuple(sorted(ports)) for name, ports in found.items() if name not in other}


def _texts(raw: Mapping[str, Any]) -> list[str]:
    environment = raw.get("environment") or {}
    values = environment.values() if isinstance(environment, Mapping) else environment
    return [str(item) for item in (*values, *_listed(raw.get("command")), *_listed(raw.get("entrypoint"))) if item]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value] if value else []


def _time(said: Mapping[str, Any], key: str, default: Any) -> Any:
    return seconds(str(said[key])) if key in said else default


def _share(text: str) -> float:
    return float(str(text).rstrip("%")) / 100
