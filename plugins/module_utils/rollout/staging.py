# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked for, as files: a release of its own, or a scratch directory. Nothing that runs is touched."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from . import envfile, plan, release
from .decide import Decision
from .project import Project, Projects
from .release import Content, Release
from .run import Run
from .strategy import strategies


class Staging:
    """Writes what was asked for, and has it checked before it counts."""

    def __init__(self, run: Run, projects: Projects) -> None:
        self.run, self.projects = run, projects
        self.fx, self.store = run.fx, run.store

    def write(self, decision: Decision) -> Project:
        """A new release, pending. :raises Refused: its project cannot be; then there is no release"""
        req = self.run.request
        created = self.fx.now()
        record = Release(
            id=release.release_id(created, decision.digest),
            stack=req.stack,
            digest=decision.digest,
            created=created,
            who=req.who,
            commit=req.commit,
            version=decision.content.version,
            why=decision.why,
            compose_files=req.compose_files,
            profiles=req.profiles,
            env_digests=dict(decision.env_digests),
            secret_digests=dict(decision.secret_digests),
            rotation={name: dict(one) for name, one in decision.rotation.items()},
        )
        private = {**_private(decision.content), "release.json": record.to_json()}
        try:
            staged = self.store.stage(record.id, req.files, req.executable, private)
            project = self._checked(record, staged)
        except Exception:
            self.store.unstage(record.id)
            raise
        self.run.step(record, "written")
        self.store.publish(record.id)
        return project

    @contextmanager
    def scratch(self, content: Content) -> Iterator[Project]:
        """The project in a directory that is gone afterwards. :raises Refused: with all problems"""
        req = self.run.request
        with tempfile.TemporaryDirectory(prefix="landfall-") as directory:
            for path, data in req.files.items():
                target = os.path.join(directory, path)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "wb") as file:
                    file.write(data)
            for name, text in _private(content).items():
                with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                    file.write(text)
            record = Release("check", req.stack, "", "", compose_files=req.compose_files, profiles=req.profiles)
            yield self._checked(record, directory)

    def _checked(self, record: Release, directory: str) -> Project:
        project = self.projects.read(record, directory)
        plan.image_steps(project.model, self.run.request.build)
        strategies(project.model, project.config, self.run.request.deadline)
        return project


def _private(content: Content) -> dict[str, str]:
    return {"env": envfile.render(content.env), "env.user": content.env_file}
