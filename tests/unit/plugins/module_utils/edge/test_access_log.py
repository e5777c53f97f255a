# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The access log: what a line says, and what is no line."""

from __future__ import annotations

import json

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.edge.access_log import Request, parse

LINE = {
    "time": "2026-11-21T07:00:00+00:00", "at": 1795244400.25, "status": 200, "request_time": 0.012, "path": "/a",
    "stack": "shop", "service": "web", "upstream": "172.18.0.5:8000", "upstream_status": "200",
}  # fmt: skip


def line(**more):
    return json.dumps({**LINE, **more})


def test_a_line():
    assert parse([line()], "shop") == [Request(1795244400.25, "web", "/a", 200, 0.012, "172.18.0.5:8000", 200)]


@pytest.mark.parametrize(
    ("upstream", "status", "expected"),
    [
        ("172.18.0.5:8000, 172.18.0.6:8000", "502, 200", ("172.18.0.6:8000", 200)),
        ("shop_web_8000 : 172.18.0.6:8000", "502 : 200", ("172.18.0.6:8000", 200)),
        ("172.18.0.5:8000", "-", ("172.18.0.5:8000", 0)),
        ("", "", ("", 0)),
    ],
)
def test_the_last_try_counts(upstream, status, expected):
    one = parse([line(upstream=upstream, upstream_status=status)], "shop")[0]
    assert (one.upstream, one.upstream_status) == expected


def test_without_milliseconds_the_second_counts():
    assert parse([line(at=0)], "shop")[0].time == 1795244400.0


@pytest.mark.parametrize(
    "text", ["", "not json", '{"stack": "shop"}', '["stack"]', line(stack="other"), line(service=""), line(at="x"),
             '{"stack"', line(status="?")],
)  # fmt: skip
def test_what_is_no_request_of_the_stack_is_passed_over(text):
    assert parse([text, line()], "shop") == parse([line()], "shop")


def test_since():
    assert parse([line(at=10.0), line(at=20.5)], "shop", 20.0)[0].time == 20.5
