# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many rules of UFW in one step, by UFW's own code.

Stands alone: it runs in the system's Python, where UFW is. Each `ufw` command writes the rules' files and changes the
running firewall, rule by rule. Here UFW takes all rules in memory, writes each file once, and loads it with one
iptables-restore a family: the running firewall never holds half of them.

Reads a JSON list of argument lists (``[["allow", "22/tcp"], ["delete", "allow", "80/tcp"]]``). Exit status 3: this UFW
is not the one it knows, and nothing was changed.
"""

from __future__ import annotations

import gettext
import json
import os
import sys
from typing import Any

#: There while files and running firewall may differ. A restart of the host loads the files, and takes it away.
MARK = "/run/landfall-firewall-unfinished"
UNKNOWN = 3


def apply(frontend: Any, util: Any, commands: list[list[str]]) -> int:
    """Carry out rule commands. :param frontend: the module ufw.frontend; ``util``: ufw.util"""
    user = frontend.UFWFrontend(False)
    backend = user.backend
    try:
        write, enabled, load = backend._write_rules, backend.is_enabled(), backend._reload_user_rules
    except AttributeError:
        return UNKNOWN

    def later(*_args: Any) -> None:
        """Written once, at the end."""

    def off() -> bool:
        """The running firewall is not touched rule by rule."""
        return False

    held = util.create_lock(lockfile="/run/ufw.lock", dryrun=False)
    try:
        backend._write_rules, backend.is_enabled = later, off
        for words in commands:
            parsed = frontend.parse_command(["ufw", *words])
            user.do_action(parsed.action, parsed.data["rule"], parsed.data["iptype"], True)
        del backend._write_rules, backend.is_enabled
        os.close(os.open(MARK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        write(False)
        if backend.use_ipv6():
            write(True)
        if enabled:
            load()
        os.unlink(MARK)
    finally:
        util.release_lock(held)
    return 0


def main() -> int:
    """Read the commands, and have UFW carry them out."""
    gettext.install("ufw")
    # UFW looks who may write the program it was started as.
    sys.argv[0] = "/usr/sbin/ufw"
    try:
        import ufw.frontend
        import ufw.util
    except ImportError:
        return UNKNOWN
    return apply(ufw.frontend, ufw.util, json.load(sys.stdin))


if __name__ == "__main__":
    raise SystemExit(main())
