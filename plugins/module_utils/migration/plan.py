# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a migration: a plain value that prints, diffs, hashes and is carried out. Nothing here does I/O.

Identifiers are kept as they are (unquoted); whoever makes SQL of them quotes them. Counts are rows, sizes bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: Storage classes of SQLite, as typeof() names them.
CLASSES = ("null", "integer", "real", "text", "blob")


@dataclass(frozen=True)
class Violation:
    """Values of a column that do not fit what it becomes.

    :param reason: one line for a person
    :param count: rows, :param rowids: the first of them (at most 10); of a table WITHOUT ROWID its keys, printed
    :param remedies: settings that would let them pass
    """

    reason: str
    count: int
    rowids: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """One column and what becomes of it.

    :param name: in SQLite, :param target: in PostgreSQL
    :param declared: SQLite's declared type as it stands
    :param pg_type: PostgreSQL's, as format_type() prints it (``bigint``, ``numeric(12,2)``, ``date``)
    :param encoder: name of the wire encoder, a key of ``wire.ENCODERS``
    :param conversion: named conversion of the value before it is encoded, a key of ``conversions.NAMED``; "" for none
    :param generated: expression of a generated column in PostgreSQL; such a column is not loaded
    :param default: PostgreSQL's DEFAULT expression, "" for none
    :param why: why this type, one line
    :param seen: the profile: count per storage class, min, max, longest, formats, shares; JSON-able
    """

    name: str
    target: str
    declared: str
    pg_type: str
    encoder: str
    conversion: str = ""
    not_null: bool = False
    generated: str = ""
    default: str = ""
    collation: str = ""
    why: str = ""
    seen: Mapping[str, Any] = field(default_factory=dict)
    converted: int = 0
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True)
class Statement:
    """One statement for PostgreSQL. ``what``: primary key, unique, constraint (of the index that one of these two has
    built), foreign key, validate (of one), index, check, view, sequence …

    ``sql`` names tables as ``{schema}."name"``; the engine fills in the schema (staging first, then the real one).
    """

    what: str
    name: str
    sql: str


@dataclass(frozen=True)
class Untranslated:
    """What SQLite has and PostgreSQL will not get: listed with its SQL, never passed over."""

    what: str
    name: str
    sql: str
    why: str


@dataclass(frozen=True)
class Table:
    """One table.

    :param source: number of the source file in :attr:`Plan.sources`
    :param key: source columns of the primary key, () without one
    :param rowid: name under which SQLite's rowid can be read ("rowid", "_rowid_", "oid"); "" WITHOUT ROWID
    :param first, last: lowest and highest rowid, None of an empty table or one WITHOUT ROWID
    :param create: CREATE TABLE of the staging table, without constraints and indexes (see Statement for ``{schema}``)
    :param before: statements before the load, :param after: after it, in order: keys, checks, unique, indexes, …
    :param links: foreign keys, when all tables are loaded: NOT VALID, then VALIDATE
    :param sequence: (column, next value) of an identity, None without one
    """

    name: str
    target: str
    source: int
    columns: tuple[Column, ...]
    rows: int
    key: tuple[str, ...] = ()
    rowid: str = "rowid"
    first: int | None = None
    last: int | None = None
    create: str = ""
    before: tuple[Statement, ...] = ()
    after: tuple[Statement, ...] = ()
    links: tuple[Statement, ...] = ()
    sequence: tuple[str, int] | None = None
    bytes: int = 0
    untranslated: tuple[Untranslated, ...] = ()


@dataclass(frozen=True)
class Source:
    """A source file: where it is, and what tells that it is still the same schema (``fingerprint``)."""

    path: str
    journal_mode: str
    encoding: str
    page_size: int
    size: int
    schema_digest: str
    library: str = ""


@dataclass(frozen=True)
class Plan:
    """All of it. :attr:`digest` changes with whatever changes what would be loaded or made.

    :param mode: ``create`` (tables are made) or ``existing`` (the application's own schema is there)
    :param schema: target schema, :param staging: name of the schema it is loaded into first
    """

    sources: tuple[Source, ...]
    tables: tuple[Table, ...]
    schema: str = "public"
    staging: str = "landfall_staging"
    mode: str = "create"
    views: tuple[Statement, ...] = ()
    untranslated: tuple[Untranslated, ...] = ()
    warnings: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    estimate: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """16 hex digits: of what is made and loaded, not of counts and sizes, which move while the source is live."""
        volatile = {"rows", "bytes", "first", "last", "seen", "converted", "violations", "size", "estimate", "sequence"}

        def bare(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: bare(one) for name, one in value.items() if name not in volatile}
            return [bare(one) for one in value] if isinstance(value, (list, tuple)) else value

        text = json.dumps(bare(asdict(self)), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
