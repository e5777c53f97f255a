# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is recorded of a stack's backups on this host: small, and without what reaches a store."""

from __future__ import annotations

import json
import os

from ..backup import metrics

CONFIG_DIR = "/etc/landfall/backup"
STATE_DIR = "/var/lib/landfall/backup"


def read_state(directory: str, stack: str, max_age: float = metrics.State.max_age) -> metrics.State:
    """The recorded state; that of a stack without any backup when there is none."""
    try:
        with open(os.path.join(directory, f"{stack}.json"), encoding="utf-8") as file:
            return metrics.state_from_json(file.read(), stack)
    except OSError:
        return metrics.State(stack, max_age=max_age)


def set_up(stack: str, config_dir: str = CONFIG_DIR) -> metrics.State | None:
    """The state of a stack whose backups are set up, None for one without."""
    try:
        with open(os.path.join(config_dir, f"{stack}.json"), encoding="utf-8") as file:
            directory = str(json.load(file).get("state", STATE_DIR))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        directory = STATE_DIR
    return read_state(directory, stack)
