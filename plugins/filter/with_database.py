# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: with_database
short_description: The secrets of a stack, with the database it works on
version_added: 0.1.0
author: Landfall contributors (@landfall)
description:
  - Adds the variable that says where a stack's database is to its secrets, when its data has moved to PostgreSQL.
options:
  _input:
    description: A stack as C(landfall_stacks) has it.
    type: dict
    required: true
  serves:
    description: For each stack that has been looked at, V(sqlite) or V(postgresql).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Secrets for the deployment
  ansible.builtin.set_fact:
    stack_secrets: "{{ landfall_stack | landfall.stack.with_database({'shop': 'postgresql'}) }}"
"""

RETURN = r"""
_value:
  description: The stack's secrets, as the role landfall.stack.stack takes them.
  type: list
  elements: dict
"""


def with_database(stack: dict, serves: dict) -> list:
    """A stack's secrets; C(migration.variable) (DATABASE_URL) is among them when its data is in PostgreSQL."""
    secrets = list(stack.get("secrets") or [])
    told = stack.get("migration")
    if not told or serves.get(stack["name"]) != "postgresql":
        return secrets
    name = told.get("variable") or "DATABASE_URL"
    url = told.get("url") or told["dsn"]
    return [*(one for one in secrets if one["name"] != name), {"name": name, "value": url, "env": True}]


class FilterModule:
    def filters(self):
        return {"with_database": with_database}
