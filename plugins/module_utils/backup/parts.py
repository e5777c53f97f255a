# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of parts and segments, and which size is plausible."""

from __future__ import annotations

MIB = 1 << 20
#: Some stores take no more than 1,000 parts of an object.
MAX_PARTS = 1000
#: Bytes of parts held at a time: below 200 MB with all the rest.
BUDGET = 96 * MIB
#: A set with an item this much smaller than the same of the set before is not believed.
SHRINK = 10
#: Below this size nothing is compared with the set before.
SMALL = MIB
#: The least a stream of a kind can have, compressed.
LEAST = {
    "postgres": 500,
    "globals": 60,
    "sqlite": 80,
    "redis": 60,
    "mongo": 60,
    "volume": 60,
    "path": 60,
    "project": 60,
    "key": 60,
    # A volume may be empty; an archive of it never is.
    "snapshot": 0,
}


def part_size(number: int) -> int:
    """Bytes of a part, numbered from 1: they grow, so that small streams stay quick and 1,000 parts hold 30 GB.

    >>> [part_size(n) // MIB for n in (1, 51, 101, 1000)]
    [8, 16, 32, 32]
    """
    if number <= 50:
        return 8 * MIB
    return 16 * MIB if number <= 100 else 32 * MIB


def implausible(kind: str, sent: int, before: int | None) -> str:
    """Why a size cannot be right; "" when it can.

    :param sent: bytes of the stream as stored
    :param before: bytes of the same item in the newest complete set, None when there is none
    """
    if sent < LEAST.get(kind, 1):
        return f"only {sent} bytes came, which no {kind} can be"
    if before is not None and before > SMALL and sent * SHRINK < before:
        return (
            f"only {sent} bytes came, {before} in the set before: look whether data is gone; "
            "when it shall be so, run once with --accept-size"
        )
    return ""
