"""Nobody gets locked out: each change that shuts the door is put back by the host, and the play says so.

One systemd host reached over SSH. What the tests read they read past SSH, so that a shut door hides nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lab import images
from lab.lab import PROJECT, Lab
from lab.shell import run, wait_for
from lab.site import Site

#: Seconds. Long enough for the changes between arming and the new connection on a busy machine.
WINDOW = 25
STATE = (
    "find /etc/ssh /etc/ufw /etc/default/ufw /etc/sudoers.d /root/.ssh /home/*/.ssh -type f "
    "-exec stat -c '%a %u %g %n' {} + -exec sha256sum {} + | sort; "
    "ufw status; iptables -S | grep -E '^-P|ufw-user-input' | sort; "
    "ip6tables -S | grep -E '^-P|ufw6-user-input' | sort"
)
ARMED = "test -e /var/lib/landfall/lockout/armed && echo yes"
NOBODY = "203.0.113.0/24"
PLAY = """
- hosts: all
  become: true
  gather_facts: false
  roles:
    - role: landfall.stack.hardening
"""


class Host:
    """The lab's host and the play that hardens it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.site = Site(lab)
        self.site.write_inventory()
        self.playbook = lab.state / "harden.yml"
        self.playbook.write_text(PLAY)
        self.key = lab.key.with_suffix(".pub").read_text().strip()

    def vars(self, **extra) -> dict:
        base = {"hardening_lockout_window": WINDOW, "hardening_deploy_authorized_keys": [self.key]}
        # Logins fail here on purpose.
        return {**base, "hardening_fail2ban_ignore_ips": [self.lab.net.subnet], **extra}

    def play(self, *args: str, **extra):
        return self.site.play(str(self.playbook), *args, extra=self.vars(**extra))

    def state(self) -> str:
        return self.site.sh(STATE)

    def armed(self) -> bool:
        return "yes" in self.site.sh(ARMED, check=False)

    def start(self, **extra) -> subprocess.Popen:
        """A run in the background, to be killed."""
        argv = [sys.executable, "-m", "ansible", "playbook", str(self.playbook), "-i", str(self.site.inventory)]
        argv += ["-e", json.dumps(self.vars(**extra))]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}
        environment["ANSIBLE_COLLECTIONS_PATH"] = str(PROJECT / ".build" / "collections")
        return subprocess.Popen(
            argv, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def door_shut(self) -> bool:
        added = self.site.sh("ufw show added")
        return NOBODY in added and "ufw allow 22/tcp" not in added and self.armed()

    def kill_while_armed(self, **extra) -> None:
        """Kill the controller once the host lets nobody in any more."""
        process = self.start(hardening_firewall_ssh_sources=[NOBODY], **extra)
        try:
            wait_for("the door to be shut", self.door_shut, 60, 0.1)
        finally:
            process.kill()
            process.wait()


def words(text: str) -> str:
    """A play's output without its line breaks."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def host():
    lab = Lab(os.environ.get("LANDFALL_LOCKOUT_LAB", "harden"))
    image = os.environ.get("LANDFALL_LOCKOUT_IMAGE", "landfall-lab/host:trixie")
    images.ensure("landfall-lab/services:trixie", image)
    lab.services()
    lab.remove_host("host")
    lab.host(image=image)
    host = Host(lab)
    yield host
    if not os.environ.get("LANDFALL_KEEP"):
        lab.down()


@pytest.fixture(autouse=True)
def reachable(host):
    yield
    assert host.site.ssh("id -un").strip() == "root", "the host cannot be reached"
    assert not host.armed(), "something still waits to be put back"


def test_check_mode_says_what_would_be_armed(host):
    before = host.state()
    run = host.play("--check")
    assert run.rc == 0, run.output[-5000:]
    assert "/etc/ssh/sshd_config.d/10-landfall.conf" in run.output or "Keep the old state" in run.output
    assert host.state() == before and not host.armed()
    assert host.site.sh("ls /var/lib/landfall 2>/dev/null", check=False).strip() == ""


def test_a_change_that_leaves_a_way_in_is_confirmed_and_stays(host):
    run = host.play(hardening_lockout_window=120)
    assert run.rc == 0, run.output[-5000:]
    assert "Come in again by a new connection" in run.output
    assert "Status: active" in host.site.sh("ufw status")
    assert host.site.sh("systemctl is-active landfall-lockout.timer", check=False).strip() == "inactive"


def test_nothing_is_armed_when_nothing_changes(host):
    run = host.play()
    assert run.rc == 0 and run.total("changed") == 0, run.output[-5000:]
    assert "Keep the old state" not in run.output


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({"hardening_firewall_ssh_sources": [NOBODY]}, "timed out"),
        ({"hardening_ssh_options": {"ListenAddress": "127.0.0.1:2222"}}, "Connection refused"),
    ],
    ids=["an allow-list that shuts the controller out", "a wrong address and port"],
)
def test_a_shut_door_opens_again_by_itself(host, extra, why):
    before = host.state()
    run = host.play(**extra)
    assert run.rc != 0, run.output[-5000:]
    said = words(run.output)
    assert "was not confirmed by a new connection as root@" in said, said[-3000:]
    assert why in said, said[-3000:]
    assert f"nobody confirmed it over a new connection within {WINDOW} s" in said, said[-3000:]
    assert "What to do:" in said
    assert host.state() == before
    assert host.site.sh("systemctl is-active ssh.service").strip() == "active"


def test_an_sshd_that_ends_at_its_reload_is_started_with_the_old_file(host):
    before = host.state()
    # `sshd -t` takes it; the reload finds no such address to listen on.
    run = host.play(hardening_ssh_options={"ListenAddress": "203.0.113.9:2222"})
    said = words(run.output)
    assert run.rc != 0 and "/etc/ssh/sshd_config.d/10-landfall.conf" in said and "What to do:" in said, said[-3000:]
    assert host.state() == before
    assert host.site.sh("systemctl is-active ssh.service").strip() == "active"


def test_a_broken_drop_in_is_refused_and_takes_the_firewall_back_too(host):
    before = host.state()
    run = host.play(
        hardening_ssh_options={"NoSuchKeyword": "1"}, hardening_firewall_allow=[{"port": "9999", "protocol": "tcp"}]
    )
    said = words(run.output)
    assert run.rc != 0
    assert "NoSuchKeyword" in said and "was put back" in said and "/etc/ufw/user.rules" in said, said[-3000:]
    assert host.state() == before


@pytest.mark.parametrize(
    ("extra", "hint"),
    [
        ({"hardening_ssh_options": {"Port": 2222}}, "Name both ports first"),
        ({"hardening_login_user": "deploy", "hardening_deploy_enabled": False}, "Nothing was changed"),
        ({"hardening_login_user": "nobody-here"}, "there is no such user"),
        ({"hardening_ssh_permit_root_login": "no"}, "set hardening_login_user to deploy"),
    ],
    ids=["the port in use", "a deploy user without a key", "no such user", "root, who runs this"],
)
def test_what_is_sure_to_fail_is_refused_before_anything_changes(host, extra, hint):
    if extra.get("hardening_deploy_enabled") is False:
        host.site.sh("mv /home/deploy/.ssh/authorized_keys /root/aside")
    try:
        before = host.state()
        run = host.play(**extra)
        assert run.rc != 0 and hint in words(run.output), run.output[-3000:]
        assert "Nothing was changed" in words(run.output)
        assert host.state() == before
    finally:
        host.site.sh("test ! -e /root/aside || mv /root/aside /home/deploy/.ssh/authorized_keys")


def test_a_deploy_user_whose_key_nobody_has_is_put_back_at_once(host, tmp_path):
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")])
    other = (tmp_path / "other.pub").read_text().strip()
    before = host.state()
    failed = host.play(
        hardening_login_user="deploy",
        hardening_deploy_authorized_keys=[other],
        hardening_deploy_keys_exclusive=True,
    )
    said = words(failed.output)
    assert failed.rc != 0 and "as deploy@" in said and "Permission denied" in said, said[-3000:]
    assert "no new login as deploy@" in said and "/home/deploy/.ssh/authorized_keys" in said
    assert host.state() == before


def test_root_goes_once_the_deploy_user_is_proven(host):
    """The one way that replaces the login: the new connection is made as the user of the next runs, by sudo."""
    done = host.play(hardening_login_user="deploy", hardening_ssh_permit_root_login="no")
    assert done.rc == 0, done.output[-5000:]
    assert "permitrootlogin no" in host.site.sh("sshd -T")
    back = host.play(ansible_user="deploy")
    assert back.rc == 0, back.output[-5000:]
    assert "permitrootlogin without-password" in host.site.sh("sshd -T")


def test_the_controller_killed_while_armed(host):
    before = host.state()
    host.kill_while_armed()
    wait_for("the timer to put it back", lambda: not host.armed(), WINDOW + 20)
    assert host.state() == before
    third = host.play()
    said = words(third.output)
    assert third.rc == 0 and f"nobody confirmed it over a new connection within {WINDOW} s" in said, said[-3000:]
    assert third.total("changed") == 0
    assert "nobody confirmed" not in host.play().output, "it is told again and again"


def test_a_restart_while_armed_puts_it_back_at_boot(host):
    before = host.state()
    host.kill_while_armed(hardening_lockout_window=600)
    host.lab.reboot()
    assert not host.armed()
    assert host.state() == before
    told = host.play()
    assert told.rc == 0 and "restarted before anybody confirmed" in words(told.output), told.output[-3000:]


def test_rules_made_by_hand_are_named_and_stay_or_go_as_told(host):
    before = host.site.sh("ufw show added")
    host.site.sh("ufw allow 8081/tcp && ufw deny from 198.51.100.7 comment 'abuse'")
    kept = host.play()
    assert kept.rc == 0 and kept.total("changed") == 0, kept.output[-3000:]
    assert "Kept, as hardening_firewall_others says: allow 8081/tcp; deny from 198.51.100.7" in words(kept.output)
    gone = host.play(hardening_firewall_others="remove")
    assert gone.rc == 0, gone.output[-3000:]
    assert host.site.sh("ufw show added") == before
    assert host.play(hardening_firewall_others="remove").total("changed") == 0


def test_the_rules_survive_restarts_and_a_flush_in_the_middle(host):
    many = {"hardening_firewall_allow": [{"port": str(8000 + n), "source": "10.0.0.0/8"} for n in range(12)]}
    assert host.play(**many).rc == 0
    before = host.state()
    assert before.count("10.0.0.0/8") >= 12 and "-A ufw6-user-input -p tcp -m tcp --dport 22 -j ACCEPT" in before
    host.site.sh("systemctl restart ufw")
    assert host.state() == before
    # Killed between writing the rules and loading them.
    host.site.sh("touch /run/landfall-firewall-unfinished && ip6tables -F ufw6-user-input")
    assert host.state() != before
    mended = host.play(**many)
    assert mended.rc == 0 and mended.total("changed") > 0, mended.output[-3000:]
    assert host.state() == before
    assert host.play(**many).total("changed") == 0
    host.lab.reboot()
    assert host.state() == before


@pytest.fixture(scope="module")
def behind_socket(host):
    """sshd started by its socket, as on Ubuntu 22.10 and later. The last tests: a host that cannot restart then."""
    host.site.sh("systemctl disable --now ssh.service && systemctl enable --now ssh.socket")
    # It starts with the first login; Ansible still has a connection of before.
    host.site.ssh("true")
    return host


def test_the_port_of_an_sshd_behind_its_socket_is_refused(behind_socket):
    host = behind_socket
    before = host.state()
    refused = host.play(hardening_ssh_options={"Port": [22, 2222]})
    assert refused.rc != 0 and "systemctl edit ssh.socket" in words(refused.output), refused.output[-3000:]
    assert host.state() == before


def test_behind_its_socket_a_change_is_confirmed_and_stays(behind_socket):
    host = behind_socket
    run = host.play(hardening_lockout_window=120, hardening_ssh_login_grace_time=29)
    assert run.rc == 0 and "Come in again by a new connection" in run.output, run.output[-3000:]
    assert "logingracetime 29" in host.site.sh("mkdir -p /run/sshd; sshd -T")
    assert host.site.sh("systemctl is-active ssh.socket").strip() == "active"
    back = host.play(hardening_lockout_window=120)
    assert back.rc == 0 and "logingracetime 30" in host.site.sh("sshd -T")


def test_behind_its_socket_a_shut_door_opens_again_by_itself(behind_socket):
    host = behind_socket
    before = host.state()
    run = host.play(hardening_ssh_options={"AllowUsers": "nobody"})
    said = words(run.output)
    assert run.rc != 0 and "was not confirmed by a new connection as root@" in said, said[-3000:]
    assert f"nobody confirmed it over a new connection within {WINDOW} s" in said, said[-3000:]
    assert host.state() == before
    assert host.site.sh("systemctl is-active ssh.socket").strip() == "active"
