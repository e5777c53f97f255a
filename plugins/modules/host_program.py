#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the host program, landfall."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_program
short_description: Install the host program, C(landfall)
version_added: 0.1.0
description:
  - Puts the collection's C(module_utils) on the host and one small command in front of them, so that what a timer runs
    at night and what a playbook runs is the same code.
  - The library is switched in one step; programs that run keep the version they started with.
author:
  - Landfall contributors (@landfall-stack)
attributes:
  check_mode:
    description: Says whether the program would be installed anew.
    support: full
  diff_mode:
    description: Not supported.
    support: none
options:
  library:
    description: Where the library goes.
    type: path
    default: /usr/local/lib/landfall
  program:
    description: Where the command goes.
    type: path
    default: /usr/local/bin/landfall
  payload:
    description: Set by the action plugin.
    type: str
"""

EXAMPLES = r"""
- name: Install the landfall command
  landfall.stack.host_program:
"""

RETURN = r"""
digest:
  description: Digest of the library.
  returned: success
  type: str
missing_packages:
  description: Distribution packages the library needs that are not there.
  returned: success
  type: list
  elements: str
"""

import base64
import gzip
import hashlib
import importlib.util
import io
import os
import shutil
import tarfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients.files import write_atomic

NEEDS = {"yaml": "python3-yaml", "jsonschema": "python3-jsonschema", "docker": "python3-docker"}
PROGRAM = """#!/usr/bin/env -S python3 -I
# Written by landfall.stack.host_program: the collection's own code, on the host.
import sys

sys.path.insert(0, "{library}")

from ansible_collections.landfall.stack.plugins.module_utils.cli.main import main

raise SystemExit(main())
"""


def install(library: str, digest: str, data: bytes) -> None:
    """Unpack a version beside the others and point the library at it."""
    versions = os.path.join(library, ".versions")
    target = os.path.join(versions, digest[:16])
    fresh = f"{target}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    utils = os.path.join(fresh, "landfall", "stack", "plugins", "module_utils")
    os.makedirs(utils, mode=0o755)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        for member in tar:
            content = tar.extractfile(member)
            path = os.path.normpath(os.path.join(utils, member.name))
            if content is None or not path.startswith(utils + os.sep):
                raise ValueError(f"unexpected member {member.name!r}")
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            with open(path, "wb") as file:
                file.write(content.read())
    shutil.rmtree(target, ignore_errors=True)
    os.rename(fresh, target)
    link = os.path.join(library, "ansible_collections")
    before = os.path.basename(os.readlink(link)) if os.path.islink(link) else ""
    temporary = f"{link}.new"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(os.path.join(".versions", os.path.basename(target)), temporary)
    os.replace(temporary, link)
    for name in os.listdir(versions):
        if name not in (os.path.basename(target), before):
            shutil.rmtree(os.path.join(versions, name), ignore_errors=True)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "library": {"type": "path", "default": "/usr/local/lib/landfall"},
            "program": {"type": "path", "default": "/usr/local/bin/landfall"},
            "payload": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    if not module.params["payload"]:
        module.fail_json(msg="no library arrived: landfall.stack.host_program runs through its action plugin")
    data = base64.b64decode(module.params["payload"])
    # Of the content, not of its compression, which differs between controllers.
    digest = hashlib.sha256(gzip.decompress(data)).hexdigest()
    library, program = module.params["library"], module.params["program"]
    text = PROGRAM.format(library=library)
    link = os.path.join(library, "ansible_collections")
    installed = os.path.islink(link) and os.path.basename(os.readlink(link)) == digest[:16] and os.path.isdir(link)
    try:
        with open(program, encoding="utf-8") as file:
            same = file.read() == text and os.access(program, os.X_OK)
    except OSError:
        same = False
    if not module.check_mode:
        try:
            if not installed:
                install(library, digest, data)
            if not same:
                write_atomic(program, text, 0o755)
        except (OSError, ValueError) as problem:
            module.fail_json(msg=f"{library} and {program} cannot be written: {problem}")
    missing = [package for name, package in NEEDS.items() if importlib.util.find_spec(name) is None]
    module.exit_json(changed=not installed or not same, digest=digest, missing_packages=missing)


if __name__ == "__main__":
    main()
