# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Compose makes of a release's directory, and what is written beside the project's own files there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..compose.overlay import overlay
from ..compose.stack import Stack
from . import plan
from .changes import CONFIG_LABEL
from .effects import ComposeProject
from .plan import Refused
from .release import OVERLAY, Release
from .run import Run
from .target import Target, target


@dataclass(frozen=True)
class Project:
    """A release's project as Compose reads it, without the release's overlay.

    :param directory: where its files were then; a published release still speaks of the paths it was staged under
    :param config: what ``docker compose config`` says
    """

    record: Release
    directory: str
    config: Mapping[str, Any]
    model: Stack


class Projects:
    """The projects of a stack's releases."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.fx, self.store = run.fx, run.store

    def compose(
        self, record: Release, directory: str, with_overlay: bool, bound: float | None = 120.0
    ) -> ComposeProject:
        """``docker compose`` on the release's files there.

        :param with_overlay: with the release's overlay, which has to be written by then
        :param bound: seconds a command may take, None: as many as a build
        """
        files = [*record.compose_files, *([OVERLAY] if with_overlay else [])]
        paths = [os.path.join(directory, name) for name in files]
        env_files = [os.path.join(directory, name) for name in ("env.user", "env")]
        return self.fx.compose(directory, paths, env_files, record.profiles, bound)

    def read(self, record: Release, directory: str) -> Project:
        """Have Compose read a release's files. :raises Refused: it, or the model, refuses them"""
        try:
            config = self.compose(record, directory, with_overlay=False).config()
        except self.fx.errors as problem:
            raise Refused(f"docker compose refuses the project: {self.run.clean(problem)}") from problem
        return Project(record, directory, config, self.fx.model(config, directory, record.compose_files))

    def overlay(
        self, project: Project, shipped: frozenset[str], digests: Mapping[str, str], pins: Mapping[str, str]
    ) -> str:
        """The text of the release's overlay.

        :param shipped: paths of the project's own files
        :param digests: secret → keyed digest
        :param pins: service → the image it is held to
        """
        extra = plan.additions(
            project.model,
            project.config,
            project.directory,
            shipped,
            self.store.data_dir,
            self.store.secrets_dir,
            digests,
        )
        return overlay_text(project.model, extra, pins)

    def write_overlay(
        self, project: Project, shipped: frozenset[str], digests: Mapping[str, str], pins: Mapping[str, str]
    ) -> None:
        """Write :meth:`overlay` into the release."""
        self.store.write(project.record.id, OVERLAY, self.overlay(project, shipped, digests, pins))

    def target(self, project: Project, directory: str, before: Mapping[str, Mapping[str, Any]]) -> Target:
        """What shall run.

        :param directory: where the project's files are (a scratch directory in check mode)
        :param before: :meth:`comparable` of the release that runs
        """
        record, model = project.record, project.model
        full = self.compose(record, directory, with_overlay=True)
        images = self.store.images(record.id)
        volumes = {}
        for name, service in model.services.items():
            ref = images.get(name, {}).get("pinned") or service.image
            info = (self.fx.docker.image(ref) if ref else None) or {}
            volumes[name] = sorted((info.get("Config") or {}).get("Volumes") or {})
        return target(model, project.config, full.config(), directory, self.run.request.deadline, volumes, before)

    def write_target(self, record: Release, aim: Target) -> None:
        """Keep what shall run for :meth:`comparable`, and on the containers."""
        self.store.write(record.id, "config.json", json.dumps(aim.services, sort_keys=True), 0o600)
        self._label(record, aim)

    def _label(self, record: Release, aim: Target) -> None:
        """Have each container carry the fingerprint of what it is made from."""
        head, _, text = self.store.read(record.id, OVERLAY).partition("\n")
        document = json.loads(text)
        for name, want in aim.wanted.items():
            document["services"].setdefault(name, {}).setdefault("labels", {})[CONFIG_LABEL] = want.config_hash
        self.store.write(record.id, OVERLAY, f"{head}\n{json.dumps(document, indent=2, sort_keys=True)}\n")

    def comparable(self, record: Release | None) -> dict[str, dict[str, Any]]:
        """The services of a release as :func:`changes.reasons` compares them; {} when it was not written down."""
        if record is None:
            return {}
        try:
            loaded: dict[str, dict[str, Any]] = json.loads(self.store.read(record.id, "config.json"))
            return loaded
        except (OSError, ValueError):
            return {}


def overlay_text(model: Stack, extra: Mapping[str, Mapping[str, Any]], pins: Mapping[str, str]) -> str:
    """The overlay of a release, a Compose file. :param extra: service → further keys; :param pins: service → image"""
    document = overlay(model, pins)
    for name, entry in extra.items():
        document["services"].setdefault(name, {}).update(entry)
    for name in pins:
        document["services"][name]["pull_policy"] = "missing"
    # JSON is YAML, and needs no library to be written.
    head = "# Written by landfall for this release; the project's own files stand beside it.\n"
    return head + json.dumps(document, indent=2, sort_keys=True) + "\n"
