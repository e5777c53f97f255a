#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does it, on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_lint
short_description: Check a Compose project and its x-landfall keys without Docker
version_added: 0.1.0
description:
  - Reads the Compose files of a stack as they lie on the controller, fills in the variables and checks the syntax,
    the keys, the C(x-landfall) extension and what the files say of each other.
  - Every message names file, line, service, key and the remedy.
  - Needs no Docker, and never the host; an action plugin does it all on the controller.
  - A name in O(files) that ends in C(.j2) is rendered first, with the variables of the host, as
    M(landfall.stack.release) does it. Lines in messages are those of the rendered text.
author:
  - Landfall contributors (@landfall-stack)
requirements:
  - PyYAML (on the controller)
  - jsonschema (on the controller)
attributes:
  check_mode:
    description: Can run in check mode, it never changes anything.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  src:
    description: The project directory on the controller.
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

- name: Collect the problems of a stack
  landfall.stack.stack_lint:
    src: /srv/jarvis
    fail: false
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
