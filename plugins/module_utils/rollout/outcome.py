# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of a rollout: read back from Docker and the edge, and put into the record and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..compose.stack import Stack
from . import final, health
from .errors import RolloutFailed
from .executor import Rollout
from .run import Run
from .target import Target


def verified(run: Run, rollout: Rollout, aim: Target, text: str) -> list[health.Observation]:
    """The containers as they are.

    :param text: the routes file that was written
    :raises RolloutFailed: they are not what was wanted, whatever was done
    """
    seen = run.observe()
    wrong = final.mismatches(aim.wanted, seen, rollout.leaving | rollout.warm)
    if run.fx.traffic.read_routes() != text:
        wrong.append("the edge's routes file is not the one that was written")
    if wrong:
        names = {item.partition(" ")[0] for item in wrong}
        raise RolloutFailed(
            "all steps were taken, but what runs is not what was wanted: " + "; ".join(wrong),
            [one for one in seen if one.name in names],
        )
    return seen


def observed(seen: Sequence[health.Observation], rollout: Rollout) -> dict[str, dict[str, str]]:
    """What the record keeps of each container: name → {service, config_hash, image, state}."""

    def state(one: health.Observation) -> str:
        if one.id in rollout.leaving:
            return health.LEAVING
        if one.id in rollout.warm:
            return health.WARM
        return health.DONE if one.status == "exited" else "running"

    return {
        one.name: {
            "service": one.service,
            "config_hash": one.config_hash,
            "image": one.image,
            "state": state(one),
        }
        for one in seen
    }


def report(
    run: Run,
    rollout: Rollout,
    seen: Sequence[health.Observation],
    aim: Target,
    images: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What the release's report.json and the module's result say; times in seconds.

    :param images: service → {image, pinned, …}, the release's digests.json
    """
    done = rollout.report
    rows = []
    for row in _services(aim.model, seen, images):
        rows.append({**row, **done.services.get(row["service"], {})})
    hooks_s = done.hooks_s + sum(wave["hooks_s"] for wave in done.waves)
    spent = hooks_s + sum(wave["app_s"] + wave["start_s"] + wave["hold_s"] for wave in done.waves)
    total = run.fx.monotonic() - run.began
    return {
        "plan": run.plan_lines,
        "waves": done.waves,
        "services": rows,
        "timings": {
            "total_s": round(total, 2),
            "waves": len(done.waves),
            "app_s": round(sum(wave["app_s"] for wave in done.waves), 2),
            "start_s": round(sum(wave["start_s"] for wave in done.waves), 2),
            "hooks_s": round(hooks_s, 2),
            "bake_s": done.bake_s,
            "drain_s": done.drain_s,
            "overhead_s": round(max(total - spent - done.bake_s - done.drain_s, 0.0), 2),
        },
        "observed": [
            {"container": one.name, "service": one.service, "status": one.status, "health": one.health} for one in seen
        ],
    }


def _services(
    model: Stack, seen: Sequence[health.Observation], images: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    out = []
    for name, service in model.services.items():
        mine = [one for one in seen if one.service == name]
        well = [one for one in mine if one.status == "running" or (one.status == "exited" and not one.exit_code)]
        out.append(
            {
                "service": name,
                "replicas": service.replicas,
                "healthy": len(well),
                "containers": sorted(one.name for one in mine),
                "image": images.get(name, {}).get("image", ""),
                "pinned": images.get(name, {}).get("pinned", ""),
            }
        )
    return out
