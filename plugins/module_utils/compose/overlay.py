# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deploy adds to the user's files: the generated overlay, and the routes with the containers observed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .routes import Route, StackRoutes, network_of
from .stack import Stack

#: Key of the edge's network in the overlay.
EDGE_NETWORK = "edge-landfall"


def overlay(model: Stack, pins: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The content of ``compose.landfall.yaml``: the edge's network on routed services, pinned images.

    The networks a service has are named again with ``{}``: that merges into whatever the user's file says of
    them (aliases, addresses), and a service that says nothing stays on ``default``, which Compose takes from
    a service as soon as any other network is named. ``x-landfall`` is left alone: Compose replaces it whole.

    :param pins: service → image reference with digest; unknown services raise ``ValueError``
    """
    unknown = sorted(set(pins or {}) - set(model.services))
    if unknown:
        raise ValueError(f"pinned services that are not in the stack: {', '.join(unknown)}")
    services: dict[str, Any] = {}
    for name, service in model.services.items():
        entry: dict[str, Any] = {}
        if pins and name in pins:
            entry["image"] = pins[name]
        if service.routes:
            own = [network for network in service.networks if network != EDGE_NETWORK]
            entry["networks"] = {network: {} for network in [*own, EDGE_NETWORK]}
        if entry:
            services[name] = entry
    out: dict[str, Any] = {"services": services}
    if model.routed:
        # Compose's own, not external: an external network stands in a created container under its id, where Docker
        # does not find it again to change the container's names there.
        labels = {"landfall.edge": "true", "landfall.stack": model.name}
        out["networks"] = {EDGE_NETWORK: {"name": network_of(model.name), "internal": True, "labels": labels}}
    return out


def routes_of(
    model: Stack,
    observed: Mapping[str, Iterable[str]],
    weights: Mapping[str, tuple[tuple[str, int], ...]] | None = None,
) -> StackRoutes:
    """The stack's routes with the containers that stand behind them.

    :param observed: service → names of its containers that shall get requests; one without gets no upstreams
    :param weights: service → (container, weight) of each, for services that share their requests unequally
    """
    routes = [
        Route(
            host=spec.host,
            path=spec.path,
            service=name,
            port=spec.port,
            protocol=spec.protocol,
            strip=spec.strip,
            rewrite=spec.rewrite,
            limit=None if spec.limit is None else replace(spec.limit),
            body_size=spec.body_size,
            timeout=spec.timeout,
            drain=spec.drain,
            upstreams=tuple(sorted(observed.get(name, ()))),
            weights=(weights or {}).get(name, ()),
        )
        for name, service in model.services.items()
        for spec in service.routes
    ]
    ordered = tuple(sorted(routes, key=lambda route: (route.host, route.path)))
    return StackRoutes(model.name, model.domains, network_of(model.name), ordered, headers=model.headers)
