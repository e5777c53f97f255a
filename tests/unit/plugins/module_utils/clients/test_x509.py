# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as openssl reads them, among them those without a subject, as ACME CAs issue them now."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime, timezone

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import certbot, x509

# What openssl prints of a certificate whose subject is empty: the next line is not its value.
NO_SUBJECT = """notBefore=Nov 21 07:17:15 2026 GMT
notAfter=Feb  9 07:17:14 2027 GMT
subject=
issuer=CN=Some Intermediate 67d1a4
X509v3 Subject Alternative Name: critical
    DNS:a.test, DNS:*.b.test, IP Address:192.0.2.1
"""
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


def test_a_certificate_without_a_subject_has_an_issuer():
    assert x509.parse(NO_SUBJECT) == x509.Facts(
        ("a.test", "*.b.test"),
        "Some Intermediate 67d1a4",
        datetime(2026, 11, 21, 7, 17, 15, tzinfo=timezone.utc),
        datetime(2027, 2, 9, 7, 17, 14, tzinfo=timezone.utc),
        False,
    )


@pytest.mark.parametrize(
    ("name", "issuer"),
    [
        ("CN=R11,O=Let's Encrypt,C=US", "R11"),
        ("O=Foo\\, Inc \\+ Bar,C=US", "Foo, Inc + Bar"),
        ("C=DE", "C=DE"),
        ("O=first,CN=second", "second"),
        ("OCN=no,O=yes", "yes"),
    ],
)
def test_the_issuer_by_its_best_name(name, issuer):
    assert x509.parse(NO_SUBJECT.replace("CN=Some Intermediate 67d1a4", name)).issuer == issuer


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("issuer=CN=Some Intermediate 67d1a4", "issuer=", "says nothing of its issuer"),
        ("notAfter", "not", "says nothing of its notAfter"),
        ("2027 GMT", "2027 CET", "a time nobody knows"),
    ],
)
def test_what_is_not_told_is_not_made_up(old, new, words):
    with pytest.raises(x509.UnreadableError, match=words):
        x509.parse(NO_SUBJECT.replace(old, new))


@needs_openssl
def test_pem_and_der(tmp_path):
    out = tmp_path / "c.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    argv += ["-utf8", "-subj", "/O=Só, Inc", "-addext", "subjectAltName=DNS:toy.test", "-keyout", str(tmp_path / "k")]
    subprocess.run([*argv, "-out", str(out)], check=True, capture_output=True)
    der = subprocess.run(["openssl", "x509", "-in", str(out), "-outform", "DER"], check=True, capture_output=True)
    found = x509.read(out.read_bytes())
    assert (found.names, found.issuer, found.self_signed) == (("toy.test",), "Só, Inc", True)
    assert x509.read(der.stdout) == found


@needs_openssl
def test_what_is_no_certificate(tmp_path):
    with pytest.raises(x509.UnreadableError, match="openssl cannot read it") as caught:
        x509.read(b"nonsense")
    assert not caught.value.no_tool
    (tmp_path / "c.pem").write_text("nonsense")
    assert certbot.read(tmp_path / "c.pem") is None


def test_without_openssl_nothing_is_issued_over_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    (tmp_path / "c.pem").write_text("-----BEGIN CERTIFICATE-----")
    with pytest.raises(certbot.CertificateError, match="install openssl"):
        certbot.read(tmp_path / "c.pem")
    assert certbot.read(tmp_path / "none.pem") is None
