# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each service is replaced, and why."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.model import build_model
from ansible_collections.landfall.stack.plugins.module_utils.rollout.plan import Refused
from ansible_collections.landfall.stack.plugins.module_utils.rollout.strategy import internal_calls, strategies

ROUTE = {"path": "/", "port": 8080}
VOLUME = {"type": "volume", "source": "data", "target": "/data"}


def chosen(image_volumes=(), rollout=None, route=None, others=None, **raw):
    """The strategy of service ``web`` written like this."""
    extra = {**({"rollout": rollout} if rollout else {}), **({"route": route} if route else {})}
    web = {"image": "app:1", **raw, **({"x-landfall": extra} if extra else {})}
    config = {"name": "toy", "x-landfall": {"domains": ["toy.localhost"]}, "services": {"web": web, **(others or {})}}
    return strategies(build_model(config), config, 120.0, {"web": image_volumes})["web"]


def test_an_ordinary_service_rolls():
    one = chosen(deploy={"replicas": 3})
    assert (one.kind, one.batch, one.surge, one.unavailable) == ("rolling", 3, 3, 0)
    assert one.reason == "new instances start before old ones stop"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"container_name": "one"}, "container_name one can be had by one container only"),
        ({"ports": [{"target": 80, "published": "8000"}]}, "host port 8000 can be bound by one container only"),
        ({"network_mode": "host"}, "network_mode host shares the ports of another"),
        ({"network_mode": "service:db"}, "network_mode service:db shares the ports of another"),
        ({"networks": {"default": {"ipv4_address": "10.0.0.9"}}}, "its address on network default is fixed"),
        ({"image": "docker.io/library/postgres:17"}, "postgres is a database: two on one directory would destroy it"),
        ({"image": "registry:5000/team/redis@sha256:abc"}, "redis is a database"),
        ({"volumes": [VOLUME]}, "volume data is written by one instance at a time"),
        ({"volumes": [{**VOLUME, "type": "bind", "source": "/srv"}]}, "bind /srv is written by one instance"),
        ({"volumes": [{"type": "volume", "target": "/data"}]}, "an anonymous volume is written by one instance"),
        ({"image_volumes": ["/var/lib/data"]}, "its image keeps data in the anonymous volume /var/lib/data"),
    ],
)
def test_why_a_service_is_stopped_first(raw, reason):
    one = chosen(**raw)
    assert one.kind == "recreate" and reason in one.reason


@pytest.mark.parametrize(
    "raw",
    [
        {"ports": [{"target": 80, "published": "8000-8010"}]},
        {"ports": [{"target": 80}]},
        {"volumes": [{**VOLUME, "read_only": True}]},
        {"volumes": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/s"}]},
        {"volumes": [{"type": "bind", "source": "/etc/localtime", "target": "/t"}]},
        {"volumes": [{"type": "tmpfs", "target": "/t"}]},
        # Several share it by the user's own choice.
        {"volumes": [VOLUME], "deploy": {"replicas": 2}},
        {"image": "my-redis-exporter:1"},
        {"network_mode": "none"},
    ],
)
def test_what_may_run_twice(raw):
    assert chosen(**raw).kind == "rolling"


def test_a_volume_of_the_image_that_is_mounted_is_no_anonymous_one():
    assert chosen(image_volumes=["/data"], deploy={"replicas": 2}).kind == "recreate"
    assert chosen(image_volumes=["/data/"], volumes=[{**VOLUME, "read_only": True}]).kind == "rolling"
    assert chosen(image_volumes=["/tmp/cache"], tmpfs=["/tmp/cache:size=1m"]).kind == "rolling"


def test_what_is_only_unwise_can_be_asked_for():
    one = chosen(rollout={"strategy": "rolling"}, image_volumes=["/data"])
    assert (one.kind, one.reason) == ("rolling", "asked for")
    assert chosen(rollout={"strategy": "recreate"}).kind == "recreate"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"rollout": {"strategy": "rolling"}, "container_name": "one"},
            "strategy rolling cannot be, since container_name",
        ),
        ({"rollout": {"strategy": "blue-green"}}, "blue-green is for services the edge routes to"),
        ({"rollout": {"strategy": "canary"}}, "canary is for services the edge routes to"),
        ({"rollout": {"max_surge": 0}}, "leave no room to replace anything"),
        ({"rollout": {"east_west": "relay"}}, "needs to know its HTTP ports"),
    ],
)
def test_what_cannot_be_is_refused(said, words):
    with pytest.raises(Refused, match=words) as caught:
        chosen(**said)
    assert str(caught.value).startswith("service web: ")


