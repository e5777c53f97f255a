# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs leave behind: containers of hooks, old containers that nobody waits for, old releases and their images."""

from __future__ import annotations

from collections.abc import Collection

from . import health, hooks, store
from .release import Release
from .run import Run


class Leftovers:
    """Finds them, and clears them away."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.fx, self.store = run.fx, run.store

    def hooks(self) -> list[str]:
        """Containers of hooks that have ended."""
        stack = self.run.request.stack
        mine = hooks.container_name(stack, "", "", "").split("--")[0]
        found = self.fx.docker.hooks(stack)
        ended = [one for one in found if (one.get("State") or {}).get("Status") != "running"]
        names = [str(one.get("Name", "")).lstrip("/") for one in ended]
        return [name for name in names if name.startswith(mine)]

    def remove_hooks(self) -> None:
        """Remove the containers of hooks once their release is decided; the user's own one-off runs stay."""
        for name in self.hooks():
            self.fx.docker.remove_one(name)

    def leaving(self, record: Release | None, told: Collection[str] = ()) -> set[str]:
        """Ids of old containers that nobody waits for; those that have ended are removed.

        :param record: the last release
        :param told: ids of containers that the run before it told to end
        """
        recorded = _recorded_leaving(record)
        left = set()
        for one in self.known_leaving(record):
            if one.status != "running":
                self.fx.docker.remove_one(one.id)
                continue
            left.add(one.id)
            if one.name not in recorded and one.id not in told:
                self.fx.docker.restarts_off(one.id)
                self.fx.leave(one.id, one.grace)
        return left

    def known_leaving(self, record: Release | None) -> list[health.Observation]:
        """Old containers that nobody waits for.

        The last release recorded them; the journal knows those that a killed run told to end, or was about to.
        """
        recorded = _recorded_leaving(record)
        begun = {entry.detail.get("leaving") for entry in self.store.journal() if entry.step == "stopping"}
        return [one for one in self.run.observe() if one.name in recorded or one.id in begun]

    def prune(self, current: str, keep: int) -> dict[str, list[str]]:
        """Remove what is kept no longer.

        :param current: id of the current release
        :param keep: sealed releases to keep
        :returns: {releases: ids, images: references}, those that went
        """
        releases = self.store.releases()
        images = {one.id: self.store.images(one.id) for one in releases}
        todo = store.plan_prune(releases, current, keep, images, self.store.images_of_others())
        removed = []
        for ref, image_id in todo.images:
            try:
                if (self.fx.docker.image(ref) or {}).get("Id") == image_id and self.fx.docker.remove_image(ref):
                    removed.append(ref)
            except self.fx.errors as problem:
                self.run.warnings.append(f"old image {ref} could not be removed: {problem}")
        for rid in todo.releases:
            self.store.remove(rid)
        kept = self.store.releases()
        was = [{name: state["was"]} for one in kept for name, state in one.rotation.items() if state.get("was")]
        self.store.prune_secrets([*(one.secret_digests for one in kept), *was])
        return {"releases": list(todo.releases), "images": removed}


def _recorded_leaving(record: Release | None) -> set[str]:
    observed = record.observed if record else {}
    return {name for name, was in observed.items() if was.get("state") == health.LEAVING}
