#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Write a set of configuration files in one step, all or none
description:
  - Writes several small files in one round trip to the host. All validators run before the first file is replaced.
  - When a test of the whole fails afterwards, all files are put back as they were.
  - Each file is replaced atomically. Directories that are missing are made, with mode 0755.
author: Landfall contributors (@landfall)
version_added: 0.1.0
attributes:
  check_mode:
    description: Predicts the changes, on a host too where directories and validators are not there yet.
    support: full
  diff_mode:
    description: Shows each file before and after, but for those that are secret.
    support: full
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where the file goes; an absolute path.
        type: path
        required: true
      content:
        description: The text of the file.
        type: str
        default: ""
      state:
        description: V(absent) removes the file.
        type: str
        choices: [present, absent]
        default: present
      mode:
        description: Permissions, octal.
        type: str
        default: "0644"
      owner:
        description: Name of the owner.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
      validate:
        description: Command that checks the new file before it replaces the old one; C(%s) is its path. No shell.
        type: str
      test:
        description: Command that checks the whole once all files are written. When it fails, all are put back.
        type: list
        elements: str
  secret_contents:
    description:
      - The texts of files that are secret, by their paths, instead of O(files[].content).
      - They are kept out of C(--diff) and C(-vvv), and out of the host's journal, where Ansible writes the parameters
        of its modules. (What is secret inside a list it does not reliably find there.)
    type: dict
    default: {}
  armed:
    description: Change something only while the lock-out protection (M(landfall.stack.lockout)) is armed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Write two drop-ins, or none
  landfall.stack.files:
    files:
      - path: /etc/ssh/sshd_config.d/10-landfall.conf
        content: "{{ lookup('ansible.builtin.template', 'sshd.conf.j2') }}"
        validate: /usr/sbin/sshd -t -f %s
        test: [/usr/sbin/sshd, -t]
      - path: /etc/sudoers.d/deploy
        content: "deploy ALL=(ALL:ALL) NOPASSWD: ALL\n"
        mode: "0440"
        validate: /usr/sbin/visudo -cf %s
"""

RETURN = r"""
paths:
  description: The files that were changed, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [/etc/sudoers.d/deploy]
"""

import grp
import os
import pwd
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients.lockout import NotArmed, guarded
from ansible_collections.landfall.stack.plugins.module_utils.host.files import Change, File, difference, plan


def _wanted(spec: dict, secrets: dict) -> File | None:
    if spec["state"] == "absent":
        return None
    uid, gid = pwd.getpwnam(spec["owner"]).pw_uid, grp.getgrnam(spec["group"]).gr_gid
    content = secrets.get(spec["path"], spec["content"])
    return File(spec["path"], content.encode(), int(spec["mode"], 8), uid, gid)


def _observed(path: str) -> File | None:
    place = Path(path)
    if not place.is_file() or place.is_symlink():
        return None
    facts = place.stat()
    return File(path, place.read_bytes(), facts.st_mode & 0o7777, facts.st_uid, facts.st_gid)


def _staged(module: AnsibleModule, file: File) -> str:
    handle, name = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "wb") as stream:
        stream.write(file.content)
    return name


def _put(module: AnsibleModule, path: str, file: File | None) -> None:
    if file is None:
        Path(path).unlink(missing_ok=True)
        return
    Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    staged = _staged(module, file)
    os.chown(staged, file.uid, file.gid)
    os.chmod(staged, file.mode)
    module.atomic_move(staged, path, keep_dest_attrs=False)
    os.chown(path, file.uid, file.gid)
    os.chmod(path, file.mode)


def _validate(module: AnsibleModule, change: Change, command: str) -> None:
    if change.after is None or not change.content_differs:
        return
    if "%s" not in command:
        module.fail_json(msg=f"{change.path}: validate must hold %s, where the file's path goes: {command}")
    staged = _staged(module, change.after)
    os.chmod(staged, change.after.mode)
    code, out, err = module.run_command(command.replace("%s", staged))
    os.unlink(staged)
    if code:
        text = (err or out).strip().replace(staged, change.path)
        module.fail_json(msg=f"{change.path} is refused by its validator, nothing was changed: {text}", stderr=err)


def main() -> None:
    one = {
        "path": {"type": "path", "required": True},
        "content": {"type": "str", "default": ""},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "mode": {"type": "str", "default": "0644"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "validate": {"type": "str"},
        "test": {"type": "list", "elements": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "required": True, "options": one},
            "secret_contents": {"type": "dict", "default": {}, "no_log": True},
            "armed": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    specs = {spec["path"]: spec for spec in module.params["files"]}
    secrets = module.params["secret_contents"]
    if strange := sorted(path for path in secrets if path not in specs):
        module.fail_json(msg=f"{', '.join(strange)}: in secret_contents, but not in files; name it in both")
    if twice := sorted(path for path in secrets if specs[path]["content"]):
        module.fail_json(msg=f"{', '.join(twice)}: in secret_contents, and with a content in files; keep one of them")
    changes = plan(
        {path: _observed(path) for path in specs}, {path: _wanted(spec, secrets) for path, spec in specs.items()}
    )
    result = {
        "changed": bool(changes),
        "paths": [change.path for change in changes],
        "diff": [difference(change, change.path in secrets) for change in changes],
    }
    if changes and not module.check_mode:
        try:
            with guarded(module.params["armed"]):
                _apply(module, changes, specs)
        except NotArmed as problem:
            module.fail_json(msg=f"{', '.join(result['paths'])}: {problem}")
    module.exit_json(**result)


def _apply(module: AnsibleModule, changes: list[Change], specs: dict[str, dict]) -> None:
    for change in changes:
        if specs[change.path]["validate"]:
            _validate(module, change, specs[change.path]["validate"])
    for change in changes:
        _put(module, change.path, change.after)
    for change in changes:
        test = specs[change.path]["test"]
        code, out, err = module.run_command(test) if test else (0, "", "")
        if code:
            for undo in changes:
                _put(module, undo.path, undo.before)
            module.fail_json(
                msg=f"{change.path} went through, but the whole is refused by {' '.join(test)}; "
                f"all files were put back as they were: {(err or out).strip()}"
            )


if __name__ == "__main__":
    main()
