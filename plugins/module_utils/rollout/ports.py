# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens: /proc/<pid>/net/tcp and tcp6 of a container, read from the host, and the sentence about it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

LISTEN = "0A"
#: Docker's embedded DNS server listens in every container's network namespace.
DOCKER_DNS = "127.0.0.11"


@dataclass(frozen=True, order=True)
class Listener:
    """A listening TCP socket. ``loopback``: only programs in the same container reach it."""

    port: int
    address: str

    @property
    def loopback(self) -> bool:
        """Whether nobody outside the container can connect."""
        return ipaddress.ip_address(self.address).is_loopback


def parse_proc_net(text: str) -> list[Listener]:
    """The listeners in the text of /proc/net/tcp or tcp6 (addresses in host byte order, little endian)."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 4 or fields[3] != LISTEN:
            continue
        raw, _, port = fields[1].partition(":")
        words = [bytes.fromhex(raw[at : at + 8])[::-1] for at in range(0, len(raw), 8)]
        address = ipaddress.ip_address(b"".join(words))
        mapped = getattr(address, "ipv4_mapped", None)
        text_address = str(mapped or address)
        if text_address != DOCKER_DNS:
            found.append(Listener(int(port, 16), text_address))
    return sorted(set(found))


def complaint(service: str, path: str, port: int, listeners: Sequence[Listener]) -> str:
    """What is wrong with a route whose port did not answer, and what to do."""
    here = [one for one in listeners if one.port == port]
    text = f"service {service}: route {path} goes to port {port} and nothing listens there"
    if here and all(one.loopback for one in here):
        return (
            f"service {service}: route {path} goes to port {port}, where the container listens on "
            f"{here[0].address} only; make the program listen on 0.0.0.0"
        )
    if here:
        return f"service {service}: route {path} goes to port {port}, which listens but takes no connection"
    others = sorted({one.port for one in listeners if not one.loopback})
    inner = sorted({one.port for one in listeners if one.loopback} - set(others))
    if others:
        listed = ", ".join(map(str, others))
        return f"{text}; the container listens on {listed}. Set x-landfall.route port to the right one"
    if inner:
        return f"{text}; the container listens on {', '.join(map(str, inner))} of its own loopback only"
    return f"{text}; the container listens on no port at all"
