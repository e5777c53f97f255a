# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which type a column gets, and why. Pure. The rules as a table: docs/migration-types.md.

Two principles: a type is never narrower than what SQLite would take tomorrow (an INTEGER is a bigint, whatever is in
it today), and a declared type that the data does not keep to is not forced on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import checks, moments
from .conversions import chain
from .options import ColumnOption, Options
from .pg_types import ENCODER, parse, scale_of
from .profile import ColumnProfile, affinity
from .schema import SourceColumn

MOMENT, DAY, CLOCK, BOOLEAN, UUID, JSON, DECIMAL = "moment", "day", "clock", "boolean", "uuid", "json", "decimal"
STAMP, STAMPTZ = "timestamp without time zone", "timestamp with time zone"
#: What a value looks like, beside the forms of moments.
FITS = "fits"


@dataclass(frozen=True)
class Decision:
    """What becomes of a column. ``warning``: what the user should know, "" for nothing."""

    pg_type: str
    encoder: str
    conversion: str = ""
    why: str = ""
    warning: str = ""


def family(column: SourceColumn) -> str:
    """The declared type's family, where the choice hangs on what the values look like; "" for all else."""
    text = re.sub(r"\s+", " ", column.declared.upper().strip())
    bare = re.sub(r"\s*\(.*?\)", "", text)
    if bare in ("BOOL", "BOOLEAN"):
        return BOOLEAN
    if bare in ("DATETIME", "TIMESTAMP", "TIMESTAMPTZ", "DATETIMEOFFSET", "DATETIME2") or bare.startswith("TIMESTAMP "):
        return MOMENT
    if bare in ("DATE", "TIME"):
        return DAY if bare == "DATE" else CLOCK
    if bare in ("UUID", "GUID", "UNIQUEIDENTIFIER") or re.fullmatch(r"(N?CHAR|CHARACTER)\s*\(36\)", text):
        return UUID
    if bare in ("JSON", "JSONB"):
        return JSON
    return DECIMAL if bare in ("DECIMAL", "NUMERIC", "DEC", "MONEY") else ""


