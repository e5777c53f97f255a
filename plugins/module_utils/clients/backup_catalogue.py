# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a store: sets with their manifests and verdicts, read; and the deletion of what a plan lets go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..backup import layout
from ..backup.catalogue import Catalogue, Found, KnownSet, group
from ..backup.drill import Record, record_from_json
from ..backup.manifest import Item, Untrusted, Verdict, from_json, verdict_from_json
from ..backup.ports import Entry, Missing, Store

#: Sets that are read side by side: each takes up to three questions, and a store far away some 50 ms for each.
READERS = 8
#: (key, tag) → what stands there.
Seen = MutableMapping["tuple[str, str]", bytes]


def read_catalogue(store: Store, stack: str, secret: bytes = b"", seen: Seen | None = None) -> Catalogue:
    """All sets of a stack.

    :param seen: what was read before; of that only what has changed since is read again
    :raises StoreError: the store cannot be listed or read
    """
    found = group(store.list(layout.stack_prefix(stack)), stack)
    known = {} if seen is None else seen
    with ThreadPoolExecutor(READERS) as pool:
        sets = list(pool.map(lambda one: _known(store, stack, one, secret, known), found))
    return Catalogue(
        tuple(one for one in sets if one),
        tuple(one for one in found if not one.complete),
        {one.id: one.entries for one in found},
    )


def _known(store: Store, stack: str, one: Found, secret: bytes, seen: Seen) -> KnownSet | None:
    prefix = layout.set_prefix(stack, one.id)
    entries = {entry.key.removeprefix(prefix): entry for entry in one.entries}
    if layout.MANIFEST not in entries:
        return None
    try:
        raw = _read(store, entries[layout.MANIFEST], seen)
        manifest = from_json(raw, stack, one.id, secret)
    except Missing:
        return None  # pruned since it was listed
    except Untrusted as problem:
        return KnownSet(one.id, None, fault=str(problem))
    verdict: Verdict | None = None
    if layout.VERIFIED in entries:
        with contextlib.suppress(Missing):
            verdict = verdict_from_json(_read(store, entries[layout.VERIFIED], seen), one.id, raw)
    drill: Record | None = None
    if layout.DRILLED in entries:
        with contextlib.suppress(Missing):
            drill = record_from_json(_read(store, entries[layout.DRILLED], seen))
    return KnownSet(one.id, manifest, verdict, drill=drill)


def _read(store: Store, entry: Entry, seen: Seen) -> bytes:
    known = seen.get((entry.key, entry.tag)) if entry.tag else None
    if known is not None:
        return known
    blob = store.get(entry.key)
    seen[entry.key, blob.tag] = blob.data
    return blob.data


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
