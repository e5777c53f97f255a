# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out the plan of a JSON file's records: one transaction, read back before it is committed."""

from __future__ import annotations

from typing import Any

from ..migration.json_records import JsonPlan
from ..migration.parts import quoted


class Different(Exception):
    """What PostgreSQL gave back is not what was sent: nothing was committed."""


def load(connection: Any, plan: JsonPlan, keep: bool = True) -> dict[str, int]:
    """Make the table where it has to be, and put the records in.

    :param connection: of psycopg, in autocommit mode, :param keep: False takes it all back at the end (check mode)
    :returns: rows ``inserted``, ``updated``, ``unchanged``
    :raises Different: when a row does not read back as it was sent
    """
    inserted = updated = 0
    with connection.transaction(force_rollback=not keep), connection.cursor() as cursor:
        if plan.create:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(plan.schema)}")
            cursor.execute(plan.create)
        for row in plan.rows:
            told = cursor.execute(plan.upsert, row).fetchone()
            inserted += bool(told and told[0])
            updated += bool(told and not told[0])
        _verify(cursor, plan)
    return {"inserted": inserted, "updated": updated, "unchanged": len(plan.rows) - inserted - updated}


def _verify(cursor: Any, plan: JsonPlan) -> None:
    """Each row is looked up by its key, and each of its values compared with what was sent, by PostgreSQL."""
    relation = f"{quoted(plan.schema)}.{quoted(plan.table)}".replace("%", "%%")
    tests = []
    for column in plan.columns:
        name, cast = quoted(column.name).replace("%", "%%"), "::text" if column.pg_type == "json" else ""
        # A key has no NULL, and is looked up by its index.
        same = "=" if column.name in plan.key else "IS NOT DISTINCT FROM"
        tests.append(f"{name}{cast} {same} %s::{column.pg_type}{cast}")
    sql = f"SELECT count(*) FROM {relation} WHERE {' AND '.join(tests)}"
    for row in plan.rows:
        count = cursor.execute(sql, row).fetchone()[0]
        if count != 1:
            places = [place for place, one in enumerate(plan.columns) if one.name in plan.key]
            key = ", ".join(str(row[place]) for place in places)
            raise Different(
                f"{plan.schema}.{plan.table}: the row {key} does not read back as it was sent ({count} rows are "
                "equal); nothing was changed. A trigger may rewrite it"
            )