def test_all_settings_arrive():
    one = chosen(
        route=ROUTE,
        deploy={"replicas": 4},
        rollout={
            "strategy": "rolling", "batch": 2, "max_surge": 1, "max_unavailable": 1, "healthy_for": "7s",
            "deadline": "2m", "drain": "45s", "bake": "0s", "max_error_rate": "0.5%", "max_p99": "800ms", "wait": False,
        },
    )  # fmt: skip
    assert (one.batch, one.surge, one.unavailable, one.healthy_for, one.deadline) == (2, 1, 1, 7.0, 120.0)
    assert (one.drain, one.bake, one.max_error_rate, one.max_p99, one.wait) == (45.0, 0.0, 0.005, 0.8, False)
    two = chosen(route=ROUTE, rollout={"strategy": "canary", "steps": [5, 100], "hold": "10s"})
    assert (two.steps, two.hold) == ((5, 100), 10.0)


def test_a_service_that_others_wait_for_is_a_job():
    waits = {"image": "app:1", "depends_on": {"web": {"condition": "service_completed_successfully"}}}
    assert chosen(others={"later": waits}, rollout={"deadline": "9m"}).kind == "job"
    assert chosen(others={"later": waits}, rollout={"deadline": "9m"}).deadline == 540.0


# --- the relay


def caller(**environment):
    return {"image": "app:1", "environment": environment}


def test_a_service_called_by_its_name_is_relayed():
    one = chosen(others={"front": caller(API="http://web:8000/v1")}, route=ROUTE)
    assert (one.relayed, one.ports) == (True, (8000, 8080))


@pytest.mark.parametrize(
    ("rollout", "others", "relayed"),
    [
        ({}, {}, False),
        ({"east_west": "direct"}, {"front": caller(API="http://web:8000")}, False),
        ({"east_west": "relay"}, {}, True),
        ({"strategy": "recreate"}, {"front": caller(API="http://web:8000")}, False),
    ],
)
def test_who_is_relayed(rollout, others, relayed):
    one = chosen(rollout=rollout, others=others, expose=["9000"])
    assert one.relayed is relayed
    if rollout == {"east_west": "relay"}:
        assert one.ports == (9000,)


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("http://api:8000/v1", (8000,)),
        ("ws://api:8000", (8000,)),
        ("http://api/v1", (80,)),
        ("http://user:pass@api:8000", (8000,)),
        ("http://other,http://api:81", (81,)),
        # Something else than HTTP is spoken there.
        ("api:50051", None),
        ("postgres://api:5432/db", None),
        ("grpc://api", None),
        ("https://api:8443", None),
        # Not this service.
        ("http://my-api:8000", None),
        ("http://api.example.com", None),
        ("http://api-internal:8000", None),
        ("the api is nice", None),
    ],
)
def test_internal_calls(text, ports):
    for raw in ({"environment": {"X": text}}, {"command": ["serve", text]}, {"entrypoint": text}):
        found = internal_calls({"api": {}, "front": raw})
        assert found == ({"api": ports} if ports else {})


def test_one_other_protocol_is_enough_to_leave_a_service_alone():
    both = {"environment": {"A": "http://api:8000", "B": "redis://api:6379"}}
    assert internal_calls({"api": {}, "front": both}) == {}


def test_environments_as_lists_and_a_service_s_own_name():
    assert internal_calls({"api": {}, "front": {"environment": ["A=http://api:1"]}}) == {"api": (1,)}
    assert internal_calls({"api": {"environment": {"ME": "http://api:8000"}}}) == {}
