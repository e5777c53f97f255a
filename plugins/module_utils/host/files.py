# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of files as values: what is wanted, what is there, and what differs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class File:
    """A file as it is, or as it should be. mode: permission bits; uid, gid: numbers."""

    path: str
    content: bytes
    mode: int
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Change:
    """What happens to one path. before is None where there is no file yet, after None where it goes away."""

    before: File | None
    after: File | None

    @property
    def path(self) -> str:
        file = self.after or self.before
        return file.path if file else ""

    @property
    def content_differs(self) -> bool:
        return (self.before and self.before.content) != (self.after and self.after.content)


def plan(now: dict[str, File | None], want: dict[str, File | None]) -> list[Change]:
    """The changes that lead from now to want (path → file, None for no file), in the order of want."""
    return [Change(now.get(path), file) for path, file in want.items() if now.get(path) != file]


def difference(change: Change, secret: bool = False) -> dict[str, Any]:
    """One change in the form Ansible's --diff prints. A secret file's content is never in it."""

    def text(file: File | None) -> str:
        if file is None:
            return ""
        head = f"# mode {file.mode:04o}, owner {file.uid}:{file.gid}\n" if not change.content_differs else ""
        return head + ("(secret)\n" if secret else file.content.decode("utf-8", "replace"))

    return {
        "before_header": change.path,
        "after_header": change.path,
        "before": text(change.before),
        "after": text(change.after),
    }
