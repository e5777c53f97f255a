# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack model: what the engines read. Plain values, no secrets (environments are left out on purpose)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from .routes import Limit


@dataclass(frozen=True)
class RouteSpec:
    """A route as the stack file says it, defaults filled in; see :class:`.routes.Route` for the keys."""

    host: str
    path: str
    port: int
    protocol: str
    strip: bool
    rewrite: str | None
    limit: Limit | None
    body_size: str
    timeout: str
    drain: str | None


@dataclass(frozen=True)
class Mount:
    """``kind`` is ``volume``, ``bind``, ``tmpfs`` or another; a volume's ``source`` is its key in the file."""

    kind: str
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class PublishedPort:
    """``host_ip`` ``""`` means every address; ``published`` ``""`` means any free port, ``8000-8010`` a range."""

    target: int
    published: str = ""
    protocol: str = "tcp"
    host_ip: str = ""


@dataclass(frozen=True)
class Dependency:
    """``condition``: ``service_started``, ``service_healthy`` or ``service_completed_successfully``."""

    service: str
    condition: str = "service_started"
    required: bool = True


@dataclass(frozen=True)
class Service:
    """One service.

    :param image: ``""`` for a service that is only built
    :param build: it has a ``build`` section
    :param healthcheck: ``yes`` (in the file), ``disabled``, ``no`` (not in the file; the image may have one)
    :param networks: keys of the file, ``default`` among them when the service is on it
    :param restart: Compose's word, ``no`` when none is given
    :param stop_grace_period: duration, Compose's 10s when none is given
    :param expose: container ports the file says it listens on (``expose`` and the targets of ``ports``, tcp)
    :param extra: ``rollout``, ``hooks``, ``backup`` and ``alerts`` of ``x-landfall``, as written
    """

    name: str
    image: str = ""
    build: bool = False
    healthcheck: str = "no"
    depends_on: tuple[Dependency, ...] = ()
    replicas: int = 1
    container_name: str = ""
    network_mode: str = ""
    networks: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    expose: tuple[int, ...] = ()
    restart: str = "no"
    stop_grace_period: str = "10s"
    secrets: tuple[str, ...] = ()
    routes: tuple[RouteSpec, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stack:
    """A whole stack.

    :param services: by name, sorted
    :param waves: what starts together, in order
    :param volumes: key in the file → the name Docker knows it by
    :param networks: key in the file → the name Docker knows it by
    :param keep: releases kept on the host
    :param headers: response headers of ``x-landfall.edge``
    """

    name: str
    domains: tuple[str, ...]
    services: dict[str, Service]
    waves: tuple[tuple[str, ...], ...]
    volumes: dict[str, str]
    networks: dict[str, str]
    keep: int = 5
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> dict[str, str]:
        """Service → image, without those that are only built."""
        return {name: service.image for name, service in self.services.items() if service.image}

    @property
    def routed(self) -> list[str]:
        """The services the world reaches, sorted."""
        return [name for name, service in self.services.items() if service.routes]

    def to_dict(self) -> dict[str, Any]:
        """Lists and mappings only, for a module's result; ``images`` and ``routed`` are added."""
        plain: dict[str, Any] = _plain(asdict(self))
        return {**plain, "images": self.images, "routed": self.routed}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
