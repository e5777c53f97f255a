# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.cli import status
from ansible_collections.landfall.stack.plugins.module_utils.clients import lockout as client
from ansible_collections.landfall.stack.plugins.module_utils.clients import put_back
from ansible_collections.landfall.stack.plugins.module_utils.hardening import lockout

ARMED = {"who": "anna@laptop", "window": 60, "armed_at": 1000.0, "session": {"client": "10.0.0.1 port 5"}}


@pytest.mark.parametrize(
    ("session", "proof"),
    [
        ({"client": "10.0.0.1 port 6", "began": 1001.0}, True),
        ({"client": "10.0.0.1 port 5", "began": 1001.0}, False),
        ({"client": "10.0.0.1 port 6", "began": 999.0}, False),
        (None, False),
    ],
)
def test_only_another_and_younger_connection_proves_a_way_in(session, proof):
    assert (lockout.proven(ARMED, session) == "") is proof


def test_a_firewall_that_was_off_is_switched_off_before_its_files_come_back():
    listing = "-P INPUT DROP\n-P FORWARD ACCEPT\n-N ufw-user-input\n-A INPUT -j ufw-user-input\n"
    policies = lockout.policies_of("iptables", listing)
    first, then = lockout.put_back_commands(False, True, False, False, policies)
    assert first == [["ufw", "--force", "disable"]]
    assert then == [
        ["iptables", "-w", "10", "-P", "INPUT", "DROP"],
        ["iptables", "-w", "10", "-P", "FORWARD", "ACCEPT"],
    ]


def test_an_sshd_that_ran_is_started_again_and_one_behind_its_socket_is_not():
    assert lockout.put_back_commands(True, False, True, False)[1][-1] == [
        "systemctl",
        "reload-or-restart",
        "ssh.service",
    ]
    assert lockout.put_back_commands(True, False, False, False)[1][-1][1] == "try-restart"


@pytest.fixture
def armed(tmp_path):
    """A directory in which a change of three files waits: one changed, one made, one removed."""
    directory, etc = tmp_path / "lockout", tmp_path / "etc"
    (directory / "armed").mkdir(parents=True)
    etc.mkdir()
    files = []
    for number, name in enumerate(("changed", "removed")):
        (directory / "armed" / str(number)).write_bytes(f"{name}: old\n".encode())
        owner = {"uid": os.geteuid(), "gid": os.getegid()}
        files.append({"path": str(etc / name), "saved": str(number), "mode": 0o640, **owner})
    files.append({"path": str(etc / "made"), "saved": None})
    (etc / "changed").write_text("new\n")
    (etc / "made").write_text("new\n")
    manifest = {**ARMED, "files": files, "first": [["true"]], "then": [["false"]]}
    (directory / "armed" / "manifest.json").write_text(json.dumps(manifest))
    return directory, etc


def back(etc) -> bool:
    return (
        (etc / "changed").read_bytes() == b"changed: old\n"
        and (etc / "removed").read_bytes() == b"removed: old\n"
        and (etc / "changed").stat().st_mode & 0o777 == 0o640
        and sorted(os.listdir(etc)) == ["changed", "removed"]
    )


def test_all_comes_back_and_is_told_once(armed):
    directory, etc = armed
    assert put_back.main([str(directory)]) == 0
    assert back(etc)
    report = client.report(str(directory))
    assert report["paths"] == [str(etc / name) for name in ("changed", "removed", "made")]
    assert report["errors"] == ["false: "], "a failed command is told, and stops nothing"
    assert "within 60 s" in report["why"]
    (etc / "changed").write_text("by hand, later\n")
    assert put_back.main([str(directory)]) == 0
    assert (etc / "changed").read_text() == "by hand, later\n", "nothing is put back twice"
    protection = client.Protection(lambda argv, cwd, env: (0, "", ""), str(directory))
    protection.told()
    assert client.report(str(directory)) is None


def test_killed_at_any_write_the_next_run_finishes_it(armed, monkeypatch):
    directory, etc = armed
    for step in ("replace", "unlink", "rename"):
        for nth in range(1, 4):
            real, calls = getattr(os, step), []

            def dies(*args, real=real, calls=calls, nth=nth):
                calls.append(args)
                if len(calls) == nth:
                    raise KeyboardInterrupt
                return real(*args)

            with monkeypatch.context() as patch:
                patch.setattr(put_back.os, step, dies)
                try:
                    put_back.main([str(directory)])
                except KeyboardInterrupt:
                    assert client.manifest(str(directory)) is not None, f"{step} {nth}: the copies are gone too early"
    put_back.main([str(directory)])
    assert back(etc)
    assert client.manifest(str(directory)) is None


def test_at_boot_no_service_is_asked(armed):
    directory, etc = armed
    assert put_back.main([str(directory), "--boot"]) == 0
    assert back(etc)
    report = client.report(str(directory))
    assert report["errors"] == [] and "restarted" in report["why"]


def test_nothing_is_changed_once_the_window_is_over(tmp_path):
    with client.guarded(False, str(tmp_path)):
        pass
    with pytest.raises(client.NotArmed, match="hardening_lockout_window"), client.guarded(True, str(tmp_path)):
        pass


def test_status_tells_what_was_put_back(armed):
    directory, _ = armed
    put_back.main([str(directory)])
    lines = lockout.status_lines(client.manifest(str(directory)), client.report(str(directory)))
    shown = "\n".join(status.render([], lines))
    assert "! A change made by anna@laptop was put back at" in shown
    assert "All well" not in shown and not status.to_dict([], lines)["well"]
    assert lockout.status_lines(None, None) == []
