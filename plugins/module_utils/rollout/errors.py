# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a rollout ends before its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .health import Observation


class Interrupted(BaseException):
    """The operator ended the run; it goes back. Not an Exception: nothing on the way may swallow it."""


class RolloutFailed(Exception):
    """The rollout cannot go on. ``broken``: containers to keep evidence of; ``detail``: what else was seen."""

    def __init__(
        self, message: str, broken: Sequence[Observation] = (), detail: Mapping[str, Any] | None = None
    ) -> None:
        self.broken = list(broken)
        self.detail = dict(detail or {})
        super().__init__(message)
