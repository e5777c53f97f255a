# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a store: sets with their manifests and verdicts, read; and the deletion of what a plan lets go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from ..backup import layout
from ..backup.catalogue import Catalogue, Found, KnownSet, group
from ..backup.drill import Record, record_from_json
from ..backup.manifest import Item, Untrusted, Verdict, from_json, verdict_from_json
from ..backup.ports import Entry, Missing, Store


def read_catalogue(store: Store, stack: str, secret: bytes = b"") -> Catalogue:
    """All sets of a stack. :raises StoreError: the store cannot be listed or read"""
    found = group(store.list(layout.stack_prefix(stack)), stack)
    sets = [known for one in found if one.complete for known in [_known(store, stack, one, secret)] if known]
    return Catalogue(
        tuple(sets), tuple(one for one in found if not one.complete), {one.id: one.entries for one in found}
    )


def _known(store: Store, stack: str, one: Found, secret: bytes) -> KnownSet | None:
    prefix = layout.set_prefix(stack, one.id)
    try:
        raw = store.get(prefix + layout.MANIFEST).data
        manifest = from_json(raw, stack, one.id, secret)
    except Missing:
        return None  # pruned since it was listed
    except Untrusted as problem:
        return KnownSet(one.id, None, fault=str(problem))
    verdict: Verdict | None = None
    if any(entry.key == prefix + layout.VERIFIED for entry in one.entries):
        with contextlib.suppress(Missing):
            verdict = verdict_from_json(store.get(prefix + layout.VERIFIED).data, one.id, raw)
    drill: Record | None = None
    if any(entry.key == prefix + layout.DRILLED for entry in one.entries):
        with contextlib.suppress(Missing):
            drill = record_from_json(store.get(prefix + layout.DRILLED).data)
    return KnownSet(one.id, manifest, verdict, drill=drill)


def read_item(store: Store, item: Item) -> Iterator[bytes]:
    """The stored bytes of an item, its segments in order."""
    for one in item.objects:
        yield from store.read(one.key)


def delete_set(store: Store, stack: str, sid: str, entries: Sequence[Entry]) -> int:
    """Delete a set, its manifest first: a torn deletion is a set that nobody sees. Bytes that were freed.

    :raises StoreError: it may not be deleted, or the store does not answer
    """
    prefix = layout.set_prefix(stack, sid)
    mine = [entry for entry in entries if entry.key.startswith(prefix)]
    last = {f"{prefix}{layout.MANIFEST}": 0, f"{prefix}{layout.VERIFIED}": 1}
    for entry in sorted(mine, key=lambda entry: (last.get(entry.key, 2), entry.key)):
        store.delete(entry.key)
    return sum(entry.size for entry in mine)
