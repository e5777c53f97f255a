# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nginx at hand can do, from what ``nginx -V`` prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import EdgeError

#: ``resolve`` in upstream blocks came to open source nginx with this version; nothing goes stale thanks to it.
OLDEST = (1, 27, 3)


@dataclass(frozen=True)
class Features:
    """Versions and modules of one nginx. The defaults are those of the default image (nginx 1.30, OpenSSL 3.5)."""

    nginx: tuple[int, ...] = (1, 30, 0)
    openssl: tuple[int, ...] = (3, 5, 0)
    http3: bool = True

    @classmethod
    def parse(cls, text: str) -> Features:
        """From the output of ``nginx -V``. :raises EdgeError: an nginx older than :data:`OLDEST`, or no nginx at all"""
        found = re.search(r"nginx version: \S+/(\d+)\.(\d+)\.(\d+)", text)
        if not found:
            raise EdgeError(f"the edge's image holds no nginx that answers `nginx -V` (it said: {text.strip()[:200]})")
        nginx = tuple(int(part) for part in found.groups())
        if nginx < OLDEST:
            raise EdgeError(
                f"the edge's image has nginx {'.'.join(found.groups())}; it needs "
                f"{'.'.join(map(str, OLDEST))} or later (names in upstreams that are resolved again). Set edge_image"
            )
        # "built with OpenSSL 3.6.5 … (running with OpenSSL 3.5.7 …)": the one that runs counts.
        libraries = re.findall(r"(?:built|running) with OpenSSL (\d+)\.(\d+)\.(\d+)", text)
        openssl = tuple(int(part) for part in libraries[-1]) if libraries else (0, 0, 0)
        return cls(nginx, openssl, "--with-http_v3_module" in text)

    @property
    def keepalive_min_timeout(self) -> bool:
        """Whether idle client connections can outlive a reload."""
        return self.nginx >= (1, 27, 4)

    def curves(self, wanted: str) -> str:
        """``wanted``, so that an OpenSSL without post-quantum groups starts all the same.

        OpenSSL 3.3 and later skip a group marked ``?`` that they don't know; before, one such name stops nginx.
        """
        marks = "?" if self.openssl >= (3, 3, 0) else None
        names = [name.removeprefix("?") for name in wanted.split(":")]
        post_quantum = {name for name in names if re.search("MLKEM|Kyber", name, re.IGNORECASE)}
        if marks is None:
            return ":".join(name for name in names if name not in post_quantum)
        return ":".join(marks + name if name in post_quantum else name for name in names)
