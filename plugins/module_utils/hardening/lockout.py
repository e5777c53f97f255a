# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock-out protection as values: what is kept, how it is put back, what proves a way in, what is told. Pure.

A manifest (a dict, JSON on the host) describes a change that waits for its confirmation:
``who``, ``window`` (seconds), ``armed_at`` (seconds since 1970), ``session`` (of the run that armed, see `proven`),
``files`` (each ``path``, ``saved``: name of the copy or None where there was no file, ``mode``, ``uid``, ``gid``),
``first`` and ``then`` (argument lists run before and after the files are put back).
A report (a dict, JSON) says what was put back: ``who``, ``at``, ``why``, ``paths`` (those that differed), ``errors``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

#: What UFW itself writes when rules, policies, logging or the switch change (a policy is named in the after rules too).
UFW_FILES = (
    "/etc/default/ufw",
    "/etc/ufw/ufw.conf",
    "/etc/ufw/user.rules",
    "/etc/ufw/user6.rules",
    "/etc/ufw/after.rules",
    "/etc/ufw/after6.rules",
)
UNIT = "landfall-lockout"

#: One unit for the timer, one for the boot: a reload of sshd would wait for ever for a unit ordered before sshd.
SERVICE = """# Written by landfall.stack.lockout.
[Unit]
Description=Put back what nobody confirmed (lock-out protection)

[Service]
Type=oneshot
ExecStart={python} -I {program} {directory}
Restart=on-failure
RestartSec=3
"""
BOOT = """# Written by landfall.stack.lockout.
[Unit]
Description=Put back what nobody confirmed before the restart (lock-out protection)
DefaultDependencies=no
ConditionPathExists={directory}/armed
After=local-fs.target
Before=ufw.service ssh.service ssh.socket network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart={python} -I {program} {directory} --boot

[Install]
WantedBy=multi-user.target
"""


def put_back_commands(
    sshd: bool, firewall: bool, ssh_active: bool, ufw_active: bool, policies: Sequence[Sequence[str]] = ()
) -> tuple[list[list[str]], list[list[str]]]:
    """What is run before and after the files are put back.

    :param sshd: whether sshd's files are among them; ``firewall``: whether UFW's are
    :param ssh_active: ssh.service ran when the state was kept, and not behind ssh.socket
    :param policies: the chains' policies, each as ``[iptables, -P, chain, policy]``: `ufw disable` opens them
    """
    first: list[list[str]] = []
    then: list[list[str]] = []
    if firewall and not ufw_active:
        first.append(["ufw", "--force", "disable"])
        then += [list(one) for one in policies]
    elif firewall:
        then.append(["ufw", "reload"])
    if sshd:
        # sshd ends when it can bind no address after a reload: then it has to be started, not reloaded.
        # Behind ssh.socket it finds the port taken after a reload; the next login starts it again from the socket.
        verb = "reload-or-restart" if ssh_active else "try-restart"
        then += [["systemctl", "reset-failed", "ssh.service"], ["systemctl", verb, "ssh.service"]]
    return first, then


def policies_of(program: str, listing: str) -> list[list[str]]:
    """The policies of built-in chains, out of ``iptables -S``, as commands that set them."""
    lines = [line.split() for line in listing.splitlines() if line.startswith("-P ")]
    return [[program, "-w", "10", *words] for words in lines if len(words) == 3]


def proven(armed: Mapping[str, Any], session: Mapping[str, Any] | None) -> str:
    """Why a session proves no way in; "" when it does.

    A session is a dict: ``client`` (address and port of the controller's end), ``began`` (seconds since 1970). It must
    be another connection than the one that armed, and one that began after that.
    """
    if not session:
        return "this run does not come over SSH, so it proves nothing about SSH"
    before = armed.get("session") or {}
    if session["client"] == before.get("client") or session["began"] < armed["armed_at"]:
        return (
            f"this is still the connection from before the change (from {session['client']}); "
            "it must be closed and a new one made"
        )
    return ""


def ends_at(manifest: Mapping[str, Any]) -> str:
    """When the window ends, in the host's own time."""
    return clock(manifest["armed_at"] + manifest["window"])


def clock(seconds: float) -> str:
    """A moment as text, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


def told(report: Mapping[str, Any]) -> str:
    """One sentence or two on what was put back."""
    paths = ", ".join(report["paths"]) or "no file (nothing had been changed yet)"
    text = (
        f"A change made by {report['who']} was put back at {clock(report['at'])} because {report['why']}. "
        f"Put back: {paths}."
    )
    if report["errors"]:
        text += f" Went wrong: {'; '.join(report['errors'])}."
    return text


def status_lines(manifest: Mapping[str, Any] | None, report: Mapping[str, Any] | None) -> list[str]:
    """What `landfall status` says of it: nothing, when nothing waits and nothing was put back."""
    lines = []
    if manifest:
        lines.append(f"A change made by {manifest['who']} is put back at {ends_at(manifest)} unless it is confirmed")
    if report:
        lines.append(f"{told(report)} The next run of site.yml tells it too, and takes this line away.")
    return lines
