# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: pgp_fingerprints
short_description: Fingerprints of the OpenPGP keys in a key file
version_added: 0.1.0
author: Landfall contributors (@landfall)
description:
  - Lists the fingerprints of all primary public keys in an armored key file, without needing gpg.
options:
  _input:
    description: The text of the key file.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Trust the key only when it is the expected one, and the only one
  ansible.builtin.assert:
    that: key_text | landfall.stack.pgp_fingerprints == ['9DC858229FC7DD38854AE2D88D81803C0EBFCD88']
"""

RETURN = r"""
_value:
  description: Fingerprints in upper-case hex. Empty for a text that is no key.
  type: list
  elements: str
"""

from ansible_collections.landfall.stack.plugins.module_utils.host.openpgp import fingerprints


def pgp_fingerprints(text: str) -> list[str]:
    """Fingerprints in upper-case hex; [] for a text that is no key or a broken one."""
    try:
        return fingerprints(text.encode("utf-8", "surrogateescape")) if "-----BEGIN" in text else []
    except (ValueError, IndexError):
        return []


class FilterModule:
    def filters(self):
        return {"pgp_fingerprints": pgp_fingerprints}
