# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images, pins, deadlines and the overlay's additions."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.model import build_model
from ansible_collections.landfall.stack.plugins.module_utils.rollout import payload, plan
from ansible_collections.landfall.stack.plugins.module_utils.rollout.plan import ImageStep, Refused

CONFIG = {
    "name": "toy",
    "x-landfall": {"domains": ["toy.localhost"]},
    "services": {
        "web": {
            "image": "app:1",
            "build": {"context": "."},
            "depends_on": {"job": {"condition": "service_completed_successfully"}},
            "deploy": {"replicas": 2},
            "secrets": [{"source": "token"}],
            "volumes": [
                {"type": "bind", "source": "/r/id/conf", "target": "/conf", "read_only": True},
                {"type": "bind", "source": "/r/id/data", "target": "/data"},
                {"type": "bind", "source": "/srv", "target": "/srv"},
                {"type": "volume", "source": "v", "target": "/v"},
            ],
            "x-landfall": {
                "route": {"path": "/", "port": 8080},
                "rollout": {"healthy_for": "7s", "deadline": "2m"},
            },
        },
        "job": {"image": "job:1"},
    },
    "secrets": {"token": {"file": "/s/TOKEN"}, "other": {"file": "/elsewhere"}},
}


@pytest.fixture(name="model")
def _model():
    return build_model(CONFIG)


def test_start_bound():
    assert plan.start_bound(2, 60.0) == 120.0 + 60.0
    assert plan.start_bound(1, 600.0) == 600.0 + 30.0


def test_image_steps(model):
    assert plan.image_steps(model, build=False) == [
        ImageStep("job", "pull", "job:1"),
        ImageStep("web", "pull", "app:1"),
    ]
    assert plan.image_steps(model, build=True)[1] == ImageStep("web", "build", "app:1")


def test_a_service_that_can_only_be_built():
    model = build_model({"name": "toy", "services": {"web": {"build": {"context": "."}}}})
    assert plan.image_steps(model, build=True) == [ImageStep("web", "build", "toy-web")]
    with pytest.raises(Refused, match="build: true"):
        plan.image_steps(model, build=False)


@pytest.mark.parametrize(
    ("ref", "digests", "pinned"),
    [
        ("nginx:1.30", ["nginx@sha256:a"], "nginx@sha256:a"),
        ("docker.io/library/nginx:1.30", ["nginx@sha256:a"], "nginx@sha256:a"),
        ("reg:5000/app:1", ["other@sha256:b", "reg:5000/app@sha256:a"], "reg:5000/app@sha256:a"),
        ("reg:5000/team/app", [], "landfall.local/toy/app:0123456789ab"),
        ("app:1", ["other@sha256:b"], "landfall.local/toy/app:0123456789ab"),
    ],
)
def test_pin(ref, digests, pinned):
    info = {"Id": "sha256:0123456789abcdef", "RepoDigests": digests}
    assert plan.pin("toy", ImageStep("web", "pull", ref), info) == (pinned, pinned.startswith("landfall.local"))


def test_what_was_built_is_pinned_by_its_id():
    info = {"Id": "sha256:0123456789abcdef", "RepoDigests": ["app@sha256:a"]}
    assert plan.pin("toy", ImageStep("web", "build", "app:1"), info)[1]


def test_additions(model):
    args = (model, CONFIG, "/r/id", frozenset({"conf/a", "compose.yaml"}), "/stack/data", "/s")
    entry = plan.additions(*args, {"TOKEN": "d1"})["web"]
    assert [(v["source"], v["target"]) for v in entry["volumes"]] == [("/stack/data/data", "/data")]
    other = plan.additions(*args, {"TOKEN": "d2"})["web"]
    assert entry["labels"]["landfall.secrets"] != other["labels"]["landfall.secrets"]
    assert "job" not in plan.additions(*args, {})


def test_payload_round_trip_is_deterministic():
    one = payload.Payload({"b": b"2", "a/x": b"1"}, frozenset({"b"}), {"E": "v"}, "F=1\n")
    two = payload.Payload({"a/x": b"1", "b": b"2"}, frozenset({"b"}), {"E": "v"}, "F=1\n")
    assert payload.pack(one) == payload.pack(two)
    assert payload.unpack(payload.pack(one)) == one


def test_payload_refuses_what_leaves_the_project():
    with pytest.raises(ValueError, match="leaves the release"):
        payload.pack(payload.Payload({"../x": b""}))
    with pytest.raises(ValueError, match="leaves the release"):
        payload.unpack(payload.tar_gz({"files/../../etc/passwd": b""}))
    with pytest.raises(ValueError, match="damaged"):
        payload.unpack(b"nonsense")
