# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions of SQLite that mean the same in PostgreSQL, for arguments of certain kinds. Pure."""

from __future__ import annotations

from collections.abc import Callable

from .parts import BOOL, FLOAT, INT, NULL, NUMBERS, TEXT, Part, common

# --- functions: arguments → a part, None when they are not of kinds that mean the same in both

Function = Callable[[list[Part]], "Part | None"]


def _length(args: list[Part]) -> Part | None:
    return Part(f"char_length({args[0].sql})", INT) if [one.kind for one in args] == [TEXT] else None


def _folded(name: str) -> Function:
    def make(args: list[Part]) -> Part | None:
        # SQLite folds ASCII letters only.
        return Part(f'{name}({args[0].sql} COLLATE "C")', TEXT) if [one.kind for one in args] == [TEXT] else None

    return make


def _same(name: str, kinds: tuple[str, ...]) -> Function:
    def make(args: list[Part]) -> Part | None:
        return Part(f"{name}({args[0].sql})", args[0].kind) if len(args) == 1 and args[0].kind in kinds else None

    return make


def _coalesce(args: list[Part]) -> Part | None:
    if len(args) < 2:
        return None
    return Part(f"coalesce({', '.join(one.sql for one in args)})", common([one.kind for one in args]))


def _nullif(args: list[Part]) -> Part | None:
    if len(args) != 2 or args[0].kind != args[1].kind or args[0].nocase:
        return None
    return Part(f"nullif({args[0].sql}, {args[1].sql})", args[0].kind)


def _substr(args: list[Part]) -> Part | None:
    numbers = [one.value for one in args[1:]]
    good = all(value is not None and value.isdigit() for value in numbers) and 2 <= len(args) <= 3
    if not good or args[0].kind != TEXT or int(numbers[0] or 0) < 1:
        return None
    return Part(f"substr({', '.join(one.sql for one in args)})", TEXT)


def _instr(args: list[Part]) -> Part | None:
    if [one.kind for one in args] != [TEXT, TEXT]:
        return None
    return Part(f"strpos({args[0].sql}, {args[1].sql})", INT)


def _typeof(args: list[Part]) -> Part | None:
    kind = args[0].kind if len(args) == 1 else NULL
    names = {INT: "integer", FLOAT: "real", TEXT: "text"}
    if kind not in names or (args[0].column and args[0].column.pg_type.startswith("numeric")):
        return None
    return Part(f"(CASE WHEN {args[0].sql} IS NULL THEN 'null' ELSE '{names[kind]}' END)", TEXT)


def _json_valid(args: list[Part]) -> Part | None:
    if len(args) != 1 or not args[0].column or args[0].column.pg_type not in ("json", "jsonb"):
        return None
    # The type holds nothing else.
    return Part(f"(CASE WHEN {args[0].sql} IS NOT NULL THEN TRUE END)", BOOL)


FUNCTIONS: dict[str, Function] = {
    "length": _length,
    "lower": _folded("lower"),
    "upper": _folded("upper"),
    "abs": _same("abs", NUMBERS),
    "trim": _same("btrim", (TEXT,)),
    "ltrim": _same("ltrim", (TEXT,)),
    "rtrim": _same("rtrim", (TEXT,)),
    "coalesce": _coalesce,
    "ifnull": _coalesce,
    "nullif": _nullif,
    "substr": _substr,
    "substring": _substr,
    "instr": _instr,
    "typeof": _typeof,
    "json_valid": _json_valid,
}
