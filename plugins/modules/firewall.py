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
    Rules without that comment belong to the operator and stay.
  - Rules are added before policies and before UFW is switched on, so that SSH is never shut out in between.
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
rules:
  description: All rules afterwards, spelled as C(ufw show added) does.
  returned: always
  type: list
  elements: str
  sample: [allow 22/tcp, allow 80/tcp]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

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
            "default_incoming": {**policy, "default": "deny"},
            "default_outgoing": {**policy, "default": "allow"},
            "default_routed": {**policy, "default": "deny"},
            "ipv6": {"type": "bool", "default": True},
            "logging": {"type": "str", "choices": ["off", "low", "medium", "high", "full"], "default": "low"},
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

    commands = ufw.plan(now, want)
    then = ufw.after(now, want)
    changed = bool(commands) or now.ipv6 != want.ipv6
    if changed and not module.check_mode:
        if now.ipv6 != want.ipv6:
            DEFAULTS.write_text(ufw.with_ipv6(defaults, want.ipv6), encoding="utf-8")
        for words in commands:
            _run(module, program, words)
    diff = {"before": "\n".join(now.lines()) + "\n", "after": "\n".join(then.lines()) + "\n"}
    module.exit_json(changed=changed, commands=commands, rules=[rule.text for rule in then.rules], diff=diff)


if __name__ == "__main__":
    main()
