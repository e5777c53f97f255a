# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotation of a secret, in steps of which each two neighbours go together.

A **key** (JWT) has a second variable, of a key that is accepted, too, and never used to sign. A new key is *announced*
as the second one, and when all know it, *switched* to; the old one is the second one then, until the overlap is over.

A **login** of a database has two names, ``<owner>__a`` and ``<owner>__b``, of which one is in use. The other one gets a
new password, is *switched* to, and when the overlap is over the former one may not log in any more.

A step is a release; where each secret stands, its record says (:attr:`.release.Release.rotation`). So a step that is
undone takes its state along, and whatever a killed run left, the last good release tells what is true.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Where a secret stands. ``settled`` is one that is not being rotated.
SETTLED, ANNOUNCED, SWITCHED = "settled", "announced", "switched"

#: What is to be done with a secret on a host.
BEGIN, SWITCH, SETTLE, UNDO, WAIT, NONE = "begin", "switch", "settle", "undo", "wait", "none"

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True)
class Spec:
    """A secret that is rotated.

    :param secret: its name
    :param second: the name of the second key, "" for a database's login
    :param overlap: seconds that the old one is accepted beside the new one
    :param every: seconds after which it is rotated without being asked for; 0: never
    """

    secret: str
    second: str = ""
    overlap: float = DAY
    every: float = 90 * DAY


@dataclass(frozen=True)
class Standing:
    """Where a secret stands on one host.

    :param stage: settled, announced or switched
    :param age: seconds since it got there, by the host's clock; of one that was never rotated, its file's age
    :param user: who logs in, of a database's URL
    :param base: to which database
    """

    stage: str = SETTLED
    age: float = 0.0
    user: str = ""
    base: str = ""


class CannotRotate(Exception):
    """A rotation that cannot be begun; the message says why and what to do."""


def spec_of(item: Mapping[str, Any]) -> Spec:
    """An entry of a stack's ``rotate``. :raises CannotRotate: what is wrong with it"""
    known = {"secret", "second", "overlap_hours", "every_days", "database"}
    strange = sorted(set(item) - known)
    if strange:
        raise CannotRotate(f"rotate: {', '.join(strange)} is not known; known are {', '.join(sorted(known))}")
    name = str(item.get("secret") or "")
    if not name:
        raise CannotRotate("rotate: an entry without 'secret': name the secret that is to be rotated")
    if bool(item.get("second")) == bool(item.get("database")):
        raise CannotRotate(
            f"rotate: {name}: give 'second' (the variable of a second key that is accepted) for a key, or 'database' "
            "(with 'admin', a URL that may create logins) for a database's URL; exactly one of them"
        )
    if item.get("database") and not (isinstance(item["database"], Mapping) and item["database"].get("admin")):
        raise CannotRotate(f"rotate: {name}: database.admin is missing: the URL of a login that may create others")
    try:
        overlap, every = (
            float(item.get("overlap_hours", Spec.overlap / HOUR)) * HOUR,
            float(item.get("every_days", Spec.every / DAY)) * DAY,
        )
    except (TypeError, ValueError) as problem:
        raise CannotRotate(f"rotate: {name}: overlap_hours and every_days are numbers") from problem
    if overlap < 0 or every < 0:
        raise CannotRotate(f"rotate: {name}: overlap_hours and every_days are not negative")
    return Spec(name, str(item.get("second") or ""), overlap, every)


