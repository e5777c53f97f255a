#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of a stack, who works on it now, and how its last rollout went."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_info
short_description: The releases of a stack, and how its last rollout went
version_added: 0.1.0
description:
  - Reads what M(landfall.stack.rollout) keeps on the host. Changes nothing, and needs no Docker.
author:
  - Landfall contributors (@landfall-stack)
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  root:
    description: Where stacks live on the host.
    type: path
    default: /opt/landfall
  release:
    description: The release whose rollout is told of; when not given, the current one.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: How did the last rollout go
  landfall.stack.rollout_info:
    stack: jarvis
  register: rollout
"""

RETURN = r"""
current:
  description: Id of the current release; empty when there is none.
  returned: success
  type: str
releases:
  description:
    - The kept releases, the newest first, with C(id), C(outcome) (V(sealed), V(failed), V(pending), V(abandoned)),
      C(version), C(commit), C(who), C(why), C(created), C(finished).
  returned: success
  type: list
  elements: dict
running:
  description: Who works on the stack at this moment (C(who), C(pid), C(since)); empty when nobody does.
  returned: success
  type: dict
step:
  description: The last step in the journal.
  returned: success
  type: str
report:
  description: Plan, waves, services, timings and observed containers, as M(landfall.stack.rollout) returned them.
  returned: success
  type: dict
evidence:
  description: What was observed when the release failed.
  returned: success
  type: dict
"""

import json

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients.files import StackDir
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import check_stack_name

SHOWN = ("id", "outcome", "version", "commit", "who", "why", "created", "finished")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/opt/landfall"},
            "release": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        store = StackDir(module.params["root"], check_stack_name(module.params["stack"]))
    except ValueError as problem:
        module.fail_json(msg=str(problem))
    releases = store.releases()
    wanted = module.params["release"] or store.current() or ""
    record = next((one for one in releases if one.id == wanted), None)
    if module.params["release"] and record is None:
        kept = ", ".join(one.id for one in reversed(releases)) or "none"
        module.fail_json(msg=f"release {wanted} is not kept on this host; kept are: {kept}")
    try:
        report = json.loads(store.read(wanted, "report.json")) if record else {}
    except (OSError, ValueError):
        report = {}
    entries = store.journal()
    module.exit_json(
        changed=False,
        current=store.current() or "",
        releases=[{key: getattr(one, key) for key in SHOWN} for one in reversed(releases)],
        running=store.holder(),
        step=entries[-1].step if entries else "",
        report=report,
        evidence=record.evidence if record else {},
    )


if __name__ == "__main__":
    main()
