# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgBackRest for clusters of the host: what is declared, its configuration, its command lines, what it prints."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..compose.values import seconds
from .drill_config import Check, checks_of
from .layout import PROBE, item_name
from .ports import BackupError

ENGINE = "pgbackrest"
#: The item of a set that holds the cipher of the repository.
KEY = "pgbackrest-key"
#: How the items of a set begin that hold a cluster's own configuration, which Debian keeps beside its data.
SETTINGS = "pgbackrest-conf"
CONF_DIR = "/etc/pgbackrest/landfall"
FULL, INCREMENTAL = "full", "incr"
#: Exit code: another pgBackRest works on the stanza.
LOCKED = 50
LABEL = re.compile(r"^[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?$")
_CLUSTER = re.compile(r"^([1-9][0-9]?)/([a-zA-Z0-9][a-zA-Z0-9_.-]*)$")
_OPTIONS = {"kind", "engine", "name", "cluster", "keep_full", "archive_timeout", "max_lag", "restart", "processes",
            "drill"}  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """A cluster of Debian's, as ``pg_lsclusters`` names it, whose log is archived. Durations in seconds.

    :param name: of the item: ``postgres-main``
    :param keep_full: so many full backups stay, with what hangs on them
    :param archive_timeout: a segment of the log is closed after that time
    :param max_lag: so much may be lost before it is an alarm
    :param restart: a restart for archive_mode may be done by the set-up
    :param checks: what a drill asks the restored data
    """

    name: str
    version: int
    cluster: str
    keep_full: int = 4
    archive_timeout: int = 300
    max_lag: float = 900.0
    restart: bool = True
    processes: int = 2
    checks: tuple[Check, ...] = ()

    @property
    def id(self) -> str:
        """As Debian's programs write it."""
        return f"{self.version}/{self.cluster}"

    @property
    def conf_dir(self) -> str:
        """Where Debian keeps its configuration: no backup of the cluster has that."""
        return f"/etc/postgresql/{self.id}"

    @property
    def settings_item(self) -> str:
        """The item of a set that holds its configuration."""
        return item_name(SETTINGS, self.name.removeprefix("postgres-"))


def is_cluster(raw: Mapping[str, Any]) -> bool:
    """Whether a source of the inventory is a cluster that pgBackRest keeps."""
    return raw.get("kind") == "postgres" and raw.get("engine") == ENGINE


def parse(raw: Mapping[str, Any]) -> Cluster:
    """A source of the inventory with ``engine: pgbackrest``. :raises BackupError: with what to write instead"""
    unknown = set(raw) - _OPTIONS
    if unknown:
        raise BackupError(
            f"source with engine pgbackrest: unknown: {', '.join(sorted(unknown))}; known: "
            f"{', '.join(sorted(_OPTIONS))}"
        )
    found = _CLUSTER.match(str(raw.get("cluster", "")))
    if not found:
        raise BackupError(
            f"source with engine pgbackrest: cluster is {raw.get('cluster')!r}, and must be version/name as "
            "pg_lsclusters shows them: 17/main. A server in a container takes the engine logical"
        )
    name = item_name("postgres", str(raw.get("name") or f"{found[1]}-{found[2]}"))
    try:
        made = Cluster(
            name, int(found[1]), found[2], int(raw.get("keep_full", Cluster.keep_full)),
            int(seconds(str(raw.get("archive_timeout", "300s")))), seconds(str(raw.get("max_lag", "15m"))),
            bool(raw.get("restart", True)), int(raw.get("processes", Cluster.processes)),
            tuple(replace(one, item=name) for one in checks_of("", raw.get("drill") or ())),
        )  # fmt: skip
    except ValueError as problem:
        raise BackupError(f"source {name}: {problem}") from problem
    if made.version < 13:
        raise BackupError(f"source {name}: PostgreSQL {made.version} is not supported with pgbackrest: 13 or newer")
    if made.keep_full < 1 or made.processes < 1 or made.archive_timeout < 1:
        raise BackupError(f"source {name}: keep_full, processes and archive_timeout are at least 1")
    if made.max_lag < 2 * made.archive_timeout:
        raise BackupError(
            f"source {name}: max_lag is {made.max_lag:.0f} s, and must be at least twice archive_timeout "
            f"({made.archive_timeout} s): a segment is sent when it is closed"
        )
    return made


