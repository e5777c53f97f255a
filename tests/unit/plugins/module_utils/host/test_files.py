# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

from ansible_collections.landfall.stack.plugins.module_utils.host.files import Change, File, difference, plan

OLD = File("/etc/a", b"old\n", 0o644)


def test_only_what_differs_is_planned():
    same, new = File("/etc/b", b"same\n", 0o600), File("/etc/c", b"c\n", 0o644)
    now = {"/etc/a": OLD, "/etc/b": same, "/etc/c": None}
    want = {"/etc/a": replace(OLD, content=b"new\n"), "/etc/b": same, "/etc/c": new}
    assert [change.path for change in plan(now, want)] == ["/etc/a", "/etc/c"]


def test_removal_and_its_absence():
    assert plan({"/etc/a": OLD}, {"/etc/a": None}) == [Change(OLD, None)]
    assert plan({"/etc/a": None}, {"/etc/a": None}) == []
    assert Change(OLD, None).path == "/etc/a"


def test_the_diff_shows_the_mode_when_only_that_changes():
    shown = difference(Change(OLD, replace(OLD, mode=0o600)))
    assert shown["before"].startswith("# mode 0644")
    assert shown["after"].startswith("# mode 0600")


def test_the_diff_of_a_secret_shows_nothing():
    shown = difference(Change(OLD, replace(OLD, content=b"hunter2")), secret=True)
    assert "hunter2" not in str(shown)
    assert "old" not in str(shown)
