# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edge and relay together: what one of them failing does to the other, and a host without an edge."""

from __future__ import annotations

import time

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients.docker import DockerCli
from ansible_collections.landfall.stack.plugins.module_utils.clients.traffic import Traffic, TrafficError, _Side
from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import Route, StackRoutes, to_json
from ansible_collections.landfall.stack.plugins.module_utils.edge.errors import EdgeError
from ansible_collections.landfall.stack.plugins.module_utils.relay.spec import RelaySpec

NONE = RelaySpec("shop")
ROUTES = to_json(StackRoutes("shop", ("a.b",), "net", (Route("a.b", "/", "web", 80, upstreams=("w-1",)),)))


@pytest.fixture
def traffic(tmp_path):
    def run(argv, cwd, env):
        if argv[1:3] == ["image", "inspect"]:
            return 0, '[{"Id": "sha256:1"}]', ""
        if argv[1] == "run":
            return 0, "", "nginx version: nginx/1.30.6\n"
        return 1, "", "Error: No such container: landfall-edge"

    return Traffic("shop", str(tmp_path / "edge"), str(tmp_path / "relay"), docker=DockerCli(run))


def test_without_an_edge_the_routes_are_written_for_it(traffic):
    traffic.check(ROUTES, NONE)
    assert traffic.read_routes() == ""
    done = traffic.switch(ROUTES, NONE)
    assert (done.edge, done.relay, done.changed) == ("", "", True)
    assert traffic.read_routes() == ROUTES
    assert not traffic.switch(ROUTES, NONE).changed
    assert traffic.switch("", NONE).changed and traffic.read_routes() == ""
    assert traffic.requests(0) == [] and traffic.quiet(["172.18.0.5"]) and traffic.old_workers() == 0


def sides(traffic, monkeypatch, edge, relay):
    monkeypatch.setattr(traffic, "_switch_edge", lambda *_: edge())
    monkeypatch.setattr(traffic, "_switch_relay", lambda *_: relay())


def fails():
    raise EdgeError("the relay does not run")


def test_one_side_failing_takes_the_other_back(traffic, monkeypatch):
    undone = []
    sides(traffic, monkeypatch, lambda: _Side("g1", {"test": 0.1}, True, lambda: undone.append("edge")), fails)
    with pytest.raises(TrafficError, match=r"^the relay does not run$"):
        traffic.switch(ROUTES, NONE)
    assert undone == ["edge"]


def test_what_cannot_be_taken_back_is_said(traffic, monkeypatch):
    sides(traffic, monkeypatch, lambda: _Side("g1", {}, True, fails), fails)
    with pytest.raises(TrafficError, match="the relay does not run · and it could not be taken back: the relay"):
        traffic.switch(ROUTES, NONE)


def test_parts_of_both(traffic, monkeypatch):
    sides(traffic, monkeypatch, lambda: _Side("g1", {"test": 0.1}, True), lambda: _Side("g2", {}, False))
    done = traffic.switch(ROUTES, NONE)
    assert (done.edge, done.relay, done.parts, done.changed) == ("g1", "g2", {"edge.test": 0.1}, True)


def test_settled(traffic):
    assert not traffic.settled(time.time()) and traffic.settled(time.time() - 1)
