# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment has to keep of rotations: their values, and where they stand.

What was given in the inventory at the rotation's time is out of date since. A value that was given anew wins, and ends
the rotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import rotation
from .release import Release, keyed

State = Mapping[str, Mapping[str, str]]


def values(store: Any, good: Release | None, given: Mapping[str, str], key: bytes) -> dict[str, str]:
    """Secret → value, of those that rotations made; as the good release has them, so what a killed run left is undone.

    :param good: the release that runs well, None when there is none
    :param given: secret → value of the inventory
    :param key: the stack's digest key
    """
    if good is None:
        return _brought_back(store, given, key)
    # Of a first step that was killed the good release knows nothing yet; it has the values before it all the same.
    every = {name: of for one in store.releases() for name, of in rotation.names(one.rotation).items()}
    out = {}
    for name, of in every.items():
        before = (good.rotation.get(of, {}).get("given"), good.secret_digests.get(of))
        if name in good.secret_digests and (of not in given or keyed(key, given[of]) in before):
            out[name] = store.secret_version(name, good.secret_digests[name])
    return out


def _brought_back(store: Any, given: Mapping[str, str], key: bytes) -> dict[str, str]:
    """The same on a host that a backup's secrets were brought back to: there is no release yet that knows."""
    out = {}
    state = store.rotation()
    for name, of in rotation.names(state).items():
        kept, first = store.secret(name), store.secret(of)
        if kept is None or first is None:
            continue
        if of not in given or given[of] == first or keyed(key, given[of]) == state[of].get("given"):
            out[name] = kept
    return out


def state(store: Any, good: Release | None, kept: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """Where the rotated secrets stand, for the record. :param kept: of :func:`values`, those the release has"""
    known: State = good.rotation if good else store.rotation()
    return {name: one for name, one in known.items() if name in kept}
