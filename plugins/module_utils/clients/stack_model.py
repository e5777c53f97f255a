# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of a stack whose files lie in a directory: what its backups need, without the engine of its rollouts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..compose.envfile import EnvSyntaxError, parse_env
from ..compose.graph import CycleError
from ..compose.merge import with_extensions
from ..compose.model import ModelError, build_model
from ..compose.stack import Stack
from ..compose.validate import inspect
from ..rollout.plan import Refused
from .project import read_texts


def model_of(stack: str, config: Mapping[str, Any], directory: str, files: Sequence[str]) -> Stack:
    """The validated model of a project that Compose has accepted. :raises Refused: with all problems"""
    env: dict[str, str] = {}
    for name in ("env.user", "env"):
        env.update(_env(os.path.join(directory, name), env))
    report = inspect(read_texts(directory, files), env)
    if report.problems:
        raise Refused("\n".join(map(str, report.problems)))
    try:
        return build_model(with_extensions(config, report.documents), stack)
    except (ModelError, CycleError) as problem:
        raise Refused(str(problem)) from problem


def _env(path: str, before: Mapping[str, str]) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            return parse_env(file.read(), before)
    except EnvSyntaxError as problem:
        raise Refused(f"env file, {problem}") from problem
