# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application's own tables, read from PostgreSQL's catalogue."""

from __future__ import annotations

from typing import Any

from ..migration.existing import TargetColumn, TargetTable

_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull OR t.typnotnull,
       d.adbin IS NOT NULL OR t.typdefault IS NOT NULL, a.attidentity,
       a.attidentity <> '' OR pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname)
         IS NOT NULL,
       a.attgenerated <> '',
       coalesce((SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e
                 WHERE e.enumtypid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END), '{}'),
       CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) ELSE '' END
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum AND a.attgenerated = ''
WHERE n.nspname = %s AND c.relkind IN ('r', 'p')
ORDER BY c.relname, a.attnum
"""
_TRIGGERS = """
SELECT c.relname, g.tgname FROM pg_trigger g
JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND NOT g.tgisinternal AND g.tgenabled <> 'D' ORDER BY 1, 2
"""


def tables(connection: Any, schema: str) -> list[TargetTable]:
    """The tables of a schema, by name; [] of one that is not there.

    :param connection: of psycopg; its rows must be tuples
    """
    columns: dict[str, list[TargetColumn]] = {}
    with connection.cursor() as cursor:
        for table, name, kind, not_null, default, identity, sequence, generated, labels, base in cursor.execute(
            _COLUMNS, (schema,)
        ):
            columns.setdefault(table, []).append(
                TargetColumn(
                    name, kind, not_null, bool(default), _char(identity), bool(sequence), generated, tuple(labels), base
                )
            )
        triggers: dict[str, list[str]] = {}
        for table, name in cursor.execute(_TRIGGERS, (schema,)):
            triggers.setdefault(table, []).append(name)
        out = []
        for table, found in columns.items():
            relation = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, table))
            row = cursor.execute(f"SELECT NOT EXISTS (SELECT FROM {relation})").fetchone()
            out.append(TargetTable(table, tuple(found), bool(row[0]), tuple(triggers.get(table, ()))))
    return out


def _char(value: Any) -> str:
    """PostgreSQL's "char", which psycopg gives as bytes or text by its version."""
    return value.decode() if isinstance(value, bytes) else str(value or "")
