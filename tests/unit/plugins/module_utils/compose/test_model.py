# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model, the overlay and the routes from a recorded ``docker compose config``."""

from __future__ import annotations

import json

import pytest
import yaml

from ansible_collections.landfall.stack.plugins.module_utils.compose.graph import CycleError, waves
from ansible_collections.landfall.stack.plugins.module_utils.compose.merge import with_extensions
from ansible_collections.landfall.stack.plugins.module_utils.compose.model import (
    ModelError,
    build_model,
    overlay,
    routes_of,
)
from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import Limit
from ansible_collections.landfall.stack.plugins.module_utils.compose.stack import Dependency, Mount, PublishedPort
from ansible_collections.landfall.stack.plugins.module_utils.compose.yamldoc import parse

# As Compose 2.26 prints it.
CONFIG = yaml.safe_load(
    """
name: demo
services:
  a:
    depends_on: {b: {condition: service_healthy, required: true}}
    environment: {PASSWORD: hunter2}
    expose: ["80", "99/udp"]
    image: r.local/a:1
    networks: {back: {}, default: {aliases: [foo]}}
    ports:
      - {mode: ingress, host_ip: 127.0.0.1, target: 22, published: "22", protocol: tcp}
      - {mode: ingress, target: 53, published: "9000", protocol: udp}
    secrets: [{source: s1, target: /run/secrets/s1}]
    stop_grace_period: 1m30s
    volumes:
      - {type: volume, source: data, target: /data, volume: {}}
      - {type: bind, source: /t/x, target: /x, read_only: true, bind: {create_host_path: true}}
    x-landfall:
      route:
        - {path: /a/, port: "80", strip: "true"}
        - {path: /ws, port: 80, protocol: websocket, drain: 5m, limit: false, timeout: 1h, host: b.localhost}
      rollout: {batch: 2}
  b:
    deploy: {replicas: 2}
    healthcheck: {test: [CMD, "true"], interval: 5s}
    image: b
    networks: {default: null}
  c: {build: {context: /t}, healthcheck: {disable: true}, networks: {back: null}}
  d: {image: d, networks: {default: null}, restart: always, scale: 3, container_name: dd, healthcheck: {interval: 1s}}
  e: {image: e, network_mode: host, healthcheck: {test: [NONE]}}
networks: {back: {name: demo_back}, default: {name: demo_default}}
volumes: {data: {name: demo_data}}
x-landfall: {domains: [a.localhost, b.localhost], releases: {keep: 3}, edge: {body_size: 1g, headers: {X-A: b}}}
"""
)


@pytest.fixture(name="model")
def _model():
    return build_model(CONFIG)


def test_stack(model):
    assert (model.name, model.domains, model.keep) == ("demo", ("a.localhost", "b.localhost"), 3)
    assert model.waves == (("b", "c", "d", "e"), ("a",))
    assert model.images == {"a": "r.local/a:1", "b": "b", "d": "d", "e": "e"}
    assert model.volumes == {"data": "demo_data"}
    assert model.networks == {"back": "demo_back", "default": "demo_default"}
    assert model.headers == {"X-A": "b"}
    assert build_model(CONFIG, "other").name == "other"


def test_service(model):
    a = model.services["a"]
    assert a.depends_on == (Dependency("b", "service_healthy", True),)
    assert a.networks == ("back", "default")
    assert a.mounts == (Mount("volume", "data", "/data"), Mount("bind", "/t/x", "/x", True))
    assert a.ports == (PublishedPort(22, "22", "tcp", "127.0.0.1"), PublishedPort(53, "9000", "udp"))
    assert a.expose == (22, 80)
    assert (a.secrets, a.stop_grace_period, a.extra) == (("s1",), "1m30s", {"rollout": {"batch": 2}})
    assert [model.services[n].healthcheck for n in "abcde"] == ["no", "yes", "disabled", "no", "disabled"]
    assert [model.services[n].replicas for n in "abcd"] == [1, 2, 1, 3]
    assert (model.services["c"].build, model.services["d"].container_name, model.services["d"].restart) == (
        True,
        "dd",
        "always",
    )
    assert (model.services["e"].network_mode, model.services["e"].networks) == ("host", ())


def test_routes_get_their_defaults(model):
    first, second = model.services["a"].routes
    assert (first.host, first.port, first.strip, first.limit) == ("a.localhost", 80, True, Limit("10r/s", 20))
    assert (first.protocol, first.body_size, first.timeout, first.drain) == ("http", "1g", "60s", None)
    assert (second.host, second.protocol, second.limit, second.timeout, second.drain) == (
        "b.localhost",
        "websocket",
        None,
        "1h",
        "5m",
    )


