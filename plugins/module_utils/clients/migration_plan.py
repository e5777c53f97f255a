# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a migration, from the files and, for an application's own tables, from the server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ..migration import existing, planner, schema, survey
from ..migration.options import Options
from ..migration.plan import Plan
from ..migration.problems import Stopped
from . import sqlite, target_schema
from .postgres import connect
from .soundness import checked

#: Bytes of a source from which on two connections read it for the plan.
LARGE = 16 << 20


def make(
    paths: Sequence[str], chosen: Options, mode: str = "create", dsn: str = "", library: str = "auto", lock: float = 5.0
) -> tuple[Plan, tuple[str, ...]]:
    """The plan, and notes about the match with the application's tables. Changes nothing.

    :param mode: create or existing, :param dsn: for the mode existing, :param lock: seconds to wait for locks
    :raises Stopped: with all reasons; sqlite_file.Refused of a file that will not do
    """
    targets = []
    if mode == "existing":
        with connect(dsn, "landfall migration: plan") as connection:
            targets = target_schema.tables(connection, chosen.schema)
    inputs: list[planner.Input] = []
    notes: list[str] = []
    for path in paths:
        with contextlib.ExitStack() as stack:
            db = stack.enter_context(sqlite.connect(path, library, lock))
            if os.path.getsize(path) > LARGE and (os.cpu_count() or 1) > 1:
                stack.enter_context(checked(db, lock))
                sqlite.in_step(db, lock)
            else:
                sqlite.require_sound(db)
                db.begin()
            found = schema.read(db)
            if mode == "existing":
                settled = existing.settle(found, targets, chosen)
                if settled.faults:
                    raise Stopped("; ".join(settled.faults))
                chosen, notes = settled.options, [*notes, *settled.notes]
            seen = survey.survey(db, found, chosen)
        inputs.append(planner.Input(path, os.path.getsize(path), library, seen))
    try:
        return planner.plan(inputs, chosen, mode), tuple(notes)
    except planner.Impossible as problem:
        raise Stopped("; ".join(str(problem).splitlines())) from problem
