# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: docker_daemon_plan
short_description: Merge Docker's daemon.json and tell whether a reload will do
version_added: 0.1.0
author: Landfall contributors (@landfall)
description:
  - Merges safe defaults, what a hand wrote on the host, and the inventory's options, in this order.
  - Compares the result with what the daemon runs on, and names the keys that need a reload or a restart.
options:
  _input:
    description: The safe defaults.
    type: dict
    required: true
  options:
    description: The inventory's keys; they win.
    type: dict
    required: true
  file:
    description: Text of C(/etc/docker/daemon.json) on the host, empty when missing.
    type: str
    default: ""
  record:
    description: Text of the record of the last run, empty when missing.
    type: str
    default: ""
  loaded:
    description: Whether the running daemon has read the file as it is.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what becomes of daemon.json
  ansible.builtin.debug:
    msg: "{{ {'live-restore': true} | landfall.stack.docker_daemon_plan(options={}, file='{\"debug\": true}') }}"
"""

RETURN = r"""
_value:
  description: The keys C(config), C(record), C(write), C(reload) and C(restart).
  type: dict
"""

from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.landfall.stack.plugins.module_utils.host.docker_daemon import plan


def _plain(value: Any) -> Any:
    """Ansible's lazy containers as plain ones: those cannot be built anew by their type."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def docker_daemon_plan(defaults: dict, options: dict, file: str = "", record: str = "", loaded: bool = False) -> dict:
    """The plan as a dict; a broken file is an error that names it."""
    try:
        return plan(_plain(defaults), _plain(options), str(file), str(record), loaded).as_dict()
    except ValueError as error:
        raise AnsibleFilterError(f"{error}. Nothing was changed.") from error


class FilterModule:
    def filters(self):
        return {"docker_daemon_plan": docker_daemon_plan}
