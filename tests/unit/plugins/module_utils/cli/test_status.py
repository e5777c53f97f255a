# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `landfall status` says of what was gathered."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup.pitr import Seen
from ansible_collections.landfall.stack.plugins.module_utils.cli import status
from ansible_collections.landfall.stack.plugins.module_utils.cli.status import Certificate, Gathered, summarise
from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import Route, StackRoutes
from ansible_collections.landfall.stack.plugins.module_utils.rollout.health import Observation
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import Release

OBSERVED = {
    "toy-web-1": {"service": "web", "config_hash": "h", "image": "i", "state": "running"},
    "toy-job-1": {"service": "job", "config_hash": "h", "image": "i", "state": "done"},
}
RELEASE = Release("r1", "toy", "d", "c", who="me", version="1.0", outcome="sealed", finished="F", observed=OBSERVED)
ROUTES = StackRoutes("toy", ("toy.test",), "net", (Route("toy.test", "/", "web", 8080),))
GOOD = Certificate("toy", ("toy.test",), 40.0, "CA", False)


def container(name="toy-web-1", service="web", **changes):
    base = {"id": "1", "status": "running", "config_hash": "h", "image": "i", "started_at": "2026-11-21T05:00:00.123Z"}
    return Observation(name=name, service=service, **{**base, **changes})


def stack(**changes):
    base = {"releases": [RELEASE], "current": "r1", "containers": [container()], "routes": ROUTES}
    return Gathered(
        "toy", **{**base, "images": {"web": {"image": "app:1", "id": "sha256:0123456789abcdef"}}, **changes}
    )


def test_all_well():
    row = summarise(stack(), [GOOD])
    assert row.problems == ()
    web = next(one for one in row.services if one.service == "web")
    assert (web.wanted, web.healthy, web.image, web.id) == (1, 1, "app:1", "0123456789ab")
    text = status.render([row])
    assert "toy  release r1, version 1.0" in text
    assert "  https://toy.test/ -> web:8080" in text
    assert "  certificate toy.test: 40 days left, issued by CA" in text
    assert text[-1] == "All well, nothing to do."
    assert status.to_dict([row])["well"] is True


@pytest.mark.parametrize(
    ("changes", "certificates", "words"),
    [
        ({"containers": []}, [GOOD], "toy-web-1 is gone"),
        ({"containers": [container(health="unhealthy")]}, [GOOD], "is unhealthy"),
        ({"current": None}, [GOOD], "no release is current"),
        ({"releases": [RELEASE, Release("r2", "toy", "d", "c")]}, [GOOD], "was interrupted"),
        ({"lock": {"who": "bob", "pid": 7}}, [GOOD], "bob is deploying"),
        ({}, [], "no certificate of a CA yet"),
        ({}, [Certificate("p", ("toy.test",), 900, "self", True)], "no certificate of a CA yet"),
        ({}, [Certificate("p", ("toy.test",), -1, "CA", False)], "has run out"),
        ({}, [Certificate("p", error="openssl is not installed")], "toy.test has is unknown: certificate p: openssl"),
    ],
)
def test_problems(changes, certificates, words):
    row = summarise(stack(**changes), certificates)
    assert words in "; ".join(row.problems)
    assert status.render([row])[-1].startswith("To do:")


def test_an_archive_has_a_line_and_its_problems():
    seen = Seen("postgres-main", at=1000.0, lag=300.0, backups=2, newest="20261122-010000F")
    row = summarise(stack(archives=[seen]), [GOOD], 1060.0)
    assert row.problems == ()
    line = "  point in time: postgres-main, 2 backups, newest 20261122-010000F, loss at most 300 s"
    assert line in status.render([row])
    assert "nobody looked" in summarise(stack(archives=[seen]), [GOOD], 9000.0).problems[0]


def test_a_failed_deployment_after_the_current_one():
    failed = Release("r2", "toy", "d", "c", outcome="failed", evidence={"message": "service web: sick\nmore"})
    assert summarise(stack(releases=[RELEASE, failed]), [GOOD]).problems == (
        "the last deployment, r2, failed: service web: sick",
    )
    assert summarise(stack(releases=[failed], current=None, containers=[]), [GOOD]).problems[0].startswith("the last")


def test_maintenance_is_said():
    row = summarise(stack(maintenance=True), [GOOD])
    assert "[maintenance]" in status.render([row])[0]
    assert status.render([row])[-1] == "All well; in maintenance: toy."


def test_nothing_deployed():
    assert status.render([])[-1].startswith("No stack is deployed")


def test_wildcards_cover_one_label():
    wild = Certificate("w", ("*.test",), 1, "CA", False)
    assert wild.covers("a.test") and not wild.covers("a.b.test") and not wild.covers("test")
