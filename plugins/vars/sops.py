# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that SOPS encrypts: loaded once a run, and with what to do when a file cannot be decrypted."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sops
author: Landfall contributors (@landfall-stack)
short_description: Variables in files that are encrypted with SOPS
version_added: 0.1.0
description:
  - Loads C(*.sops.yaml), C(*.sops.yml) and C(*.sops.json) in C(group_vars/) and C(host_vars/), on the controller.
  - It decrypts by community.sops; keys are found as SOPS finds them (E(SOPS_AGE_KEY_FILE) and its kin). Unlike the vars
    plugin of that collection it says what to do when a file cannot be opened, and needs nothing while there is none.
requirements:
  - community.sops 2.0.0 or later, and the program C(sops), once there are such files
"""

import os
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.inventory.group import Group
from ansible.plugins.vars import BaseVarsPlugin
from ansible.template import trust_as_template
from ansible.utils.display import Display
from ansible.utils.vars import combine_vars

try:
    from ansible_collections.community.sops.plugins.module_utils.sops import Sops, SopsError

    MISSING = ""
except ImportError:
    MISSING = (
        "the collection community.sops is not there. What to do: ansible-galaxy collection install -r requirements.yml"
    )

ENDS = (".sops.yaml", ".sops.yml", ".sops.json")
#: What sops says → what to do.
REMEDIES = (
    ("No such file or directory: 'sops'", "Install SOPS on this machine: https://getsops.io (one program)."),
    (
        "Failed to get the data key",
        "None of the keys found here opens the file. Point SOPS_AGE_KEY_FILE to the age key whose public half is named "
        "above; or have somebody who can open the file add yours: put its public half into .sops.yaml, then "
        "`sops updatekeys FILE`.",
    ),
    ("sops metadata not found", "The file is not encrypted: `sops encrypt --in-place FILE`."),
)
#: Files of a host or a group, and what is in them: asked for at every task, looked up once a run.
_FOUND: dict[str, list[str]] = {}
_READ: dict[str, Any] = {}


class VarsModule(BaseVarsPlugin):
    """See DOCUMENTATION."""

    def get_vars(self, loader: Any, path: str, entities: Any, cache: bool = True) -> dict[str, Any]:
        """The variables of the hosts and groups. :raises AnsibleParserError: with what to do"""
        super().get_vars(loader, path, entities)
        data: dict[str, Any] = {}
        for entity in entities if isinstance(entities, list) else [entities]:
            if entity.name.startswith(os.sep):
                continue
            base = os.path.join(self._basedir, "group_vars" if isinstance(entity, Group) else "host_vars", entity.name)
            if base not in _FOUND:
                _FOUND[base] = _files(base)
            for path_of_one in _FOUND[base]:
                if path_of_one not in _READ:
                    _READ[path_of_one] = _trusted(loader.load(_decrypted(path_of_one)) or {})
                data = combine_vars(data, _READ[path_of_one])
        return data


def _files(base: str) -> list[str]:
    """``group_vars/NAME.sops.yaml``, and those anywhere below ``group_vars/NAME/``."""
    found = [base + end for end in ENDS if os.path.isfile(base + end)]
    for directory, _below, names in os.walk(base):
        found += [os.path.join(directory, name) for name in names if name.endswith(ENDS) and name[0] != "."]
    return sorted(found)


def _decrypted(path: str) -> str:
    if MISSING:
        raise AnsibleParserError(f"{path} is encrypted with SOPS, and {MISSING}")
    try:
        text: str = Sops.decrypt(path, display=Display(), get_option_value=lambda name: None)
        return text
    except (SopsError, OSError) as problem:
        said = str(problem).rstrip()
        remedy = next((text for words, text in REMEDIES if words in said), "See docs/secrets.md.")
        where = "" if path in said else f"{path}: "
        raise AnsibleParserError(f"{where}{said}\nWhat to do: {remedy}") from None


def _trusted(value: Any) -> Any:
    """Values may name other variables, as in every other file of the inventory."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: _trusted(one) for key, one in value.items()}
    return [_trusted(one) for one in value] if isinstance(value, list) else value
