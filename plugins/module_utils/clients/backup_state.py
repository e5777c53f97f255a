# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is recorded of a stack's backups on this host: small, and without what reaches a store."""

from __future__ import annotations

import json
import os

from ..backup import metrics, pgbackrest, pitr
from ..backup.drill_state import Drills
from ..backup.pitr import Seen
from ..backup.ports import BackupError
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


def record_path(state: str, stack: str) -> str:
    """The file with what was seen of the archives of a stack's clusters."""
    return os.path.join(state, f"{stack}.pitr.json")


def read_seen(state: str, stack: str) -> tuple[Seen, ...]:
    """What was seen of a stack's archives; nothing when nobody looked yet."""
    try:
        with open(record_path(state, stack), encoding="utf-8") as file:
            return pitr.from_json(file.read())
    except OSError:
        return ()


def set_up(stack: str, config_dir: str = CONFIG_DIR) -> tuple[metrics.State, Drills, tuple[Seen, ...]] | None:
    """State of the backups, drills and archives of a stack where they are set up, None for one without."""
    directory, max_age, since = STATE_DIR, "0s", 0.0
    kept: list[str] = []
    try:
        with open(os.path.join(config_dir, f"{stack}.json"), encoding="utf-8") as file:
            since = os.fstat(file.fileno()).st_mtime
            said = json.load(file)
        directory = str(said.get("state", STATE_DIR))
        max_age = str((said.get("drill") or {}).get("max_age") or "0s")
        kept = [pgbackrest.parse(one).name for one in said.get("sources") or () if pgbackrest.is_cluster(one)]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, BackupError):
        pass
    known = {one.name: one for one in read_seen(directory, stack)}
    seen = tuple(known.get(name, Seen(name)) for name in kept)
    return read_state(directory, stack), drill_records.read(directory, stack, seconds(max_age), since, kept), seen
