# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of drills on this host: a file each, written when one begins and again when it has ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ..backup.drill import Record, record_from_json
from ..backup.drill_state import Drills
from .files import write_atomic

#: How many are kept.
KEPT = 200


def directory(state: str, stack: str) -> str:
    """Where they lie."""
    return os.path.join(state, stack, "drills")


def write(state: str, record: Record) -> None:
    """Write one; the oldest go when there are many."""
    where = directory(state, record.stack)
    os.makedirs(where, mode=0o700, exist_ok=True)
    write_atomic(os.path.join(where, f"{record.id}.json"), record.to_json().decode(), 0o600)
    for name in sorted(os.listdir(where))[:-KEPT]:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(where, name))


def read(state: str, stack: str, max_age: float = 0.0, since: float = 0.0, clusters: Sequence[str] = ()) -> Drills:
    """All of them, oldest first."""
    found = []
    where = directory(state, stack)
    for name in sorted(os.listdir(where)) if os.path.isdir(where) else []:
        with contextlib.suppress(OSError), open(os.path.join(where, name), encoding="utf-8") as file:
            found.append(record_from_json(file.read()))
    return Drills(stack, tuple(one for one in found if one is not None), max_age, since, tuple(clusters))
