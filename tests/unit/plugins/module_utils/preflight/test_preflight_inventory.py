# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access, stacks and secrets; and that no value of a secret gets out."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.preflight import inventory

SEEN = {"uid": "1000", "user": "ann", "groups": "ann", "python": "3.13.5", "sudo": "/usr/bin/sudo", "sudo_works": "no"}
LONG = "Zk3v9Qw1Lr7Xc5Bn2Mh8Tg4Fd6Sa0Py1Ue"


def test_parse_probe_takes_crlf_and_skips_noise() -> None:
    assert inventory.parse_probe("Welcome = home\r\nuid=0\r\nuser=root\r\npython=\r\n") == {
        "uid": "0",
        "user": "root",
        "python": "",
    }


@pytest.mark.parametrize(
    ("change", "become", "level", "words"),
    [
        ({"sudo_works": "yes"}, None, "ok", ""),
        ({}, "", "ok", "becoming root"),
        ({"sudo": ""}, None, "error", "sudo is not on the host, and ann is not root"),
        ({"sudo": "", "uid": "0", "user": "root"}, "sudo: not found", "error", "does not know that it logs in as root"),
        ({}, "sudo: a password is required", "error", "in no group that sudo trusts"),
        ({"groups": "ann sudo"}, "Missing sudo password", "error", "sudo wants a password of ann"),
        ({"groups": "ann sudo"}, "Sorry, try again. 1 incorrect password attempt", "error", "is wrong"),
        ({}, "ann is not in the sudoers file.", "error", "ann may not use sudo."),
        ({"groups": "ann sudo"}, "something else", "error", "can't become root: something else"),
    ],
)
def test_sudo(change, become, level, words) -> None:
    found = inventory.check_access("web1", "", {**SEEN, **change}, become)
    assert [f.check for f in found] == ["ssh", "python", "sudo"]
    assert found[-1].level == level
    assert words in found[-1].message
    assert bool(found[-1].remedy) is (level == "error")


@pytest.mark.parametrize(
    ("version", "level"), [("", "error"), ("3.8.10", "error"), ("3.9.2", "ok"), ("3.13.0", "ok"), ("4.0", "ok")]
)
def test_python(version: str, level: str) -> None:
    assert inventory.check_access("web1", "", {**SEEN, "python": version}, "")[1].level == level


def test_unreachable_says_nothing_else() -> None:
    (found,) = inventory.check_access("web1", "Task failed: no\nroute", {}, None)
    assert (found.check, found.level, found.message) == ("ssh", "error", "web1 can't be reached: no route")


def test_stack() -> None:
    lint = {
        "problems": ["compose.yaml:3: services.a: variable TAG is not set; set it", "compose.yaml:9: unknown key"],
        "unset": ["TAG", "MADE"],
        "warnings_found": ["doubt"],
    }
    found = inventory.check_stack("shop", "/p", lint, ["MADE"])
    assert [(f.check, f.level) for f in found] == [("stack", "error"), ("variables", "error"), ("stack", "warning")]
    assert "needs TAG" in found[1].message
    assert inventory.check_stack("shop", "/p", {"problems": []})[0].level == "ok"
    # failed_when: false hides the failure of the module; the missing result does not lie.
    (failed,) = inventory.check_stack("shop", "/p", {"failed": False, "msg": "no jsonschema"})
    assert "no jsonschema" in failed.message


def test_two_stacks_cannot_have_the_same_host_name() -> None:
    shop, blog = ("shop", ["a.test", "www.a.test"]), ("blog", ["blog.test"])
    assert inventory.check_claims([shop, blog]) == []
    (found,) = inventory.check_claims([shop, blog, ("copy", ["www.a.test"])])
    assert (found.check, found.level) == ("stack", "error")
    assert found.message.startswith("Stack copy: host www.a.test belongs to stack shop already")
    (found,) = inventory.check_claims([shop, ("shop", ["other.test"])])
    assert "called shop" in found.message and found.remedy


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("JWT_SECRET_KEY", "changeme", "placeholder"),
        ("JWT_SECRET_KEY", "your-secret-key-here-make-it-long-enough", "placeholder"),
        ("SECRET_KEY", "x" * 40, "placeholder"),
        ("SESSION_SECRET", "ab" * 20, "repeats"),
        ("SESSION_SECRET", "q8ZfK2", "6 bytes; 32 are needed"),
        ("SESSION_SECRET", "", "empty"),
        ("SESSION_SECRET", LONG, ""),
        ("POSTGRES_PASSWORD", "postgres", "placeholder"),
        ("POSTGRES_PASSWORD", "r7Qk2", "shorter"),
        ("POSTGRES_PASSWORD", "r7Qk2mZp9LwX", ""),
        ("OPENAI_API_KEY", "sk-12ab34", ""),
        ("DATABASE_URL", "postgresql://app:changeme@db/app", "password"),
        ("DATABASE_URL", f"postgresql://app:{LONG}@db/app", ""),
        ("REDIS_URL", "redis://redis:6379/0", ""),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "30", ""),
        ("JWT_ALGORITHM", "HS256", ""),
        ("JWT_SECRET_FILE", "/run/secrets/jwt", ""),
        ("JWT_PUBLIC_KEY", "short", ""),
        ("AWS_ACCESS_KEY_ID", "AKIA", ""),
        ("VERSION", "1", ""),
    ],
)
def test_weakness_tells_the_fault_and_never_the_value(name: str, value: str, fault: str) -> None:
    said = inventory.weakness(name, value)
    assert (fault in said) if fault else said == ""
    assert len(value) < 4 or value not in said


def test_secrets_in_all_their_forms() -> None:
    stack = {"secrets": [{"name": "A_SECRET", "value": "short"}], "generate_secrets": [{"name": "B"}]}
    assert inventory.secret_values(stack["secrets"]) == {"A_SECRET": "short"}
    assert inventory.secret_values({"C": None}) == {"C": None}
    assert inventory.secret_values(None) == {}
    assert inventory.made_names(stack) == ["A_SECRET", "B"]
    (found,) = inventory.check_secrets({"A_SECRET": "short"}, "secrets of stack shop")
    assert (found.level, found.message) == (
        "error",
        "A_SECRET (secrets of stack shop) has 5 bytes; 32 are needed.",
    )
    assert inventory.check_secrets({"A_SECRET": None}, "here", made_by_role=True) == []
    assert inventory.check_secrets({"DB_PASSWORD": "r7Qk2"}, "here")[0].level == "warning"


def test_what_sops_has_not_decrypted_is_no_secret() -> None:
    """Whatever it is called, and however long: a container would get the text of the cipher."""
    cipher = "ENC[AES256_GCM,data:b2s=,iv:aXY=,tag:dGFn,type:str]"
    (found,) = inventory.check_secrets({"ANYTHING": cipher}, "secrets of stack shop", made_by_role=True)
    assert found.level == "error" and "ANYTHING (secrets of stack shop) is still encrypted with SOPS" in found.message
    assert "landfall.stack.sops" in found.remedy and cipher not in found.message + found.remedy
