# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of landfall.stack.rollout: collect the project, render its templates, send it in one round trip."""

from __future__ import annotations

import base64
import getpass
import glob
import os
import socket
import subprocess
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from ansible_collections.landfall.stack.plugins.module_utils.rollout.payload import Payload, pack

DEFAULT_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
OPTIONAL = ("keep", "wait_deadline", "lock_timeout", "pull", "build", "version", "root", "routes_dir", "release",
            "state", "migrate")  # fmt: skip
#: Payloads up to this size travel inside the module's arguments.
INLINE = 1024 * 1024


class ActionModule(ActionBase):
    """See the module's documentation for its parameters."""

    # A temporary directory costs a round trip; only a large project needs one.
    TRANSFERS_FILES = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        args["who"] = args.get("who") or f"{getpass.getuser()}@{socket.gethostname()}"
        # An empty answer of a survey counts as not given.
        for name in OPTIONAL:
            if args.get(name) in ("", None):
                args.pop(name, None)
        if args.get("state") == "rolled_back":
            # All that is needed lies on the host.
            kept = ("stack", "state", "release", "root", "routes_dir", "wait_deadline", "lock_timeout", "who")
            args = {name: args[name] for name in kept if name in args}
            result.update(self._execute_module("landfall.stack.rollout", module_args=args, task_vars=task_vars))
            return result
        src = self._source(args)
        wanted = _listed(args.get("files"))
        names = wanted or self._found(src)
        files: dict[str, bytes] = {}
        executable: set[str] = set()
        for name in names:
            path = os.path.join(src, name)
            target = name.removesuffix(".j2")
            files[target] = self._render(path, task_vars) if name.endswith(".j2") else self._read(path)
        for name in self._included(src, _listed(args.get("include"))):
            path = os.path.join(src, name)
            if name not in files and name not in names:
                files[name] = self._read(path)
                if os.access(path, os.X_OK):
                    executable.add(name)
        payload = Payload(files, frozenset(executable), _texts(args.pop("env", None)), self._env_file(src, args))
        try:
            packed = pack(payload)
        except ValueError as problem:
            raise AnsibleActionFail(str(problem)) from problem
        args.update(src=src, files=[name.removesuffix(".j2") for name in names])
        args["commit"] = args.get("commit") or _commit(src)
        if len(packed) <= INLINE:
            args["payload"] = base64.b64encode(packed).decode()
        else:
            args["payload_file"] = self._send(packed)
        # Ansible writes a module's parameters to the host's journal, and does not reliably find what is secret inside a
        # list: a value of several lines would stand there.
        quiet = {**task_vars, "ansible_no_target_syslog": True}
        result.update(self._execute_module("landfall.stack.rollout", module_args=args, task_vars=quiet))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _source(self, args: dict[str, Any]) -> str:
        if not args.get("src"):
            raise AnsibleActionFail("src is missing: give the directory of the Compose project on the controller")
        try:
            path = self._find_needle("files", str(args["src"]))
        except AnsibleError as problem:
            raise AnsibleActionFail(f"src {args['src']} is not there: {problem}") from problem
        if not os.path.isdir(path):
            raise AnsibleActionFail(f"src {path} is a file: give the directory that holds compose.yaml")
        return path

    def _found(self, src: str) -> list[str]:
        for name in DEFAULT_FILES:
            for candidate in (name, f"{name}.j2"):
                if os.path.isfile(os.path.join(src, candidate)):
                    return [candidate]
        raise AnsibleActionFail(f"{src} holds none of {', '.join(DEFAULT_FILES)}: name the Compose files in 'files'")

    def _read(self, path: str) -> bytes:
        if not os.path.isfile(path):
            raise AnsibleActionFail(f"{path} is not a file: check 'src', 'files' and 'env_file'")
        with open(self._loader.get_real_file(path), "rb") as file:
            return file.read()

    def _render(self, path: str, task_vars: dict[str, Any]) -> bytes:
        text = trust_as_template(self._read(path).decode())
        search = [os.path.dirname(path), *task_vars.get("ansible_search_path", [])]
        templar = self._templar.copy_with_new_env(searchpath=search, available_variables=task_vars)
        try:
            rendered = templar.template(text, escape_backslashes=False, overrides={"keep_trailing_newline": True})
        except AnsibleError as problem:
            raise AnsibleActionFail(f"{path}: the template cannot be rendered: {problem}") from problem
        return str(rendered or "").encode()

    def _included(self, src: str, patterns: list[str]) -> list[str]:
        found: set[str] = set()
        for pattern in patterns:
            hits = [
                os.path.relpath(hit, src)
                for hit in glob.glob(os.path.join(glob.escape(src), pattern), recursive=True, include_hidden=True)
            ]
            if not hits:
                raise AnsibleActionFail(f"include {pattern!r} matches nothing in {src}: correct it or take it away")
            for hit in hits:
                found.update(_walk(src, hit))
        return sorted(found)

    def _env_file(self, src: str, args: dict[str, Any]) -> str:
        name = args.pop("env_file", None)
        if not name:
            return ""
        inside = os.path.join(src, os.path.expanduser(str(name)))
        try:
            return self._read(inside).decode()
        except UnicodeDecodeError as problem:
            raise AnsibleActionFail(f"{inside}: not UTF-8 text") from problem

    def _send(self, packed: bytes) -> str:
        self._make_tmp_path()
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "release.tar.gz")
        self._transfer_data(remote, packed)
        self._fixup_perms2((self._connection._shell.tmpdir, remote))
        return str(remote)


def _listed(value: Any) -> list[str]:
    """A list parameter; a string is a list of one, or comma-separated as Ansible takes it."""
    if not value:
        return []
    items = value.split(",") if isinstance(value, str) else value
    return [str(item).strip() for item in items if str(item).strip()]


def _texts(env: Any) -> dict[str, str]:
    """Variables as text: booleans in YAML's words, null as an empty value."""
    if env in (None, ""):
        return {}
    if not isinstance(env, dict):
        raise AnsibleActionFail("env must be a mapping of variable names to values")
    return {str(key): _text(value) for key, value in env.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _walk(src: str, relative: str) -> list[str]:
    path = os.path.join(src, relative)
    if os.path.isfile(path):
        return [] if ".git" in relative.split(os.sep) else [os.path.normpath(relative)]
    out = []
    for top, directories, names in os.walk(path):
        directories[:] = sorted(one for one in directories if one not in (".git", "__pycache__"))
        out += [
            os.path.relpath(os.path.join(top, name), src) for name in names if os.path.isfile(os.path.join(top, name))
        ]
    return out


def _commit(src: str) -> str:
    """The commit of the project's checkout, ``-dirty`` added when it has changes; "" without git."""
    try:
        found = subprocess.run(
            ["git", "-C", src, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
