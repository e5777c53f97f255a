# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the role preflight: they run on the controller, so that no secret leaves it to be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.landfall.stack.plugins.module_utils.compose.envfile import EnvSyntaxError, parse_env
from ansible_collections.landfall.stack.plugins.module_utils.preflight import findings as found
from ansible_collections.landfall.stack.plugins.module_utils.preflight import inventory


def preflight_probe(stdout: str | None) -> dict[str, str]:
    """See preflight_probe.yml."""
    return inventory.parse_probe(str(stdout or ""))


def preflight_access(probe: Mapping[str, Any], host: str, become: Mapping[str, Any] | None = None) -> list[Any]:
    """See preflight_access.yml."""
    unreachable = str(probe.get("msg") or "no reason given") if probe.get("unreachable") else ""
    values = inventory.parse_probe(str(probe.get("stdout") or ""))
    if not unreachable and not values:
        unreachable = str(probe.get("stderr") or probe.get("msg") or "the login shell answers nothing")
    become_error = None
    if become and not become.get("skipped"):
        become_error = ""
        said = " ".join(str(become[key]) for key in ("stderr", "stdout", "msg") if become.get(key))
        if become.get("failed") or become.get("unreachable") or become.get("rc"):
            become_error = said or "no reason given"
        elif str(become.get("stdout")).split()[-1:] != ["0"]:
            become_error = f"becoming gives user id {str(become.get('stdout')).strip()}, not root's"
    return [item.to_dict() for item in inventory.check_access(host, unreachable, values, become_error)]


def preflight_stacks(stacks: Sequence[Mapping[str, Any]], lints: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """See preflight_stacks.yml."""
    if len(stacks) != len(lints):
        raise AnsibleFilterError(
            f"preflight_stacks wants one result for each of {len(stacks)} stacks, not {len(lints)}"
        )
    items = []
    images = []
    names: dict[str, None] = {}
    claims = []
    for stack, lint in zip(stacks, lints, strict=True):
        name = str(stack.get("name", "without a name"))
        items += inventory.check_stack(name, str(stack.get("src", "")), lint, inventory.made_names(stack))
        items += inventory.check_rotate(stack)
        names.update(dict.fromkeys(lint.get("hosts") or ()))
        claims.append((name, sorted({*(lint.get("domains") or ()), *(lint.get("hosts") or ())})))
        # With a variable missing, an image's name is not the one that is meant.
        if not lint.get("unset"):
            for service, image in sorted((lint.get("images") or {}).items()):
                # Where a value is not known here nothing can be asked about the image.
                if "${" not in image:
                    images.append({"stack": name, "service": service, "image": image})
    items += inventory.check_claims(claims)
    return {"findings": [item.to_dict() for item in items], "images": images, "names": list(names)}


def preflight_secrets(secrets: Mapping[str, Any], stacks: Sequence[Mapping[str, Any]], env_texts: Sequence[str]) -> Any:
    """See preflight_secrets.yml."""
    items = inventory.check_secrets(secrets, "preflight_secrets")
    for stack, text in zip(stacks, env_texts, strict=True):
        name = stack.get("name", "without a name")
        try:
            # A value given in the inventory goes over the file's.
            filed = {key: value for key, value in parse_env(text).items() if key not in (stack.get("env") or {})}
        except EnvSyntaxError as problem:
            items.append(
                found.Finding(
                    "secrets",
                    found.ERROR,
                    f"The env file of stack {name} can't be read: line {problem.line} is no assignment.",
                    f"Write NAME=value in line {problem.line} of {stack.get('env_file')}.",
                )
            )
            filed = {}
        items += inventory.check_secrets(filed, f"env_file of stack {name}")
        items += inventory.check_secrets(stack.get("env") or {}, f"env of stack {name}")
        items += inventory.check_secrets(
            inventory.secret_values(stack.get("secrets")), f"secrets of stack {name}", made_by_role=True
        )
    if not items and (secrets or stacks):
        items = [found.Finding("secrets", found.OK, "no weak ones")]
    return [item.to_dict() for item in items]


def preflight_report(items: Sequence[Mapping[str, Any]], host: str, skip: Sequence[str] = (), width: int = 120) -> Any:
    """See preflight_report.yml."""
    try:
        known = found.without(found.from_dicts(dict(item) for item in items), skip)
    except (KeyError, ValueError) as problem:
        raise AnsibleFilterError(f"preflight_report: {problem}") from problem
    problems = [item for item in known if item.level != found.OK]
    return {
        "summary": found.summary(known),
        "all": found.table(known, width),
        "problems": found.table(problems, width),
        "error": found.error_text(known, host),
        "findings": [item.to_dict() for item in known],
    }


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            "preflight_access": preflight_access,
            "preflight_probe": preflight_probe,
            "preflight_report": preflight_report,
            "preflight_secrets": preflight_secrets,
            "preflight_stacks": preflight_stacks,
        }
