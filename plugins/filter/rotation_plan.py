# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rotation_plan
short_description: What is to be done with each secret that is rotated, on each host
version_added: 0.1.0
author: Landfall contributors (@landfall)
description:
  - Decides from where the secrets stand on all hosts, and from what was asked for. Pure; runs on the controller.
  - An entry of C(rotate) that is wrong, a name that is asked for and is not there, and a rotation that is asked for
    before the one before is over, are errors that say what to do.
positional: standing
options:
  _input:
    description: Stacks as C(landfall_stacks) has them, with C(rotate).
    type: list
    elements: dict
    required: true
  standing:
    description: For each host, for each stack, the C(standing) that M(landfall.stack.rotation) told.
    type: dict
    required: true
  asked:
    description: Names of the secrets to rotate now, whatever their age.
    type: list
    elements: str
    default: []
  overlap_hours:
    description: Instead of the secrets' own; empty for those.
    type: raw
    default: ""
"""

EXAMPLES = r"""
- name: What is to be done
  ansible.builtin.set_fact:
    plan: "{{ landfall_stacks | landfall.stack.rotation_plan(standing, asked=['JWT_SECRET_KEY']) }}"
"""

RETURN = r"""
_value:
  description:
    - C(hosts), for each host and each stack the secrets that are to be C(undone), C(announced), C(switched) and
      C(settled).
    - C(secrets), a list of C(stack), C(secret), C(second), C(id), C(what) (all that is done with it on some host, of
      C(begin), C(switch), C(settle), C(undo), C(wait)), C(why), and of a database's login C(user), C(base) (the
      database), C(owner) and C(next), who logs in after it.
  type: dict
"""

from ansible.errors import AnsibleFilterError

from ansible_collections.landfall.stack.plugins.module_utils.rollout import rotation

#: What is done with a secret → the states it goes through, in their order.
STATES = {
    rotation.UNDO: ("undone",),
    rotation.BEGIN: (rotation.ANNOUNCED, rotation.SWITCHED),
    rotation.SWITCH: (rotation.SWITCHED,),
    rotation.SETTLE: (rotation.SETTLED,),
}


def rotation_plan(stacks: list, standing: dict, asked: list | None = None, overlap_hours: object = "") -> dict:
    """See the documentation of the filter."""
    asked = [str(name) for name in asked or []]
    try:
        overlap = None if overlap_hours in ("", None) else float(str(overlap_hours)) * rotation.HOUR
    except ValueError as problem:
        raise AnsibleFilterError(f"overlap={overlap_hours}: give hours, as in -e overlap=0") from problem
    secrets = []
    hosts: dict = {host: {} for host in standing}
    for stack in stacks:
        there = {host: found[stack["name"]] for host, found in standing.items() if stack["name"] in found}
        for item in (stack.get("rotate") or []) if there else []:
            entry, what = _entry(stack, item, there, asked, overlap)
            secrets.append(entry)
            for host, action in what.items():
                steps = hosts[host].setdefault(
                    stack["name"], {"undone": [], "announced": [], "switched": [], "settled": []}
                )
                for state in STATES.get(action, ()):
                    # A login is not announced: nobody checks it but the database.
                    if state != rotation.ANNOUNCED or entry["second"]:
                        steps[state].append(entry["secret"])
    wrong = rotation.unknown(asked, [one["secret"] for one in secrets])
    if wrong:
        raise AnsibleFilterError(wrong)
    return {"secrets": secrets, "hosts": hosts}


def _entry(stack: dict, item: dict, there: dict, asked: list, overlap: float | None) -> tuple[dict, dict]:
    name = stack["name"]
    try:
        spec = rotation.spec_of(item)
        hosts = {host: rotation.Standing(**found[spec.secret]) for host, found in there.items()}
        what, why = rotation.decide(spec, hosts, spec.secret in asked, overlap)
    except rotation.CannotRotate as problem:
        raise AnsibleFilterError(f"stack {name}: {problem}") from problem
    entry = {
        "stack": name,
        "secret": spec.secret,
        "second": spec.second,
        "id": f"{name}/{spec.secret}",
        "what": sorted(set(what.values()) - {rotation.NONE}),
        "why": why,
    }
    if not spec.second:
        one = next(iter(hosts.values()))
        entry.update(user=one.user, base=one.base, owner=rotation.owner(one.user), next=rotation.other(one.user))
    return entry, what


class FilterModule:
    def filters(self):
        return {"rotation_plan": rotation_plan}
