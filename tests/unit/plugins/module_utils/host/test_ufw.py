# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.host import ufw

ADDED = """Added user rules (see 'ufw status' for running firewall):
ufw allow 22/tcp comment 'landfall'
ufw allow 8443/tcp comment 'landfall'
ufw allow from 10.0.0.0/8 to any port 5432 proto tcp
ufw limit 2222/tcp comment 'our bastion'
"""


def plan(now: ufw.State, wish: ufw.State) -> list[list[str]]:
    return ufw.rule_steps(now, wish) + ufw.setting_steps(now, wish)


POLICIES = {"incoming": "deny", "outgoing": "allow", "routed": "deny"}


def want(*specs: dict, ipv6: bool = True) -> ufw.State:
    return ufw.State(ufw.wanted_rules(list(specs)), POLICIES, True, ipv6, "low")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"port": 22}, "allow 22/tcp"),
        ({"port": "53", "protocol": "any"}, "allow 53"),
        ({"port": "6000:6010", "protocol": "udp"}, "allow 6000:6010/udp"),
        ({"port": "5432", "source": "10.1.2.3/8"}, "allow from 10.0.0.0/8 to any port 5432 proto tcp"),
        ({"port": "5432", "source": "10.1.2.3"}, "allow from 10.1.2.3 to any port 5432 proto tcp"),
        ({"port": "5432", "source": "fd00:0::/8"}, "allow from fd00::/8 to any port 5432 proto tcp"),
        ({"port": "80", "source": "0.0.0.0/0"}, "allow 80/tcp"),
        ({"port": "9100", "interface": "wg0"}, "allow in on wg0 to any port 9100 proto tcp"),
        ({"port": "22", "action": "limit"}, "limit 22/tcp"),
    ],
)
def test_rules_are_spelled_as_ufw_spells_them(spec, text):
    assert [rule.text for rule in ufw.wanted_rules([spec])] == [text]


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ({"port": "http"}, "is no port"),
        ({"port": "70000"}, "is no port"),
        ({"port": "1:2", "protocol": "any"}, "needs a protocol"),
        ({"port": "22", "source": "example.com"}, "is no address"),
    ],
)
def test_bad_rules_name_their_number(spec, hint):
    with pytest.raises(ValueError, match=f"rule 2.*{hint}"):
        ufw.wanted_rules([{"port": "22"}, spec])


def test_a_bare_host_gets_rules_before_it_is_switched_on():
    steps = plan(ufw.State(), want({"port": "22"}))
    assert steps[0] == ["allow", "22/tcp", "comment", "landfall"]
    assert steps[-1] == ["--force", "enable"]
    assert ["default", "deny", "incoming"] in steps


def test_ours_goes_when_unwanted_and_theirs_stays():
    now = ufw.State(ufw.parse_added(ADDED), POLICIES, True, True, "low")
    steps = plan(now, want({"port": "22"}, {"port": "5432", "source": "10.0.0.0/8"}))
    assert steps == [["delete", "allow", "8443/tcp"]]
    assert "limit 2222/tcp" in [rule.text for rule in ufw.after(now, want({"port": "22"})).rules]


def test_nothing_to_do_is_an_empty_plan():
    wish = want({"port": "22"}, {"port": "443", "protocol": "udp"})
    assert plan(wish, wish) == []
    assert ufw.after(wish, wish) == wish


def test_state_is_read_from_ufws_own_words():
    defaults = 'IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\n# DEFAULT_OUTPUT_POLICY="DROP"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\n'
    state = ufw.observed(ADDED, defaults, "ENABLED=yes\nLOGLEVEL=low\n", "Status: active\n")
    assert (state.active, state.ipv6, state.logging) == (True, True, "low")
    assert state.policies == {"incoming": "deny", "outgoing": "allow", "routed": ""}
    assert state.rules[3] == ufw.Rule(("limit", "2222/tcp"), "our bastion")


def test_switching_ipv6_reloads():
    now = want({"port": "22"}, ipv6=False)
    assert plan(now, want({"port": "22"})) == [["reload"]]
    assert ufw.with_ipv6("A=1\nIPV6=no\n", True) == "A=1\nIPV6=yes\n"
    assert ufw.with_ipv6("A=1\n", False) == "A=1\nIPV6=no\n"


def test_rules_of_others_are_told_and_go_only_when_told():
    now = ufw.State(
        (*ufw.parse_added(ADDED), ufw.Rule(("route", "allow", "in", "on", "eth1"))), POLICIES, True, True, "low"
    )
    wish = want({"port": "22"}, {"port": "8443"})
    assert [rule.text for rule in ufw.others(now, wish)] == [
        "allow from 10.0.0.0/8 to any port 5432 proto tcp",
        "limit 2222/tcp",
        "route allow in on eth1",
    ]
    assert ufw.rule_steps(now, wish) == []
    assert ufw.rule_steps(now, wish, remove_others=True)[1:] == [
        ["delete", "limit", "2222/tcp"],
        ["route", "delete", "allow", "in", "on", "eth1"],
    ]
    assert ufw.after(now, wish, remove_others=True).rules == now.rules[:2]


def test_rules_that_were_written_and_not_loaded_are_loaded():
    wish = want({"port": "22"})
    assert ufw.setting_steps(wish, wish, unfinished=True) == [["reload"]]
