# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seconds of a recovery's steps, and the secrets that it adds."""

from __future__ import annotations

from ansible_collections.landfall.stack.plugins.filter.recovery_times import recovery_times
from ansible_collections.landfall.stack.plugins.module_utils.clients.restore_files import add_missing


def test_a_step_of_several_stacks_is_summed_up():
    marks = [{"step": "begin", "at": 10.0}, {"step": "host", "at": 70.0}, {"step": "secrets", "at": 75.5},
             {"step": "host", "at": 75.5}, {"step": "secrets", "at": 80.0}, {"step": "data", "at": 100.0}]  # fmt: skip
    found = recovery_times(marks)
    assert found["steps"] == {"host": 60.0, "secrets": 10.0, "data": 20.0}
    assert found["total_s"] == 90.0 and found["lines"][-1].endswith("90.0 s  in all: the time to recover")


def test_only_what_is_missing_is_added(tmp_path):
    source, there = tmp_path / "set", tmp_path / "secrets"
    source.mkdir()
    there.mkdir()
    (source / ".versions").mkdir()
    for name in ("old", "new"):
        (source / name).write_text(f"{name} of the set")
        (source / name).chmod(0o400)
    (there / "old").write_text("as it is here")
    assert add_missing(str(source), str(there)) == ["new"]
    assert (there / "old").read_text() == "as it is here" and (there / "new").read_text() == "new of the set"
    assert (there / "new").stat().st_mode & 0o777 == 0o400
    assert sorted(path.name for path in there.iterdir()) == ["new", "old"]
    assert add_missing(str(source), str(there)) == [] and add_missing(str(tmp_path / "none"), str(there)) == []
