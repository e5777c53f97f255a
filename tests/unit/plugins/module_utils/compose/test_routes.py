# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes file: written and read back, and refused when it is not as written."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import (
    Limit,
    Route,
    RoutesError,
    StackRoutes,
    from_json,
    to_json,
)

VALUE = StackRoutes(
    stack="jarvis",
    domains=("jarvis.localhost",),
    network="landfall-edge-jarvis",
    routes=(
        Route(
            host="jarvis.localhost",
            path="/auth/",
            service="auth-service",
            port=9998,
            limit=Limit("10r/s", 20),
            upstreams=("jarvis-auth-service-1",),
        ),
        Route("jarvis.localhost", "/", "web", 9999, protocol="websocket", drain="5m"),
    ),
)


def test_there_and_back():
    assert from_json(to_json(VALUE)) == VALUE


def test_weights_are_optional_in_the_file():
    route = Route("a.b", "/", "web", 80, upstreams=("w-1", "w-2"), weights=(("w-1", 9), ("w-2", 1)))
    weighed = StackRoutes("shop", ("a.b",), "net", (route,))
    assert from_json(to_json(weighed)) == weighed
    assert "weights" not in to_json(VALUE)


@pytest.mark.parametrize("weights", [5, ["w-1"], [["w-1", "9"]], [["w-1", True]], [["w-1", 0]], [["w-9", 1]]])
def test_weights_are_read_strictly(weights):
    route = Route("a.b", "/", "web", 80, upstreams=("w-1",), weights=(("w-1", 9),))
    data = json.loads(to_json(StackRoutes("shop", ("a.b",), "net", (route,))))
    data["routes"][0]["weights"] = weights
    with pytest.raises(RoutesError, match="weights"):
        from_json(json.dumps(data))


def test_headers_there_and_back():
    mine = dataclasses.replace(VALUE, headers={"X-A": "b", "X-B": ""})
    assert from_json(to_json(mine)) == mine
    assert "headers" not in json.loads(to_json(VALUE))
    with pytest.raises(RoutesError, match="'headers' must hold texts"):
        from_json(to_json(dataclasses.replace(VALUE, headers={"X-A": 1})))


def test_the_file_as_agreed():
    assert json.loads(to_json(VALUE))["routes"][0] == {
        "host": "jarvis.localhost",
        "path": "/auth/",
        "service": "auth-service",
        "port": 9998,
        "protocol": "http",
        "strip": False,
        "rewrite": None,
        "limit": {"rate": "10r/s", "burst": 20},
        "body_size": "10m",
        "timeout": "60s",
        "drain": None,
        "upstreams": ["jarvis-auth-service-1"],
    }
    assert to_json(VALUE).startswith('{\n  "domains"')
    assert to_json(VALUE).endswith("}\n")


def changed(**more):
    return {**json.loads(to_json(VALUE)), **more}


def route(**more):
    data = changed()
    data["routes"][0].update(more)
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "f.json: must be a mapping"),
        (changed(version=2), "f.json: version 2, this collection reads 1; deploy the stack again"),
        (changed(extra=1), "f.json: unknown key extra"),
        ({"version": 1}, "f.json: missing key domains, network, routes, stack"),
        (changed(stack=1), "f.json: 'stack' must be of type str, it is 1"),
        (changed(domains="x"), "f.json: 'domains' must be of type list"),
        (changed(domains=[1]), "f.json: 'domains' must be a list of strings"),
        (changed(routes=[1]), r"f.json: routes\[0\]: must be a mapping"),
        (route(port="80"), r"routes\[0\]: 'port' must be of type int, it is '80'"),
        (route(port=True), r"routes\[0\]: 'port' must be of type int, it is True"),
        (route(pth=1), r"routes\[0\]: unknown key pth"),
        (route(protocol="ftp"), r"routes\[0\]: 'protocol' is 'ftp', known are http, websocket, sse"),
        (route(limit=5), r"routes\[0\]: 'limit' must be a mapping or null"),
        (route(limit={"rate": "1r/s"}), r"routes\[0\].limit: missing key burst"),
        (route(drain=5), r"routes\[0\]: 'drain' must be of type str"),
    ],
)
def test_refused(data, message):
    with pytest.raises(RoutesError, match=message):
        from_json(json.dumps(data), "f.json")


def test_not_json():
    with pytest.raises(RoutesError, match=r"f.json: not JSON .*; deploy the stack again"):
        from_json("{", "f.json")
