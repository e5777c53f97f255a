# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restic as the keeper of large volumes: its command lines, what it prints, what of it a set names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .commands import Command
from .layout import RESTIC, stack_prefix
from .manifest import Item, Manifest
from .ports import BackupError, Place

ENGINE = "restic"
#: Packs, indexes, snapshots and keys are named by the sha256 of what they hold; only ``config`` is not.
DIGEST = re.compile(r"^[0-9a-f]{64}$")
_NAME = re.compile(r"^[0-9a-f]{8}$")
DAY = 86400.0
#: A repository's files in the order in which they are copied: what names others comes after them.
_ORDER = ("config", "keys", "data", "index", "snapshots")
#: Go's collector lets as much garbage grow as is in use. A fifth of it, and a goal that a large index may pass, keep it
#: and what waits for it below 200 MB.
_ENV = {"GOGC": "20", "GOMEMLIMIT": "80MiB", "RESTIC_PROGRESS_FPS": "0.01"}


@dataclass(frozen=True)
class Snapshot:
    """What a set's item names.

    :param repository: its directory below ``<stack>/restic/``
    :param snapshot: restic's id of it, all 64 digits
    :param tree: restic's hash of all that is in it
    """

    repository: str
    snapshot: str
    tree: str


@dataclass(frozen=True)
class Taken:
    """A path that restic has. :param plain: its bytes; :param details: for the manifest"""

    plain: int
    details: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def snapshot_of(item: Item) -> Snapshot | None:
    """The snapshot that an item names, None for a stream. :raises BackupError: it makes no sense"""
    if item.details.get("engine") != ENGINE:
        return None
    found = Snapshot(*(str(item.details.get(name)) for name in ("repository", "snapshot", "tree")))
    if not (_NAME.match(found.repository) and DIGEST.match(found.snapshot) and DIGEST.match(found.tree)):
        raise BackupError(f"{item.name} names no snapshot of restic: {asdict(found)}")
    return found


def top(stack: str) -> str:
    """The prefix of all repositories of a stack."""
    return stack_prefix(stack) + RESTIC


def prefix(stack: str, repository: str) -> str:
    """The prefix of one repository."""
    if not _NAME.match(repository):
        raise BackupError(f"{repository!r} is no name of a repository")
    return f"{top(stack)}{repository}/"


def newest(stack: str, found: Iterable[tuple[str, float]]) -> str:
    """The repository to go on with, "" when there is none. :param found: keys and when they were written

    One that has no ``config`` was never finished, and is not looked at again.
    """
    whole = []
    for key, modified in found:
        name, _slash, rest = key.removeprefix(top(stack)).partition("/")
        if rest == "config" and _NAME.match(name):
            whole.append((modified, name))
    return max(whole)[1] if whole else ""


def copied(stack: str, repository: str, keys: Iterable[str]) -> list[str]:
    """The keys of a repository that a copy of it needs, in order. Locks are of those who work in this one."""
    out = []
    start = prefix(stack, repository)
    for key in keys:
        kind, _slash, name = key.removeprefix(start).partition("/")
        if kind == "config" or (kind in _ORDER and DIGEST.match(name.rpartition("/")[2])):
            out.append((_ORDER.index(kind), key))
    return [key for _rank, key in sorted(out)]


# --- command lines


def command(place: Place, password_file: str, cache: str, *words: str) -> Command:
    """A call of restic. The password comes from a file. :param cache: a directory, "" for none"""
    where = ["--cache-dir", cache] if cache else ["--no-cache"]
    env = {**_ENV, **place.env, "RESTIC_REPOSITORY": place.url, "RESTIC_PASSWORD_FILE": password_file}
    return Command(("restic", *where, *place.options, *words), env)


def backup_words(path: str, stack: str, tags: Sequence[str], exclude: Sequence[str], rate: float) -> list[str]:
    """Arguments of a backup. The host is the stack: its snapshots follow one another on whatever host it runs.

    :param exclude: as tar takes them: ``./name`` is below ``path`` itself
    :param rate: bytes a second at most, 0 for no limit
    """
    out = ["backup", "--json", "--one-file-system", "--host", stack]
    out += [word for tag in tags for word in ("--tag", tag)]
    for pattern in exclude:
        below = f"{escaped(path)}/{pattern[2:]}" if pattern.startswith("./") else pattern
        out += ["--exclude", below]
    return [*out, *(["--limit-upload", str(max(1, int(rate / 1024)))] if rate else []), "--", path]


def escaped(path: str) -> str:
    """A path within a pattern."""
    return re.sub(r"([*?\[\\])", r"\\\1", path)


