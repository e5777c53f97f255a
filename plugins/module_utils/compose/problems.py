# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a stack file, as values: one :class:`Problem` names place, fault and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

ERROR = "error"
WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """One fault of the stack file.

    :param file: name of the file as the user gave it
    :param line: first line of the place, counted from 1; ``None`` when no single line is at fault
    :param service: the service it belongs to, ``""`` for the whole stack
    :param key: the key inside the service (or the file), e.g. ``x-landfall.route[0].path``; ``""`` when none
    :param message: what is wrong
    :param fix: what to do about it
    :param level: ``error`` (nothing is deployed) or ``warning``
    """

    file: str
    line: int | None
    service: str
    key: str
    message: str
    fix: str
    level: str = ERROR

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [place]
        if self.service:
            parts.append(f"service {self.service}")
        if self.key:
            parts.append(self.key)
        text = ": ".join([*parts, self.message])
        return f"{text}; {self.fix}" if self.fix else text

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that ``word`` was probably meant to be, or ``None``."""
    names = sorted(known)
    folded = {name.lower().replace("_", "-"): name for name in names}
    hit = difflib.get_close_matches(word.lower().replace("_", "-"), list(folded), n=1, cutoff=cutoff)
    return folded[hit[0]] if hit else None


def one_of(words: Iterable[str]) -> str:
    """``a, b or c``."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"
