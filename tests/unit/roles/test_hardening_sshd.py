# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""sshd's drop-in on hosts with other keys than a lab's. The role's variables are rendered by Ansible itself; what the
probe says of the host is put in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[3] / "roles" / "hardening"
SAID = {
    "sshd": "yes",
    "ssh_port_in_use": "22",
    "connecting_user": "root",
    "key_users": "root",
    "kex": "mlkem768x25519-sha256",
    "ciphers": "aes256-ctr",
    "macs": "hmac-sha2-512-etm@openssh.com",
    "host_keys": "ssh-ed25519 rsa-sha2-512 rsa-sha2-256 rsa-sha2-512-cert-v01@openssh.com ecdsa-sha2-nistp256",
}


def drop_in(bits: str, **inventory: Any) -> dict[str, list[str]]:
    """The rendered drop-in: keyword → its values. :param bits: the host's keys, as the probe says them"""
    loader = DataLoader()
    loader.set_basedir(str(ROLE))
    variables = {
        **loader.load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True),
        **loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True),
        "ansible_check_mode": False,
        "__hardening_probe": {"stdout_lines": [f"{key}={value}" for key, value in SAID.items()]},
        "ansible_managed": "managed",
        **inventory,
    }
    variables["__hardening_probe"]["stdout_lines"].append(f"host_key_bits={bits}")
    templar = Templar(loader=loader, variables=variables)
    text = templar.template(trust_as_template((ROLE / "templates" / "sshd.conf.j2").read_text()))
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            keyword, _, value = line.partition(" ")
            found.setdefault(keyword.lower(), []).append(value)
    return found


@pytest.mark.parametrize(
    ("bits", "kinds"),
    [
        ("RSA=3072 ECDSA=256 ED25519=256", {"ssh-ed25519", "rsa"}),
        ("RSA=2048 ECDSA=256 ED25519=256", {"ssh-ed25519"}),
        ("RSA=4096 ECDSA=256", {"ssh-ed25519", "rsa"}),
        # Nothing better is there: what the host has is kept, or nobody gets in any more.
        ("RSA=2048 ECDSA=256", {"ssh-ed25519", "rsa", "ecdsa"}),
        ("ECDSA=256", {"ssh-ed25519", "rsa", "ecdsa"}),
        ("", {"ssh-ed25519", "rsa", "ecdsa"}),
    ],
)
def test_weak_host_keys_are_not_offered_unless_there_is_no_better_one(bits, kinds):
    (names,) = drop_in(bits)["hostkeyalgorithms"]
    assert {name if name == "ssh-ed25519" else name.split("-")[0] for name in names.split(",")} == kinds


@pytest.mark.parametrize(("bits", "rsa"), [("RSA=3072 ECDSA=256 ED25519=256", True), ("RSA=2048 ED25519=256", False)])
def test_the_switch_brings_the_ecdsa_key_back_and_no_short_rsa_key(bits, rsa):
    (names,) = drop_in(bits, hardening_ssh_ecdsa_host_key=True)["hostkeyalgorithms"]
    assert "ecdsa-sha2-nistp256" in names and ("rsa-" in names) == rsa


def test_options_win_over_settings_of_the_role():
    given = drop_in("ED25519=256", hardening_ssh_options={"clientaliveinterval": 60, "LogLevel": "INFO"})
    assert given["clientaliveinterval"] == ["60"] and given["loglevel"] == ["INFO"]
    assert given["clientalivecountmax"] == ["2"] and given["tcpkeepalive"] == ["no"]
