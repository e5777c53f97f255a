# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates, the deciding half: what is due, what to ask certbot, and what its failures mean to an operator.

Pure: values in, values out; the time is handed in. :mod:`..clients.certbot` does what is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

#: Renew when this share of the lifetime is left. A third is what certbot 4 and Let's Encrypt's integration guide use;
#: it fits 90-day, 45-day and 6-day certificates alike, where "30 days before" would renew the short ones for ever.
RENEW_SHARE = 1 / 3


@dataclass(frozen=True)
class Wanted:
    """A certificate that should be there: its name (a directory) and its domains, the first being the subject."""

    name: str
    domains: tuple[str, ...]

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Wanted:
        """From ``{name, domains}``. Raises ValueError that names what is wrong with it."""
        name = str(value.get("name") or "")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ValueError(f"certificate name {name!r}: use letters, digits, '.', '_' and '-', 64 at most")
        domains = tuple(str(domain).lower().rstrip(".") for domain in value.get("domains") or ())
        if not domains:
            raise ValueError(f"certificate {name}: `domains` is empty; list the names it is for")
        for domain in domains:
            if not re.fullmatch(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}|localhost", domain):
                raise ValueError(
                    f"certificate {name}: {domain!r} is no host name that an ACME CA issues for by webroot"
                    + (" (wildcards need a DNS challenge)" if "*" in domain else "")
                )
        return cls(name, domains)


@dataclass(frozen=True)
class Observed:
    """A certificate as it lies on the host. Times are aware UTC."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    self_signed: bool
    issuer: str


@dataclass(frozen=True)
class Step:
    """What to do for one certificate: ``keep``, ``issue`` or ``renew``, and why, in the operator's words."""

    wanted: Wanted
    action: str
    reason: str


def due_at(not_before: datetime, not_after: datetime, share: float = RENEW_SHARE) -> datetime:
    """The moment from which a certificate is due: when ``share`` of its lifetime is left."""
    return not_after - (not_after - not_before) * share


def due(not_before: datetime, not_after: datetime, now: datetime, share: float = RENEW_SHARE) -> bool:
    """Whether ``share`` or less of the lifetime is left at ``now``."""
    return now >= due_at(not_before, not_after, share)


def decide(wanted: Wanted, observed: Observed | None, now: datetime, share: float = RENEW_SHARE) -> Step:
    """Compare what should be there with what is."""
    if observed is None:
        return Step(wanted, "issue", "there is none yet")
    if observed.self_signed:
        return Step(wanted, "issue", "only the self-signed placeholder is there")
    missing = sorted(set(wanted.domains) - set(observed.names))
    extra = sorted(set(observed.names) - set(wanted.domains))
    if missing or extra:
        parts = ([f"it lacks {', '.join(missing)}"] if missing else []) + (
            [f"it still names {', '.join(extra)}"] if extra else []
        )
        return Step(wanted, "issue", " and ".join(parts))
    left = observed.not_after - now
    if due(observed.not_before, observed.not_after, now, share):
        return Step(
            wanted,
            "renew",
            "it has expired"
            if left <= timedelta(0)
            else f"{describe(left)} left of {describe(observed.not_after - observed.not_before)}",
        )
    return Step(wanted, "keep", f"good for {describe(left)}")


