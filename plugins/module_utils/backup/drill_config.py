# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stack's file and the inventory say of drills."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..compose.values import seconds
from .ports import BackupError


@dataclass(frozen=True)
class Check:
    """The application's own question to its restored data.

    :param item: name of an item; else ``service`` says whose database is asked, and ``within`` which one of several: a
        database's name, a SQLite file's path
    :param expect: the whole answer, columns with ``|`` between them; "": any answer that is not empty, false or 0
    """

    query: str
    expect: str = ""
    item: str = ""
    service: str = ""
    within: str = ""

    @property
    def where(self) -> str:
        """For a message."""
        return self.item or f"service {self.service}{f', {self.within}' if self.within else ''}"


@dataclass(frozen=True)
class Side:
    """Names in an item: those that a query gives, or without one the paths of its files."""

    item: str
    query: str = ""


@dataclass(frozen=True)
class Orphans:
    """What of one service points to nothing in another: each name in ``of`` must be in ``within``."""

    name: str
    of: Side
    within: Side


@dataclass(frozen=True)
class DrillConfig:
    """What the inventory says of drills.

    :param image: of the scratch PostgreSQL; "": the image that the database itself runs in
    :param allow_errors: patterns of errors of a restore that are no fault
    :param uploader_may_delete: the credential that uploads may delete as well, knowingly
    :param max_age: seconds that the last good drill may be old, 0 when none is expected
    """

    image: str = ""
    checks: tuple[Check, ...] = ()
    orphans: tuple[Orphans, ...] = ()
    allow_errors: tuple[str, ...] = ()
    uploader_may_delete: bool = False
    max_age: float = 0.0
    ping_url: str = ""


def parse(raw: Mapping[str, Any], wrong: list[str]) -> DrillConfig:
    """``drill`` of the configuration; what is wrong with it is added to ``wrong``."""
    known = {"image", "checks", "orphans", "allow_errors", "uploader_may_delete", "max_age", "ping_url"}
    wrong += [f"drill: {name} is not known" for name in sorted(set(raw) - known)]
    checks = tuple(one for said in raw.get("checks") or () for one in [_check(said, "", wrong)] if one)
    orphans = []
    for said in raw.get("orphans") or ():
        try:
            sides = [Side(str(said[key]["item"]), str(said[key].get("query", ""))) for key in ("of", "within")]
            orphans.append(Orphans(str(said.get("name", said["of"]["item"])), *sides))
        except (KeyError, TypeError, AttributeError):
            wrong.append(f"drill: orphans are {{name, of: {{item, query}}, within: {{item, query}}}}, not {said!r}")
    patterns = [str(one) for one in raw.get("allow_errors") or ()]
    for one in patterns:
        try:
            re.compile(one)
        except re.error as problem:
            wrong.append(f"drill: allow_errors: {one!r} is no pattern: {problem}")
    try:
        max_age = seconds(str(raw.get("max_age") or "0s"))
    except ValueError as problem:
        wrong.append(f"drill: max_age: {problem}")
        max_age = 0.0
    return DrillConfig(
        image=str(raw.get("image", "")),
        checks=checks,
        orphans=tuple(orphans),
        allow_errors=tuple(patterns),
        uploader_may_delete=bool(raw.get("uploader_may_delete", False)),
        max_age=max_age,
        ping_url=str(raw.get("ping_url", "")),
    )


def _check(said: Any, service: str, wrong: list[str]) -> Check | None:
    known = {"query", "expect", "item", "service", "in"}
    if not isinstance(said, Mapping) or not said.get("query") or set(said) - known:
        wrong.append(f"drill: a check is {{item, query, expect}} or {{service, in, query, expect}}, not {said!r}")
        return None
    expect = said.get("expect", "")
    return Check(
        str(said["query"]), _plain(expect), str(said.get("item", "")), str(said.get("service", service)),
        str(said.get("in", "")),
    )  # fmt: skip


def _plain(value: Any) -> str:
    # YAML's true is what psql prints as t.
    return ("t" if value else "f") if isinstance(value, bool) else str(value)


def checks_of(service: str, said: Any) -> list[Check]:
    """The checks that ``x-landfall.backup.drill`` of a service declares: one mapping, or a list of them."""
    wrong: list[str] = []
    found = [_check(one, service, wrong) for one in (said if isinstance(said, Sequence) else [said])]
    if wrong:
        raise BackupError("; ".join(wrong))
    return [one for one in found if one]
