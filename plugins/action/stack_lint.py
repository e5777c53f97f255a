# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""landfall.stack.stack_lint: all of it runs here, on the controller, where the project and Ansible's templates are."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from ansible_collections.landfall.stack.plugins.module_utils.clients.project import (
    ProjectFilesError,
    read_env,
    read_texts,
    secret_values,
)
from ansible_collections.landfall.stack.plugins.module_utils.compose.schema_check import JSONSCHEMA_ERROR
from ansible_collections.landfall.stack.plugins.module_utils.compose.validate import Report, inspect
from ansible_collections.landfall.stack.plugins.module_utils.compose.yamldoc import YAML_ERROR

ARGUMENTS: dict[str, Any] = {
    "src": {"type": "path", "required": True},
    "files": {"type": "list", "elements": "str"},
    "contents": {"type": "dict", "default": {}},
    "env_files": {"type": "list", "elements": "str", "default": []},
    "env": {"type": "dict", "default": {}, "no_log": True},
    "known_env": {"type": "list", "elements": "str", "default": []},
    "name": {"type": "str", "default": ""},
    "fail": {"type": "bool", "default": True},
}


class ActionModule(ActionBase):
    """See the module's documentation for its parameters."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        for library, error in (("PyYAML", YAML_ERROR), ("jsonschema", JSONSCHEMA_ERROR)):
            if error is not None:
                raise AnsibleActionFail(f"Ansible's Python on this machine lacks {library}: pip install {library}")
        _validation, params = self.validate_argument_spec(argument_spec=ARGUMENTS)
        src = self._source(params["src"])
        given = {str(key): _text(value) for key, value in params["env"].items()}
        names = params["files"] or list(params["contents"]) or ["compose.yaml"]
        contents = {str(key): str(value) for key, value in params["contents"].items()}
        report, env = Report(), given
        try:
            contents = {**self._decrypted(src, params["env_files"]), **contents}
            env = {**read_env(src, params["env_files"], contents), **given}
            contents = {**self._rendered(src, set(names) - set(contents), task_vars or {}), **contents}
            report = inspect(read_texts(src, names, contents), env, params["known_env"])
            problems = [str(problem) for problem in report.problems]
        except ProjectFilesError as exc:
            problems = [str(exc)]
        prefix = f"{params['name']}: " if params["name"] else ""
        said = {
            "problems": [prefix + problem for problem in problems],
            "warnings_found": [prefix + str(warning) for warning in report.warnings],
            "unset": report.unset,
            "images": report.images,
            "services": report.services,
            "domains": report.domains,
            "hosts": report.hosts,
        }
        result.update(remove_values(said, secret_values(env)), changed=False)
        if problems and params["fail"]:
            result.update(failed=True, msg="\n".join(result["problems"]))
        return result

    def _source(self, src: str) -> str:
        """The directory, found as the release finds it; as given when it is nowhere, which the reading then says."""
        try:
            return str(self._find_needle("files", src))
        except AnsibleError:
            return src

    def _decrypted(self, src: str, names: Sequence[str]) -> dict[str, str]:
        """The env files in plain text, were they encrypted with ansible-vault or not."""
        out = {}
        for name in names:
            path = os.path.join(src, os.path.expanduser(name))
            if os.path.isfile(path):
                out[name] = self._read(path, "env file")
        return out

    def _rendered(self, src: str, names: Collection[str], task_vars: dict[str, Any]) -> dict[str, str]:
        """The texts of the files that are templates, as the release will render them."""
        out = {}
        for name in sorted(name for name in names if name.endswith(".j2")):
            path = os.path.join(src, name)
            text = trust_as_template(self._read(path, "Compose file"))
            search = [os.path.dirname(path), *task_vars.get("ansible_search_path", [])]
            templar = self._templar.copy_with_new_env(searchpath=search, available_variables=task_vars)
            try:
                out[name] = str(templar.template(text, escape_backslashes=False) or "")
            except AnsibleError as problem:
                raise ProjectFilesError(f"{name}: the template cannot be rendered: {problem}") from problem
        return out

    def _read(self, path: str, what: str) -> str:
        try:
            with open(self._loader.get_real_file(path), encoding="utf-8") as file:
                return file.read()
        except UnicodeDecodeError as problem:
            raise ProjectFilesError(f"{path}: not UTF-8 text; save the {what} as UTF-8") from problem
        except (OSError, AnsibleError) as problem:
            raise ProjectFilesError(f"{path}: {problem}; check the name of the {what} and 'src'") from problem


def _text(value: Any) -> str:
    """A variable as the release writes it: booleans in YAML's words, null as an empty value."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
