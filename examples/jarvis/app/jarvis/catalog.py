# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The six services: name, port, factory. Imports nothing, so that the health check starts in milliseconds."""

from __future__ import annotations

from typing import NamedTuple


class Service(NamedTuple):
    """One service of the application.

    ``module``/``factory`` name the function that turns Settings into an ASGI app; ``health`` is the path the
    container's health check asks for.
    """

    name: str
    port: int
    module: str
    factory: str = "create_app"
    health: str = "/health"


AGENT_CARD = "/.well-known/agent-card.json"

SERVICES = {
    service.name: service
    for service in (
        Service("auth-service", 9998, "jarvis.auth"),
        Service("registry-service", 8003, "jarvis.registry"),
        Service("tickets-agent", 8080, "jarvis.agents.tickets", health=AGENT_CARD),
        Service("finops-agent", 8081, "jarvis.agents.finops", health=AGENT_CARD),
        Service("oxygen-agent", 8082, "jarvis.agents.oxygen", health=AGENT_CARD),
        Service("web-ui", 9999, "jarvis.web"),
    )
}
