# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a migration does not go on. Every message says what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Stopped(Exception):
    """The migration stops. The target is as it was; what was loaded stays in the staging schema for the next run."""


class TargetRefused(Stopped):
    """PostgreSQL, or what is in it, is not fit for it. Nothing was changed."""


class SourceMoved(Stopped):
    """The source, or the plan, is not what the half-done load was made of."""


class LockHeld(Stopped):
    """Another migration works on the same staging schema."""


class VerifyFailed(Stopped):
    """PostgreSQL gives back other rows than the source. :ivar tables: what was compared, table by table."""

    def __init__(self, message: str, tables: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(message)
        self.tables = tables


class Paused(Stopped):
    """Told to pause. Run again to go on."""


class ValueMisfit(Stopped):
    """A value does not fit its column.

    :ivar found: table, column, key (the rowid, or the printed key of a table WITHOUT ROWID), storage_class, hex (the
        first 64 bytes), size in bytes, reason, remedies
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.found = dict(found)
        super().__init__(describe(found))

    def __reduce__(self) -> tuple[Any, ...]:
        # It comes from a process of its own.
        return ValueMisfit, (self.found,)


def describe(found: Mapping[str, Any]) -> str:
    """A misfit in one line."""
    raw = found["hex"] + ("…" if found["size"] > 64 else "")
    remedies = "; ".join(found["remedies"])
    return (
        f"table {found['table']}, column {found['column']}, row {found['key']}: {found['reason']}. Storage class "
        f"{found['storage_class']}, {found['size']} bytes: {raw or '(none)'}. To let it pass: {remedies}"
    )
