# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what ``docker compose config`` prints to the stack model.

Takes the YAML output: Compose 2.26 drops the ``x-`` keys of services from its JSON. The file has been validated
before (:mod:`.validate`); what is checked here is only what would make a wrong model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .graph import CycleError, waves
from .listening import listening
from .overlay import EDGE_NETWORK, overlay, routes_of
from .routes import Limit
from .schema import DEFAULT_LIMIT, KEY, ROUTE, SERVICE, STACK
from .stack import Dependency, Mount, PublishedPort, RouteSpec, Service, Stack
from .values import cast

__all__ = [
    "EDGE_NETWORK",
    "CycleError",
    "ModelError",
    "Service",
    "Stack",
    "build_model",
    "overlay",
    "routes_of",
    "waves",
]

_DEFINITIONS = SERVICE["definitions"]


class ModelError(ValueError):
    """The project can't be made into a model; ``str()`` names the service, the key and the fix."""


def build_model(config: Mapping[str, Any], name: str | None = None) -> Stack:
    """The model of one project.

    :param config: the parsed output of ``docker compose config``
    :param name: the stack's name when it shall not be Compose's project name
    :raises ModelError: a route without host or port, a project without services
    :raises CycleError: services that wait for each other
    """
    top = cast(config.get(KEY) or {}, STACK, _DEFINITIONS)
    domains = tuple(str(item) for item in top.get("domains") or ())
    edge = top.get("edge") or {}
    raw = config.get("services") or {}
    if not raw:
        raise ModelError("the project has no services; check 'files' and 'profiles'")
    services = {key: _service(key, raw[key] or {}, domains, edge) for key in sorted(raw)}
    layers = waves({key: [on.service for on in service.depends_on] for key, service in services.items()})
    return Stack(
        name=name or str(config.get("name") or ""),
        domains=domains,
        services=services,
        waves=tuple(tuple(layer) for layer in layers),
        volumes=_names(config.get("volumes")),
        networks=_names(config.get("networks")),
        keep=int(
            (top.get("releases") or {}).get("keep", STACK["properties"]["releases"]["properties"]["keep"]["default"])
        ),
        headers=dict(edge.get("headers") or {}),
    )


def _names(section: Any) -> dict[str, str]:
    return {key: str((section[key] or {}).get("name") or key) for key in sorted(section or {})}


def _service(name: str, raw: Mapping[str, Any], domains: tuple[str, ...], edge: Mapping[str, Any]) -> Service:
    extension = cast(raw.get(KEY) or {}, SERVICE, _DEFINITIONS)
    ports = tuple(_port(item) for item in raw.get("ports") or ())
    listens = listening({"expose": list(raw.get("expose") or ()), "ports": raw.get("ports")})
    mode = str(raw.get("network_mode") or "")
    return Service(
        name=name,
        image=str(raw.get("image") or ""),
        build=bool(raw.get("build")),
        healthcheck=healthcheck_of(raw),
        depends_on=_depends(raw.get("depends_on")),
        replicas=replicas_of(raw),
        container_name=str(raw.get("container_name") or ""),
        network_mode=mode,
        networks=() if mode else tuple(sorted(raw.get("networks") or ("default",))),
        mounts=tuple(_mount(item) for item in raw.get("volumes") or ()),
        ports=ports,
        expose=tuple(sorted(listens)),
        restart=str(raw.get("restart") or "no"),
        stop_grace_period=str(raw.get("stop_grace_period") or "10s"),
        secrets=tuple(sorted(_secret(item) for item in raw.get("secrets") or ())),
        routes=tuple(_route(name, item, domains, edge) for item in routes_in(extension)),
        extra={key: extension[key] for key in ("rollout", "hooks", "backup", "alerts") if key in extension},
    )


def routes_in(extension: Mapping[str, Any]) -> list[Any]:
    """The routes of a service's ``x-landfall`` as a list, be it written as one mapping or a list."""
    route = extension.get("route")
    if route is None:
        return []
    return list(route) if isinstance(route, list) else [route]


def healthcheck_of(raw: Mapping[str, Any]) -> str:
    """``yes``, ``disabled`` or ``no`` (nothing said in the file)."""
    check = raw.get("healthcheck")
    if not check:
        return "no"
    test = check.get("test")
    off = check.get("disable") or test == "NONE" or (isinstance(test, list) and test[:1] == ["NONE"])
    # Only timings given: the image brings the test, and whether it has one is not known here.
    return "disabled" if off else "yes" if test else "no"


def replicas_of(raw: Mapping[str, Any]) -> int:
    """``scale`` or ``deploy.replicas``, 1 when neither is given."""
    deploy = raw.get("deploy") or {}
    for value in (raw.get("scale"), deploy.get("replicas")):
        if value is not None:
            return int(value)
    return 1


def _depends(raw: Any) -> tuple[Dependency, ...]:
    if isinstance(raw, Mapping):
        return tuple(
            Dependency(
                key, str((raw[key] or {}).get("condition") or "service_started"), (raw[key] or {}).get("required", True)
            )
            for key in sorted(raw)
        )
    return tuple(Dependency(str(key)) for key in sorted(raw or ()))


def _port(raw: Any) -> PublishedPort:
    if not isinstance(raw, Mapping):
        raise ModelError(f"port {raw!r}: expected the long form that 'docker compose config' prints")
    return PublishedPort(
        target=int(raw["target"]),
        published=str(raw.get("published") or ""),
        protocol=str(raw.get("protocol") or "tcp"),
        host_ip=str(raw.get("host_ip") or ""),
    )


def _mount(raw: Any) -> Mount:
    if not isinstance(raw, Mapping):
        raise ModelError(f"volume {raw!r}: expected the long form that 'docker compose config' prints")
    return Mount(
        str(raw.get("type") or "volume"), str(raw.get("source") or ""), str(raw["target"]), bool(raw.get("read_only"))
    )


def _secret(raw: Any) -> str:
    return str(raw["source"]) if isinstance(raw, Mapping) else str(raw)


def _route(service: str, raw: Any, domains: tuple[str, ...], edge: Mapping[str, Any]) -> RouteSpec:
    where = f"service {service}: {KEY}.route"
    if not isinstance(raw, Mapping) or not isinstance(raw.get("port"), int) or not isinstance(raw.get("path"), str):
        raise ModelError(f"{where}: a route needs a path and a port, e.g. {{path: /, port: 8080}}")
    host = raw.get("host") or (domains[0] if domains else "")
    if not host:
        raise ModelError(f"{where}: no host; give the stack {KEY}.domains or the route a host")
    known = ROUTE["properties"]

    def said(key: str) -> Any:
        return raw[key] if key in raw else edge.get(key, known[key].get("default"))

    return RouteSpec(
        host=str(host),
        path=str(raw["path"]),
        port=int(raw["port"]),
        protocol=str(raw.get("protocol", known["protocol"]["default"])),
        strip=bool(raw.get("strip", False)),
        rewrite=raw.get("rewrite"),
        limit=_limit(said("limit")),
        body_size=str(said("body_size")),
        timeout=str(said("timeout")),
        drain=raw.get("drain"),
    )


def _limit(raw: Any) -> Limit | None:
    if raw is False:
        return None
    filled = {**DEFAULT_LIMIT, **(raw if isinstance(raw, Mapping) else {})}
    return Limit(str(filled["rate"]), int(str(filled["burst"])))
