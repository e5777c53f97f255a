# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.filter.pgp_fingerprints import pgp_fingerprints
from ansible_collections.landfall.stack.plugins.module_utils.host.openpgp import fingerprints

KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawExRBYJKwYBBAHaRw8BAQdAVu7AazKq4IT7luNzzjVihXW3amdQUTlxmI46
6KLj6OG0GFRlc3QgPHRlc3RAZXhhbXBsZS50ZXN0PoiQBBMWCAA4FiEEuzp6FwIX
wp/AfXC6IqTEMN65LSMFAmsBMUQCGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AA
CgkQIqTEMN65LSPKLgD/V733kbYD129f+DR9Z4wTpJ0/DmA3etmQCJFldMmvD90B
AO4jaYuKhmWmcs/NDd2KIhuzhzQzSyMJ0nOmSsMh3fkG
=jEP/
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINT = "BB3A7A170217C29FC07D70BA22A4C430DEB92D23"


def test_the_fingerprint_is_what_gpg_says():
    assert fingerprints(KEY.encode()) == [FINGERPRINT]
    assert pgp_fingerprints(KEY) == [FINGERPRINT]


def test_a_second_key_in_the_file_is_seen():
    assert pgp_fingerprints(KEY + KEY) == [FINGERPRINT, FINGERPRINT]


@pytest.mark.parametrize("text", ["", "<html>404</html>", KEY.replace("\n\n", "\n\nAAAA", 1)])
def test_anything_else_has_no_fingerprint(text):
    assert pgp_fingerprints(text) == []


def test_a_key_that_is_cut_off_is_refused():
    with pytest.raises(ValueError, match=r"cut off|no OpenPGP"):
        fingerprints(b"\x99\x01\x0d\x04")
