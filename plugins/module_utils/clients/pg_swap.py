# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last step: what was loaded takes its place, in one transaction, or nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..migration.plan import Table
from ..migration.problems import Stopped
from ..migration.wire_sql import loaded
from .pg_journal import Journal
from .pg_target import SWAP_LOCK, Target, tables_of
from .postgres import one, psycopg, quote


def swap(
    target: Target, journal: Journal, result: Mapping[str, Any], triggers: str = "disable", analyze: bool = True
) -> None:
    """Put the staging tables in their place, views and sequences too, and close the journal's run.

    :param triggers: of the application's own tables: ``disable`` while rows are put in, or ``fire``
    :param analyze: of them too: make the planner's statistics. Of new tables they were made before
    :raises Stopped: with what the server said; the target is as it was
    """
    plan, connection = target.plan, target.connection
    keep = target.quarantined() > 0
    try:
        with connection.transaction():
            connection.execute("SET LOCAL synchronous_commit = on")
            connection.execute(f"SET LOCAL lock_timeout = '{SWAP_LOCK}'")
            if plan.mode == "existing":
                _fill(target, triggers)
                if analyze:
                    connection.execute(f"ANALYZE {tables_of(plan, plan.schema)}")
            else:
                _move(target)
            for table in plan.tables:
                set_sequence(target, table, plan.schema)
            if not keep:
                connection.execute(f"DROP SCHEMA {quote(plan.staging)} CASCADE")
            journal.finish("done", result)
    except psycopg.Error as problem:
        said = problem.diag.message_primary or str(problem)
        detail = f" ({problem.diag.message_detail})" if problem.diag.message_detail else ""
        hint = "; stop what holds locks on the tables" if problem.sqlstate == "55P03" else ""
        raise Stopped(
            f"the swap was undone, the target is as it was: {said}{detail}{hint}. Correct that and run again: what was "
            "loaded is kept"
        ) from problem


def _move(target: Target) -> None:
    plan, connection = target.plan, target.connection
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(plan.schema)}")
    if target.on_existing == "replace":
        there = [table for table in plan.tables if target._there(table)]
        if there:
            connection.execute(f"DROP TABLE {tables_of(plan, plan.schema, there)}")
    for table in plan.tables:
        connection.execute(f"ALTER TABLE {quote(plan.staging)}.{quote(table.target)} SET SCHEMA {quote(plan.schema)}")
    for view in plan.views:
        connection.execute(view.sql.replace("{schema}", quote(plan.schema)))


def _fill(target: Target, triggers: str) -> None:
    """Rows into the application's own tables. Foreign keys go for the time of it and come back checked: the order of
    the tables then does not matter."""
    plan, connection = target.plan, target.connection
    names = [table.target for table in plan.tables]
    links = connection.execute(
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), quote_ident(k.conname), "
        "pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = %s AND c.relname = ANY(%s)",
        (plan.schema, names),
    ).fetchall()
    for table, name, _definition in links:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    everything = tables_of(plan, plan.schema)
    connection.execute(f"LOCK TABLE {everything} IN ACCESS EXCLUSIVE MODE")
    if target.on_existing == "replace":
        for table in plan.tables:
            connection.execute(f"DELETE FROM {quote(plan.schema)}.{quote(table.target)}")
    for table in plan.tables:
        _insert(target, table, triggers)
    for table, name, definition in links:
        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


def _insert(target: Target, table: Table, triggers: str) -> None:
    plan, connection = target.plan, target.connection
    there = f"{quote(plan.schema)}.{quote(table.target)}"
    staging = f"{quote(plan.staging)}.{quote(table.target)}"
    names = ", ".join(quote(column.target) for column in loaded(table))
    if triggers == "disable":
        connection.execute(f"ALTER TABLE {there} DISABLE TRIGGER USER")
    before = target.count(table, plan.schema)
    rows = target.count(table, plan.staging)
    identity = " OVERRIDING SYSTEM VALUE" if _always(target, table) else ""
    connection.execute(f"INSERT INTO {there} ({names}){identity} SELECT {names} FROM {staging}")
    if target.count(table, plan.schema) != before + rows:
        raise Stopped(
            f"table {table.target}: {rows} rows were put in, and not as many are there; a trigger or a rule of the "
            "application takes some. Set triggers: disable; the target is as it was"
        )
    if triggers == "disable":
        connection.execute(f"ALTER TABLE {there} ENABLE TRIGGER USER")
        if not before and _hash(target, table, plan.schema) != _hash(target, table, plan.staging):
            raise Stopped(f"table {table.target}: other values came out than went in; the target is as it was")


def _always(target: Target, table: Table) -> bool:
    return bool(
        one(
            target.connection,
            "SELECT 1 FROM pg_attribute WHERE attrelid = %s::regclass AND attidentity = 'a' LIMIT 1",
            (f"{quote(target.plan.schema)}.{quote(table.target)}",),
        )
    )


def _hash(target: Target, table: Table, schema: str) -> Any:
    names = ", ".join(quote(column.target) for column in loaded(table))
    sql = f"SELECT {names} FROM {quote(schema)}.{quote(table.target)}"
    return one(target.connection, f"SELECT sum(hashtextextended(r::text, 0)) FROM ({sql}) r")


def set_sequence(target: Target, table: Table, schema: str) -> None:
    """The next value of an identity: above what SQLite has given out, and above what is there."""
    if table.sequence is None:
        return
    name, following = table.sequence
    column = next((one.target for one in table.columns if one.name == name or one.target == name), name)
    there = f"{quote(schema)}.{quote(table.target)}"
    sequence = one(target.connection, "SELECT pg_get_serial_sequence(%s, %s)", (there, column))
    if sequence is None:
        sequence = one(
            target.connection,
            "SELECT d.refobjid::regclass::text FROM pg_attrdef a JOIN pg_depend d ON d.objid = a.oid AND "
            "d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass "
            "JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S' JOIN pg_attribute c ON c.attrelid = a.adrelid "
            "AND c.attnum = a.adnum WHERE a.adrelid = %s::regclass AND c.attname = %s",
            (there, column),
        )
    if sequence is None:
        return
    highest = one(target.connection, f"SELECT max({quote(column)}) FROM {there}")
    value = max(following, (highest or 0) + 1, 1)
    target.connection.execute("SELECT setval(%s::regclass, %s, false)", (sequence, value))
