# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two versions of a service, said without a secret."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.rollout import changes
from ansible_collections.landfall.stack.plugins.module_utils.rollout.changes import fingerprint, normalised, reasons

BASE = {"image": "registry.example.com/team/app:1", "environment": {"A": "1"}, "networks": {"default": None}}


def test_a_new_service():
    assert reasons(None, BASE) == ["new service"]
    assert reasons(BASE, dict(BASE)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": "registry.example.com/team/app:2"}, ["image app:1 -> app:2"]),
        (
            {"image": "app@sha256:0123456789abcdef0123456789abcdef"},
            ["image app:1 -> app@0123456789ab"],
        ),
        ({"command": ["serve"]}, ["command"]),
        ({"entrypoint": ["/run"]}, ["entrypoint"]),
        ({"labels": {"a": "b"}}, ["labels"]),
        ({"labels": {"landfall.secrets": "abc"}}, ["a secret file it reads"]),
        ({"labels": {changes.CONFIG_LABEL: "abc"}}, []),
        ({"networks": {"default": None, "back": None}}, ["networks"]),
        ({"stop_grace_period": "1m"}, ["stop_grace_period"]),
        ({"deploy": {"replicas": 4}}, []),
        ({"deploy": {"resources": {"limits": {"memory": "1g"}}}}, ["resource limits"]),
        ({"depends_on": {"db": {}}, "x-landfall": {"route": {}}, "profiles": ["x"], "pull_policy": "missing"}, []),
        ({"ports": [], "volumes": None}, []),
    ],
)
def test_each_kind_of_change(change, said):
    assert reasons(BASE, {**BASE, **change}) == said


def test_values_of_variables_are_not_shown():
    old = {**BASE, "environment": {"KEPT": "same", "TOKEN": "old-hunter2", "GONE": "gone-hunter2"}}
    new = {**BASE, "environment": ["KEPT=same", "TOKEN=new-hunter2", "FRESH=fresh-hunter2"]}
    assert reasons(old, new) == ["environment +FRESH ~TOKEN -GONE"]


def test_no_value_of_anything_else_is_shown_either():
    secret = "hunter2"
    for key in ("command", "entrypoint", "labels", "healthcheck", "logging", "secrets", "volumes", "extra_hosts"):
        value = {"key": secret} if key == "labels" else [secret]
        said = reasons(BASE, {**BASE, key: value})
        assert said and secret not in " ".join(said)


def test_a_release_s_own_directory_is_no_difference():
    def config(directory):
        return {"services": {"web": {"volumes": [{"source": f"{directory}/conf", "target": "/conf"}]}}}

    one, two = (normalised(config(f"/opt/r/{name}"), f"/opt/r/{name}")["web"] for name in ("a", "b"))
    assert one == two and reasons(one, two) == [] and changes.mounts_release(one)
    assert not changes.mounts_release(normalised(config("/srv"), "/opt/r/a")["web"])


def test_fingerprints():
    assert fingerprint(BASE) == fingerprint(dict(reversed(BASE.items())))
    assert fingerprint({**BASE, "deploy": {"replicas": 9}, "depends_on": {}}) == fingerprint(BASE)
    for change in ({"image": "x"}, {"environment": {"A": "2"}}, {"deploy": {"resources": {"limits": {"cpus": "1"}}}}):
        assert fingerprint({**BASE, **change}) != fingerprint(BASE)
