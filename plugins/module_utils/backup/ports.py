# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engines ask of the world outside, and how it may fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class BackupError(Exception):
    """A backup, restore, verification or pruning that could not be done; ``str()`` says what, where, what to do."""


class StoreError(BackupError):
    """The store did not do what was asked."""


class Exists(StoreError):
    """A conditional write found something there, or something else than was expected."""


class Missing(StoreError):
    """There is no such object, or no such bucket."""


class Denied(StoreError):
    """The store refuses the credential, or the credential may not do this."""


@dataclass(frozen=True)
class Entry:
    """One object of a listing.

    :param modified: seconds since 1970, by the store's clock
    :param tag: changes with the object, as :attr:`Blob.tag` does; "" where listings do not say it
    """

    key: str
    size: int
    modified: float = 0.0
    tag: str = ""


@dataclass(frozen=True)
class Blob:
    """A small object, read whole.

    :param tag: what a conditional write names it by
    :param modified: seconds since 1970 by the store's clock
    :param now: the store's clock when it was read
    """

    data: bytes
    tag: str
    modified: float
    now: float


class Upload(Protocol):
    """An object on its way. Nothing can be seen of it before :meth:`complete`."""

    def part(self, number: int, offset: int, data: bytearray) -> None:
        """Send one part, numbered from 1, that begins at ``offset``; called from several threads.

        :raises StoreError: after all retries
        """

    def complete(self) -> None:
        """Make it visible. :raises StoreError: also when the store says so inside a 200, or its size is another"""

    def abort(self) -> None:
        """Throw it away; never raises."""


@dataclass(frozen=True)
class Place:
    """Where another program finds a prefix of a store.

    :param url: as restic writes it
    :param env: the credential, among others
    :param options: restic's own for this store
    """

    url: str
    env: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


class Store(Protocol):
    """S3 or a directory: the same rules for both. Keys are relative to the store's prefix.

    :ivar credentials: who writes and who deletes can be told apart there
    """

    name: str
    credentials: bool

    def list(self, prefix: str) -> Sequence[Entry]:
        """All objects whose key begins with ``prefix``. :raises StoreError: never a part of the list"""

    def get(self, key: str) -> Blob:
        """A small object. :raises Missing: it is not there"""

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes of an object; goes on where a broken connection left it."""

    def put(self, key: str, data: bytes, absent: bool = False, match: str = "") -> None:
        """Write a small object. :param absent: only if there is none; :param match: only in the place of this tag

        :raises Exists: the condition does not hold
        """

    def upload(self, key: str) -> Upload:
        """Begin an object that comes in parts."""

    def orphans(self, prefix: str) -> Sequence[str]:
        """Keys of uploads that were begun and neither completed nor aborted."""

    def abort_orphans(self, prefix: str) -> int:
        """Abort all of them below a prefix; their number."""

    def delete(self, key: str) -> None:
        """Delete an object, with the credential for that. :raises Denied: there is none, or it may not"""

    def place(self, prefix: str, deleting: bool = False) -> Place:
        """A prefix for another program. :raises Denied: ``deleting``, and there is no credential for that"""

    def uploader_deletes(self, key: str, versions: bool = True) -> bool:
        """Whether who writes may also delete: tried with an object that belongs to no set.

        :param versions: for good, where the bucket keeps versions
        """
