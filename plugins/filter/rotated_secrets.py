# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rotated_secrets
short_description: The secrets of a stack that are rotated, each with its second key
version_added: 0.1.0
author: Landfall contributors (@landfall)
description:
  - What M(landfall.stack.rotation) and M(landfall.stack.rollout) need to know of a stack's C(rotate).
options:
  _input:
    description: A stack as C(landfall_stacks) has it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Which secrets are rotated
  ansible.builtin.debug:
    msg: "{{ landfall_stack | landfall.stack.rotated_secrets }}"
"""

RETURN = r"""
_value:
  description: Secret to the name of its second key; empty for a database's URL.
  type: dict
"""

from ansible.errors import AnsibleFilterError

from ansible_collections.landfall.stack.plugins.module_utils.rollout import rotation


def rotated_secrets(stack: dict) -> dict:
    """See the documentation of the filter."""
    try:
        specs = [rotation.spec_of(item) for item in stack.get("rotate") or []]
    except rotation.CannotRotate as problem:
        raise AnsibleFilterError(f"stack {stack.get('name')}: {problem}") from problem
    return {one.secret: one.second for one in specs}


class FilterModule:
    def filters(self):
        return {"rotated_secrets": rotated_secrets}
