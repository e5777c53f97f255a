# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters of a host that is gone, on a new one: what may be overwritten, and what the new one must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .pgbackrest import Cluster, Info, Taken
from .pitr import newest_good
from .ports import BackupError

#: What people have put into a cluster, in one line; "" for one that was only made.
HELD = """SELECT coalesce(string_agg(what, ', '), '') FROM (
 SELECT 'database ' || datname AS what FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')
 UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE oid >= 16384
 UNION ALL (SELECT 'relation ' || oid::regclass FROM pg_class WHERE oid >= 16384 LIMIT 5)) held"""
#: The timeline of the log that is written now; the control file knows a new one a moment later.
TIMELINE = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"
#: Databases one can connect to, one a line.
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1"
#: Of one database: extensions of which this host has no files.
LACKING = (
    "SELECT coalesce(string_agg(x.extname, ', ' ORDER BY x.extname), '') FROM pg_extension x "
    "LEFT JOIN pg_available_extensions a ON a.name = x.extname WHERE a.name IS NULL"
)
#: Databases whose indexes were sorted by another version of their collation than this host has (PostgreSQL 15, newer).
SORTED_OTHERWISE = (
    "SELECT coalesce(string_agg(datname, ', ' ORDER BY datname), '') FROM pg_database WHERE datcollversion IS NOT NULL "
    "AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)"
)


def needed(cluster: Cluster, found: Info, system: str, held: str, overwrite: bool) -> bool:
    """Whether a cluster must be brought back.

    :param found: what is in the repository
    :param system: id of the cluster on this host
    :param held: what people have put into it (:data:`HELD`)
    :param overwrite: the data that are there may be put aside
    :returns: False: what is there is what was kept
    :raises BackupError: it cannot be done, or would lose something
    """
    if found.version and found.version != str(cluster.version):
        raise BackupError(
            f"{cluster.name}: the repository has PostgreSQL {found.version}, and the source says {cluster.id}. "
            f"Files of one major version cannot be read by another: say {found.version}/{cluster.cluster}, and upgrade "
            "when it is back"
        )
    if found.system and system == found.system:
        return False
    if held and not overwrite:
        raise BackupError(
            f"{cluster.name}: cluster {cluster.id} on this host is another one than the repository's, and has data: "
            f"{held}. Say --overwrite (-e overwrite=true) to have it put aside, or give the source another cluster"
        )
    return True


def insufficient(wanted: Mapping[str, str], has: Mapping[str, str]) -> dict[str, str]:
    """Settings that are lower than what the log asks for: PostgreSQL would not follow it."""
    return {name: value for name, value in wanted.items() if not has[name].isdigit() or int(has[name]) < int(value)}


def base_advised(backups: Sequence[Taken], timeline: int) -> bool:
    """Whether no backup begins on the timeline that the log goes on along."""
    newest = newest_good(backups)
    return newest is None or newest.timeline < timeline
