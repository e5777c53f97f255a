# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a set: what makes it a backup. Written last, read first, never trusted unchecked."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .layout import MANIFEST, SET_ID, segment_key, set_prefix
from .ports import BackupError

FORMAT = "landfall-backup-1"


class Untrusted(BackupError):
    """A manifest that is damaged, forged or of another set."""


@dataclass(frozen=True)
class SentObject:
    """One object as it was sent. :param sha256: of the stored bytes"""

    key: str
    bytes: int
    sha256: str
    parts: int


@dataclass(frozen=True)
class Item:
    """One thing of a set.

    :param filters: what the plain stream went through, in that order: ``zstd``, ``age``
    :param plain_bytes: what the producer wrote, before the filters
    """

    name: str
    kind: str
    service: str
    source: str
    objects: tuple[SentObject, ...]
    plain_bytes: int
    filters: tuple[str, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stored(self) -> int:
        """Stored bytes; of what restic keeps those that were new."""
        return sum(one.bytes for one in self.objects) + int(self.details.get("added", 0))

    @property
    def weight(self) -> int:
        """What its size is judged by, beside the same item of another set."""
        return self.stored if self.objects else self.plain_bytes


@dataclass(frozen=True)
class Manifest:
    """A whole set. ``started`` and ``finished`` are ISO times in UTC."""

    id: str
    stack: str
    host: str
    trigger: str
    started: str
    finished: str
    items: tuple[Item, ...]
    warnings: tuple[str, ...] = ()

    @property
    def stored(self) -> int:
        """Stored bytes of all items."""
        return sum(item.stored for item in self.items)

    @property
    def key(self) -> str:
        """Where it stands in the store."""
        return set_prefix(self.stack, self.id) + MANIFEST

    def item(self, name: str) -> Item:
        """An item by name. :raises BackupError: there is none"""
        for one in self.items:
            if one.name == name:
                return one
        raise BackupError(f"set {self.id} has no item {name!r}; it has: {', '.join(one.name for one in self.items)}")

    def to_json(self, secret: bytes = b"") -> bytes:
        """Its text, with its digest. :param secret: makes the digest an HMAC"""
        body = {"format": FORMAT, **asdict(self)}
        return json.dumps({**body, "digest": digest(body, secret)}, indent=1, sort_keys=True).encode() + b"\n"


def digest(body: Mapping[str, Any], secret: bytes) -> str:
    """``sha256:…`` or ``hmac-sha256:…`` over the canonical form of all but ``digest``."""
    plain = {key: value for key, value in body.items() if key != "digest"}
    raw = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    if secret:
        return "hmac-sha256:" + hmac.new(secret, raw, hashlib.sha256).hexdigest()
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def from_json(data: bytes, stack: str, sid: str, secret: bytes = b"") -> Manifest:
    """Read and check a manifest. :raises Untrusted: with the reason"""
    where = f"the manifest of set {sid}"
    try:
        body = json.loads(data)
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise Untrusted(
                f"{where} has format {body.get('format') if isinstance(body, dict) else None!r}, not {FORMAT}"
            )
        if not hmac.compare_digest(str(body.get("digest")), digest(body, secret)):
            why = "it was changed, or was made with another key" if secret else "it was changed"
            raise Untrusted(f"{where} does not have its own digest: {why}. Use another set")
        found = Manifest(
            items=tuple(_item(one) for one in body["items"]),
            warnings=tuple(body["warnings"]),
            **{key: str(body[key]) for key in ("id", "stack", "host", "trigger", "started", "finished")},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Untrusted(f"{where} cannot be read ({type(problem).__name__}: {problem}). Use another set") from problem
    if (found.stack, found.id) != (stack, sid) or not SET_ID.match(found.id):
        raise Untrusted(f"{where} of {stack} says that it is of {found.stack}, set {found.id}")
    for item in found.items:
        expected = [segment_key(stack, sid, item.name, at) for at in range(len(item.objects))]
        # What restic keeps lies in its repository, and has no objects of its own.
        kept = item.kind in ("volume", "path") and item.details.get("engine") == "restic"
        if [one.key for one in item.objects] != expected or bool(expected) == kept:
            raise Untrusted(f"{where}: item {item.name} names objects that are not its own")
    return found


def _item(raw: Mapping[str, Any]) -> Item:
    return Item(
        name=str(raw["name"]),
        kind=str(raw["kind"]),
        service=str(raw["service"]),
        source=str(raw["source"]),
        objects=tuple(SentObject(**one) for one in raw["objects"]),
        plain_bytes=int(raw["plain_bytes"]),
        filters=tuple(raw["filters"]),
        seconds=float(raw["seconds"]),
        warnings=tuple(raw["warnings"]),
        details=dict(raw["details"]),
    )


@dataclass(frozen=True)
class Verdict:
    """What the last verification of a set found.

    :param level: ``bytes`` (all of them have their sha256), ``decoded`` (and every stream was read to its end), or
        ``sampled`` (and of what restic keeps all of the structure, and some of the packs)
    :param manifest: sha256 of the manifest's text that was verified
    """

    id: str
    good: bool
    level: str
    when: str
    manifest: str
    problems: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Its text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode() + b"\n"


def verdict_from_json(data: bytes, sid: str, manifest: bytes) -> Verdict | None:
    """The verdict on this manifest, None for one that cannot be read or is of another."""
    try:
        raw = json.loads(data)
        found = Verdict(**{**raw, "problems": tuple(raw["problems"])})
    except (ValueError, TypeError, KeyError):
        return None
    return found if found.id == sid and found.manifest == hashlib.sha256(manifest).hexdigest() else None