def stanza(stack: str, cluster: Cluster) -> str:
    """Its name in the repository."""
    return f"{stack}-{cluster.name}"


def probe(stack: str, cluster: Cluster) -> str:
    """The key of an object that a drill writes to the repository and tries to delete; pgBackRest passes it over."""
    return f"{stack}.{ENGINE}/archive/{stanza(stack, cluster)}/{PROBE}"


def conf_path(stack: str, cluster: Cluster) -> str:
    """Its configuration: one file a cluster, that no other pgBackRest of the host reads."""
    return f"{CONF_DIR}/{stanza(stack, cluster)}.conf"


@dataclass(frozen=True)
class Server:
    """Where a cluster is on the host. :param data: its data directory; :param conf_dir: of its configuration"""

    data: str
    port: int
    socket: str
    conf_dir: str
    log: str
    running: bool = False


def listed(out: str) -> dict[str, Server]:
    """The clusters of ``pg_lsclusters --json``, by version/name. :raises BackupError: it cannot be read"""
    try:
        return {
            f"{one['version']}/{one['cluster']}": Server(
                str(one["pgdata"]), int(one["port"]), str(one.get("socketdir") or "/var/run/postgresql"),
                str(one["configdir"]), str(one.get("logfile", "")), bool(one["running"]),
            )
            for one in json.loads(out or "[]")
        }  # fmt: skip
    except (ValueError, KeyError, TypeError) as problem:
        raise BackupError(f"what pg_lsclusters prints cannot be read: {out[:200]!r}") from problem


# --- the repository


def repository(stack: str, store: Any) -> dict[str, str]:
    """The options of the repository in a store, with its secrets. Beside the sets' prefix, where no sweeping sees it.

    :param store: a :class:`..config.StoreConfig` with its credentials filled in
    :raises BackupError: pgBackRest cannot use it
    """
    if store.s3 is None:
        return {"repo1-type": "posix", "repo1-path": f"{store.path.rstrip('/')}/{stack}.{ENGINE}"}
    c = store.s3
    if c.endpoint.startswith("http://"):
        raise BackupError(
            f"store {store.name}: pgBackRest speaks to S3 by HTTPS only, and its endpoint is {c.endpoint}; give one of "
            "HTTPS (ca_file for a CA of your own), or a directory"
        )
    if c.sse == "aws:kms" and not c.kms_key:
        raise BackupError(f"store {store.name}: sse aws:kms needs kms_key with pgbackrest")
    region = c.region or "us-east-1"
    endpoint = c.endpoint.removeprefix("https://").rstrip("/") or f"s3.{region}.amazonaws.com"
    host, _colon, port = endpoint.partition(":")
    out = {
        "repo1-type": "s3",
        "repo1-path": "/" + "/".join(filter(None, (c.prefix.strip("/"), f"{stack}.{ENGINE}"))),
        "repo1-s3-bucket": c.bucket,
        "repo1-s3-endpoint": host,
        "repo1-s3-region": region,
        "repo1-s3-uri-style": "path" if c.path_style else "host",
    }
    if port:
        out["repo1-storage-port"] = port
    if c.ca_file:
        out["repo1-storage-ca-file"] = c.ca_file
    if c.kms_key:
        out["repo1-s3-kms-key-id"] = c.kms_key
    if c.access_key:
        out |= {"repo1-s3-key": c.access_key, "repo1-s3-key-secret": c.secret_key}
        if c.session_token:
            out["repo1-s3-token"] = c.session_token
    else:
        out["repo1-s3-key-type"] = "auto"
    return out


