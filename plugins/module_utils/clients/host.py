# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real host behind the engine of :mod:`..rollout.deploy`."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..compose.envfile import EnvSyntaxError, parse_env
from ..compose.graph import CycleError
from ..compose.merge import with_extensions
from ..compose.model import ModelError, build_model
from ..compose.stack import Stack
from ..compose.validate import inspect
from ..compose.yamldoc import YAML_ERROR
from ..rollout.deploy import Effects
from ..rollout.plan import Refused
from .compose import ComposeCli, ComposeError
from .docker import DockerCli, DockerError, connects, proc_net
from .files import StackDir, write_atomic
from .process import runner
from .project import read_texts

#: Seconds a quick docker command may take.
QUICK = 120.0
#: Seconds a pull or a build may take.
SLOW = 3600.0


def yaml_missing() -> str | None:
    """What to install when PyYAML is not there."""
    return None if YAML_ERROR is None else "python3-yaml is missing on this host"


def utc_now() -> str:
    """ISO time in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


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


def effects_for(root: str, routes_dir: str, stack: str) -> Effects:
    """The :class:`Effects` of this host for one stack."""
    routes_path = os.path.join(routes_dir, f"{stack}.json")

    def compose(
        directory: str, files: Sequence[str], env_files: Sequence[str], profiles: Sequence[str], bound: float | None
    ) -> ComposeCli:
        return ComposeCli(runner(bound or SLOW), stack, directory, files, env_files, profiles)

    def write_routes(text: str) -> bool:
        os.makedirs(routes_dir, mode=0o755, exist_ok=True)
        return write_atomic(routes_path, text, 0o644)

    def read_routes() -> str:
        try:
            with open(routes_path, encoding="utf-8") as file:
                return file.read()
        except OSError:
            return ""

    return Effects(
        store=StackDir(root, stack),
        docker=DockerCli(runner(QUICK), runner(SLOW)),
        compose=compose,
        model=lambda config, directory, files: model_of(stack, config, directory, files),
        connects=connects,
        proc_net=proc_net,
        now=utc_now,
        monotonic=time.monotonic,
        sleep=time.sleep,
        token=secrets.token_urlsafe,
        write_routes=write_routes,
        read_routes=read_routes,
        errors=(ComposeError, DockerError),
    )
