# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes after a load: which statements run beside each other, and in which order. No server is asked."""

from __future__ import annotations

import contextlib
import sqlite3

from ansible_collections.landfall.stack.plugins.module_utils.clients import migration_plan
from ansible_collections.landfall.stack.plugins.module_utils.clients.pg_target import Target
from ansible_collections.landfall.stack.plugins.module_utils.migration.options import options


def target(tmp_path, script):
    path = tmp_path / "app.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(script)
        db.commit()
    made = Target.__new__(Target)
    made.plan = migration_plan.make([str(path)], options({}))[0]
    return made


def names(target, stage):
    return [[(statement.what, statement.name) for _step, _table, statement in tasks] for tasks in target._tasks(stage)]


def test_what_takes_longest_is_built_first_and_no_index_waits_for_another(tmp_path):
    made = target(
        tmp_path,
        """
        CREATE TABLE small (id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE large (id INTEGER PRIMARY KEY, n INT, kind TEXT UNIQUE, at INT,
                            small INT REFERENCES small, CHECK (n > 0));
        CREATE INDEX small_name ON small (name);
        CREATE INDEX large_n ON large (n);
        CREATE INDEX large_kind_at ON large (kind, at);
        WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100)
            INSERT INTO large SELECT n, n, 'kind ' || n, n, 1 FROM n;
        INSERT INTO small VALUES (1, 'one');
        """,
    )
    assert names(made, "index") == [
        [("index", "large_kind_at")],
        [("unique", "large_kind_key")],
        [("primary key", "large_pkey")],
        [("index", "large_n")],
        [("index", "small_name")],
        [("primary key", "small_pkey")],
    ]
    assert names(made, "constraint") == [
        [("constraint", "large_pkey"), ("constraint", "large_kind_key"), ("check", "large_check1")],
        [("constraint", "small_pkey")],
    ]
    assert names(made, "link") == [[("foreign key", "large_small_fkey")]]
    assert names(made, "validate") == [[("validate", "large_small_fkey")]]
