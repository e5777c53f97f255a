"""Secrets in a file that SOPS encrypted for an age key: real programs, a real run of Ansible."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
SECRET = "correct-horse-battery-staple-31415926535"
PLAY = """
- name: Give a stack's secret to a host
  hosts: landfall
  gather_facts: false
  vars:
    stacks: [{name: shop, secrets: [{name: JWT_SECRET, value: "{{ vault_jwt_secret }}"}]}]
  tasks:
    - name: Judge it as the doctor does
      ansible.builtin.assert:
        that: judged | selectattr('level', 'equalto', 'error') | length == 0
        fail_msg: "{{ judged | map(attribute='message') | list }}"
      vars:
        judged: "{{ {} | landfall.stack.preflight_secrets(stacks, ['']) }}"
    - name: Write it
      landfall.stack.files:
        files: [{path: "{{ out }}", mode: "0400", owner: "{{ user }}", group: "{{ group }}"}]
        secret_contents: "{{ {out: stacks[0].secrets[0].value} }}"
"""


def run(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment},
        stdin=subprocess.DEVNULL,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(name="ground")
def _ground(tmp_path):
    """An inventory whose only secret is in a SOPS file, the key that opens it, and one that does not."""
    for name in ("key", "other"):
        assert run("age-keygen", "-o", str(tmp_path / name)).returncode == 0
    public = run("age-keygen", "-y", str(tmp_path / "key")).stdout.strip()
    (tmp_path / ".sops.yaml").write_text(f"creation_rules:\n  - path_regex: \\.sops\\.yaml$\n    age: {public}\n")
    variables = tmp_path / "inventory" / "group_vars" / "landfall"
    variables.mkdir(parents=True)
    (variables / "secrets.sops.yaml").write_text(f"vault_half: {SECRET}\nvault_jwt_secret: '{{{{ vault_half }}}}'\n")
    done = run("sops", "--config", str(tmp_path / ".sops.yaml"), "-e", "-i", str(variables / "secrets.sops.yaml"))
    assert done.returncode == 0, done.stderr
    assert SECRET not in (variables / "secrets.sops.yaml").read_text()
    interpreter = f"ansible_connection: local, ansible_python_interpreter: '{sys.executable}'"
    (tmp_path / "inventory" / "hosts.yml").write_text(f"landfall: {{hosts: {{one: {{{interpreter}}}}}}}\n")
    (tmp_path / "play.yml").write_text(PLAY)
    return tmp_path


def play(ground: Path, key: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    return run(
        str(BIN / "ansible-playbook"), "-i", str(ground / "inventory" / "hosts.yml"), str(ground / "play.yml"),
        "-e", f"out={ground / 'out'} user={user} group={group}", *args,
        SOPS_AGE_KEY_FILE=str(ground / key), ANSIBLE_CONFIG=str(PROJECT / "ansible.cfg"), HOME=str(ground),
        **environment,
    )  # fmt: skip


def test_the_key_opens_it_and_nothing_is_told(ground):
    done = play(ground, "key", "-vvv", "--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (ground / "out").read_text() == SECRET
    assert SECRET not in done.stdout + done.stderr
    again = play(ground, "key")
    assert "changed=0" in again.stdout, again.stdout


@pytest.mark.parametrize(
    ("key", "path", "words"),
    [
        ("other", None, ("did not match any of the recipients", "What to do: None of the keys", "SOPS_AGE_KEY_FILE")),
        ("nowhere", None, ("no such file", "What to do:")),
        ("key", "/nowhere", ("secrets.sops.yaml", "What to do: Install SOPS")),
    ],
    ids=["another key", "no key", "no sops"],
)
def test_what_to_do_is_said(ground, key, path, words):
    done = play(ground, key, **({"PATH": path} if path else {}))
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0 and not (ground / "out").exists()
    assert all(word in said for word in words), said


def test_a_plain_file_is_refused(ground):
    (ground / "inventory" / "group_vars" / "landfall" / "secrets.sops.yaml").write_text(f"vault_jwt_secret: {SECRET}\n")
    done = play(ground, "key")
    assert done.returncode != 0 and "What to do: The file is not encrypted" in done.stdout + done.stderr


def test_the_doctor_sees_what_nobody_decrypted(ground):
    """With Ansible's own settings the file is an ordinary one: its values would go into containers as they stand."""
    done = play(ground, "key", ANSIBLE_VARS_ENABLED="host_group_vars")
    assert done.returncode != 0 and "is still encrypted with SOPS" in done.stdout, done.stdout
    assert not (ground / "out").exists()
