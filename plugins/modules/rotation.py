#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a stack's secrets one step further in their rotation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation
short_description: Take a stack's secrets one step further in their rotation
version_added: 0.1.0
description:
  - Makes the current release anew with other values of some secrets, and rolls it out as M(landfall.stack.rollout)
    does, with no request dropped. Files, environment and images are those that the host has. The playbook
    C(rotate.yml) takes the steps in their order, on all hosts.
  - A key with a second one is V(announced) (the second one is the new key), V(switched) to (they change places), and
    V(settled) (the second one is empty). The login of a database is V(switched) to, and V(settled).
  - Where a secret stands is kept in the release's record. Deployments and rollbacks keep the rotated values.
  - A run that was killed is undone by the next one, which then begins again.
author:
  - Landfall contributors (@landfall-stack)
extends_documentation_fragment:
  - landfall.stack.rollout
requirements:
  - Docker Engine and Docker Compose 2.26 or newer on the host
  - PyYAML on the host
attributes:
  check_mode:
    description: Returns the plan.
    support: full
  diff_mode:
    description: Secrets are shown nowhere.
    support: none
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  state:
    description:
      - V(looked) tells where each of O(secrets) stands, and changes nothing.
      - V(announced), V(switched) and V(settled) take the secrets in O(names) there; V(undone) takes a rotation back
        that is not settled yet.
    type: str
    choices: [looked, announced, switched, settled, undone]
    default: looked
  secrets:
    description:
      - The secrets that are rotated, each with the name of its second key, which is accepted and never signed with.
        Empty for a database's URL.
    type: dict
    required: true
  names:
    description: The secrets to work on. All of O(secrets), when not given.
    type: list
    elements: str
    default: []
  keys:
    description: With O(state=announced) the new key for each secret.
    type: dict
    default: {}
  users:
    description: With O(state=switched) who logs in from now on, for each secret that is a database's URL.
    type: dict
    default: {}
  passwords:
    description: With O(state=switched) the password of each of O(users).
    type: dict
    default: {}
  who:
    description: Who rotates, for the record.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Where do they stand
  landfall.stack.rotation:
    stack: jarvis
    secrets: &rotated
      JWT_SECRET_KEY: JWT_SECRET_KEY_PREVIOUS
      DATABASE_URL: ""
  register: rotation

- name: Have a new key accepted
  landfall.stack.rotation:
    stack: jarvis
    state: announced
    secrets: *rotated
    names: [JWT_SECRET_KEY]
    keys:
      JWT_SECRET_KEY: "{{ new_key }}"
"""

RETURN = r"""
standing:
  description:
    - For each secret its C(stage), its C(age) in seconds since it got there, and of a database's URL the C(user) and
      C(base), the database. It is what was found; of a step that was taken, before it.
  returned: success
  type: dict
release:
  description: Id of the release that was made.
  returned: when something was done
  type: str
why:
  description: What was done to which secret.
  returned: when something was done
  type: str
plan:
  description: The plan in lines, see M(landfall.stack.rollout).
  returned: when something was done
  type: list
  elements: str
timings:
  description: Seconds, see M(landfall.stack.rollout).
  returned: when something was done, and not in check mode
  type: dict
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients.files import StackBusy
from ansible_collections.landfall.stack.plugins.module_utils.clients.host import effects_for, good_release, rotate
from ansible_collections.landfall.stack.plugins.module_utils.rollout.anew import Step, standing
from ansible_collections.landfall.stack.plugins.module_utils.rollout.errors import Interrupted
from ansible_collections.landfall.stack.plugins.module_utils.rollout.plan import Refused
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import check_stack_name
from ansible_collections.landfall.stack.plugins.module_utils.rollout.rotation import SETTLED, CannotRotate, Spec
from ansible_collections.landfall.stack.plugins.module_utils.rollout.run import DeployFailed

ARGUMENTS = {
    "stack": {"type": "str", "required": True},
    "state": {
        "type": "str",
        "choices": ["looked", "announced", "switched", "settled", "undone"],
        "default": "looked",
    },
    # Names only.
    "secrets": {"type": "dict", "required": True, "no_log": False},
    "names": {"type": "list", "elements": "str", "default": []},
    "keys": {"type": "dict", "default": {}, "no_log": True},
    "users": {"type": "dict", "default": {}},
    "passwords": {"type": "dict", "default": {}, "no_log": True},
    "root": {"type": "path", "default": "/opt/landfall"},
    "routes_dir": {"type": "path", "default": "/etc/landfall/edge/stacks"},
    "wait_deadline": {"type": "int", "default": 120},
    "lock_timeout": {"type": "int", "default": 60},
    "who": {"type": "str", "default": ""},
}


def steps_of(params: dict) -> list[Step]:
    """The module's parameters as steps. :raises Refused: a name is not among the secrets, or its value is missing"""
    specs = {name: Spec(name, second or "") for name, second in params["secrets"].items()}
    chosen = params["names"] or list(specs)
    strange = sorted(set(chosen) - set(specs))
    if strange:
        raise Refused(f"names: {', '.join(strange)} is not among the secrets: {', '.join(sorted(specs))}")
    out = []
    for name in chosen:
        spec = specs[name]
        key, user, password = (str(params[each].get(name) or "") for each in ("keys", "users", "passwords"))
        if params["state"] == "announced" and not spec.second:
            raise Refused(f"{name} has no second key, so it cannot be announced; it is switched to")
        if params["state"] == "announced" and len(key) < 32:
            raise Refused(f"keys: give {name} a new key of at least 32 characters")
        if params["state"] == "switched" and not spec.second and not (user and password):
            raise Refused(f"users, passwords: give {name} a user and a password")
        stage = SETTLED if params["state"] == "undone" else params["state"]
        out.append(Step(spec, stage, params["state"] == "undone", key, user, password))
    return out


def work(module: AnsibleModule) -> dict:
    """The module's result."""
    params = module.params
    stack = check_stack_name(params["stack"])
    fx = effects_for(params["root"], params["routes_dir"], stack)
    current = good_release(fx, stack)
    now = fx.time()
    found = {}
    for name, second in params["secrets"].items():
        found[name] = asdict(standing(fx.store, current, Spec(name, second or ""), now))
    if params["state"] == "looked":
        return {"changed": False, "standing": found}
    done = rotate(
        params["root"],
        params["routes_dir"],
        stack,
        steps_of(params),
        params["who"],
        float(params["wait_deadline"]),
        params["lock_timeout"],
        module.check_mode,
    )
    for text in done.pop("warnings", []):
        module.warn(text)
    return {"standing": found, **done}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module))
    except DeployFailed as problem:
        module.fail_json(msg=str(problem), **problem.result)
    except (Refused, CannotRotate, StackBusy, ValueError) as problem:
        module.fail_json(msg=str(problem))
    except Interrupted as problem:
        module.fail_json(
            msg=f"stack {module.params['stack']}: interrupted ({problem}). Run again: what was begun is undone "
            "then, and begun again"
        )
    except OSError as problem:
        where = problem.filename or module.params["root"]
        module.fail_json(
            msg=f"stack {module.params['stack']}: {where}: {problem.strerror}. Check the host's file system, run again"
        )


if __name__ == "__main__":
    main()
