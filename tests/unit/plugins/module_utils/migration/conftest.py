# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan from the SQL of a SQLite database, with each library."""

from __future__ import annotations

import os
import sqlite3

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import sqlite
from ansible_collections.landfall.stack.plugins.module_utils.migration import options, planner, schema, survey


@pytest.fixture(params=sqlite.LIBRARIES)
def library(request):
    # Where apsw is missing this fails, and so it should: both paths are shipped.
    return request.param


@pytest.fixture
def database(tmp_path):
    """Makes a database: ``database(sql, rows=[(sql, values)], name="a.db")`` → its path."""

    def make(sql, rows=(), name="a.db"):
        path = str(tmp_path / name)
        if os.path.exists(path) and sql.startswith("CREATE"):
            os.unlink(path)
        connection = sqlite3.connect(path)
        connection.executescript(sql)
        for statement, values in rows:
            connection.execute(statement, values)
        connection.commit()
        connection.close()
        return path

    return make


@pytest.fixture
def planned(database, library):
    """Makes a plan: ``planned(sql, rows=…, **options)``."""

    def make(sql, rows=(), **said):
        path = database(sql, rows)
        chosen = options.options(said)
        with sqlite.connect(path, library) as db:
            db.begin()
            found = survey.survey(db, schema.read(db), chosen)
        return planner.plan([planner.Input(path, os.path.getsize(path), library, found)], chosen)

    return make
