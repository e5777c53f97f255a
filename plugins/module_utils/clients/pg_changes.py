# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL notes and refuses on behalf of a move: the mirror of the changelog in SQLite.

While services write to SQLite, the tables here refuse every write but the migration's own. From the cutover on a
trigger notes table and key of each row that is written, in the transaction that writes it: that is what a rollback
brings back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..migration.catchup import Followed
from ..migration.plan import Plan
from .pg_journal import SCHEMA
from .pg_target import SWAP_LOCK
from .postgres import Connection, quote

NOTE, TRUNCATED, GUARD = "landfall_note", "landfall_note_truncate", "landfall_guard"
#: A setting of a session: the migration's own writes are neither noted nor refused.
MOVER = "landfall.mover"
_OWN = f"coalesce(current_setting('{MOVER}', true), '') = 'yes'"
TABLES = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.changes (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, staging text NOT NULL, tab int NOT NULL, key text[]);
CREATE TABLE IF NOT EXISTS {SCHEMA}.left_behind (
    at timestamptz NOT NULL DEFAULT now(), staging text NOT NULL, table_name text NOT NULL, row_key text NOT NULL,
    reason text NOT NULL, record jsonb);
"""
REFUSE = f"""
CREATE OR REPLACE FUNCTION {SCHEMA}.refuse() RETURNS trigger LANGUAGE plpgsql AS $landfall$
BEGIN
    IF NOT {_OWN} THEN
        RAISE EXCEPTION 'landfall: % takes no writes, the services work on SQLite', TG_RELID::regclass
            USING ERRCODE = 'read_only_sql_transaction';
    END IF;
    RETURN NULL;
END $landfall$
"""


def as_mover(connection: Connection) -> None:
    """Let this session write to tables that refuse writes, without its changes being noted."""
    connection.execute(f"SET {MOVER} = 'yes'")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _note_function(plan: Plan, one: Followed) -> tuple[str, str]:
    """The function that notes a table's changes, and the statement that makes it.

    SECURITY DEFINER: the application's user need not reach this schema.
    """
    name = f"{SCHEMA}.{quote(f'note_{plan.staging}_{one.number}'[:63])}"
    into = f"INSERT INTO {SCHEMA}.changes (staging, tab, key) VALUES ({_literal(plan.staging)}, {one.number}, "
    old, new = (
        f"{into}ARRAY[{', '.join(f'{row}.{quote(key.target)}::text' for key in one.keys)}]);" for row in ("OLD", "NEW")
    )
    return name, (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        f"SET search_path = pg_catalog AS $landfall$\nBEGIN\nIF {_OWN} THEN RETURN NULL; END IF;\n"
        f"IF TG_OP = 'TRUNCATE' THEN {into}NULL); RETURN NULL; END IF;\n"
        f"IF TG_OP <> 'INSERT' THEN {old} END IF;\nIF TG_OP <> 'DELETE' THEN {new} END IF;\n"
        "RETURN NULL;\nEND $landfall$"
    )


def _there(plan: Plan, target: str) -> str:
    return f"{quote(plan.schema)}.{quote(target)}"


def _drop(connection: Connection, plan: Plan, *names: str) -> None:
    """Drop triggers of the plan's tables, those that are there."""
    sql = (
        "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n "
        "ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = ANY(%s) AND t.tgname = ANY(%s)"
    )
    tables = [table.target for table in plan.tables]
    for table, name in connection.execute(sql, (plan.schema, tables, list(names))).fetchall():
        connection.execute(f"DROP TRIGGER {quote(name)} ON {_there(plan, table)}")


def note(connection: Connection, plan: Plan, tables: Sequence[Followed]) -> None:
    """From now on note what is written, and refuse nothing. What was noted before is forgotten. One transaction."""
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{SWAP_LOCK}'")
        connection.execute(TABLES)
        connection.execute(f"DELETE FROM {SCHEMA}.changes WHERE staging = %s", (plan.staging,))
        _drop(connection, plan, NOTE, TRUNCATED, GUARD)
        for one in tables:
            name, sql = _note_function(plan, one)
            connection.execute(sql)
            there = _there(plan, one.table.target)
            for trigger, event in (
                (NOTE, "AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW"),
                (TRUNCATED, "AFTER TRUNCATE ON {} FOR EACH STATEMENT"),
            ):
                connection.execute(f"CREATE TRIGGER {trigger} {event.format(there)} EXECUTE FUNCTION {name}()")
                connection.execute(f"ALTER TABLE {there} ENABLE ALWAYS TRIGGER {trigger}")


def guard(connection: Connection, plan: Plan) -> None:
    """Refuse every write from now on but the migration's own. It waits for those that are under way. One transaction.

    What was noted stays.
    """
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{SWAP_LOCK}'")
        connection.execute(TABLES)
        connection.execute(REFUSE)
        _drop(connection, plan, GUARD)
        for table in plan.tables:
            there = _there(plan, table.target)
            connection.execute(
                f"CREATE TRIGGER {GUARD} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {there} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.refuse()"
            )
            connection.execute(f"ALTER TABLE {there} ENABLE ALWAYS TRIGGER {GUARD}")


def release(connection: Connection, plan: Plan) -> None:
    """Note and refuse nothing any more."""
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{SWAP_LOCK}'")
        _drop(connection, plan, NOTE, TRUNCATED, GUARD)


def unguard(connection: Connection, plan: Plan) -> None:
    """Take writes again, and go on noting them."""
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{SWAP_LOCK}'")
        _drop(connection, plan, GUARD)


def ours(connection: Connection, plan: Plan, tables: Iterable[str]) -> bool:
    """Whether each of these tables refuses writes on behalf of an earlier move: it may be replaced."""
    sql = (
        "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n "
        "ON n.oid = c.relnamespace WHERE n.nspname = %s AND t.tgname = %s"
    )
    known = {row[0] for row in connection.execute(sql, (plan.schema, GUARD)).fetchall()}
    return known.issuperset(tables)


def leave(connection: Connection, plan: Plan, left: Iterable[Mapping[str, Any]]) -> None:
    """Write down what stays behind in PostgreSQL. One transaction."""
    with connection.transaction():
        for one in left:
            connection.execute(
                f"INSERT INTO {SCHEMA}.left_behind (staging, table_name, row_key, reason, record) "
                "VALUES (%s, %s, %s, %s, %s)",
                (plan.staging, one["table"], one["key"], one["reason"], json.dumps(one.get("record"))),
            )