def wanted_type(column: SourceColumn, chosen: Options) -> str:
    """The type that a family's declared type asks for, where it has just one: against it the values are held."""
    kind = family(column)
    if kind == JSON:
        return "jsonb" if column.declared.upper() == "JSONB" else chosen.json_type
    if kind == DECIMAL:
        limits = re.search(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", column.declared)
        if limits and 1 <= int(limits[1]) <= 1000 and int(limits[2] or 0) <= int(limits[1]):
            return f"numeric({int(limits[1])},{int(limits[2] or 0)})"
        return "numeric"
    return {BOOLEAN: "boolean", UUID: "uuid", DAY: "date", CLOCK: "time without time zone"}.get(kind, "")


def former(column: SourceColumn, chosen: Options) -> Callable[[Any], str] | None:
    """The function that says what a value looks like; None for a column that needs none."""
    kind = family(column)
    if not kind:
        return None
    if kind == MOMENT:
        return moments.form
    pg_type = wanted_type(column, chosen)
    accept = checks.acceptor(parse(pg_type).encoder, pg_type)
    if kind in (DAY, CLOCK):
        return moments.form
    return lambda value: accept(value) or FITS


def decide(column: SourceColumn, profile: ColumnProfile, option: ColumnOption, chosen: Options) -> Decision:
    """The type of a column: as the user says, otherwise by its declared type and what is in it."""
    if option.type:
        encoder = option.encoder or parse(option.type).encoder
        conversion = option.conversion or chosen.conversions.get(encoder, "")
        return Decision(option.type, encoder, conversion, option.why or "as the settings say")
    found = _by_family(column, profile, chosen) if family(column) else _by_affinity(column, profile)
    if option.conversion:
        found = _converted(found, option.conversion)
    return found


def _converted(found: Decision, conversion: str) -> Decision:
    """A conversion without a type: the type is the one it leads to."""
    leads = {"iso_to_timestamptz": STAMPTZ, "unix_s": STAMPTZ, "unix_ms": STAMPTZ, "unix_us": STAMPTZ,
             "julian": STAMPTZ, "iso_to_timestamp": STAMP, "iso_to_date": "date", "bool_words": "boolean",
             "nonzero_to_bool": "boolean", "to_uuid": "uuid", "number_to_text": "text", "text_to_blob": "bytea",
             "base64_to_blob": "bytea", "hex_to_blob": "bytea", "blob_to_text": "text", "latin1": "text",
             "value_to_json": "jsonb"}  # fmt: skip
    for name in conversion.split(","):
        if name in leads and leads[name] != found.pg_type:
            if name in ("blob_to_text", "latin1") and found.encoder in ("json", "jsonb", "uuid", "varchar"):
                continue
            found = Decision(leads[name], ENCODER[leads[name]], "", f"the conversion {name} gives it")
    try:
        chain(conversion, found.encoder, scale_of(found.pg_type))
    except ValueError as problem:
        return Decision(found.pg_type, found.encoder, conversion, found.why, str(problem))
    return Decision(found.pg_type, found.encoder, conversion, found.why)


def _natural(profile: ColumnProfile) -> Decision | None:
    """The type that takes all values as they are; None when there is none (values of several storage classes)."""
    if profile.only("integer"):
        return Decision("bigint", "int8", "", "all values are integers")
    if profile.only("real"):
        return Decision("double precision", "float8", "", "all values are floats")
    if profile.only("integer", "real") and not profile.infinite:
        return Decision("numeric", "numeric", "", "integers and floats: numeric keeps every digit of both")
    if profile.only("text"):
        return Decision("text", "text", "", "all values are text")
    if profile.only("blob"):
        return Decision("bytea", "bytea", "", "all values are blobs")
    return None


def _by_affinity(column: SourceColumn, profile: ColumnProfile) -> Decision:
    declared = column.declared.upper()
    kind = affinity(declared)
    if kind == "INTEGER":
        return Decision("bigint", "int8", "", "an INTEGER of SQLite has 64 bits")
    if kind == "REAL":
        return Decision("double precision", "float8", "", "a REAL of SQLite has 64 bits")
    if kind == "TEXT":
        limit = re.search(r"\(\s*(\d+)", declared)
        said = f"; SQLite does not hold to the length, character varying({limit[1]}) would" if limit else ""
        return Decision("text", "text", "", f"text without a length{said}")
    natural = _natural(profile)
    if "BLOB" in declared:
        if natural and natural.encoder == "text":
            return Decision("text", "text", "", natural.why, f"declared {column.declared}, but all values are text")
        return Decision("bytea", "bytea", "", "declared a blob")
    said = f"declared {column.declared}" if declared else "declared without a type"
    if natural:
        return Decision(natural.pg_type, natural.encoder, "", f"{said}: {natural.why}")
    if not profile.values:
        made = ("numeric", "numeric") if kind == "NUMERIC" and declared != "ANY" else ("text", "text")
        return Decision(*made, "", f"{said}, and without any value", f"{said}, and empty: check its type")
    return Decision("text", "text", "", f"{said}, with values of several kinds")


def _by_family(column: SourceColumn, profile: ColumnProfile, chosen: Options) -> Decision:
    kind, declared = family(column), column.declared
    forms = {name: count for name, count in profile.forms.items() if count}
    if kind == MOMENT:
        return _moment(column, profile, forms)
    pg_type = wanted_type(column, chosen)
    encoder = parse(pg_type).encoder
    good = {DAY: moments.DATE, CLOCK: moments.TIME}.get(kind, FITS)
    if not profile.values:
        return Decision(pg_type, encoder, "", f"declared {declared}, and without any value")
    if set(forms) == {good}:
        extra = {
            UUID: "; the values are UUIDs in small letters, which come back as they are",
            JSON: "" if pg_type == "json" else "; jsonb does not keep blanks and the order of keys",
        }.get(kind, "")
        return Decision(pg_type, encoder, "", f"declared {declared}, and all values fit{extra}")
    odd = ", ".join(f"{count} × {name}" for name, count in sorted(forms.items()) if name != good)
    warning = f"declared {declared}, but there are: {odd}"
    if kind == DECIMAL:
        if profile.only("integer", "real") and not profile.infinite:
            offer = f"; to round: type {pg_type}, conversion round" if pg_type != "numeric" else ""
            return Decision("numeric", "numeric", "", "numeric without a length keeps every digit", warning + offer)
        return Decision("numeric", "numeric", "", f"declared {declared}")
    natural = _natural(profile)
    if natural and not (kind == JSON and natural.encoder not in ("text", "bytea")):
        offer = {BOOLEAN: "bool_words or nonzero_to_bool", UUID: "to_uuid", JSON: "value_to_json",
                 DAY: "iso_to_date"}.get(kind, "")  # fmt: skip
        hint = f"; conversions: {offer}" if offer else ""
        return Decision(natural.pg_type, natural.encoder, "", natural.why, warning + hint)
    return Decision(pg_type, encoder, "", f"declared {declared}", warning)


def _moment(column: SourceColumn, profile: ColumnProfile, forms: dict[str, int]) -> Decision:
    declared = column.declared
    zoned = "TZ" in declared.upper() or "WITH TIME ZONE" in declared.upper()
    if not profile.values:
        pg_type = STAMPTZ if zoned else STAMP
        return Decision(pg_type, ENCODER[pg_type], "", f"declared {declared}, and without any value")
    if set(forms) == {moments.TIMESTAMP}:
        return Decision(STAMP, "timestamp", "", f"declared {declared}, and all values are ISO without a zone")
    if set(forms) == {moments.TIMESTAMPTZ}:
        return Decision(
            STAMPTZ, "timestamptz", "",
            f"declared {declared}, and all values are ISO with a zone; the moment is kept, its zone's offset is not",
        )  # fmt: skip
    told = ", ".join(f"{count} × {name}" for name, count in sorted(forms.items()))
    steps = offers(forms)
    offer = f"; for {STAMPTZ}: conversion {','.join(steps)}" if steps else ""
    warning = f"declared {declared}, but the values are of no single form ({told}){offer}"
    natural = _natural(profile)
    if natural:
        if len(forms) == 1:
            warning = f"declared {declared}, and its values ({told}) could be moments by a named conversion{offer}"
        return Decision(natural.pg_type, natural.encoder, "", natural.why, warning)
    return Decision("text", "text", "", "values of several kinds", warning)


def offers(forms: dict[str, int]) -> list[str]:
    """Conversions that together read all these forms as timestamptz; [] when there are none."""
    by_form = {
        moments.EMPTY: "empty_to_null", moments.ZERO: "zero_date_to_null", moments.FINE: "truncate_fraction",
        moments.DATE: "iso_to_timestamptz", moments.TIMESTAMP: "iso_to_timestamptz",
        moments.TIMESTAMPTZ: "iso_to_timestamptz", moments.UNIX_S: "unix_s", moments.UNIX_MS: "unix_ms",
        moments.UNIX_US: "unix_us", moments.JULIAN: "julian",
    }  # fmt: skip
    if not set(forms) <= set(by_form):
        return []
    steps = {by_form[one] for one in forms}
    if moments.FINE in forms:
        steps.add("iso_to_timestamptz")
    # Each of these takes every number: only one of them can be right.
    if len(steps & {"unix_s", "unix_ms", "unix_us", "julian"}) > 1:
        return []
    order = ("empty_to_null", "zero_date_to_null", "truncate_fraction", "iso_to_timestamptz")
    return sorted(steps, key=lambda one: order.index(one) if one in order else len(order))


def proved(made: Decision, profile: ColumnProfile) -> bool:
    """Whether the profile alone shows that every value fits, so that none has to be looked at."""
    if not profile.values:
        return True
    if made.conversion:
        return False
    encoder = made.encoder
    if encoder in checks.RANGES and profile.only("integer"):
        bound = checks.RANGES[encoder]
        return profile.low is not None and profile.high is not None and -bound <= profile.low <= profile.high < bound
    if encoder == "bool" and profile.only("integer"):
        return profile.low in (0, 1) and profile.high in (0, 1)
    if encoder == "float8":
        return profile.only("real")
    if made.pg_type == "numeric":
        return profile.only("integer", "real") and not profile.infinite
    if encoder == "bytea":
        return profile.only("blob")
    if encoder in ("text", "varchar") and profile.only("text") and not profile.nul and not profile.invalid:
        limit = re.search(r"\((\d+)\)", made.pg_type)
        return made.pg_type in ("text", "citext") or bool(limit and profile.longest <= int(limit[1]))
    form = {"timestamp": moments.TIMESTAMP, "timestamptz": moments.TIMESTAMPTZ, "date": moments.DATE,
            "time": moments.TIME, "uuid": FITS, "json": FITS, "jsonb": FITS}.get(encoder)  # fmt: skip
    return form is not None and set(profile.forms) == {form}
