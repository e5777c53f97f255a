# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a container that failed, and what of it a person is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .health import Observation

#: Of a container's log.
LOG_LINES = 40


def evidence(docker: Any, one: Observation, scrub: Callable[[str], str]) -> dict[str, Any]:
    """Its state, the last words of its healthcheck and the end of its log.

    :param scrub: takes secrets out of a text
    """
    inspected = docker.inspect([one.id])
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
            {"exit_code": check.get("ExitCode"), "output": scrub(str(check.get("Output", "")))[-2000:]}
            for check in checks
        ],
        "log": [scrub(line) for line in docker.logs(one.id, LOG_LINES)],
    }


def excerpt(item: Mapping[str, Any]) -> str:
    """Evidence of one container for a person: state, health output, the last log lines."""
    out = [f"  {item['container']}: {item['status']}, exit code {item['exit_code']}, {item['restarts']} restarts"]
    said = [check["output"].strip()[-400:] for check in item["health"][-1:]]
    out += [f"    healthcheck: {text}" for text in said if text]
    out += [f"    log: {line}" for line in item["log"]]
    return "\n".join(out)
