# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of OpenPGP public keys, read without gpg: a bare host has none. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

_ARMOR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)\r?\n(?:=[^\r\n]{4}\r?\n)?-----END PGP",
    re.S,
)
_PUBLIC_KEY = 6


def fingerprints(data: bytes) -> list[str]:
    """The fingerprints (40 upper-case hex digits, version 4) of all primary keys in a key file, armored or binary.

    [] when there is no such key. Raises ValueError on a broken file and on key versions other than 4.
    """
    blocks = [base64.b64decode(block) for block in _ARMOR.findall(data)] if b"-----BEGIN" in data else [data]
    found = []
    for block in blocks:
        for tag, body in _packets(block):
            if tag != _PUBLIC_KEY:
                continue
            if body[:1] != b"\x04":
                raise ValueError("the key is not an OpenPGP version 4 key")
            digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
            found.append(digest.hexdigest().upper())
    return found


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each packet (RFC 4880, section 4.2)."""
    at = 0
    while at < len(data):
        head = data[at]
        if not head & 0x80:
            raise ValueError("the file is no OpenPGP key")
        if head & 0x40:
            tag, first = head & 0x3F, data[at + 1]
            if first < 192:
                start, length = at + 2, first
            elif first < 224:
                start, length = at + 3, ((first - 192) << 8) + data[at + 2] + 192
            elif first == 255:
                start, length = at + 6, int.from_bytes(data[at + 2 : at + 6], "big")
            else:
                raise ValueError("the key holds a packet of unknown length")
        else:
            tag, size = (head & 0x3C) >> 2, head & 3
            if size == 3:
                raise ValueError("the key holds a packet of unknown length")
            start = at + 1 + (1 << size)
            length = int.from_bytes(data[at + 1 : start], "big")
        if start + length > len(data):
            raise ValueError("the key file is cut off")
        yield tag, data[start : start + length]
        at = start + length
