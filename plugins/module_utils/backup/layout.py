# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in a store: exact prefixes, set ids, keys."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from .ports import BackupError

STACK = re.compile(r"^[a-z0-9][a-z0-9_-]*$")
SET_ID = re.compile(r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}$")
ITEM = re.compile(r"^[a-z0-9][a-z0-9._-]*$")
MANIFEST = "manifest.json"
VERIFIED = "verified.json"
LEASE = "lease.json"
DRILLED = "drilled.json"
#: Below it lie the repositories of restic, each in a directory of its own.
RESTIC = "restic/"
#: The item that holds their password.
RESTIC_KEY = "restic-key"
#: Written for a drill to try to delete it; it belongs to no set.
PROBE = "may-not-be-deleted"


def set_id(now: float, token: str) -> str:
    """The id of a set that begins now. :param now: seconds since 1970; :param token: four hex digits"""
    return datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ-") + token


def taken_at(sid: str) -> float:
    """When a set was begun, seconds since 1970."""
    return datetime.strptime(sid[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()


def stack_prefix(stack: str) -> str:
    """What all keys of a stack begin with. It ends in ``/``: ``app`` never matches ``app_staging``."""
    if not STACK.match(stack):
        raise BackupError(f"{stack!r} is no name of a stack: lower-case letters, digits, '-' and '_'")
    return f"{stack}/"


def set_prefix(stack: str, sid: str) -> str:
    """What all keys of a set begin with."""
    if not SET_ID.match(sid):
        raise BackupError(f"{sid!r} is no id of a set; see: landfall backup list {stack}")
    return f"{stack_prefix(stack)}{sid}/"


def segment_key(stack: str, sid: str, item: str, number: int) -> str:
    """The key of one segment of an item, numbered from 0."""
    return f"{set_prefix(stack, sid)}{item}.{number:03d}"


def item_name(kind: str, *words: str) -> str:
    """A name for an item that can stand in a key: ``postgres-db-jarvis``."""
    plain = re.sub(r"[^a-z0-9._]+", "-", "-".join([kind, *words]).lower())
    return re.sub(r"-{2,}", "-", plain).strip("-.")


def parts_of(key: str, stack: str) -> tuple[str, str] | None:
    """(set id, name within the set) of a key; None for what belongs to no set of this stack."""
    prefix = stack_prefix(stack)
    if not key.startswith(prefix):
        return None
    sid, slash, name = key[len(prefix) :].partition("/")
    return (sid, name) if slash and name and SET_ID.match(sid) else None


def stamp(moment: float) -> str:
    """ISO time in UTC, to the second."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
