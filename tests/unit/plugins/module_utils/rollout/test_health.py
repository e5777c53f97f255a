# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a container is well, and who listens where."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.rollout import health, ports
from ansible_collections.landfall.stack.plugins.module_utils.rollout.health import Observation, judge


def seen(**changes) -> Observation:
    return Observation(**{"name": "toy-web-1", "id": "1", "service": "web", "status": "running", **changes})


@pytest.mark.parametrize(
    ("one", "running_for", "state"),
    [
        (seen(health="healthy"), 0, "healthy"),
        (seen(health="starting"), 100, "waiting"),
        (seen(health="unhealthy"), 0, "broken"),
        (seen(), 1, "waiting"),
        (seen(), 5, "healthy"),
        (seen(status="created"), 0, "waiting"),
        (seen(status="restarting", exit_code=1), 0, "waiting"),
        (seen(restarts=3), 100, "broken"),
        (seen(status="exited", exit_code=0), 0, "done"),
        (seen(status="exited", exit_code=1), 0, "broken"),
        (seen(status="exited", exit_code=1, restart_policy="unless-stopped"), 0, "waiting"),
        (seen(status="exited", exit_code=0, restart_policy="always"), 0, "waiting"),
        (seen(status="exited", exit_code=1, restart_policy="always", restarts=3), 0, "broken"),
    ],
)
def test_judge(one, running_for, state):
    assert judge(one, running_for, healthy_for=5).state == state


def test_restarts_of_former_days_do_not_count():
    assert judge(seen(restarts=40), 10, 5, restarts_before=40).state == "healthy"


def test_a_job_is_awaited_to_its_end():
    assert judge(seen(), 100, 5, wants="done").state == "waiting"
    assert judge(seen(status="exited", restart_policy="always"), 0, 5, wants="done").state == "done"


def test_reasons_say_what_happened():
    assert "out of memory" in judge(seen(status="exited", exit_code=137, oom_killed=True), 0, 5).reason
    assert "restarted 3 times" in judge(seen(restarts=3), 0, 5).reason


def test_observe_takes_a_disabled_healthcheck_for_none():
    inspected = {
        "Name": "/toy-web-1",
        "Id": "abc",
        "Config": {"Labels": {"com.docker.compose.service": "web"}, "Healthcheck": {"Test": ["NONE"]}},
        "State": {"Status": "running", "Health": {"Status": "healthy"}, "Pid": 7},
        "NetworkSettings": {"Networks": {"a": {"IPAddress": "172.20.0.2"}, "b": {"IPAddress": ""}}},
        "HostConfig": {"RestartPolicy": {"Name": ""}},
    }
    one = health.observe(inspected)
    assert (one.name, one.health, one.addresses, one.restart_policy) == ("toy-web-1", "", ("172.20.0.2",), "no")


RECORDED = {
    "toy-web-1": {"service": "web", "config_hash": "h", "image": "i", "state": "running"},
    "toy-job-1": {"service": "job", "config_hash": "h", "image": "i", "state": "done"},
}


def web(**changes):
    return seen(**{"config_hash": "h", "image": "i", **changes})


def test_no_drift():
    assert health.drift(RECORDED, [web(health="healthy")]) == []


@pytest.mark.parametrize(
    ("containers", "words"),
    [
        ([], "is gone"),
        ([web(config_hash="other")], "changed by hand"),
        ([web(image="other")], "another image"),
        ([web(status="exited")], "is exited"),
        ([web(health="unhealthy")], "is unhealthy"),
        ([web(), web(name="toy-web-2")], "not part of the release"),
    ],
)
def test_drift(containers, words):
    assert words in "; ".join(health.drift(RECORDED, containers))


def test_leftovers_of_a_killed_compose_up():
    containers = [
        seen(name="793186448b51_toy-web-1", status="created"),
        seen(name="793186448b52_toy-web-2", status="running"),
        seen(name="toy-web-3", status="created"),
    ]
    assert health.leftovers(containers) == ["793186448b51_toy-web-1"]


PROC = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 0B00007F:9C41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   3: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0 0 0 0 0 0
   1: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 0 0 0 0 0 0
"""


def test_listeners_without_dockers_own_dns():
    found = ports.parse_proc_net(PROC)
    assert [(one.port, one.address) for one in found] == [
        (80, "::"),
        (81, "127.0.0.1"),
        (5432, "127.0.0.1"),
        (8080, "0.0.0.0"),
    ]


def test_complaints_name_what_is_there():
    listeners = ports.parse_proc_net(PROC)
    text = ports.complaint("web", "/", 9999, listeners)
    assert text.startswith("service web: route / goes to port 9999 and nothing listens there")
    assert "the container listens on 80, 8080" in text
    assert "0.0.0.0" in ports.complaint("web", "/", 5432, listeners)
    assert "no port at all" in ports.complaint("web", "/", 1, [])
    assert "own loopback" in ports.complaint("web", "/", 1, [ports.Listener(5, "127.0.0.1")])
    assert "takes no connection" in ports.complaint("web", "/", 8080, listeners)
