# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host must be after the role hardening. Seen on the host, in the words of the programs themselves."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def sshd(host) -> dict[str, str]:
    """The settings sshd really uses: keyword → value."""
    lines = host.check_output("/usr/sbin/sshd -T").splitlines()
    return {keyword: value for keyword, _, value in (line.partition(" ") for line in lines)}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("permitrootlogin", "without-password"),
        ("pubkeyauthentication", "yes"),
        ("permitemptypasswords", "no"),
        ("x11forwarding", "no"),
        ("allowagentforwarding", "no"),
        ("maxauthtries", "3"),
        ("logingracetime", "30"),
        ("loglevel", "VERBOSE"),
        ("clientaliveinterval", "300"),
        ("clientalivecountmax", "2"),
        ("tcpkeepalive", "no"),
        ("maxstartups", "10:30:60"),
    ],
)
def test_sshd_setting(sshd, keyword, value):
    assert sshd[keyword] == value


def test_password_login_is_off_only_with_a_key(host, sshd):
    keys = host.run("cat /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys")
    assert (sshd["passwordauthentication"] == "no") == ("ssh-" in keys.stdout)


def test_key_exchange_is_post_quantum_and_modern(sshd):
    names = sshd["kexalgorithms"].split(",")
    assert names[0].startswith(("mlkem768", "sntrup761"))
    assert not [name for name in names if name.endswith("sha1") or "nistp" in name]


def test_only_strong_host_keys_are_offered(host, sshd):
    names = sshd["hostkeyalgorithms"].split(",")
    assert names[0] == "ssh-ed25519" and "rsa-sha2-512" in names
    assert not [name for name in names if name.startswith("ecdsa-") or name == "ssh-rsa"]


def test_sshd_answers(host):
    assert host.run("/usr/sbin/sshd -t").rc == 0
    assert host.socket("tcp://0.0.0.0:22").is_listening


def test_deploy_user_is_root_by_sudo_and_key_only(host):
    if not host.user("deploy").exists:
        pytest.skip("no deploy key was given")
    assert host.check_output("sudo -u deploy sudo -n id -u") == "0"
    assert host.user("deploy").password == "*"
    assert host.file("/etc/sudoers.d/landfall-deploy").mode == 0o440
    assert host.file("/home/deploy/.ssh/authorized_keys").user == "deploy"


def test_firewall_denies_all_but_ssh_and_web(host):
    status = host.check_output("ufw status verbose")
    assert "Status: active" in status
    assert "deny (incoming), allow (outgoing)" in status
    for rule in ("22/tcp", "80/tcp", "443/tcp", "443/udp", "22/tcp (v6)", "443/tcp (v6)"):
        assert rule in status


def test_fail2ban_watches_sshd(host):
    assert host.service("fail2ban").is_running
    assert host.service("fail2ban").is_enabled
    status = host.check_output("fail2ban-client status sshd")
    assert "_COMM=sshd-session" in status


def test_fail2ban_bans_and_unbans(host):
    address = "203.0.113.77"
    host.check_output("fail2ban-client set sshd banip %s", address)
    try:
        assert address in host.check_output("fail2ban-client status sshd")
        # The table appears with the first ban, a moment later.
        look = "nft list table inet landfall-bans"
        wait = f"for i in $(seq 1 30); do {look} | grep -q %s && exit 0; sleep 0.5; done; exit 1"
        assert host.run(wait, address).rc == 0
        assert "hook prerouting priority raw - 10" in host.check_output(look)
    finally:
        host.check_output("fail2ban-client set sshd unbanip %s", address)
    assert address not in host.check_output("fail2ban-client status sshd")


def test_only_security_updates_come_by_themselves(host):
    dump = host.check_output("apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in dump
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in dump
    origins = [line for line in dump.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern:: ")]
    assert origins
    assert all("security" in line.lower() for line in origins)


def test_journal_is_limited(host):
    assert "SystemMaxUse=500M" in host.check_output("systemd-analyze cat-config systemd/journald.conf")


@pytest.mark.parametrize(
    ("key", "value"),
    [("net.ipv4.ip_forward", 1), ("net.ipv4.tcp_syncookies", 1), ("net.ipv4.conf.all.accept_redirects", 0)],
)
def test_kernel_parameter(host, key, value):
    assert host.sysctl(key) == value


@pytest.mark.parametrize("name", ["dccp", "sctp", "usb-storage"])
def test_module_is_not_loaded(host, name):
    # What modprobe itself would do, whether this kernel has the module or not.
    said = host.check_output("/usr/sbin/modprobe --showconfig | tr - _")
    assert f"install {name.replace('-', '_')} /bin/false" in said


def test_a_crash_leaves_no_memory_image(host):
    assert host.check_output("su -s /bin/sh -c 'ulimit -H -c' nobody") == "0"
    assert "Storage=none" in host.check_output("systemd-analyze cat-config systemd/coredump.conf")


@pytest.mark.parametrize("path", ["/etc/issue", "/etc/issue.net"])
def test_banner_stands_before_a_login(host, path):
    assert "Authorized access only." in host.file(path).content_string


@pytest.mark.parametrize("path", ["/etc/cron.d", "/etc/cron.daily", "/etc/ssh/sshd_config"])
def test_files_of_root_are_closed_to_others(host, path):
    assert host.file(path).mode & 0o077 == 0
