# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates, the doing half: openssl reads and makes them, certbot gets them, nginx is told of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from ansible_collections.landfall.stack.plugins.module_utils.clients import x509
from ansible_collections.landfall.stack.plugins.module_utils.edge.certificates import (
    Observed,
    Step,
    Wanted,
    certbot_argv,
    decide,
    explain,
)


class CertificateError(Exception):
    """A certificate could not be had; the message says why and what to do."""


def _run(argv: Sequence[str], env: Mapping[str, str] | None = None, timeout: float = 300) -> tuple[int, str]:
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        return 127, f"{argv[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 124, f"{argv[0]} did not end within {timeout:.0f} s"
    return done.returncode, done.stdout.decode(errors="replace")


def read(path: Path) -> Observed | None:
    """The certificate in a PEM file's first block; None when there is none, or one that can't be read.

    :raises CertificateError: openssl can't be asked. Then nothing is known, and nothing may be issued over it.
    """
    if not path.is_file():
        return None
    try:
        seen = x509.read(path.read_bytes())
    except x509.UnreadableError as problem:
        if problem.no_tool:
            raise CertificateError(f"{path} cannot be looked at: {problem}; install openssl on this host") from problem
        return None
    return Observed(seen.names, seen.not_before, seen.not_after, seen.self_signed, seen.issuer)


class Certificates:
    """The certificates of one edge.

    :param root: the edge's directory; ``certs/<name>`` below it holds ``fullchain.pem`` and ``privkey.pem``
    :param owner: uid that reads the keys (nginx's)
    :param reload: argv that makes nginx read its files again, or empty
    """

    def __init__(
        self,
        root: str,
        *,
        directory: str,
        email: str = "",
        ca_bundle: str = "",
        owner: int = 101,
        share: float = 1 / 3,
        key_type: str = "ecdsa",
        reload: Sequence[str] = (),
        certbot: str = "certbot",
        state: str = "/etc/letsencrypt",
    ) -> None:
        self.certs = Path(root, "certs")
        self.webroot = str(Path(root, "www"))
        self.directory, self.email, self.ca_bundle = directory, email, ca_bundle
        self.owner, self.share, self.key_type = owner, share, key_type
        self.reload_argv, self.certbot, self.state = list(reload), certbot, state

    def observe(self, wanted: Wanted) -> Observed | None:
        return read(self.certs / wanted.name / "fullchain.pem")

    def plan(self, wanted: Sequence[Wanted], now: datetime) -> list[Step]:
        return [decide(one, self.observe(one), now, self.share) for one in wanted]

    def placeholder(self, wanted: Wanted) -> bool:
        """A self-signed certificate, so that nginx starts before the CA has answered; False when one is there."""
        if self.observe(wanted) and (self.certs / wanted.name / "privkey.pem").is_file():
            return False
        work = self.certs / f".new-{wanted.name}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, mode=0o700)
        names = ",".join(f"DNS:{domain}" for domain in wanted.domains)
        rc, out = _run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "3650",
                "-subj",
                "/CN=landfall placeholder",
                "-addext",
                f"subjectAltName={names}",
                "-keyout",
                str(work / "privkey.pem"),
                "-out",
                str(work / "fullchain.pem"),
            ]
        )
        if rc:
            raise CertificateError(f"openssl could not make the placeholder for {wanted.name}: {out.strip()[-400:]}")
        self._install(wanted, (work / "fullchain.pem").read_bytes(), (work / "privkey.pem").read_bytes())
        shutil.rmtree(work, ignore_errors=True)
        return True

    def obtain(self, wanted: Wanted) -> None:
        """Issue or renew through the CA and put it in place. Raises CertificateError with the reason and the remedy."""
        env = {"REQUESTS_CA_BUNDLE": self.ca_bundle} if self.ca_bundle else {}
        argv = certbot_argv(
            wanted,
            directory=self.directory,
            webroot=self.webroot,
            email=self.email,
            key_type=self.key_type,
            binary=self.certbot,
            state=self.state,
        )
        rc, out = _run(argv, env)
        if rc:
            raise CertificateError(f"certificate {wanted.name} ({', '.join(wanted.domains)}): {explain(out)}")
        self.deploy(wanted)

    def deploy(self, wanted: Wanted) -> bool:
        """Copy certbot's newest files to where nginx reads them; False when they are the same."""
        live = Path(self.state, "live", wanted.name)
        chain, key = (live / "fullchain.pem").read_bytes(), (live / "privkey.pem").read_bytes()
        current = self.certs / wanted.name / "fullchain.pem"
        if current.is_file() and current.read_bytes() == chain:
            return False
        self._install(wanted, chain, key)
        return True

    def reload(self) -> None:
        """Make nginx read the files. Raises CertificateError when it can't be told."""
        if self.reload_argv:
            rc, out = _run(self.reload_argv)
            if rc:
                raise CertificateError(f"nginx could not be told of the new certificate: {out.strip()[-300:]}")

    def _install(self, wanted: Wanted, chain: bytes, key: bytes) -> None:
        # Certificate and key change together: a directory of their own, then one rename of the link to it.
        self.certs.mkdir(parents=True, exist_ok=True)
        version = self.certs / ".versions" / f"{wanted.name}-{hashlib.sha256(chain).hexdigest()[:16]}"
        shutil.rmtree(version, ignore_errors=True)
        version.mkdir(parents=True)
        for name, data, mode in (("fullchain.pem", chain, 0o444), ("privkey.pem", key, 0o400)):
            descriptor = os.open(version / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chown(version / name, self.owner, self.owner)
        target = self.certs / wanted.name
        link = self.certs / f".link-{wanted.name}"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(".versions", version.name))
        previous = os.readlink(target) if target.is_symlink() else None
        if target.is_dir() and not target.is_symlink():
            target.rename(self.certs / ".versions" / f"{wanted.name}-was-a-directory")
        link.rename(target)
        for old in (self.certs / ".versions").glob(f"{wanted.name}-*"):
            # The one before stays: nginx may be between reading the two.
            if (
                re.fullmatch(re.escape(wanted.name) + r"-[0-9a-f]{16}", old.name)
                and old != version
                and (previous is None or old.name != Path(previous).name)
            ):
                shutil.rmtree(old, ignore_errors=True)


def load(path: str = "/etc/landfall/certificates.json") -> tuple[Certificates, list[Wanted]]:
    """What the role configured, for the timer and the terminal. Raises CertificateError when it isn't there."""
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CertificateError(
            f"{path} is not there: no certificates were configured on this host; "
            "run site.yml with certificates_list or a routed stack"
        ) from None
    wanted = [Wanted.from_dict(one) for one in settings.pop("list")]
    return Certificates(settings.pop("root"), **settings), wanted
