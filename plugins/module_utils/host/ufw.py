# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UFW's rules as values: what is there, what is wanted, and the commands between the two. Pure."""

from __future__ import annotations

import ipaddress
import re
import shlex
from dataclasses import dataclass, field
from typing import Any

OWNER = "landfall"
_POLICIES = {"DROP": "deny", "ACCEPT": "allow", "REJECT": "reject"}
_PORT = re.compile(r"^\d{1,5}(:\d{1,5})?$")


@dataclass(frozen=True)
class Rule:
    """One rule of UFW: its words after `ufw`, spelled as `ufw show added` spells them, and its comment."""

    words: tuple[str, ...]
    comment: str = ""

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class State:
    """What UFW is set to. `policies`: direction (incoming, outgoing, routed) → allow, deny or reject."""

    rules: tuple[Rule, ...] = ()
    policies: dict[str, str] = field(default_factory=dict)
    active: bool = False
    ipv6: bool = True
    logging: str = ""

    def lines(self) -> list[str]:
        """The state as lines of text, for a diff."""
        head = [f"active: {str(self.active).lower()}", f"ipv6: {str(self.ipv6).lower()}", f"logging: {self.logging}"]
        head += [f"default {way}: {policy}" for way, policy in sorted(self.policies.items())]
        return head + [rule.text + (f"  # {rule.comment}" if rule.comment else "") for rule in self.rules]


def parse_added(text: str) -> tuple[Rule, ...]:
    """Read the output of `ufw show added`."""
    rules = []
    for line in text.splitlines():
        if not line.startswith("ufw "):
            continue
        words = shlex.split(line)[1:]
        comment = ""
        if len(words) > 2 and words[-2] == "comment":
            comment = words[-1]
            words = words[:-2]
        rules.append(Rule(tuple(words), comment))
    return tuple(rules)


def parse_settings(text: str) -> dict[str, str]:
    """Read the `KEY=value` lines of /etc/default/ufw and /etc/ufw/ufw.conf."""
    settings = {}
    for line in text.splitlines():
        name, sign, value = line.strip().partition("=")
        if sign and not name.startswith("#"):
            settings[name.strip()] = value.strip().strip("\"'")
    return settings


def observed(added: str, defaults: str, conf: str, status: str) -> State:
    """Put a State together from UFW's own words and its two settings files."""
    settings = {**parse_settings(defaults), **parse_settings(conf)}
    ways = {"incoming": "INPUT", "outgoing": "OUTPUT", "routed": "FORWARD"}
    return State(
        rules=parse_added(added),
        policies={way: _POLICIES.get(settings.get(f"DEFAULT_{name}_POLICY", ""), "") for way, name in ways.items()},
        active=status.startswith("Status: active"),
        ipv6=settings.get("IPV6", "yes").lower() in ("yes", "true"),
        logging=settings.get("LOGLEVEL", ""),
    )


def wanted_rules(specs: list[dict[str, Any]]) -> tuple[Rule, ...]:
    """Spell rules as UFW does.

    Each spec holds port ("80" or "6000:6010"), protocol (tcp, udp, any), and may hold source (address or CIDR),
    interface and action (allow, limit, deny, reject). Raises ValueError with the rule's number and the remedy.
    """
    rules = []
    for number, spec in enumerate(specs, 1):
        port, protocol = str(spec["port"]), spec.get("protocol") or "tcp"
        if not _PORT.match(port) or any(not 0 < int(part) < 65536 for part in port.split(":")):
            raise ValueError(f"rule {number}: port {port!r} is no port; write 1 to 65535, or a range such as 6000:6010")
        if ":" in port and protocol == "any":
            raise ValueError(f"rule {number}: the range {port} needs a protocol; write protocol: tcp or udp")
        source = _address(spec.get("source"), number)
        interface = spec.get("interface")
        words = [spec.get("action") or "allow"]
        if interface:
            words += ["in", "on", interface]
        if source:
            words += ["from", source]
        if source or interface:
            words += ["to", "any", "port", port] + ([] if protocol == "any" else ["proto", protocol])
        else:
            words.append(port if protocol == "any" else f"{port}/{protocol}")
        rule = Rule(tuple(words), OWNER)
        if rule not in rules:
            rules.append(rule)
    return tuple(rules)


def others(now: State, want: State) -> tuple[Rule, ...]:
    """Rules that somebody else made and that nobody wished for."""
    wished = {rule.text for rule in want.rules}
    return tuple(rule for rule in now.rules if rule.comment != OWNER and rule.text not in wished)


def rule_steps(now: State, want: State, remove_others: bool = False) -> list[list[str]]:
    """The argument lists for `ufw` that add and delete rules; new ones first, so that SSH is never shut out between.

    Rules that carry another comment than ours belong to somebody else: they satisfy a wish, and go only when told.
    """
    there = {rule.text for rule in now.rules}
    wished = {rule.text for rule in want.rules}
    steps = [[*rule.words, "comment", rule.comment] for rule in want.rules if rule.text not in there]
    stale = [rule for rule in now.rules if rule.comment == OWNER and rule.text not in wished]
    stale += others(now, want) if remove_others else ()
    return steps + [_deletion(rule) for rule in stale]


def _deletion(rule: Rule) -> list[str]:
    if rule.words[0] == "route":
        return ["route", "delete", *rule.words[1:]]
    return ["delete", *rule.words]


def setting_steps(now: State, want: State, unfinished: bool = False) -> list[list[str]]:
    """The argument lists for `ufw` that come after the rules: policies, logging, and the switch last.

    :param unfinished: an earlier run broke off between writing the rules and loading them
    """
    steps = [["default", policy, way] for way, policy in want.policies.items() if now.policies.get(way) != policy]
    if now.logging != want.logging:
        steps.append(["logging", want.logging])
    if not now.active:
        steps.append(["--force", "enable"])
    elif now.ipv6 != want.ipv6 or unfinished:
        steps.append(["reload"])
    return steps


def after(now: State, want: State, remove_others: bool = False) -> State:
    """The state once all steps are carried out: what is wanted, and the rules of others unless they go."""
    wished = {rule.text: rule for rule in want.rules}
    kept = [rule for rule in now.rules if rule.text in wished or (rule.comment != OWNER and not remove_others)]
    texts = {rule.text for rule in kept}
    rules = (*kept, *(rule for rule in want.rules if rule.text not in texts))
    return State(rules, want.policies, True, want.ipv6, want.logging)


def with_ipv6(defaults: str, ipv6: bool) -> str:
    """The text of /etc/default/ufw with IPV6 set."""
    line = f"IPV6={'yes' if ipv6 else 'no'}"
    text, found = re.subn(r"(?m)^IPV6=.*$", line, defaults)
    return text if found else f"{defaults.rstrip()}\n{line}\n".lstrip()


def _address(source: str | None, number: int) -> str:
    """An address or network as UFW prints it: networks masked, single hosts without a prefix. "" for anywhere."""
    if not source or source == "any":
        return ""
    try:
        network = ipaddress.ip_network(source, strict=False)
    except ValueError:
        raise ValueError(
            f"rule {number}: source {source!r} is no address; write 10.0.0.5, 10.0.0.0/8 or fd00::/8"
        ) from None
    if network.prefixlen == 0:
        return ""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