def test_to_dict_is_plain_and_holds_no_environment(model):
    text = json.dumps(model.to_dict())
    assert json.loads(text) == model.to_dict()
    assert "hunter2" not in text
    assert model.to_dict()["routed"] == ["a"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "the project has no services; check 'files' and 'profiles'"),
        (
            {"services": {"a": {"x-landfall": {"route": {"path": "/", "port": 1}}}}},
            "service a: x-landfall.route: no host",
        ),
        ({"services": {"a": {"x-landfall": {"route": {"path": "/"}}}}}, "a route needs a path and a port"),
        ({"services": {"a": {"ports": ["80:80"]}}}, "port '80:80': expected the long form"),
    ],
)
def test_errors(config, message):
    with pytest.raises(ModelError, match=message.replace(".", r"\.")):
        build_model(config)


def test_overlay_names_the_networks_a_service_has(model):
    assert overlay(model, {"b": "b@sha256:2", "a": "a@sha256:1"}) == {
        "services": {
            "a": {"image": "a@sha256:1", "networks": {"back": {}, "default": {}, "edge-landfall": {}}},
            "b": {"image": "b@sha256:2"},
        },
        "networks": {
            "edge-landfall": {
                "name": "landfall-edge-demo",
                "internal": True,
                "labels": {"landfall.edge": "true", "landfall.stack": "demo"},
            }
        },
    }
    with pytest.raises(ValueError, match="not in the stack: zz"):
        overlay(model, {"zz": "x"})


def test_overlay_of_a_stack_without_routes():
    assert overlay(build_model({"services": {"a": {"image": "i"}}})) == {"services": {}}


def test_overlay_of_a_model_that_has_the_overlay_already(model):
    config = {**CONFIG, "services": {**CONFIG["services"]}}
    config["services"]["a"] = {
        **CONFIG["services"]["a"],
        "networks": {"back": None, "default": None, "edge-landfall": None},
    }
    assert overlay(build_model(config)) == overlay(model)


def test_routes_of(model):
    found = routes_of(model, {"a": ["demo-a-2", "demo-a-1"], "b": ["demo-b-1"]})
    assert (found.stack, found.network, found.domains) == ("demo", "landfall-edge-demo", ("a.localhost", "b.localhost"))
    assert [(r.host, r.path, r.service, r.upstreams) for r in found.routes] == [
        ("a.localhost", "/a/", "a", ("demo-a-1", "demo-a-2")),
        ("b.localhost", "/ws", "a", ("demo-a-1", "demo-a-2")),
    ]
    assert routes_of(model, {}).routes[0].upstreams == ()


@pytest.mark.parametrize(
    ("depends", "layers"),
    [
        ({}, []),
        ({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}, [["a"], ["b", "c"], ["d"]]),
        ({"a": ["not here"]}, [["a"]]),
    ],
)
def test_waves(depends, layers):
    assert waves(depends) == layers


@pytest.mark.parametrize(
    ("depends", "cycle"),
    [({"a": ["a"]}, "a -> a"), ({"x": ["c"], "a": ["b"], "b": ["c"], "c": ["a"]}, "a -> b -> c -> a")],
)
def test_cycles(depends, cycle):
    with pytest.raises(CycleError, match=f"dependency cycle: {cycle}; take one"):
        waves(depends)


def test_extensions_merge_by_our_rule_whatever_compose_prints():
    base = (
        "x-landfall: {domains: [a], releases: {keep: 2}}\nservices:\n  a: {x-landfall: {route: {path: /, port: 1}}}\n"
    )
    over = "x-landfall: {domains: [b]}\nservices:\n  a: {x-landfall: {rollout: {batch: 2}}}\n"
    # Compose 2.26: the later file has won; service z comes from an include
    printed = {
        "services": {"a": {"image": "i", "x-landfall": {"rollout": {"batch": 2}}}, "z": {"x-landfall": {"alerts": {}}}}
    }
    found = with_extensions(printed, [parse("a", base)[0], parse("b", over)[0]])
    assert found["x-landfall"] == {"domains": ["b"], "releases": {"keep": 2}}
    assert found["services"]["a"] == {
        "image": "i",
        "x-landfall": {"route": {"path": "/", "port": 1}, "rollout": {"batch": 2}},
    }
    assert found["services"]["z"] == {"x-landfall": {"alerts": {}}}
