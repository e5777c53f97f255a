"""What a recovery of a cluster may overwrite, and what the new host must have."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup import recovery
from ansible_collections.landfall.stack.plugins.module_utils.backup.pgbackrest import Cluster, Info, Taken
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError

MAIN = Cluster("postgres-main", 17, "main")
KEPT = Info(system="77", version="17")


def taken(timeline: int, ended: float = 1.0, error: bool = False) -> Taken:
    return Taken("x", "full", 0.0, ended, 1, 1, error, (), timeline)


def test_what_was_only_made_is_overwritten_and_data_are_not():
    assert recovery.needed(MAIN, KEPT, "5", "", False)
    with pytest.raises(BackupError, match=r"database shop.*--overwrite"):
        recovery.needed(MAIN, KEPT, "5", "database shop", False)
    assert recovery.needed(MAIN, KEPT, "5", "database shop", True)


def test_the_data_that_were_kept_are_never_replaced():
    assert not recovery.needed(MAIN, KEPT, "77", "database shop", False)
    assert not recovery.needed(MAIN, KEPT, "77", "database shop", True)
    # A repository that nobody has set up yet is nobody's.
    assert recovery.needed(MAIN, Info(), "", "", False)


def test_another_major_version_is_refused_before_anything_else():
    with pytest.raises(BackupError, match=r"PostgreSQL 16.*say 16/main"):
        recovery.needed(MAIN, Info(system="77", version="16"), "77", "", True)


def test_only_what_is_too_low_is_set():
    asked = {"max_connections": "200", "max_worker_processes": "8"}
    assert recovery.insufficient(asked, {"max_connections": "100", "max_worker_processes": "8"}) == {
        "max_connections": "200"
    }
    assert recovery.insufficient(asked, {"max_connections": "300", "max_worker_processes": "16"}) == {}
    assert "max_connections" in recovery.insufficient(asked, {"max_connections": "", "max_worker_processes": "8"})


def test_a_full_backup_is_advised_until_one_begins_on_the_new_timeline():
    assert recovery.base_advised([], 1)
    assert recovery.base_advised([taken(1)], 2)
    assert not recovery.base_advised([taken(1), taken(2, 2.0)], 2)
    assert recovery.base_advised([taken(1), taken(2, 2.0, error=True)], 2)
