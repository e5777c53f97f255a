#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: Set a host's whole UFW firewall in one step
description:
  - Brings UFW's rules, default policies and switches to what is wanted, in one task and one round trip.
  - Rules made by this module carry the comment C(landfall). Those that are no longer wanted are removed.
    Rules without that comment belong to the operator. They are told, and stay unless O(others=remove).
  - All rules are written and loaded in one step, by UFW's own code, so the running firewall never holds half of them.
  - Rules come before policies and before UFW is switched on, so that SSH is never shut out in between.
author: Landfall contributors (@landfall)
version_added: 0.1.0
requirements:
  - ufw on the host (not in check mode)
attributes:
  check_mode:
    description: Works on a host without UFW too, and predicts the rules.
    support: full
  diff_mode:
    description: Shows rules and policies before and after.
    support: full
options:
  rules:
    description: What may come in. The list must hold the SSH port.
    type: list
    elements: dict
    required: true
    suboptions:
      port:
        description: A port, or a range such as V(6000:6010).
        type: str
        required: true
      protocol:
        description: The transport protocol.
        type: str
        choices: [tcp, udp, any]
        default: tcp
      source:
        description: Address or network the rule is for. Anywhere, when left out.
        type: str
      interface:
        description: Interface the rule is for. Any, when left out.
        type: str
      action:
        description: What happens to matching packets.
        type: str
        choices: [allow, limit, deny, reject]
        default: allow
  others:
    description: What happens to rules that somebody else made.
    type: str
    choices: [keep, remove]
    default: keep
  default_incoming:
    description: What happens to incoming packets that no rule names.
    type: str
    choices: [allow, deny, reject]
    default: deny
  default_outgoing:
    description: What happens to outgoing packets that no rule names.
    type: str
    choices: [allow, deny, reject]
    default: allow
  default_routed:
    description: What happens to forwarded packets that no rule names.
    type: str
    choices: [allow, deny, reject]
    default: deny
  ipv6:
    description: Whether the rules hold for IPv6 too.
    type: bool
    default: true
  logging:
    description: How much UFW logs.
    type: str
    choices: ["off", low, medium, high, full]
    default: low
  armed:
    description: Change something only while the lock-out protection (M(landfall.stack.lockout)) is armed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Let SSH and the web in, and the database from the private network
  landfall.stack.firewall:
    rules:
      - {port: "22"}
      - {port: "80"}
      - {port: "443"}
      - {port: "5432", source: 10.0.0.0/8}
"""

RETURN = r"""
commands:
  description: The C(ufw) commands that were run, or would be in check mode.
  returned: always
  type: list
  elements: list
  sample: [[allow, 22/tcp, comment, landfall], [--force, enable]]
others:
  description: The rules that somebody else made and that are not among the wanted ones, as they were before.
  returned: always
  type: list
  elements: str
  sample: [allow 8080/tcp]
rules:
  description: All rules afterwards, spelled as C(ufw show added) does.
  returned: always
  type: list
  elements: str
  sample: [allow 22/tcp, allow 80/tcp]
"""

import inspect
import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients import ufw_rules
from ansible_collections.landfall.stack.plugins.module_utils.clients.files import write_atomic
from ansible_collections.landfall.stack.plugins.module_utils.clients.lockout import NotArmed, guarded
from ansible_collections.landfall.stack.plugins.module_utils.host import ufw

DEFAULTS = Path("/etc/default/ufw")
CONF = Path("/etc/ufw/ufw.conf")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _run(module: AnsibleModule, program: str, words: list[str]) -> str:
    code, out, err = module.run_command([program, *words], environ_update={"LC_ALL": "C"})
    if code:
        module.fail_json(
            msg=f"ufw {' '.join(words)} failed: {(err or out).strip()}. Try the same command on the host; "
            "rules already added stay, and the next run goes on from there."
        )
    return out


def _set_rules(module: AnsibleModule, program: str, steps: list[list[str]]) -> None:
    """All rules in one step; one by one where this UFW's own code cannot be had."""
    if not steps:
        return
    source = inspect.getsource(ufw_rules)
    code, out, err = module.run_command(
        ["/usr/bin/python3", "-I", "-c", source], data=json.dumps(steps), environ_update={"LC_ALL": "C"}
    )
    if code == ufw_rules.UNKNOWN:
        for words in steps:
            _run(module, program, words)
    elif code:
        module.fail_json(
            msg=f"UFW refused the rules: {(err or out).strip()}. Try them one by one on the host (ufw --dry-run …); "
            "the next run goes on from there."
        )


def main() -> None:
    policy = {"type": "str", "choices": ["allow", "deny", "reject"]}
    rule = {
        "port": {"type": "str", "required": True},
        "protocol": {"type": "str", "choices": ["tcp", "udp", "any"], "default": "tcp"},
        "source": {"type": "str"},
        "interface": {"type": "str"},
        "action": {"type": "str", "choices": ["allow", "limit", "deny", "reject"], "default": "allow"},
    }
    module = AnsibleModule(
        argument_spec={
            "rules": {"type": "list", "elements": "dict", "required": True, "options": rule},
            "others": {"type": "str", "choices": ["keep", "remove"], "default": "keep"},
            "default_incoming": {**policy, "default": "deny"},
            "default_outgoing": {**policy, "default": "allow"},
            "default_routed": {**policy, "default": "deny"},
            "ipv6": {"type": "bool", "default": True},
            "logging": {"type": "str", "choices": ["off", "low", "medium", "high", "full"], "default": "low"},
            "armed": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given = module.params
    program = module.get_bin_path("ufw")
    if not program and not module.check_mode:
        module.fail_json(msg="UFW is not on this host. Install the package ufw, then run again.")
    try:
        rules = ufw.wanted_rules(given["rules"])
    except ValueError as error:
        module.fail_json(msg=f"Firewall rules: {error}. Nothing was changed.")
    ways = ("incoming", "outgoing", "routed")
    want = ufw.State(rules, {way: given[f"default_{way}"] for way in ways}, True, given["ipv6"], given["logging"])
    now = ufw.State()
    defaults = _text(DEFAULTS)
    if program:
        added, status = _run(module, program, ["show", "added"]), _run(module, program, ["status"])
        now = ufw.observed(added, defaults, _text(CONF), status)

    remove = given["others"] == "remove"
    steps = ufw.rule_steps(now, want, remove)
    settings = ufw.setting_steps(now, want, Path(ufw_rules.MARK).exists())
    then = ufw.after(now, want, remove)
    commands = steps + settings
    changed = bool(commands) or now.ipv6 != want.ipv6
    if changed and not module.check_mode:
        try:
            with guarded(given["armed"]):
                if now.ipv6 != want.ipv6:
                    write_atomic(str(DEFAULTS), ufw.with_ipv6(defaults, want.ipv6))
                _set_rules(module, program, steps)
                for words in settings:
                    _run(module, program, words)
                # Whatever an earlier run left unfinished, the reload or the start among them has loaded it.
                Path(ufw_rules.MARK).unlink(missing_ok=True)
        except NotArmed as problem:
            module.fail_json(msg=f"Firewall: {problem}")
    diff = {"before": "\n".join(now.lines()) + "\n", "after": "\n".join(then.lines()) + "\n"}
    module.exit_json(
        changed=changed,
        commands=commands,
        others=[rule.text for rule in ufw.others(now, want)],
        rules=[rule.text for rule in then.rules],
        diff=diff,
    )


if __name__ == "__main__":
    main()
