# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a certificate says of itself, read by the openssl program, which every host has."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from datetime import datetime, timezone

_ASKED = (
    "-startdate",
    "-enddate",
    "-subject",
    "-issuer",
    "-nameopt",
    "RFC2253,-esc_msb,utf8",
    "-ext",
    "subjectAltName",
)


class UnreadableError(Exception):
    """Nothing can be said of a certificate; ``str()`` says why. ``no_tool``: for lack of openssl, not its own fault."""

    def __init__(self, why: str, no_tool: bool = False) -> None:
        super().__init__(why)
        self.no_tool = no_tool


@dataclass(frozen=True)
class Facts:
    """A certificate. ``issuer``: its issuer's common name, else organisation, else the whole name; times are UTC."""

    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime
    self_signed: bool


def read(certificate: bytes) -> Facts:
    """The first certificate of a PEM text, or a DER one. :raises UnreadableError: it is none, or openssl is missing"""
    form = "PEM" if b"-----BEGIN" in certificate else "DER"
    try:
        done = subprocess.run(
            ["openssl", "x509", "-inform", form, "-noout", *_ASKED],
            input=certificate,
            capture_output=True,
            timeout=20,
            check=False,
        )
    except FileNotFoundError:
        raise UnreadableError("openssl is not installed on this host", no_tool=True) from None
    except subprocess.TimeoutExpired:
        raise UnreadableError("openssl did not answer within 20 s", no_tool=True) from None
    text = done.stdout.decode(errors="replace")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UnreadableError(f"openssl cannot read it: {said[0] if said else f'it ended with {done.returncode}'}")
    return parse(text)


def parse(text: str) -> Facts:
    """What ``openssl x509`` printed. :raises UnreadableError: without the two times or the names of both sides"""
    fields = dict(re.findall(r"^(notBefore|notAfter|subject|issuer)= ?(.*)$", text, re.MULTILINE))
    lacking = [name for name in ("notBefore", "notAfter", "issuer") if not fields.get(name, "").strip()]
    if lacking:
        raise UnreadableError(f"openssl says nothing of its {', '.join(lacking)}")
    issuer = fields["issuer"].strip()
    return Facts(
        names=tuple(re.findall(r"DNS:([^,\s]+)", text)),
        issuer=_part(issuer, "CN") or _part(issuer, "O") or issuer,
        not_before=_moment(fields["notBefore"]),
        not_after=_moment(fields["notAfter"]),
        self_signed=fields.get("subject", "").strip() == issuer,
    )


def _part(name: str, key: str) -> str:
    """The value of one attribute of a name as RFC 2253 writes it (a comma inside a value has a backslash)."""
    found = re.search(rf"(?:^|[,+]){key}=((?:\\.|[^,+\\])*)", name)
    return re.sub(r"\\(.)", r"\1", found[1]).strip() if found else ""


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text.strip(), "%b %d %H:%M:%S %Y GMT").replace(tzinfo=timezone.utc)
    except ValueError:
        raise UnreadableError(f"openssl gives a time nobody knows: {text.strip()}") from None
