# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What does not fit the types that are decided: from the counts where they tell it, from the values otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import checks, types
from .certain import taken
from .conversions import chain
from .pg_types import scale_of
from .profile import ColumnProfile, TableProfile, where
from .scan import Source, Sure, each, rowids
from .schema import SourceColumn, SourceTable, quoted


@dataclass(frozen=True)
class Misfit:
    """Values that an encoder does not take: why, how many rows, and the first of them."""

    reason: str
    count: int
    rowids: tuple[str, ...]


def _labelled(accept: Callable[[Any], str], allowed: frozenset[str]) -> Callable[[Any], str]:
    """A rule, and an enum's labels."""

    def labelled(value: Any) -> str:
        return accept(value) or ("" if value is None or value in allowed else "it is no label of the enum")

    return labelled


def rule(made: types.Decision, labels: tuple[str, ...]) -> Callable[[Any], str]:
    """The rule of a column: what is wrong with a value, "" for nothing, :data:`CHANGED` for a converted one."""
    accept = checks.acceptor(made.encoder, made.pg_type)
    if labels:
        accept = _labelled(accept, frozenset(labels))
    if not made.conversion:
        return accept
    try:
        convert = chain(made.conversion, made.encoder, scale_of(made.pg_type))
    except ValueError as problem:
        fault = str(problem)
        return lambda _value: fault

    def rule(value: Any) -> str:
        try:
            new = convert(value)
        except ValueError as problem:
            return str(problem)
        return accept(new) or ("" if type(new) is type(value) and new == value else CHANGED)

    return rule


#: What a rule says of a value that its conversion changes, and that fits then.
CHANGED = "changed"


def tally(
    db: Source,
    table: SourceTable,
    decided: Mapping[str, tuple[types.Decision, tuple[str, ...]]],
    profile: TableProfile,
    encoding: str,
) -> dict[str, tuple[tuple[Misfit, ...], int]]:
    """All values through their rules: column → what does not fit, and the rows that are converted.

    :param decided: column → what becomes of it, and the labels of its enum
    """
    sure = {}
    for name, (made, labels) in decided.items():
        seen = profile.columns[name]
        if not (labels or made.conversion or seen.nul or seen.invalid):
            sure[name] = Sure(taken(made.encoder, made.pg_type, quoted(name), db.version), "")
    rules = {name: rule(made, labels) for name, (made, labels) in decided.items()}
    out = {}
    for name, (counts, first) in each(db, table, rules, profile, encoding, sure).items():
        changed = counts.pop(CHANGED, 0)
        bad = tuple(Misfit(reason, count, tuple(first[reason])) for reason, count in counts.items() if reason)
        out[name] = (bad, changed)
    return out


def by_class(
    db: Source, table: SourceTable, column: SourceColumn, made: types.Decision, profile: ColumnProfile
) -> tuple[Misfit, ...] | None:
    """What does not fit a plain type, from the counts alone; None when the values must be looked at."""
    takes = {"int8": ("integer",), "float8": ("integer", "real"), "text": ("text",), "bytea": ("blob",)}
    if made.encoder not in takes or made.conversion or made.pg_type not in (
        "bigint", "double precision", "text", "citext", "bytea"
    ) or _empty_matters(made, profile):  # fmt: skip
        return None
    wanted = {"int8": "an integer", "float8": "a number", "text": "text", "bytea": "a blob"}[made.encoder]
    out = []
    for name in ("integer", "real", "text", "blob"):
        count = profile.count(name)
        if count and name not in takes[made.encoder]:
            found = profile.first.get(name) or rowids(db, table, where(column, name))
            out.append(Misfit(f"{name} where {wanted} is wanted", count, found))
    if made.encoder == "text" and profile.nul:
        out.append(Misfit(checks.NUL, profile.nul, profile.first.get("nul", ())))
    if made.encoder == "text" and profile.invalid:
        out.append(Misfit(checks.NOT_UTF8, profile.invalid, profile.first.get("not_utf8", ())))
    if made.encoder == "float8" and profile.count("integer"):
        beyond = db.value(f"SELECT count(*) FROM {quoted(table.name)} WHERE {where(column, 'big')}")
        if beyond:
            reason = "an integer beyond 2^53 loses digits"
            out.append(Misfit(reason, beyond, rowids(db, table, where(column, "big"))))
    return tuple(out)


def _empty_matters(made: types.Decision, profile: ColumnProfile) -> bool:
    """Text among numbers: whether it is just '' makes another remedy, so the values are looked at."""
    return made.encoder in ("int8", "float8") and bool(profile.count("text"))
