# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A JSON file's records into a table, from the file to the counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..migration import json_file, json_records, options
from . import json_target, postgres, target_schema


def load(params: Mapping[str, Any], keep: bool) -> tuple[json_records.JsonPlan, dict[str, int]]:
    """Plan, load, compare; the plan and the counts.

    :param params: of the module json_to_postgres, :param keep: False takes it all back at the end
    :raises OSError, UnicodeDecodeError, ValueError, Stopped, json_target.Different: nothing was changed
    """
    with open(params["src"], encoding="utf-8", errors="strict") as stream:
        found = json_file.records(stream.read(), params["records"])
    columns = options.fields(params["columns"])
    connection = postgres.connect(params["dsn"], "landfall json_to_postgres")
    try:
        there = [one for one in target_schema.tables(connection, params["schema"]) if one.name == params["table"]]
        plan = json_records.plan(
            found,
            params["schema"],
            params["table"],
            params["key"],
            params["key_column"],
            params["document"],
            columns,
            there[0] if there else None,
        )
        return plan, json_target.load(connection, plan, keep)
    finally:
        connection.close()
