# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of landfall.stack.lockout: the new connection that proves a way in."""

from __future__ import annotations

import getpass
import socket
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

#: Seconds after the window in which the host must be reachable again.
GRACE = 45


class ActionModule(ActionBase):
    """See the module's documentation for its parameters."""

    TRANSFERS_FILES = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        args = {"who": f"{getpass.getuser()}@{socket.gethostname()}", **self._task.args}
        if args.get("state") == "disarmed" and not self._task.check_mode:
            result.update(self._come_in_again(args, task_vars))
        else:
            result.update(self._ask(args, task_vars))
        return result

    def _ask(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module("landfall.stack.lockout", module_args=args, task_vars=task_vars)
        return found

    def _come_in_again(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        window = int(args.get("window", 60))
        began = time.monotonic()
        before = self._option("remote_user")
        # The tasks after this one are to make connections of their own too.
        self._connection.reset()
        self._fresh(window)
        if args.get("login_user"):
            self._set("remote_user", args["login_user"])
        problem = ""
        for left in (1, 0):
            try:
                found = self._ask(args, task_vars)
            except AnsibleConnectionFailure as failure:
                problem = _one_line(failure)
            else:
                if not found.get("failed"):
                    return found
                problem = _one_line(found.get("module_stderr") or found.get("msg") or "")
                break
            # A refused login is refused again, and counts against MaxAuthTries and fail2ban.
            if "denied" in problem.lower():
                break
            time.sleep(left)
        who = f"{self._option('remote_user') or 'this user'}@{self._option('host') or 'the host'}"
        self._set("remote_user", before)
        become = getattr(self._connection, "become", None)
        if become:
            # Made for the other user's sudo. As root there is none, and the connection would wait for its answer.
            become.success = become.prompt = ""
        failed = f"The change was not confirmed by a new connection as {who}: {problem}"
        while time.monotonic() - began < window + GRACE:
            try:
                # Reachable by the old ways: no need to wait for the timer.
                back = self._ask({**args, "state": "put_back", "reason": f"no new login as {who} worked"}, task_vars)
            except AnsibleConnectionFailure:
                time.sleep(1)
                continue
            return {
                "failed": True,
                "msg": f"{failed}. {back.get('msg', '')} The host is reachable as before. What to do: compare the "
                "firewall's rules, sshd's options and the keys in the inventory with the address, the user and the "
                "port this run comes from (--check --diff shows the change), then run again.",
            }
        return {
            "failed": True,
            "msg": f"{failed}. The host did not answer for {window + GRACE} s, though its timer was to put the old "
            "state back. What to do: log in at the provider's console and read `journalctl -u landfall-lockout`; "
            "`systemctl start landfall-lockout` puts it back by hand.",
        }

    def _fresh(self, window: int) -> None:
        """Have each SSH call make a connection of its own, and wait no longer than the window allows."""
        extra = self._option("ssh_extra_args")
        self._set("ssh_extra_args", f"{extra or ''} -o ControlPath=none".strip())
        self._set("timeout", max(3, min(10, window // 4)))
        self._set("reconnection_retries", 0)

    def _option(self, name: str) -> Any:
        try:
            return self._connection.get_option(name)
        except (AnsibleError, KeyError):
            return None

    def _set(self, name: str, value: Any) -> None:
        try:
            self._connection.set_option(name, value)
        except (AnsibleError, KeyError):
            # Another connection plugin than ssh: the host still tells whether the connection is a new one.
            return


def _one_line(problem: object) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return "; ".join(lines)[:400].rstrip(".;")
