# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay: its file, its configuration, its containers."""

from __future__ import annotations

import dataclasses
import re

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.edge.errors import EdgeError
from ansible_collections.landfall.stack.plugins.module_utils.relay.project import (
    Place,
    Relay,
    aliases,
    compose,
    label,
    plan,
)
from ansible_collections.landfall.stack.plugins.module_utils.relay.render import control, main, render
from ansible_collections.landfall.stack.plugins.module_utils.relay.spec import (
    RelayNetwork,
    RelaySpec,
    RelayTarget,
    from_json,
    to_json,
)

yaml = pytest.importorskip("yaml")

ROOT, IMAGE, USER = "/etc/landfall/relay/jarvis", "nginx:1", "101:101"
AUTH = RelayTarget("auth", (9998,), ("auth", "login"), ("jarvis-auth-1", "jarvis-auth-2"), (("jarvis-auth-2", 9),))
WEB = RelayTarget("web", (9998, 80), ("web",), ("jarvis-web-1",))
NET = RelayNetwork("default", "jarvis_default", (AUTH, WEB))
SPEC = RelaySpec("jarvis", (NET,))


def conf(*targets):
    return render(RelaySpec("jarvis", (dataclasses.replace(NET, targets=targets),)), ROOT)["default.conf"]


def test_there_and_back():
    assert from_json(to_json(SPEC)) == SPEC


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2}', '{"version": 1, "stack": "a"}'])
def test_a_file_of_something_else_is_refused(text):
    with pytest.raises(EdgeError, match="deploy the stack again"):
        from_json(text)


def test_services_on_one_port_are_told_apart_by_name():
    text = conf(AUTH, WEB)
    assert "server_name auth auth.jarvis_default login login.jarvis_default;" in text
    assert re.findall(r"listen (\d.*);", text) == ["80 default_server", "9998", "9998", "9998 default_server"]
    assert 'return 421 "The relay answers here for auth, login, web.' in text


def test_a_service_alone_on_its_port_takes_any_name():
    text = conf(AUTH)
    assert "listen 9998 default_server;" in text and "421" not in text


def test_containers_are_reached_through_the_handover_only():
    text = conf(AUTH)
    front = text[text.index("listen 9998") :].split("}\n")[0]
    assert "proxy_pass http://landfall_pools;" in front and "jarvis-auth" not in front
    assert "server jarvis-auth-1:9998 resolve max_fails" in text
    assert "server jarvis-auth-2:9998 resolve weight=9 max_fails" in text


def test_no_container_is_no_error():
    text = conf(dataclasses.replace(AUTH, upstreams=(), weights=()))
    assert "server 127.0.0.1:9 down;" in text and "backup" not in text


def test_nothing_is_added_to_a_request():
    assert "Forwarded" not in conf(AUTH) and "X-Real-IP" not in conf(AUTH)


def test_long_network_keys_fit_a_socket_path():
    key = "a-network-with-a-very-long-name-indeed"
    assert len(control(key)) < 24 and control(key) != control(key + "x") and main(key) != main(key + "x")


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ((dataclasses.replace(AUTH, ports=()),), "has no port"),
        ((dataclasses.replace(AUTH, ports=(70000,)),), "70000 is no port"),
        ((dataclasses.replace(AUTH, names=("a;b",)),), "is no container, service or DNS name"),
        ((AUTH, dataclasses.replace(WEB, names=("web", "login"))), "auth and web both answer to login:9998"),
    ],
)
def test_refused(targets, said):
    with pytest.raises(EdgeError, match=re.escape(said)):
        conf(*targets)


NAME = "landfall-relay-jarvis-default"


def test_compose_gives_the_names_and_nothing_to_the_outside():
    project = yaml.safe_load(compose(SPEC, [Place(NAME, "default", 1, aliases(NET))], IMAGE, USER, ROOT))
    one = project["services"]["landfall-relay-jarvis-default"]
    assert one["networks"] == {"default": {"aliases": ["auth", "login", "web"]}} and "ports" not in one
    assert one["pids_limit"] == 512 and one["cap_drop"] == ["ALL"] and one["read_only"] is True
    assert project["networks"] == {"default": {"name": "jarvis_default", "external": True}}
    assert one["labels"]["landfall.relay.spec"] == label(SPEC, NET, 1, IMAGE, USER, ROOT)


STEADY = Relay(True, label(SPEC, NET, 1, IMAGE, USER, ROOT), "jarvis_default", frozenset(aliases(NET)), "default")
SECOND = dataclasses.replace(STEADY, spec=label(SPEC, NET, 2, IMAGE, USER, ROOT), index=2)


CHANGED = f"create {NAME}: its image, limits or network changed"


def holding(one, *names):
    return dataclasses.replace(one, names=frozenset(names))


@pytest.mark.parametrize(
    ("observed", "steps", "names"),
    [
        ({NAME: STEADY}, [], [("auth", "login", "web")]),
        ({}, [f"create {NAME}: there is none yet"], [("auth", "login", "web")]),
        ({NAME: dataclasses.replace(STEADY, running=False)}, [f"start {NAME}: it does not run"], None),
        (
            {NAME: dataclasses.replace(STEADY, spec="other"), f"{NAME}-2": SECOND},
            [f"create {NAME}: its image, limits or network changed",
             f"remove {NAME}-2: nothing is relayed there any more"],
            [("auth", "login", "web")],
        ),
        ({NAME: dataclasses.replace(STEADY, network="x")}, [CHANGED], None),
        ({NAME: holding(STEADY, "auth")}, [f"create {NAME}-2: login and web come"], [("auth",), ("login", "web")]),
        ({NAME: holding(STEADY, "auth"), f"{NAME}-2": holding(SECOND, "login", "web")}, [], None),
        (
            {NAME: holding(STEADY, "auth", "login", "old")},
            [f"rename {NAME}: old go"],
            [("auth", "login", "web")],
        ),
        (
            {NAME: STEADY, f"{NAME}-2": holding(SECOND, "old")},
            [f"remove {NAME}-2: nothing is relayed there any more"],
            [("auth", "login", "web")],
        ),
        (
            {NAME: STEADY, "landfall-relay-jarvis-back": dataclasses.replace(STEADY, key="back")},
            ["remove landfall-relay-jarvis-back: nothing is relayed there any more"],
            None,
        ),
    ],
)  # fmt: skip
def test_plan(observed, steps, names):
    found, places = plan(SPEC, observed, IMAGE, USER, ROOT)
    assert [str(step) for step in found] == steps
    if names:
        assert [place.names for place in places] == names


def test_new_upstreams_need_no_step():
    changed = RelaySpec(
        "jarvis", (dataclasses.replace(NET, targets=(dataclasses.replace(AUTH, upstreams=("x",)), WEB)),)
    )
    assert plan(changed, {NAME: STEADY}, IMAGE, USER, ROOT)[0] == []


def test_a_further_container_has_sockets_of_its_own():
    text = compose(SPEC, [Place(f"{NAME}-2", "default", 2, ("web",))], IMAGE, USER, ROOT)
    one = yaml.safe_load(text)["services"][f"{NAME}-2"]
    assert f"{ROOT}/run-2:{ROOT}/run" in one["volumes"]
