# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has an old instance finished, and do the new ones do well."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.rollout import judge

PROC_NET = """header
   0: 0100007F:1F90 00000000:0000 0A 0 0
   1: 020011AC:1F90 010011AC:C001 01 0 0
   2: 0000000000000000FFFF0000020011AC:1F90 0000000000000000FFFF0000010011AC:C002 01 0 0
   3: 020011AC:1F90 010011AC:C003 06 0 0
   4: 020011AC:C100 030011AC:1F90 01 0 0
   5: 020011AC:0050 010011AC:C004 01 0 0
torn
"""


def test_established_connections_to_the_ports_count():
    # Not the listener, not one in TIME_WAIT, not what the container opened itself.
    assert judge.connections(PROC_NET, [8080]) == 2
    assert judge.connections(PROC_NET, [8080, 80]) == 3
    assert judge.connections(PROC_NET, [443]) == 0
    assert judge.connections("", [8080]) == 0


def requests(count, failed=0, service="web", seconds=0.01, status=500):
    return [
        SimpleNamespace(service=service, status=status if number < failed else 200, seconds=seconds, upstream="")
        for number in range(count)
    ]


def complaint(mine, before=(), max_error_rate=0.05, max_p99=None):
    return judge.complaint("web", mine, before, max_error_rate, max_p99)


def test_too_many_failures():
    assert complaint(requests(100, 5)) == ""
    assert complaint(requests(100, 6)) == (
        "service web: 6 of 100 requests failed (6.0%, allowed 5.0%, before the rollout 0.0%)"
    )


def test_too_few_requests_prove_nothing():
    assert complaint(requests(judge.ENOUGH - 1, judge.ENOUGH - 1)) == ""
    assert complaint(requests(judge.ENOUGH, judge.ENOUGH)) != ""


def test_what_failed_before_is_not_the_new_version_s_fault():
    assert complaint(requests(100, 14), requests(100, 10)) == ""
    assert complaint(requests(100, 16), requests(100, 10)) != ""


def test_other_services_do_not_count():
    assert complaint(requests(100, 0) + requests(100, 100, service="api")) == ""
    assert complaint(requests(100, 14), requests(100, 10, service="api")) != ""


@pytest.mark.parametrize("status", [404, 429, 499])
def test_the_client_s_own_failures_do_not_count(status):
    assert complaint(requests(100, 100, status=status)) == ""


def test_too_slow():
    mine = requests(98) + requests(2, seconds=0.9)
    assert complaint(mine, max_p99=0.8) == "service web: the 99th percentile is 0.90 s, allowed 0.80 s"
    assert complaint(mine, max_p99=1.0) == complaint(mine) == ""
    # A WebSocket lasts as long as it lasts.
    sockets = requests(50, 50, seconds=900.0, status=101)
    assert complaint(requests(50) + sockets, max_p99=0.8) == ""


@pytest.mark.parametrize(
    ("values", "share", "found"), [([], 0.99, 0.0), ([3.0], 0.99, 3.0), ([2.0, 1.0], 0.5, 1.0), (range(101), 0.99, 99)]
)
def test_percentile(values, share, found):
    assert judge.percentile(list(values), share) == found


def test_what_was_under_way_to_an_old_container_tells_nothing_of_the_new():
    def one(ended, seconds, upstream):
        return SimpleNamespace(time=ended, seconds=seconds, upstream=upstream, service="web", status=503)

    cut = one(100.5, 1.0, "172.18.0.4:8000")
    slow, new = one(101.0, 2.0, "172.18.0.5:8000"), one(101.0, 0.1, "172.18.0.5:8000")
    nobody = one(101.0, 0.1, "")
    stray = one(101.0, 0.1, "172.18.0.50:8000")
    said = [cut, slow, new, nobody, stray]
    assert judge.telling(said, {"172.18.0.5:"}, 100.0) == [slow, new, nobody, stray]
    assert judge.telling(said, {"172.18.0.5:"}, None) == [slow, new]
