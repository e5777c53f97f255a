#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock-out protection."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lockout
short_description: Put a change back unless it is confirmed over a new connection
version_added: 0.1.0
description:
  - Keeps the state of files and of UFW before a change that could lock somebody out, and starts a timer on the host
    that puts it back.
  - The change stays only when the controller comes in again by a new SSH connection and disarms the timer.
  - The controller is not needed for putting back. After a restart of the host within the window, all is put back before
    sshd and UFW start.
author:
  - Landfall contributors (@landfall-stack)
requirements:
  - systemd on the host
attributes:
  check_mode:
    description: Says what would be kept. V(disarmed), V(put_back) and V(told) do nothing.
    support: full
  diff_mode:
    description: Not supported.
    support: none
options:
  state:
    description:
      - V(armed) keeps the old state and starts the timer.
      - V(disarmed) makes a new connection and keeps the change. When none can be made, it waits until the old state is
        back, and fails with what happened.
      - V(put_back) puts the old state back now. Nothing happens when nothing is armed.
      - V(told) forgets what was put back, once a run has said it.
    type: str
    choices: [armed, disarmed, put_back, told]
    required: true
  window:
    description: Seconds until the old state is put back. At least 5.
    type: int
    default: 60
  files:
    description: Files that the change touches. They need not be there.
    type: list
    elements: path
    default: []
  users:
    description: Users whose C(~/.ssh/authorized_keys) the change touches.
    type: list
    elements: str
    default: []
  sshd:
    description: Whether sshd has to read its files again when they are put back.
    type: bool
    default: false
  firewall:
    description: Whether the change touches UFW, its rules, its policies and whether it is on.
    type: bool
    default: false
  login_user:
    description: With V(disarmed), the user of the new connection. The one of this run, when it is empty.
    type: str
    default: ""
  reason:
    description: With V(put_back), why.
    type: str
    default: its run failed
  who:
    description: Whose change it is. Set by the action plugin.
    type: str
    default: somebody
"""

EXAMPLES = r"""
- name: Keep what would be lost
  landfall.stack.lockout:
    state: armed
    sshd: true
    files: [/etc/ssh/sshd_config.d/10-site.conf]

- name: Change it
  ansible.builtin.copy:
    src: site.conf
    dest: /etc/ssh/sshd_config.d/10-site.conf
    mode: "0600"

- name: Reload sshd
  ansible.builtin.systemd_service: {name: ssh.service, state: reloaded}

- name: Come in again, and keep the change
  landfall.stack.lockout:
    state: disarmed
"""

RETURN = r"""
paths:
  description: The files that are kept, or that were put back.
  returned: success
  type: list
  elements: str
  sample: [/etc/ssh/sshd_config.d/10-site.conf]
armed:
  description: Whether a change waits for its confirmation now.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients import lockout
from ansible_collections.landfall.stack.plugins.module_utils.clients.process import runner
from ansible_collections.landfall.stack.plugins.module_utils.hardening.lockout import UFW_FILES, told


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["armed", "disarmed", "put_back", "told"], "required": True},
            "window": {"type": "int", "default": 60},
            "files": {"type": "list", "elements": "path", "default": []},
            "users": {"type": "list", "elements": "str", "default": []},
            "sshd": {"type": "bool", "default": False},
            "firewall": {"type": "bool", "default": False},
            "login_user": {"type": "str", "default": ""},
            "reason": {"type": "str", "default": "its run failed"},
            "who": {"type": "str", "default": "somebody"},
        },
        supports_check_mode=True,
    )
    given = module.params
    if given["window"] < 5:
        module.fail_json(msg=f"window: {given['window']} s is too short to come in again; give at least 5")
    paths = [*given["files"], *(lockout.keys_file(user) for user in given["users"])]
    if module.check_mode:
        paths += UFW_FILES if given["firewall"] else []
        report = lockout.report() if given["state"] == "told" else None
        if report:
            module.warn(told(report))
        kept = f"Kept for {given['window']} s, and put back unless a new connection confirms: {', '.join(paths)}"
        arming = given["state"] == "armed"
        module.exit_json(changed=arming, armed=False, paths=paths if arming else [], msg=kept if arming else "")
    protection = lockout.Protection(runner(90.0))
    result = {"changed": False, "armed": False, "paths": []}
    try:
        with lockout.locked():
            if given["state"] == "armed":
                if lockout.session() is None:
                    result["msg"] = "Not armed: this run does not come over SSH, so no SSH connection could confirm it."
                else:
                    found = protection.arm(given["who"], given["window"], paths, given["sshd"], given["firewall"])
                    result.update(changed=True, armed=True, paths=[one["path"] for one in found["files"]])
            elif given["state"] == "disarmed":
                protection.disarm()
                result["changed"] = True
            elif given["state"] == "put_back":
                report = protection.undo(given["reason"]) or lockout.report()
                result["msg"] = told(report) if report else "Nothing was armed, so nothing was put back."
                result.update(changed=report is not None, paths=report["paths"] if report else [])
            elif lockout.report():
                module.warn(told(lockout.report()))
                protection.told()
    except (lockout.NotArmed, OSError) as problem:
        module.fail_json(msg=f"Lock-out protection: {problem}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