def names(state: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Secret → the secret it belongs to, of all whose values are the rotation's. :param state: of a release's record"""
    found = {name: name for name in state}
    found.update({one["second"]: name for name, one in state.items() if one.get("second")})
    return found


def lines(state: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a person has to know of rotations that are not over. :param state: of a release's record"""
    said = {
        ANNOUNCED: "a new one is accepted since {at}, and not in use yet: run rotate.yml to go on",
        SWITCHED: "a new one is in use since {at}, the one before still holds: rotate.yml ends that after the overlap",
    }
    return [
        f"{name}: " + said[one["stage"]].format(at=one.get("at", "an unknown time"))
        for name, one in sorted(state.items())
        if one.get("stage") in said
    ]


def step(stage: str, spec: Spec, values: Mapping[str, str], fresh: str) -> dict[str, str]:
    """The values that a step changes.

    :param stage: where it goes to
    :param values: secret → value as they are
    :param fresh: the new key with ``announced``, the new URL with ``switched`` of a login; else not looked at
    """
    if not spec.second:
        return {spec.secret: fresh} if stage == SWITCHED else {}
    if stage == ANNOUNCED:
        return {spec.second: fresh}
    if stage == SWITCHED:
        return {spec.secret: values[spec.second], spec.second: values[spec.secret]}
    return {spec.second: ""}


def back(stage: str, spec: Spec, values: Mapping[str, str], was: str) -> dict[str, str]:
    """The values before a rotation that is undone. :param was: the URL before, of a login"""
    if not spec.second:
        return {spec.secret: was} if stage == SWITCHED else {}
    if stage == SWITCHED:
        return {spec.secret: values[spec.second], spec.second: ""}
    return {spec.second: ""}


def decide(
    spec: Spec, hosts: Mapping[str, Standing], asked: bool, overlap: float | None = None
) -> tuple[dict[str, str], str]:
    """What is to be done with one secret on each host, and why.

    A run that ended between two hosts leaves them apart: a key that not all know is taken back, one that some sign with
    already is switched to by the others, and a login that not all have is taken back.

    :param hosts: host → where it stands there, at least one
    :param asked: somebody wants it rotated now
    :param overlap: seconds, instead of the secret's own
    :raises CannotRotate: somebody wants it, and the one before is not over
    """
    kept = spec.overlap if overlap is None else overlap
    switched = [one for one in hosts.values() if one.stage == SWITCHED]
    stages = {one.stage for one in hosts.values()}

    def only(stage: str, what: str) -> dict[str, str]:
        return {name: what if one.stage == stage else NONE for name, one in hosts.items()}

    if switched and not spec.second and len({one.user for one in hosts.values()}) > 1:
        newest = min(switched, key=lambda one: one.age).user
        return (
            {name: UNDO if one.stage == SWITCHED and one.user == newest else NONE for name, one in hosts.items()},
            "a run ended before all hosts had the new login: it is taken back first",
        )
    if ANNOUNCED in stages and SETTLED in stages:
        return only(ANNOUNCED, UNDO), "a run ended before all hosts knew the new key: it is taken back first"
    if ANNOUNCED in stages:
        return only(ANNOUNCED, SWITCH), "a run ended before the switch, and goes on"
    if switched:
        left = kept - min(one.age for one in switched)
        if left <= 0:
            return only(SWITCHED, SETTLE), "the overlap is over"
        hours = f"{left / HOUR:.1f} hours"
        if asked:
            raise CannotRotate(
                f"{spec.secret} was rotated, and the one before is accepted for {hours} more: run again then, or end "
                "that now with -e overlap=0 (whoever has only the old one is sent away)"
            )
        return dict.fromkeys(hosts, WAIT), f"the one before is accepted for {hours} more"
    age = max(one.age for one in hosts.values())
    if asked:
        return dict.fromkeys(hosts, BEGIN), "asked for"
    due = spec.every and age >= spec.every
    return dict.fromkeys(hosts, BEGIN if due else NONE), f"it is {age / DAY:.0f} days old"


def unknown(asked: Collection[str], declared: Sequence[str]) -> str:
    """What is wrong with the names asked for, "" when nothing is."""
    missing = sorted(set(asked) - set(declared))
    if not missing:
        return ""
    known = ", ".join(sorted(declared)) or "none"
    return f"{', '.join(missing)}: not under 'rotate' of a stack; those that are: {known}"


# --- logins


def owner(user: str) -> str:
    """The role that a login stands for: ``app`` of ``app``, ``app__a`` and ``app__b``."""
    return user[:-3] if user.endswith(("__a", "__b")) else user


def other(user: str) -> str:
    """The login that is not in use; of the owner itself it is ``<owner>__a``."""
    return f"{owner(user)}__b" if user.endswith("__a") else f"{owner(user)}__a"


def login_of(url: str) -> tuple[str, str]:
    """Who logs in by a database's URL, and to which database. :raises CannotRotate: it is none, or names nobody"""
    found = _split(url)
    if not found.scheme or not found.hostname or not found.username:
        raise CannotRotate(
            "its value is no URL with a user (postgresql://user:password@host/database), so there is no login to rotate"
        )
    user = urllib.parse.unquote(found.username)
    return user, urllib.parse.unquote(found.path.lstrip("/")) or user


def with_login(url: str, user: str, password: str) -> str:
    """The same URL with another login."""
    found = _split(url)
    place = found.netloc.rpartition("@")[2]
    login = f"{urllib.parse.quote(user, safe='')}:{urllib.parse.quote(password, safe='')}"
    return urllib.parse.urlunsplit(found._replace(netloc=f"{login}@{place}"))


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit(url)
    except ValueError as problem:
        # The URL holds a password: nothing of it is told.
        raise CannotRotate("its value is no URL") from problem
