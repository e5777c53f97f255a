# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to set so that values that do not fit are let through. Pure."""

from __future__ import annotations

from . import checks
from .conversions import INTS
from .types import Decision


def remedies(reason: str, where: str, decision: Decision, existing: bool = False) -> tuple[str, ...]:
    """Settings for a reason of :mod:`checks`, the most likely first; the last is always the quarantine.

    :param where: ``table.column``, :param existing: whether the column is an application's own, whose type is not ours
    """
    encoder = decision.encoder
    found: list[str] = []

    def convert(*names: str, to: str = "") -> None:
        if existing and to:
            return
        steps = ", ".join([*(one for one in decision.conversion.split(",") if one), *names])
        said = f"type: {to}, conversion: [{steps}]" if to else f"conversion: [{steps}]"
        found.append(f"columns: {{{where}: {{{said}}}}}")

    def widen(pg_type: str) -> None:
        if existing:
            found.append(f"in PostgreSQL: ALTER COLUMN … TYPE {pg_type}, and in the application's models")
            return
        found.append(f"columns: {{{where}: {{type: {pg_type}}}}}")

    if reason == checks.NUL:
        convert("strip_nul")
        convert("text_to_blob", to="bytea")
    elif reason == checks.NOT_UTF8:
        convert("latin1")
        convert("replace_invalid")
        convert("text_to_blob", to="bytea")
    elif reason.startswith("empty text"):
        convert("empty_to_null")
        if encoder in (*INTS, "float4", "float8", "numeric"):
            convert("number_to_text", to="text")
    elif "beyond 2^" in reason:
        widen("numeric")
        convert("int_to_float")
    elif "outside the range" in reason:
        widen("bigint" if encoder in ("int2", "int4") else "numeric")
    elif "as real it loses" in reason:
        widen("double precision")
        convert("round")
    elif "infinite" in reason:
        widen("double precision")
        convert("inf_to_null")
    elif "digits after the point" in reason or "digits before the point" in reason:
        widen("numeric")
        if "after" in reason:
            convert("round")
    elif "longer than" in reason:
        widen("text")
    elif "UUID" in reason:
        convert("to_uuid")
        widen("text")
    elif "jsonb" in reason:
        widen("json")
        if "u0000" in reason:
            convert("strip_json_nul")
    elif "JSON" in reason:
        convert("value_to_json")
        widen("text")
    elif "finer than" in reason:
        convert("truncate_fraction")
        widen("text")
    elif "boolean" in reason or "true or false" in reason:
        convert("bool_words" if "text" in reason else "nonzero_to_bool")
        widen("bigint" if "number" in reason else "text")
    elif encoder in (*INTS, "numeric") and reason.startswith("real"):
        widen("double precision")
        convert("round")
    elif encoder in (*INTS, "float4", "float8", "numeric") and reason.startswith("text"):
        if "spells" in reason:
            convert("text_to_number")
        convert("number_to_text", to="text")
    elif encoder in ("text", "varchar") and reason.startswith(("integer", "real")):
        convert("number_to_text")
    elif encoder in ("text", "varchar") and reason.startswith("blob"):
        convert("blob_to_text")
        convert("latin1")
        convert("text_to_blob", to="bytea")
    elif encoder == "bytea" and reason.startswith("text"):
        convert("text_to_blob")
        convert("base64_to_blob")
        convert("hex_to_blob")
    elif encoder in ("timestamp", "timestamptz", "date", "time"):
        if reason.startswith("integer"):
            convert("unix_s")
            convert("unix_ms")
        elif reason.startswith("real"):
            convert("julian")
            convert("unix_s")
        elif encoder in ("timestamp", "timestamptz", "date"):
            convert(f"iso_to_{encoder}")
        widen("text")
    return (*found, "on_violation: quarantine")
