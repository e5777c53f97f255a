# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a stack's backups, as the role writes it on the host: no secrets in it, only where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..compose.values import seconds
from . import drill_config, pgbackrest
from .drill_config import DrillConfig
from .layout import STACK
from .pgbackrest import Cluster
from .ports import BackupError
from .retention import Policy
from .sources import Source, parse

#: How a store is asked to encrypt what it is given.
SSE = ("", "AES256", "aws:kms")


@dataclass(frozen=True)
class S3Config:
    """A bucket. The keys come from the credentials' files; without any, the host's own role is asked.

    :param sse: ``AES256`` or ``aws:kms``; "" leaves it to the bucket
    :param kms_key: id or ARN of the key of ``aws:kms``; "" for the account's own
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    path_style: bool = False
    storage_class: str = ""
    sse: str = ""
    kms_key: str = ""
    ca_file: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    delete_access_key: str = ""
    delete_secret_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class StoreConfig:
    """One store. :param path: of a directory; ``s3`` is None then"""

    name: str
    path: str = ""
    s3: S3Config | None = None
    credentials_file: str = ""
    delete_credentials_file: str = ""


@dataclass(frozen=True)
class Config:
    """Everything a run needs to know. Durations in seconds, ``rate`` in bytes a second (0: no limit).

    :param restic_password_file: opens the repositories of restic; made by the first backup that needs it
    :param restic_read_days: verifications on so many days read every pack of them
    :param clusters: what pgBackRest keeps, beside the sets; ``pgbackrest_cipher_file`` opens its repository, and
        ``pgbackrest_ping_url`` hears how they stand
    :param since: when it was written, seconds since 1970, 0 when that is not known
    """

    stack: str
    stores: tuple[StoreConfig, ...]
    recipients: tuple[str, ...] = ()
    identity_file: str = ""
    manifest_key_file: str = ""
    sources: tuple[Source, ...] = ()
    project: bool = True
    retention: Policy = field(default_factory=Policy)
    rate: float = 0.0
    state: str = "/var/lib/landfall/backup"
    metrics_file: str = ""
    ping_url: str = ""
    max_age: float = 26 * 3600.0
    verify: bool = True
    prune: bool = False
    lock_timeout: float = 60.0
    statement_timeout: float = 60.0
    jobs: int = 2
    drill: DrillConfig = field(default_factory=DrillConfig)
    restic_password_file: str = "/etc/landfall/backup/restic.key"
    restic_read_days: int = 7
    clusters: tuple[Cluster, ...] = ()
    pgbackrest_cipher_file: str = "/etc/landfall/backup/pgbackrest.key"
    pgbackrest_ping_url: str = ""
    since: float = 0.0


_PLAIN = ("identity_file", "manifest_key_file", "state", "metrics_file", "ping_url", "restic_password_file",
          "pgbackrest_cipher_file", "pgbackrest_ping_url")  # fmt: skip


def from_dict(raw: Mapping[str, Any]) -> Config:
    """Read it. :raises BackupError: with all that is wrong"""
    wrong: list[str] = []
    known = {one.name for one in fields(Config)} - {"since", "clusters"}
    wrong += [f"{name} is not known" for name in sorted(set(raw) - known)]
    stack = str(raw.get("stack", ""))
    if not STACK.match(stack):
        wrong.append(f"stack: {stack!r} is no name of a stack")
    stores = tuple(_store(at, one, wrong) for at, one in enumerate(raw.get("stores") or ()))
    if not stores:
        wrong.append("stores: at least one is needed, {name, bucket, …} or {name, path}")
    if len({one.name for one in stores}) < len(stores):
        wrong.append("stores: two have one name")
    recipients = tuple(str(one) for one in raw.get("recipients") or ())
    wrong += [f"recipients: {one!r} is no recipient of age (age1…)" for one in recipients if not one.startswith("age1")]
    sources: list[Source] = []
    clusters: list[Cluster] = []
    for one in raw.get("sources") or ():
        try:
            if pgbackrest.is_cluster(one):
                clusters.append(pgbackrest.parse(one))
            else:
                sources.append(parse(one))
        except BackupError as problem:
            wrong.append(str(problem))
    if len({one.name for one in clusters} | {one.id for one in clusters}) < 2 * len(clusters):
        wrong.append("sources: two with engine pgbackrest have one name, or are one cluster")
    if clusters and not recipients:
        wrong.append("engine pgbackrest needs recipients: the cipher of its repository goes into each set, encrypted")
    project = bool(raw.get("project", True))
    if project and not recipients:
        wrong.append("the project's env and secrets are only backed up encrypted: give recipients, or project: false")
    found: dict[str, Any] = {name: str(raw[name]) for name in _PLAIN if name in raw}
    for name in ("max_age", "lock_timeout", "statement_timeout"):
        try:
            if name in raw:
                found[name] = seconds(str(raw[name]))
        except ValueError as problem:
            wrong.append(f"{name}: {problem}")
    try:
        found["retention"] = Policy(**{key: int(value) for key, value in (raw.get("retention") or {}).items()})
    except (BackupError, TypeError, ValueError) as problem:
        wrong.append(f"retention: {problem}")
    found["drill"] = drill_config.parse(raw.get("drill") or {}, wrong)
    for name in ("verify", "prune"):
        found[name] = bool(raw.get(name, getattr(Config, name)))
    if wrong:
        raise BackupError("the backup's configuration is wrong: " + "; ".join(wrong))
    return Config(
        stack=stack,
        stores=stores,
        recipients=recipients,
        sources=tuple(sources),
        clusters=tuple(clusters),
        project=project,
        rate=float(raw.get("rate", 0)),
        jobs=max(1, int(raw.get("jobs", 2))),
        restic_read_days=max(1, int(raw.get("restic_read_days", Config.restic_read_days))),
        **found,
    )


def _store(at: int, raw: Mapping[str, Any], wrong: list[str]) -> StoreConfig:
    name = str(raw.get("name") or f"store{at + 1}")
    files = {key: str(raw.get(key, "")) for key in ("credentials_file", "delete_credentials_file")}
    path, bucket = str(raw.get("path", "")), str(raw.get("bucket", ""))
    if bool(path) == bool(bucket):
        wrong.append(f"stores: {name} needs either a bucket or a path")
    if path:
        wrong += [f"stores: {name}: {key} is not known" for key in sorted(set(raw) - {"name", "path"})]
        if not path.startswith("/"):
            wrong.append(f"stores: {name}: path must be absolute")
        return StoreConfig(name, path)
    allowed = {one.name for one in fields(S3Config)} - {
        "access_key", "secret_key", "session_token", "delete_access_key", "delete_secret_key"
    }  # fmt: skip
    wrong += [f"stores: {name}: {key} is not known" for key in sorted(set(raw) - allowed - {"name", *files})]
    sse = str(raw.get("sse", ""))
    if sse not in SSE:
        wrong.append(f"stores: {name}: sse is {sse!r}, and is one of {', '.join(filter(None, SSE))}")
    if raw.get("kms_key") and sse != "aws:kms":
        wrong.append(f"stores: {name}: kms_key needs sse: aws:kms")
    values: dict[str, Any] = {key: str(raw[key]) for key in allowed - {"path_style"} if key in raw}
    return StoreConfig(
        name, "", S3Config(**{"bucket": "", **values, "path_style": bool(raw.get("path_style", False))}), **files
    )
