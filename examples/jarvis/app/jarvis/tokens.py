# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access tokens: JWTs signed with one shared secret, with a second one accepted while a rotation lasts."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import jwt

ISSUER = "jarvis-auth"


class InvalidToken(Exception):
    """The token is expired, forged or not one of ours; the message says which."""


@dataclass(frozen=True)
class Tokens:
    """Issues and checks tokens. ``secret`` signs; ``previous`` (may be empty) only checks. Lifetime in seconds."""

    secret: str
    previous: str = ""
    algorithm: str = "HS256"
    lifetime_s: int = 24 * 3600

    def issue(self, subject: str, name: str, now: float | None = None) -> str:
        """A signed token for the user with id ``subject`` and name ``name``; ``now`` is seconds since the epoch."""
        issued = int(time.time() if now is None else now)
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "name": name,
            "iat": issued,
            "exp": issued + self.lifetime_s,
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode(claims, self.secret, algorithm=self.algorithm)

    def check(self, token: str) -> dict[str, Any]:
        """The claims of a valid token. Raises InvalidToken."""
        for secret in filter(None, (self.secret, self.previous)):
            try:
                return jwt.decode(
                    token,
                    secret,
                    algorithms=[self.algorithm],
                    issuer=ISSUER,
                    options={"require": ["exp", "iat", "sub", "name"]},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError as error:
                raise InvalidToken("The token has expired: log in again.") from error
            except jwt.InvalidTokenError as error:
                raise InvalidToken("The token is not valid.") from error
        raise InvalidToken("The token's signature does not match: log in again.")
