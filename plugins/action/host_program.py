# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of landfall.stack.host_program: pack the collection's module_utils and send them along."""

from __future__ import annotations

import base64
import os
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.landfall.stack.plugins.module_utils.rollout.payload import tar_gz

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "module_utils")


def collect(source: str) -> dict[str, bytes]:
    """All Python files below a directory, by relative path."""
    found = {}
    for top, directories, names in os.walk(source):
        directories[:] = [name for name in directories if name != "__pycache__"]
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(top, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, source)] = file.read()
    return found


class ActionModule(ActionBase):
    """See the module's documentation for its parameters."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        args["payload"] = base64.b64encode(tar_gz(collect(SOURCE))).decode()
        result.update(self._execute_module("landfall.stack.host_program", module_args=args, task_vars=task_vars))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result
