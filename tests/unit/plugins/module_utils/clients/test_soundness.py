# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check that goes on while a file is read: what is corrupt is said, whatever the reader has met."""

from __future__ import annotations

import sqlite3

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import migration_plan, sqlite
from ansible_collections.landfall.stack.plugins.module_utils.clients.soundness import checked
from ansible_collections.landfall.stack.plugins.module_utils.clients.sqlite_file import Refused
from ansible_collections.landfall.stack.plugins.module_utils.migration.options import options


@pytest.fixture
def path(tmp_path, request):
    """A database of a table and its index."""
    made = str(tmp_path / "a.db")
    db = sqlite3.connect(made)
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
    db.execute("CREATE INDEX named ON t (name)")
    db.executemany("INSERT INTO t (name) VALUES (?)", ((f"name {n}" * 20,) for n in range(2000)))
    db.commit()
    db.close()
    return made


def _spoil(path, page):
    with open(path, "r+b") as stream:
        stream.seek(4096 * (page - 1))
        stream.write(b"\xff" * 4096)


@pytest.mark.parametrize("library", sqlite.LIBRARIES)
def test_what_is_corrupt_comes_before_what_the_reader_met(path, library):
    _spoil(path, 6)
    with sqlite.connect(path, library) as db:
        with pytest.raises(Refused, match=r"corrupt: .*[Pp]age 6\b"), checked(db, 1.0):
            raise ValueError("the reader's own")
        with pytest.raises(Refused, match=r"corrupt: .*[Pp]age 6\b"), checked(db, 1.0):
            pass


@pytest.mark.parametrize("library", sqlite.LIBRARIES)
def test_of_a_sound_file_the_readers_problem_is_told(path, library):
    with sqlite.connect(path, library) as db:
        with pytest.raises(ValueError, match="the reader's own"), checked(db, 1.0):
            raise ValueError("the reader's own")
        with pytest.raises(KeyboardInterrupt), checked(db, 1.0):
            raise KeyboardInterrupt
        with checked(db, 1.0):
            assert db.value("SELECT count(*) FROM t") == 2000


@pytest.mark.parametrize("library", sqlite.LIBRARIES)
@pytest.mark.parametrize("page", [6, "last"])
def test_no_plan_is_made_of_a_large_file_that_is_corrupt(path, library, page, monkeypatch):
    monkeypatch.setattr(migration_plan, "LARGE", 0)
    monkeypatch.setattr(migration_plan.os, "cpu_count", lambda: 2)
    with sqlite3.connect(path) as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    _spoil(path, pages if page == "last" else page)
    with pytest.raises(Refused, match="corrupt"):
        migration_plan.make([path], options({}), library=library)
