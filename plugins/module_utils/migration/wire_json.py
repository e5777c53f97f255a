# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON text: whether it means the same in PostgreSQL."""

from __future__ import annotations

import json
import re
from typing import Any

_ESCAPES = re.compile(r"\\(?:\\|u([0-9a-fA-F]{4}))")


class _Twice(ValueError):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Twice
    return made


def _constant(name: str) -> Any:
    raise ValueError(name)


def check_json(text: str, normalised: bool) -> str:
    """What keeps a text out of ``json``, or (normalised) out of ``jsonb``; "" when nothing does."""
    try:
        json.loads(text, object_pairs_hook=_pairs if normalised else None, parse_constant=_constant)
    except _Twice:
        return "an object with a key twice, of which jsonb would keep the last"
    except RecursionError:
        return "JSON nested too deeply"
    except ValueError:
        return "text that is no JSON"
    if "\0" in text:
        return "text with a NUL character"
    if normalised and "\\u" in text:
        return _escapes(text)
    return ""


def _escapes(text: str) -> str:
    """jsonb keeps the characters themselves, so none of them may be one that it cannot hold."""
    high = -1
    for found in _ESCAPES.finditer(text):
        if found.group(1) is None:
            continue
        code = int(found.group(1), 16)
        if code == 0:
            return "\\u0000 in JSON, which jsonb cannot hold"
        follows = high == found.start()
        if 0xDC00 <= code < 0xE000 and not follows:
            return "half a surrogate pair in JSON, which jsonb cannot hold"
        if high >= 0 and not (follows and 0xDC00 <= code < 0xE000):
            return "half a surrogate pair in JSON, which jsonb cannot hold"
        high = found.end() if 0xD800 <= code < 0xDC00 else -1
    return "half a surrogate pair in JSON, which jsonb cannot hold" if high >= 0 else ""
