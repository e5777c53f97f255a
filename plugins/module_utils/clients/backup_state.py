# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is recorded of a stack's backups on this host: small, and without what reaches a store."""

from __future__ import annotations

import json
import os

from ..backup import metrics
from ..backup.drill_state import Drills
from ..compose.values import seconds
from . import drill_records

CONFIG_DIR = "/etc/landfall/backup"
STATE_DIR = "/var/lib/landfall/backup"


def read_state(directory: str, stack: str, max_age: float = metrics.State.max_age) -> metrics.State:
    """The recorded state; that of a stack without any backup when there is none."""
    try:
        with open(os.path.join(directory, f"{stack}.json"), encoding="utf-8") as file:
            return metrics.state_from_json(file.read(), stack)
    except OSError:
        return metrics.State(stack, max_age=max_age)


def set_up(stack: str, config_dir: str = CONFIG_DIR) -> tuple[metrics.State, Drills] | None:
    """State of the backups and drills of a stack where they are set up, None for one without."""
    directory, max_age, since = STATE_DIR, "0s", 0.0
    try:
        with open(os.path.join(config_dir, f"{stack}.json"), encoding="utf-8") as file:
            since = os.fstat(file.fileno()).st_mtime
            said = json.load(file)
        directory = str(said.get("state", STATE_DIR))
        max_age = str((said.get("drill") or {}).get("max_age") or "0s")
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        pass
    return read_state(directory, stack), drill_records.read(directory, stack, seconds(max_age), since)