def conf(stack: str, cluster: Cluster, server: Server, where: Mapping[str, str], cipher: str) -> str:
    """The configuration, with the secrets of the repository: root's, to be read by postgres only."""
    lines = {
        **where,
        "repo1-cipher-type": "aes-256-cbc",
        "repo1-cipher-pass": cipher,
        "repo1-retention-full-type": "count",
        "repo1-retention-full": str(cluster.keep_full),
        "compress-type": "zst",
        "compress-level": "1",
        "process-max": str(cluster.processes),
        "start-fast": "y",
        # Who uploads may not be able to delete: `landfall backup prune` expires.
        "expire-auto": "n",
        "log-level-file": "off",
        "log-level-console": "info",
    }
    own = {
        "pg1-path": server.data,
        "pg1-port": str(server.port),
        "pg1-socket-path": server.socket,
        "pg1-user": "postgres",
    }
    told = [f"{name}={value}" for name, value in lines.items()]
    if any("\n" in one for one in told):
        raise BackupError(f"{cluster.name}: a value of pgBackRest's configuration has a line break")
    return "\n".join(
        ["# Written by landfall backup setup", "[global]", *told, "", f"[{stanza(stack, cluster)}]",
         *(f"{name}={value}" for name, value in own.items()), ""]
    )  # fmt: skip


def settings(stack: str, cluster: Cluster) -> dict[str, str]:
    """What the server must be set to."""
    return {
        "archive_mode": "on",
        "archive_command": f"pgbackrest --config={conf_path(stack, cluster)} --stanza={stanza(stack, cluster)} "
                           "archive-push %p",
        "archive_timeout": str(cluster.archive_timeout),
    }  # fmt: skip


def drop_in(wanted: Mapping[str, str]) -> str:
    """A file for the server's ``conf.d``."""
    quoted = {name: value.replace("'", "''") for name, value in wanted.items()}
    return "# Written by landfall backup\n" + "".join(f"{name} = '{value}'\n" for name, value in quoted.items())


def command(stack: str, cluster: Cluster, *words: str, conf: str = "") -> tuple[str, ...]:
    """A call of pgBackRest, for the user postgres. :param conf: another configuration. No secret stands in it"""
    own = (f"--config={conf or conf_path(stack, cluster)}", f"--stanza={stanza(stack, cluster)}")
    return ("pgbackrest", *own, *words)


# --- what it prints


@dataclass(frozen=True)
class Taken:
    """A backup in the repository.

    :param began: seconds since 1970; ``ended`` likewise: no point in time before it can be reached from it
    :param size: bytes of the cluster; ``stored``: what it added to the repository
    :param error: pages of it did not have their checksum when they were read
    :param needs: the backups it hangs on
    :param timeline: of the log at its beginning, 0 when that is not known
    """

    label: str
    type: str
    began: float
    ended: float
    size: int
    stored: int
    error: bool = False
    needs: tuple[str, ...] = ()
    timeline: int = 0


@dataclass(frozen=True)
class Info:
    """What is in the repository.

    :param wal: the newest archived segment, "" for none
    :param system: id of the cluster; ``version``: major version of its PostgreSQL, "" for none
    """

    backups: tuple[Taken, ...] = ()
    wal: str = ""
    system: str = ""
    stanza: bool = True
    version: str = ""


def info(out: str) -> Info:
    """Of ``info --output=json``, which ends with 0 whatever it found. :raises BackupError: it found no repository"""
    try:
        # What a wrong cipher leaves of a file stands in its message, byte for byte.
        (said,) = json.loads(out, strict=False)
        status = said["status"]
        if status["code"] not in (0, 1, 2):
            told = [one["status"]["message"] for one in said.get("repo", ()) if one["status"]["code"]]
            raise BackupError(hint(printable((told or [status["message"]])[0])))
        newest = [str(one["max"]) for one in said["archive"] if one.get("max")]
        systems = [str(one["system-id"]) for one in said.get("db", ())]
        return Info(
            tuple(
                Taken(
                    str(one["label"]), str(one["type"]), float(one["timestamp"]["start"]),
                    float(one["timestamp"]["stop"]), int(one["info"]["size"]),
                    int(one["info"]["repository"]["delta"]), bool(one.get("error")),
                    tuple(str(other) for other in one.get("reference") or ()),
                    int(str((one.get("archive") or {}).get("start") or "0")[:8], 16),
                )
                for one in said["backup"]
            ),
            newest[-1] if newest else "", systems[-1] if systems else "", status["code"] != 1,
            str(said["db"][-1].get("version", "")) if said.get("db") else "",
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError) as problem:
        words = hint(printable(out)[:2000])
        raise BackupError(f"what pgbackrest info prints cannot be read: {words[:600]}") from problem


