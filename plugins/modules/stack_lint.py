#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a Compose project on the controller, without Docker."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_lint
short_description: Check a Compose project and its x-landfall keys without Docker
version_added: 0.1.0
description:
  - Reads the Compose files of a stack as they lie on the controller, fills in the variables and checks the syntax,
    the keys, the C(x-landfall) extension and what the files say of each other.
  - Every message names file, line, service, key and the remedy.
  - Needs no Docker; run it with C(delegate_to=localhost).
author:
  - Landfall contributors (@landfall-stack)
requirements:
  - PyYAML
  - jsonschema
attributes:
  check_mode:
    description: Can run in check mode, it never changes anything.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  src:
    description: The project directory.
    type: path
    required: true
  files:
    description:
      - Compose files in the order they merge, relative to O(src).
      - When not given, the keys of O(contents), else C(compose.yaml).
    type: list
    elements: str
  contents:
    description: File name and text of files that stand on no disk, such as rendered templates.
    type: dict
    default: {}
  env_files:
    description:
      - Env files as in C(docker compose --env-file), relative to O(src).
      - When none is given and O(src) holds an C(.env), that one is read.
    type: list
    elements: str
    default: []
  env:
    description: Variables of the stack; they win over those of the env files.
    type: dict
    default: {}
  known_env:
    description: Names of variables that will be set on the host, such as generated secrets. They do not count as unset.
    type: list
    elements: str
    default: []
  name:
    description: Name of the stack, put in front of every message.
    type: str
    default: ""
  fail:
    description: Whether problems make the module fail. With V(false) they are only returned.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Check the stack before anything is touched
  landfall.stack.stack_lint:
    src: "{{ playbook_dir }}/examples/jarvis"
    files: [compose.yaml, compose.production.yaml]
    env:
      VERSION: "1.4.0"
    known_env: [JWT_SECRET_KEY]
  delegate_to: localhost

- name: Collect the problems of a stack
  landfall.stack.stack_lint:
    src: /srv/jarvis
    fail: false
  delegate_to: localhost
  register: lint
"""

RETURN = r"""
problems:
  description: What forbids a deploy, one line each.
  returned: always
  type: list
  elements: str
  sample: ["compose.yaml:34: service web-ui: x-landfall.route[0].pth: unknown key; did you mean 'path'?"]
warnings_found:
  description: Doubts, one line each.
  returned: always
  type: list
  elements: str
unset:
  description: Names of the variables the files need and nobody set.
  returned: always
  type: list
  elements: str
images:
  description: Service and image to be pulled; services with a C(build) are not among them.
  returned: always
  type: dict
services:
  description: Names of the services.
  returned: always
  type: list
  elements: str
domains:
  description: The stack's domains.
  returned: always
  type: list
  elements: str
hosts:
  description: The host names routes use.
  returned: always
  type: list
  elements: str
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.landfall.stack.plugins.module_utils.clients.project import (
    ProjectFilesError,
    read_env,
    read_texts,
    secret_values,
)
from ansible_collections.landfall.stack.plugins.module_utils.compose.schema_check import JSONSCHEMA_ERROR
from ansible_collections.landfall.stack.plugins.module_utils.compose.validate import Report, inspect
from ansible_collections.landfall.stack.plugins.module_utils.compose.yamldoc import YAML_ERROR


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "files": {"type": "list", "elements": "str"},
            "contents": {"type": "dict", "default": {}},
            "env_files": {"type": "list", "elements": "str", "default": []},
            "env": {"type": "dict", "default": {}, "no_log": True},
            "known_env": {"type": "list", "elements": "str", "default": []},
            "name": {"type": "str", "default": ""},
            "fail": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    for library, error in (("PyYAML", YAML_ERROR), ("jsonschema", JSONSCHEMA_ERROR)):
        if error is not None:
            module.fail_json(msg=missing_required_lib(library), exception=traceback.format_exc())
    params = module.params
    given = {key: "" if value is None else str(value) for key, value in params["env"].items()}
    # Values like "1" must not be masked in the result; the invocation is given without env instead.
    module.no_log_values = secret_values(given)
    names = params["files"] or list(params["contents"]) or ["compose.yaml"]
    contents = {key: str(value) for key, value in params["contents"].items()}
    report = Report()
    try:
        env = {**read_env(params["src"], params["env_files"], contents), **given}
        module.no_log_values = secret_values(env)
        report = inspect(read_texts(params["src"], names, contents), env, params["known_env"])
        problems = [str(problem) for problem in report.problems]
    except ProjectFilesError as exc:
        problems = [str(exc)]
    prefix = f"{params['name']}: " if params["name"] else ""
    problems = [prefix + problem for problem in problems]
    result = {
        "changed": False,
        "problems": problems,
        "warnings_found": [prefix + str(warning) for warning in report.warnings],
        "unset": report.unset,
        "images": report.images,
        "services": report.services,
        "domains": report.domains,
        "hosts": report.hosts,
        "invocation": {"module_args": {**params, "env": sorted(given), "contents": sorted(contents)}},
    }
    if problems and params["fail"]:
        module.fail_json(msg="\n".join(problems), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