def check_words(moment: float, parts: int) -> list[str]:
    """Arguments of a check that reads another part of the packs each day, all of them in ``parts`` days.

    :param moment: seconds since 1970
    """
    return ["check", "--no-lock", f"--read-data-subset={int(moment / DAY) % parts + 1}/{parts}"]


# --- what it prints


@dataclass(frozen=True)
class Summary:
    """What a backup did.

    :param added: bytes that were new
    :param vanished: files that went while they were read
    :param unexplained: files that could not be read for a reason that restic's JSON leaves out (``"error": {}``, restic
        0.14), as it does of one that goes between being opened and being asked for its attributes: whoever can look at
        them has to judge
    """

    snapshot: str
    files: int
    bytes: int
    added: int
    vanished: tuple[str, ...] = ()
    unexplained: tuple[str, ...] = ()


def summary(rc: int, out: str, err: str) -> Summary:
    """What a backup says. Files that vanish while they are read are a warning, as they are with tar.

    :raises BackupError: it is no whole backup
    """
    last: Mapping[str, Any] | None = None
    vanished: list[str] = []
    unexplained: list[str] = []
    faults: list[str] = []
    for line in [*out.splitlines(), *err.splitlines()]:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if not isinstance(said, dict):
            continue
        if said.get("message_type") == "summary":
            last = said
        elif said.get("message_type") == "error":
            why = said.get("error") or {}
            item = str(said.get("item") or why.get("Path") or why)
            if why.get("Err") == 2 or "no such file or directory" in str(why.get("message", "")):
                vanished.append(item)
            elif not why and said.get("item"):
                unexplained.append(item)
            else:
                faults.append(f"{item} ({why.get('message') or why.get('Err') or why})")
    if faults:
        raise BackupError(f"restic could not read {len(faults)} files: {', '.join(faults[:5])}")
    if last is None or rc not in (0, 3) or (rc == 3 and not vanished and not unexplained):
        raise BackupError(f"restic ended with {rc}: {hint(err or out)}")
    return Summary(
        str(last["snapshot_id"]), int(last["total_files_processed"]), int(last["total_bytes_processed"]),
        int(last["data_added"]), tuple(vanished), tuple(unexplained),
    )  # fmt: skip


def listed(out: str) -> dict[str, str]:
    """Snapshot → tree of what ``restic snapshots --json`` prints."""
    try:
        return {str(one["id"]): str(one["tree"]) for one in json.loads(out or "[]") or ()}
    except (ValueError, KeyError, TypeError) as problem:
        raise BackupError(f"restic's list of snapshots cannot be read: {out[:200]!r}") from problem


def packs_of(out: str) -> set[str]:
    """The packs that an index names, of what ``restic cat index`` prints."""
    try:
        return {str(one["id"]) for one in json.loads(out)["packs"] or ()}
    except (ValueError, KeyError, TypeError) as problem:
        raise BackupError(f"restic's index cannot be read: {out[:200]!r}") from problem


def remembered(text: str) -> dict[str, list[str]]:
    """Index → packs, as they were written down; nothing when that cannot be read."""
    try:
        found = json.loads(text)
        return {str(index): [str(one) for one in packs] for index, packs in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


_HINTS = (
    ("wrong password", "the password in restic's password file is not that of the repository: bring it back from a set "
                       "with landfall backup restore STACK --item restic-key --to-file FILE"),
    ("already locked", "somebody else is at work in the repository, or died there less than half an hour ago"),
    ("executable file not found", "install restic"),
)  # fmt: skip


def hint(said: str) -> str:
    """The last words of restic, and what to do where that is known."""
    words = " ".join(line.strip() for line in said.strip().splitlines()[-4:] if not line.startswith("{"))[-600:]
    return words + "".join(f" ({what})" for known, what in _HINTS if known in said)


_DAMAGE = (
    "repository contains errors", "LoadIndex returned errors", "ciphertext verification failed", "does not match",
    "invalid data returned", "not found in index", "is damaged", "does not exist", "no such file", "no matching ID",
)  # fmt: skip


def is_damage(said: str) -> bool:
    """Whether restic complains of the repository, not of its way there."""
    return any(words in said for words in _DAMAGE)


# --- sets and snapshots


def named(sets: Iterable[Manifest]) -> dict[str, set[str]]:
    """Repository → the snapshots in it that sets name."""
    out: dict[str, set[str]] = {}
    for made in sets:
        for item in made.items:
            found = snapshot_of(item)
            if found:
                out.setdefault(found.repository, set()).add(found.snapshot)
    return out


def unwanted(there: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Snapshots that no set names: those of deleted sets, and of runs that died."""
    return sorted(set(there) - set(wanted))