def tablespaces(out: str) -> dict[str, str]:
    """Name → path, of ``info --set=LABEL --output=json``. :raises BackupError: it cannot be read"""
    try:
        (said,) = json.loads(out, strict=False)
        (backup,) = said["backup"]
        return {str(one["name"]): str(one["destination"]) for one in backup.get("tablespace") or ()}
    except (ValueError, KeyError, TypeError) as problem:
        raise BackupError(
            f"what pgbackrest info prints of a backup cannot be read: {printable(out)[:300]}"
        ) from problem


_VERIFIED = re.compile(r"backup: (\S+), status: ([a-z -]+)")


def verified(rc: int, out: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Labels that are whole, and what is not, of ``verify --output=text --verbose``, which ends with 0 anyway."""
    whole = frozenset(label for label, state in _VERIFIED.findall(out) if state.strip() == "valid")
    faults = [
        f"backup {label} is {state.strip()}" for label, state in _VERIFIED.findall(out) if state.strip() != "valid"
    ]
    told = [line.strip() for line in out.splitlines() if re.search(r"invalid (checksum|size)|missing (file|WAL)", line)]
    faults += [printable(line.rpartition("INFO: ")[2]) for line in told[:5]]
    if not faults and (rc or "status: ok" not in out):
        faults.append(said(out) or "pgbackrest verify does not say that all is well")
    return whole, tuple(dict.fromkeys(faults))


_HINTS = (
    ("key/value found outside of section", "the cipher does not open the repository: bring it back from a set with "
                                           f"landfall backup restore STACK --item {KEY} --to-file FILE"),
    ("CryptoError", "a key or a certificate does not fit"),
    ("do not match the database", "the repository belongs to another cluster: was this one made anew? Restore it in "
                                  "place first, or give the source another name"),
    ("AccessDenied", "the store denies that to the credential that uploads: give it the right back"),
    ("[ServiceError] TLS error", "the store does not answer as one"),
    ("InvalidAccessKeyId", "the store refuses the key"),
    ("SignatureDoesNotMatch", "the store refuses the secret"),
    ("Permission denied", "the user postgres must reach the repository"),
)  # fmt: skip


def hint(words: str) -> str:
    """What went wrong, and what to do where that is known."""
    found = [what for known, what in _HINTS if known in words]
    # What cannot be deciphered tells nobody anything.
    short = words.split("key/value found")[0].strip(": \n") if "key/value found" in words else words
    return short + "".join(f" ({what})" for what in found)


def said(text: str) -> str:
    """The errors in what pgBackRest prints, else its last lines; without what cannot be shown."""
    lines = printable(text).splitlines()
    at = next((number for number, line in enumerate(lines) if "ERROR:" in line), None)
    chosen = lines[-3:] if at is None else lines[at : at + 6]
    words = " ".join(line.strip().rpartition("ERROR: ")[2] for line in chosen if " INFO: " not in line or at is None)
    return hint(re.sub(r" +", " ", words).strip())[:900]


def printable(text: str) -> str:
    """A wrong cipher makes it print bytes of any kind."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def expired(out: str) -> str:
    """What ``expire`` says that goes, in one line."""
    labels = sorted(set(re.findall(r"(?:expire|remove)[a-z ]* (\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?)", out)))
    return f"goes: {', '.join(labels)}" if labels else "nothing goes"
