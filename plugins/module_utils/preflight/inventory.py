# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that need no host: access as it was probed, the stacks as they were linted, secrets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..rollout.rotation import CannotRotate, spec_of
from .findings import ERROR, OK, WARNING, Finding

MIN_PYTHON = (3, 9)
MIN_SECRET_BYTES = 32
MIN_PASSWORD = 12
#: How a value begins that SOPS has encrypted.
SOPS_VALUE = "ENC[AES256_GCM,"


def parse_probe(stdout: str) -> dict[str, str]:
    """Return the ``name=value`` lines of the role's first probe (uid, user, groups, python, sudo, sudo_works)."""
    found = {}
    for line in stdout.replace("\r", "").splitlines():
        name, separator, value = line.partition("=")
        if separator and re.fullmatch(r"[a-z_]+", name):
            found[name] = value.strip()
    return found


def check_access(host: str, unreachable: str, probe: Mapping[str, str], become_error: str | None) -> list[Finding]:
    """Connection, Python and privileges.

    unreachable: Ansible's message when the host was not reached, else empty; probe: what parse_probe found;
    become_error: None when becoming root was not tried, empty when it worked, else what it said.
    """
    if unreachable:
        return [
            Finding(
                "ssh",
                ERROR,
                f"{host} can't be reached: {_one_line(unreachable)}",
                "Check ansible_host, ansible_port, ansible_user and the key in the inventory by hand (ssh -v), "
                "and that the host's key is in known_hosts.",
            )
        ]
    user = probe.get("user") or "the login user"
    found = [Finding("ssh", OK, f"logged in as {user}")]
    found += _python(probe.get("python", ""))
    found.append(_sudo(user, probe, become_error))
    return found


