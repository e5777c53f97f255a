#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a Compose project on its host and give back the stack model."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_project
short_description: Read a Compose project on its host as one model
version_added: 0.1.0
description:
  - Validates the Compose files of a stack, has C(docker compose config) normalise them on the host and gives back
    one model of services, dependency graph, routes, volumes and images.
  - When C(x-landfall) stands in several files, mappings merge key by key while lists and single values of a later
    file take the place of the earlier, whatever Compose's version does with C(x-) keys.
  - Never changes anything. Environments of services and values of secrets are not part of the model.
author:
  - Landfall contributors (@landfall-stack)
requirements:
  - Docker Compose 2.26 or newer on the host
  - PyYAML
  - jsonschema; without it the C(x-landfall) keys are not validated, with a warning
attributes:
  check_mode:
    description: Can run in check mode, it never changes anything.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  project_dir:
    description: The project directory on the host.
    type: path
    required: true
  files:
    description: Compose files in the order they merge, relative to O(project_dir).
    type: list
    elements: str
    default: [compose.yaml]
  env_files:
    description:
      - Env files as in C(docker compose --env-file), relative to O(project_dir).
      - When none is given and O(project_dir) holds an C(.env), Compose reads that one.
    type: list
    elements: str
    default: []
  env:
    description: Variables for the interpolation; they win over those of the env files.
    type: dict
    default: {}
  profiles:
    description: Compose profiles to switch on.
    type: list
    elements: str
    default: []
  name:
    description: Name of the stack and of the Compose project. When not given, Compose chooses it.
    type: str
"""

EXAMPLES = r"""
- name: Read the stack
  landfall.stack.compose_project:
    project_dir: /opt/landfall/jarvis/current
    name: jarvis
  register: project

- name: Show what starts when
  ansible.builtin.debug:
    var: project.stack.waves
"""

RETURN = r"""
stack:
  description:
    - The model. Keys are V(name), V(domains), V(services), V(waves), V(volumes), V(networks), V(images), V(routed),
      V(keep) and V(headers).
  returned: success
  type: dict
problems:
  description: What forbids a deploy, one line each.
  returned: always
  type: list
  elements: str
warnings_found:
  description: Doubts, one line each.
  returned: always
  type: list
  elements: str
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.landfall.stack.plugins.module_utils.clients.compose import ComposeCli, ComposeError
from ansible_collections.landfall.stack.plugins.module_utils.clients.process import base_env, runner
from ansible_collections.landfall.stack.plugins.module_utils.clients.project import (
    ProjectFilesError,
    read_env,
    read_texts,
    secret_values,
)
from ansible_collections.landfall.stack.plugins.module_utils.compose.graph import CycleError
from ansible_collections.landfall.stack.plugins.module_utils.compose.merge import with_extensions
from ansible_collections.landfall.stack.plugins.module_utils.compose.model import ModelError, build_model
from ansible_collections.landfall.stack.plugins.module_utils.compose.validate import Report, inspect
from ansible_collections.landfall.stack.plugins.module_utils.compose.yamldoc import YAML_ERROR


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "project_dir": {"type": "path", "required": True},
            "files": {"type": "list", "elements": "str", "default": ["compose.yaml"]},
            "env_files": {"type": "list", "elements": "str", "default": []},
            "env": {"type": "dict", "default": {}, "no_log": True},
            "profiles": {"type": "list", "elements": "str", "default": []},
            "name": {"type": "str"},
        },
        supports_check_mode=True,
    )
    if YAML_ERROR is not None:
        module.fail_json(msg=missing_required_lib("PyYAML"), exception=traceback.format_exc())
    params = module.params
    given = {key: "" if value is None else str(value) for key, value in params["env"].items()}
    # Values like "1" must not be masked in the result; the invocation is given without env instead.
    module.no_log_values = secret_values(given)
    report, problems, stack = Report(), [], None
    try:
        from_files = read_env(params["project_dir"], params["env_files"])
        env = {**from_files, **base_env(), **given}
        module.no_log_values = secret_values({**from_files, **given})
        report = inspect(read_texts(params["project_dir"], params["files"]), env)
        problems = [str(problem) for problem in report.problems]
        if not problems:
            cli = ComposeCli(
                runner(120),
                params["name"],
                params["project_dir"],
                params["files"],
                params["env_files"],
                params["profiles"],
                given,
            )
            stack = build_model(with_extensions(cli.config(), report.documents), params["name"]).to_dict()
    except (ProjectFilesError, ComposeError, ModelError, CycleError) as exc:
        problems = [str(exc)]
    result = {
        "changed": False,
        "problems": problems,
        "warnings_found": [str(warning) for warning in report.warnings],
        "invocation": {"module_args": {**params, "env": sorted(given)}},
    }
    if problems:
        module.fail_json(msg="\n".join(problems), **result)
    module.exit_json(stack=stack, **result)


if __name__ == "__main__":
    main()
