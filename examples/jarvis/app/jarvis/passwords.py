# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Password hashes: scrypt from the standard library, the parameters stored with each hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import threading

N, R, P = 2**14, 8, 1  # 16 MiB a hash
# Bounds the memory: without it a burst of logins would hold 16 MiB for each worker thread.
_slots = threading.BoundedSemaphore(2)


def _derive(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    with _slots:
        return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=64 * 2**20, dklen=32)


def hash_password(password: str) -> str:
    """Return ``scrypt$n$r$p$salt$hash`` (base64) with a fresh salt."""
    salt = os.urandom(16)
    digest = _derive(password, salt, N, R, P)
    return "$".join(
        ("scrypt", str(N), str(R), str(P), base64.b64encode(salt).decode(), base64.b64encode(digest).decode())
    )


def verify_password(password: str, stored: str) -> bool:
    """Whether the password fits the stored hash; False for a hash of unknown form."""
    try:
        kind, n, r, p, salt, digest = stored.split("$")
        if kind != "scrypt":
            return False
        derived = _derive(password, base64.b64decode(salt), int(n), int(r), int(p))
        return hmac.compare_digest(derived, base64.b64decode(digest))
    except ValueError:
        return False