def _one_line(text: str, limit: int = 240) -> str:
    line = re.sub(r"^(?:Task failed: |Action failed: )+", "", " ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _python(version: str) -> list[Finding]:
    wanted = ".".join(map(str, MIN_PYTHON))
    match = re.match(r"(\d+)\.(\d+)", version)
    if not match:
        return [
            Finding("python", ERROR, "Python 3 is not on the host.", "Install it there: sudo apt-get install python3")
        ]
    if (int(match.group(1)), int(match.group(2))) < MIN_PYTHON:
        return [
            Finding(
                "python",
                ERROR,
                f"The host's Python is {version}; {wanted} is the oldest that works.",
                "Use a newer Debian or Ubuntu, or point ansible_python_interpreter to a newer Python.",
            )
        ]
    return [Finding("python", OK, version)]


def _sudo(user: str, probe: Mapping[str, str], become_error: str | None) -> Finding:
    if become_error is None and probe.get("sudo_works") == "yes":
        return Finding("sudo", OK, "root without a password")
    if become_error == "":
        return Finding("sudo", OK, "becoming root works")
    groups = frozenset(probe.get("groups", "").split())
    word = (become_error or "").lower()
    if not probe.get("sudo"):
        if probe.get("uid") == "0":
            return Finding(
                "sudo",
                ERROR,
                "sudo is not on the host, and Ansible does not know that it logs in as root already.",
                "Set ansible_user: root in the inventory, or install sudo on the host: apt-get install sudo",
            )
        return Finding(
            "sudo",
            ERROR,
            f"sudo is not on the host, and {user} is not root.",
            f"As root on the host: apt-get install sudo && adduser {user} sudo; or log in as root "
            "(ansible_user: root).",
        )
    if "not in the sudoers" in word or "may not run sudo" in word or "not allowed to" in word:
        return Finding("sudo", ERROR, f"{user} may not use sudo.", _grant(user))
    if "incorrect" in word:
        return Finding(
            "sudo",
            ERROR,
            f"The sudo password given for {user} is wrong.",
            "Correct ansible_become_password in the vault, or the one typed for --ask-become-pass (-K).",
        )
    wants_password = "password" in word or become_error is None or "timeout" in word
    if wants_password and not groups & {"sudo", "wheel", "admin", "root"}:
        return Finding("sudo", ERROR, f"{user} may not use sudo: it is in no group that sudo trusts.", _grant(user))
    if wants_password:
        return Finding(
            "sudo",
            ERROR,
            f"sudo wants a password of {user}, and none was given.",
            f"Run with --ask-become-pass (-K), put ansible_become_password into the vault, or let {user} "
            f"use sudo without one: echo '{user} ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/{user}",
        )
    return Finding("sudo", ERROR, f"{user} can't become root: {_one_line(become_error or '')}", _grant(user))


def _grant(user: str) -> str:
    return f"As root on the host: adduser {user} sudo; or log in as another user (ansible_user)."


def check_stack(name: str, src: str, lint: Mapping[str, Any], secrets: Iterable[str] = ()) -> list[Finding]:
    """What stack_lint said of one stack. lint may be a failed result; secrets: names whose values the role makes."""
    if lint.get("failed") or "problems" not in lint:
        return [
            Finding(
                "stack",
                ERROR,
                f"Stack {name} can't be read: {_one_line(str(lint.get('msg') or 'no reason given'), 600)}",
                f"Check src ({src}), files and env_file of stack {name} in landfall_stacks.",
            )
        ]
    known = frozenset(secrets)
    unset = [str(variable) for variable in lint.get("unset") or () if str(variable) not in known]
    problems = [str(text) for text in lint.get("problems") or ()]
    found = [
        Finding(
            "stack", ERROR, f"Stack {name}: {text}", f"Correct it in {src}." if src else f"Set src of stack {name}."
        )
        for text in problems
        if not _repeats(text, [*unset, *known])
    ]
    found += [
        Finding(
            "variables",
            ERROR,
            f"Stack {name}: the Compose file needs {variable}, and nobody sets it{_details(variable, problems)}.",
            f"Set {variable} in env, env_file or secrets of stack {name}, "
            f"or give it a default in the Compose file: ${{{variable}:-…}}",
        )
        for variable in unset
    ]
    found += [Finding("stack", WARNING, f"Stack {name}: {text}") for text in lint.get("warnings_found") or ()]
    return found or [Finding("stack", OK, f"{name} is sound")]


def check_claims(stacks: Sequence[tuple[str, Iterable[str]]]) -> list[Finding]:
    """What two stacks of one host both want: a name, or a host name of the edge. stacks: (name, its host names)."""
    found = []
    owner: dict[str, str] = {}
    names: set[str] = set()
    for name, hosts in stacks:
        if name in names:
            found.append(
                Finding(
                    "stack",
                    ERROR,
                    f"Two stacks of this host are called {name}: one would be deployed over the other.",
                    "Give one of them in landfall_stacks another name.",
                )
            )
        names.add(name)
        for host in hosts:
            if owner.setdefault(host, name) != name:
                found.append(
                    Finding(
                        "stack",
                        ERROR,
                        f"Stack {name}: host {host} belongs to stack {owner[host]} already; the edge gives a host name "
                        "to one stack only.",
                        "Give one of them another host (domains, or host of its routes), or put both into one stack.",
                    )
                )
    return found


def _details(variable: str, problems: Iterable[str]) -> str:
    """Where the variable stands, and what the file's author says of it (``${NAME:?words}``); empty when not known."""
    for problem in problems:
        match = re.search(rf"^(.*?): variable {re.escape(variable)} is not set(?: \((.*?)\))?(?:;|$)", problem)
        if match:
            return (f": {match[2]}" if match[2] else "") + f" ({match[1]})"
    return ""


def _repeats(problem: str, variables: Sequence[str]) -> bool:
    """Whether a problem only says that one of variables is not set, which has a finding of its own."""
    return "not set" in problem and any(re.search(rf"\b{re.escape(name)}\b", problem) for name in variables)


_SECRET_NAME = re.compile(r"SECRET|JWT|PASSWORD|PASSWD|PASSPHRASE|TOKEN|(?:API|SIGNING|ENCRYPTION|PRIVATE)_?KEY|_KEY$")
_NO_SECRET = re.compile(
    r"PUBLIC|_(?:FILE|PATH|DIR|ID|URL|URI|HOST|TTL|ALG|ALGORITHM|MINUTES|HOURS|DAYS|SECONDS|EXPIRES?|EXPIRY|EXPIRATION"
    r"|LIFETIME|LENGTH|LIMIT|NAME|TYPE|ISSUER|AUDIENCE|HEADER|ENABLED|REQUIRED|ROUNDS)(?:_|$)|_EXPIRE"
)
_SIGNING = re.compile(r"SECRET|JWT|_KEY$")
_API_KEY = re.compile(r"API_?KEY|ACCESS_?KEY|CLIENT_SECRET|AWS_|S3_")
_PLACEHOLDER = re.compile(
    r"change[-_ ]?(?:me|it|this)|your[-_ ]|yoursecret|replace[-_ ]?(?:me|this|with)|place[-_ ]?holder|insecure"
    r"|not[-_ ]so|super[-_ ]?secret|my[-_ ]?secret|secret[-_ ]?key|dev[-_ ]?secret|fix[-_ ]?me|example|^<.*>$|^x{3,}"
)
_COMMON = frozenset(
    (
        *("secret", "password", "passwd", "pass", "jwt", "key", "token", "admin", "root", "user", "guest", "test"),
        *("default", "none", "null", "todo", "letmein", "qwerty", "123456", "12345678", "123456789"),
        *("postgres", "redis"),
    )
)
_URL_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^:/@\s]*:([^@\s]+)@", re.I)


