# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of a release: pulled, built, and held to what their names meant then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import plan
from .plan import ImageStep, Refused
from .project import Project, Projects
from .release import Release
from .run import Run


class Images:
    """Sees to it that images are on the host."""

    def __init__(self, run: Run, projects: Projects) -> None:
        self.run, self.projects = run, projects
        self.fx, self.store = run.fx, run.store

    def provide(self, project: Project) -> dict[str, dict[str, Any]]:
        """Have all images of a release that is being made, and write them down.

        :returns: service → {image, pinned, id, action}, the release's digests.json
        :raises DeployFailed: one cannot be had; nothing was changed
        :raises RolloutFailed: the same, after a killed run
        """
        record, req = project.record, self.run.request
        if req.anew is not None:
            # Its own images, whatever their names mean by now.
            self.have(req.anew.of)
            same: dict[str, dict[str, Any]] = self.store.images(req.anew.of)
            self._write(record, same)
            return same
        steps = plan.image_steps(project.model, req.build)
        self.run.step(record, "pulled")
        self._pull(record, steps)
        self._build(record, [step.service for step in steps if step.action == "build"])
        out = self._pinned(record, steps)
        self._write(record, out)
        return out

    def have(self, rid: str) -> None:
        """See to it that a kept release's images are there. :raises Refused: one cannot be had"""
        for service, entry in sorted(self.store.images(rid).items()):
            if self.fx.docker.image(entry["pinned"]) is None:
                if entry.get("action") != "pull" or entry["pinned"].startswith(plan.OWN):
                    raise Refused(f"release {rid}: image {entry['pinned']} of service {service} is gone")
                try:
                    self.fx.docker.pull(entry["pinned"])
                except self.fx.errors as problem:
                    raise Refused(f"release {rid}: " + _no_image(service, entry["pinned"], problem)) from problem

    def moved(self, current: Release) -> list[str]:
        """With ``pull: always``: pull again and name the images that changed since the release was sealed.

        :raises Refused: one cannot be pulled
        """
        moved = []
        for service, entry in sorted(self.store.images(current.id).items()):
            if entry.get("action") == "pull":
                try:
                    self.fx.docker.pull(entry["image"])
                except self.fx.errors as problem:
                    raise Refused(_no_image(service, entry["image"], problem)) from problem
                info = self.fx.docker.image(entry["image"]) or {}
                if info.get("Id") != entry.get("id"):
                    moved.append(f"{service}: {entry['image']}")
        return moved

    def _pull(self, record: Release, steps: Sequence[ImageStep]) -> None:
        pull = self.run.request.pull
        for ref in dict.fromkeys(step.ref for step in steps if step.action == "pull"):
            there = self.fx.docker.image(ref) is not None
            if there and pull != "always":
                continue
            service = next(step.service for step in steps if step.ref == ref)
            if pull == "never":
                raise self.run.unchanged(
                    record,
                    f"service {service}: image {ref} is not on the host and pull is 'never'; set pull: missing",
                )
            try:
                self.fx.docker.pull(ref)
            except self.fx.errors as problem:
                raise self.run.unchanged(record, _no_image(service, ref, problem)) from problem

    def _build(self, record: Release, services: Sequence[str]) -> None:
        if not services:
            return
        self.run.step(record, "built", {"services": services})
        try:
            self.projects.compose(record, self.store.release_path(record.id), False, None).run("build", *services)
        except self.fx.errors as problem:
            said = f"building {', '.join(services)} failed: {self.run.clean(problem)}"
            raise self.run.unchanged(record, said) from problem

    def _pinned(self, record: Release, steps: Sequence[ImageStep]) -> dict[str, dict[str, Any]]:
        out = {}
        for step in steps:
            info = self.fx.docker.image(step.ref)
            if info is None:
                raise self.run.unchanged(
                    record, f"service {step.service}: image {step.ref} is not on the host after '{step.action}'"
                )
            pinned, tag = plan.pin(self.run.request.stack, step, info)
            if tag:
                self.fx.docker.tag(info["Id"], pinned)
            out[step.service] = {"image": step.ref, "pinned": pinned, "id": info["Id"], "action": step.action}
        return out

    def _write(self, record: Release, images: dict[str, dict[str, Any]]) -> None:
        self.store.write(record.id, "digests.json", json.dumps(images, indent=2, sort_keys=True) + "\n")


def _no_image(service: str, ref: str, problem: Exception) -> str:
    return (
        f"service {service}: image {ref} cannot be pulled: {problem}. "
        "Check its name and tag, and that the host is logged in to the registry"
    )