def describe(span: timedelta) -> str:
    """A span as a person says it: ``62 days``, ``5 hours``, ``90 seconds``."""
    seconds = int(span.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds // size} {unit}s"
    return f"{seconds} seconds"


def certbot_argv(
    wanted: Wanted,
    *,
    directory: str,
    webroot: str,
    email: str,
    key_type: str = "ecdsa",
    binary: str = "certbot",
    state: str = "/etc/letsencrypt",
) -> list[str]:
    """The one command for both issue and renewal.

    ``certonly`` with the whole wanted list: no state of certbot's decides anything, so a changed list, a lost
    /etc/letsencrypt and a renewal are the same case. The flags exist since certbot 1.21 (Ubuntu 22.04).
    """
    argv = [
        binary,
        "certonly",
        "--non-interactive",
        "--agree-tos",
        "--webroot",
        "--webroot-path",
        webroot,
        "--server",
        directory,
        "--cert-name",
        wanted.name,
        "--key-type",
        key_type,
        "--force-renewal",
        "--renew-with-new-domains",
        "--config-dir",
        state,
    ]
    argv += ["--email", email, "--no-eff-email"] if email else ["--register-unsafely-without-email"]
    for domain in wanted.domains:
        argv += ["--domain", domain]
    return argv


# ACME problem types (RFC 8555, section 6.7) and what certbot prints around them, most telling first.
_REASONS: tuple[tuple[str, str, str], ...] = (
    (
        r"rateLimited|too many (certificates|failed authorizations|requests)",
        "the CA's rate limit is reached",
        "wait until the time it names (a week for certificates, an hour for failed tries); test against the staging "
        "directory meanwhile (certificates_acme_directory)",
    ),
    (
        r"urn:ietf:params:acme:error:caa|CAA record",
        "a CAA record of the domain forbids this CA",
        "add the CA to the domain's CAA records, or remove them",
    ),
    (
        r"NXDOMAIN|error:dns|DNS problem|no valid (A|IP)",
        "the name does not resolve to an address",
        "set an A (and AAAA) record for it that points to this host, and wait until it is visible everywhere",
    ),
    (
        r"rejectedIdentifier|blocked|policy forbids",
        "the CA refuses to issue for this name",
        "check the spelling of the domain; test names cannot be issued by a public CA",
    ),
    (
        r"Connection refused|error:connection|Timeout during connect|Fetching http",
        "the CA could not reach port 80 of the name's address",
        "check that the name's A and AAAA records are this host's, and that port 80 is open in "
        "every firewall before it (the provider's too)",
    ),
    (
        r"unauthorized|Invalid response from",
        "something else than this host answered the challenge",
        "the name's A or AAAA record points elsewhere, or a proxy stands before this host; correct it",
    ),
    (
        r"invalidEmail|invalidContact|unsupportedContact",
        "the CA refuses the contact address",
        "set certificates_email to an address that exists, or to an empty string",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "the ACME directory's own certificate is not trusted",
        "for a private CA set certificates_ca_bundle to its root certificate",
    ),
    (
        r"NewConnectionError|Name or service not known|Failed to establish|Max retries exceeded|"
        r"Temporary failure in name resolution|Network is unreachable",
        "the ACME directory cannot be reached",
        "check the host's outgoing network and certificates_acme_directory",
    ),
    (r"another instance of certbot", "another certbot is running", "wait until it has ended, then run again"),
    (r"No space left on device", "the disk is full", "free some space, then run again"),
)


def explain(text: str) -> str:
    """Certbot's output as one sentence with its remedy; the CA's own detail is kept at the end."""
    detail = " ".join(re.findall(r"Detail:\s*(.+)", text)) or next(
        (
            line.strip()
            for line in reversed(text.splitlines())
            if line.strip() and not line.startswith(("Ask for help", "Saving debug log", "See the logfile"))
        ),
        "no output",
    )
    for pattern, what, remedy in _REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            return f"{what}: {remedy}. (The answer was: {detail[:400]})"
    return f"certbot failed: {detail[:600]}. Its log is /var/log/letsencrypt/letsencrypt.log"


def render_list(rows: Sequence[tuple[str, Observed | None, Step]]) -> list[str]:
    """The lines of ``landfall certificates list``."""
    lines = [f"{'CERTIFICATE':<24} {'ISSUER':<28} {'EXPIRES':<17} NEXT"]
    for name, observed, step in rows:
        issuer = "-" if observed is None else ("self-signed placeholder" if observed.self_signed else observed.issuer)
        expires = "-" if observed is None else observed.not_after.strftime("%Y-%m-%d %H:%MZ")
        lines.append(f"{name:<24} {issuer[:28]:<28} {expires:<17} {step.action}: {step.reason}")
    return lines