def weakness(name: str, value: str) -> str:
    """Return what is wrong with the value of a secret called name, empty when nothing is; never tells the value."""
    plain = value.strip()
    inside = _URL_PASSWORD.match(plain)
    if inside:
        return "holds a well-known placeholder as its password" if _is_placeholder(inside.group(1)) else ""
    if not _SECRET_NAME.search(name.upper()) or _NO_SECRET.search(name.upper()):
        return ""
    if not plain:
        return "is empty"
    if _is_placeholder(plain):
        return "is a well-known placeholder"
    size = len(plain.encode("utf-8"))
    # Keys that somebody else hands out (API keys) have the length their issuer chose.
    if _SIGNING.search(name.upper()) and not _API_KEY.search(name.upper()):
        if size < MIN_SECRET_BYTES:
            return f"has {size} bytes; {MIN_SECRET_BYTES} are needed"
        if len(set(plain)) < 8:
            return "repeats a few characters"
    elif "PASS" in name.upper() and size < MIN_PASSWORD:
        return f"is shorter than {MIN_PASSWORD} characters"
    return ""


def _is_placeholder(value: str) -> bool:
    low = value.lower()
    return low in _COMMON or bool(_PLACEHOLDER.search(low))


def secret_values(secrets: Any) -> dict[str, Any]:
    """Return secrets by name, given as a mapping or as a list of ``{name, value}``; value may be missing."""
    if isinstance(secrets, Mapping):
        return {str(name): value for name, value in secrets.items()}
    return {
        str(item["name"]): item.get("value") for item in secrets or () if isinstance(item, Mapping) and "name" in item
    }


def made_names(stack: Mapping[str, Any]) -> list[str]:
    """Return the names of a stack's secrets, those that are made on the host among them."""
    seconds = [
        str(one["second"]) for one in stack.get("rotate") or () if isinstance(one, Mapping) and one.get("second")
    ]
    return [*secret_values(stack.get("secrets")), *secret_values(stack.get("generate_secrets")), *seconds]


def check_rotate(stack: Mapping[str, Any]) -> list[Finding]:
    """Findings for what a stack has under ``rotate``."""
    name = stack.get("name", "without a name")
    known = {*secret_values(stack.get("secrets")), *secret_values(stack.get("generate_secrets"))}
    move = stack.get("migration")
    if isinstance(move, Mapping):
        known.add(str(move.get("variable") or "DATABASE_URL"))
    out = []
    for item in stack.get("rotate") or ():
        try:
            spec = spec_of(item if isinstance(item, Mapping) else {})
        except CannotRotate as problem:
            out.append(Finding("secrets", ERROR, f"stack {name}: {problem}.", "See docs/rotation.md."))
            continue
        if spec.secret not in known:
            said = ", ".join(sorted(known)) or "none"
            out.append(
                Finding(
                    "secrets",
                    ERROR,
                    f"stack {name}: rotate names {spec.secret}, which is none of its secrets: {said}.",
                    "Name it under secrets or generate_secrets of the stack, too, or take it away.",
                )
            )
    return out


def check_secrets(values: Mapping[str, Any], where: str, made_by_role: bool = False) -> list[Finding]:
    """Findings for weak values; where names the place (``env of stack jarvis``).

    made_by_role: an empty value is no problem, since it is generated on the host.
    """
    found = []
    for name, value in sorted(values.items()):
        text = "" if value is None else str(value)
        if made_by_role and not text.strip():
            continue
        if text.lstrip().startswith(SOPS_VALUE):
            found.append(
                Finding(
                    "secrets",
                    ERROR,
                    f"{name} ({where}) is still encrypted with SOPS.",
                    "Put landfall.stack.sops after host_group_vars in vars_plugins_enabled of ansible.cfg, and the "
                    "value into a *.sops.yaml of group_vars; an env file is not decrypted (docs/secrets.md).",
                )
            )
            continue
        fault = weakness(str(name), text)
        if not fault:
            continue
        short_password = "characters" in fault and "shorter" in fault
        found.append(
            Finding(
                "secrets",
                WARNING if short_password else ERROR,
                f"{name} ({where}) {fault}.",
                "Make a new one (openssl rand -base64 48), and keep it in a vault file; "
                "or name it under generate_secrets of the stack, and it is made on the host.",
            )
        )
    return found
