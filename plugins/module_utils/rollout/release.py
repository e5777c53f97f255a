# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release as a value: its content digest, its name, its record.

Nothing here reads a file, a clock or Docker. A release's *content* is what the operator asked for (files, environment,
secret versions, version, profiles); two runs that ask for the same content share a digest, whatever day it is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

#: Outcomes of a release. ``pending`` is a run that is going on, or one that was killed; ``replaced`` one that was made
#: anew with other secrets, so that nobody goes back to it.
PENDING, SEALED, FAILED, ABANDONED, REPLACED = "pending", "sealed", "failed", "abandoned", "replaced"

#: The Compose file that is written beside the project's own.
OVERLAY = "compose.landfall.yaml"
#: Names the release directory keeps for itself.
RESERVED = frozenset(
    {
        OVERLAY,
        "env",
        "env.user",
        "digests.json",
        "routes.json",
        "release.json",
        "evidence.json",
        "config.json",
        "report.json",
    }
)

ID_PATTERN = re.compile(r"^\d{8}T\d{6}Z-[0-9a-f]{8}$")
NAME_PATTERN = re.compile(r"^[a-z0-9][a-z0-9_-]*$")


@dataclass(frozen=True)
class Content:
    """What a release consists of.

    :param files: path inside the release → bytes
    :param compose_files: the Compose files in merge order, paths inside the release
    :param env: variable → value; values enter the digest keyed only
    :param env_file: text of the operator's own env file, "" when there is none
    :param secrets: secret name → keyed digest of its value (:func:`keyed`), never the value
    :param executable: paths whose executable bit is set
    """

    files: Mapping[str, bytes]
    compose_files: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    env_file: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    profiles: Sequence[str] = ()
    executable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Release:
    """The record of one release, ``release.json``.

    ``env_digests`` and ``secret_digests`` hold keyed digests, so that a later run can name what changed without
    the values standing anywhere. ``evidence`` is what was observed when it failed; ``observed`` the containers when
    it was sealed (name → {service, config_hash, image}). ``rotation`` says where each rotated secret stands (name →
    {stage, at, given, was, second}, see :mod:`.rotation`; ``given`` and ``was`` are keyed digests).
    """

    id: str
    stack: str
    digest: str
    created: str
    who: str = ""
    commit: str = ""
    version: str = ""
    why: str = ""
    outcome: str = PENDING
    finished: str = ""
    compose_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    env_digests: dict[str, str] = field(default_factory=dict)
    secret_digests: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    observed: dict[str, dict[str, str]] = field(default_factory=dict)
    rotation: dict[str, dict[str, str]] = field(default_factory=dict)

    def to_json(self) -> str:
        """JSON, sorted, indent 2, one newline at the end."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Release:
        """The inverse of :meth:`to_json`; keys of a newer version are dropped. :raises ValueError: not a release."""
        data = json.loads(text)
        if not isinstance(data, dict) or not {"id", "stack", "digest", "created"} <= set(data):
            raise ValueError("not a release.json: id, stack, digest and created are needed")
        known = {key: value for key, value in data.items() if key in cls.__dataclass_fields__}
        for key in ("compose_files", "profiles"):
            known[key] = tuple(known.get(key, ()))
        return cls(**known)

    def finish(self, outcome: str, now: str, **changes: Any) -> Release:
        """The same release with its outcome and the time it was reached."""
        return replace(self, outcome=outcome, finished=now, **changes)


def keyed(key: bytes, value: str | bytes) -> str:
    """HMAC-SHA256 in hex: tells that a value changed and gives nothing away, however short the value is."""
    return hmac.new(key, value.encode() if isinstance(value, str) else value, hashlib.sha256).hexdigest()


def content_digest(content: Content, key: bytes) -> str:
    """64 hex digits over all of the content; equal content and key give an equal digest."""
    document = {
        "files": {
            path: [hashlib.sha256(data).hexdigest(), path in content.executable] for path, data in content.files.items()
        },
        "compose_files": list(content.compose_files),
        "env": {name: keyed(key, value) for name, value in content.env.items()},
        "env_file": keyed(key, content.env_file),
        "secrets": dict(content.secrets),
        "version": content.version,
        "profiles": sorted(content.profiles),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def release_id(stamp: str, digest: str) -> str:
    """``20261121T044200Z-1a2b3c4d``: sorts by time. :param stamp: ISO time in UTC, ``2026-11-21T04:42:00Z``"""
    compact = stamp.replace("-", "").replace(":", "")
    return f"{compact}-{digest[:8]}"


def changed_keys(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    """Which names were added, changed, removed, each list sorted; for reports that must not show values."""
    return {
        "added": sorted(set(after) - set(before)),
        "changed": sorted(name for name in set(after) & set(before) if after[name] != before[name]),
        "removed": sorted(set(before) - set(after)),
    }


def check_stack_name(name: str) -> str:
    """The name back, when Compose and the file system take it. :raises ValueError: with the rule."""
    if not NAME_PATTERN.match(name):
        raise ValueError(
            f"stack name {name!r}: use lower-case letters, digits, '-' and '_', beginning with a letter or digit"
        )
    return name


def check_path(path: str) -> str:
    """The path back when it stays inside the release. :raises ValueError: absolute, or climbs out."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or "" in parts or "\0" in path:
        raise ValueError(f"path {path!r} leaves the release directory: give paths relative to src, without '..'")
    return path
