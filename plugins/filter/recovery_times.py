# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovery_times
short_description: How long each step of a recovery took
version_added: 0.1.0
author: Landfall contributors (@landfall)
description:
  - Turns the moments at which steps ended into the seconds that each took.
  - A step that stands there for several stacks is summed up.
options:
  _input:
    description: C(step) and C(at) (seconds since 1970), in order; the first one is the beginning.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Say how long it took
  ansible.builtin.debug:
    msg: "{{ [{'step': 'begin', 'at': 10.0}, {'step': 'host', 'at': 12.5}] | landfall.stack.recovery_times }}"
"""

RETURN = r"""
_value:
  description: C(steps) (seconds by step), C(total_s), and C(lines) for a person.
  type: dict
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any


def recovery_times(marks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Seconds by step, their sum, and lines for a person."""
    steps: dict[str, float] = {}
    for before, after in pairwise(marks):
        name = str(after["step"])
        steps[name] = round(steps.get(name, 0.0) + float(after["at"]) - float(before["at"]), 1)
    total = round(float(marks[-1]["at"]) - float(marks[0]["at"]), 1)
    lines = [f"{seconds:7.1f} s  {name}" for name, seconds in steps.items()]
    return {"steps": steps, "total_s": total, "lines": [*lines, f"{total:7.1f} s  in all: the time to recover"]}


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"recovery_times": recovery_times}
