# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several Compose files as one, as far as the checks need it.

Compose merges mappings key by key, appends lists and replaces single values. ``x-`` keys it treats differently
from version to version (2.26 replaces them whole, 2.40 merges them), so ``x-landfall`` follows one rule of its
own, here: mappings merge key by key, lists and single values of the later file take the place of the earlier.
All else that a deploy uses is the output of ``docker compose config``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .schema import KEY
from .yamldoc import OVERRIDE, RESET, Document, Path

_AS_MAPPING = ("depends_on", "networks")
_REPLACED = ("command", "entrypoint", "test")


def merge(documents: Sequence[Document]) -> dict[str, Any]:
    """The merged content; the documents stay as they are."""
    out: dict[str, Any] = {}
    for document in documents:
        out = _mapping(out, document.data, document, ())
    return out


def _mapping(base: dict[str, Any], over: dict[str, Any], document: Document, path: Path) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        place = (*path, key)
        tag = document.tags.get(place)
        if tag == RESET:
            out.pop(key, None)
        elif tag == OVERRIDE or key in _REPLACED or key not in out:
            out[key] = value
        else:
            out[key] = _value(out[key], value, document, place)
    return out


def _value(base: Any, over: Any, document: Document, path: Path) -> Any:
    if path[-1] in _AS_MAPPING and len(path) == 3:
        base, over = as_mapping(base), as_mapping(over)
    if isinstance(base, dict) and isinstance(over, dict):
        return _mapping(base, over, document, path)
    if isinstance(base, list) and isinstance(over, list):
        return over if KEY in path else [*base, *over]
    return base if over is None else over


def as_mapping(value: Any) -> Any:
    """``[a, b]`` → ``{a: None, b: None}``; anything else as it is."""
    return {str(item): None for item in value} if isinstance(value, list) else value


def with_extensions(config: Mapping[str, Any], documents: Sequence[Document]) -> dict[str, Any]:
    """``docker compose config``'s result with ``x-landfall`` merged by our rule, whatever Compose's version.

    A service that ``extends`` another, or that no given file gives an ``x-landfall``, keeps what Compose says.

    :param documents: the same files, interpolated, in the same order
    """
    merged = merge(documents)
    out = dict(config)
    if KEY in merged:
        out[KEY] = merged[KEY]
    services = merged.get("services") or {}
    out["services"] = {
        name: {**service, KEY: services[name][KEY]}
        if KEY in (services.get(name) or {}) and "extends" not in services[name]
        else service
        for name, service in (config.get("services") or {}).items()
    }
    return out
