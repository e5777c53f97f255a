# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: which of them moved, and what is said when one cannot be had."""

from __future__ import annotations

import json

import pytest
from fake_host import assert_settled, request, service, stack_file

from ansible_collections.landfall.stack.plugins.module_utils.rollout.images import Images
from ansible_collections.landfall.stack.plugins.module_utils.rollout.plan import Refused
from ansible_collections.landfall.stack.plugins.module_utils.rollout.project import Projects
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import FAILED, SEALED
from ansible_collections.landfall.stack.plugins.module_utils.rollout.run import DeployFailed, Run


@pytest.fixture(name="images")
def _images(world):
    run = Run(request(), world.effects())
    return Images(run, Projects(run))


def current(world):
    return next(one for one in world.store.releases() if one.id == world.store.current())


def test_a_tag_that_means_another_image_now_has_moved(world, images):
    world.local["app:1"] = "sha256:of-before"
    world.deploy()
    assert images.moved(current(world)) == ["web: app:1"]
    # Only what differs from the release is told, however often it is pulled.
    world.deploy(env={"A": "2"})
    assert images.moved(current(world)) == []


def test_a_tag_that_cannot_be_pulled_again_is_refused(world, images):
    world.deploy()
    world.images.remove("app:1")
    with pytest.raises(Refused, match="service web: image app:1 cannot be pulled: manifest unknown"):
        images.moved(current(world))


def test_pull_never_pulls_nothing_and_touches_nothing(world):
    world.deploy()
    with pytest.raises(DeployFailed, match=r"set pull: missing\. Nothing was changed") as failed:
        world.deploy(image="app:2", pull="never")
    assert failed.value.result["step"] == "pulled"
    assert_settled(world, web=1)


def test_a_kept_image_that_is_gone_is_pulled_or_refused(world, images):
    rid = world.deploy()["release"]
    own = world.store.images(rid)["web"]
    assert own["action"] == "pull" and own["pinned"].startswith("landfall.local/")
    entry = {**own, "pinned": "app@sha256:0123"}
    world.store.write(rid, "digests.json", json.dumps({"web": entry}))
    world.images.add(entry["pinned"])
    world.local.clear()
    images.have(rid)
    assert entry["pinned"] in world.local
    # Neither one that was built here nor one that no registry names by a digest can be had again.
    for gone in ({**entry, "action": "build"}, own):
        world.store.write(rid, "digests.json", json.dumps({"web": gone}))
        world.local.clear()
        with pytest.raises(Refused, match=f"release {rid}: image {gone['pinned']} of service web is gone"):
            images.have(rid)


def built(env):
    """The file of a project that is built on the host."""
    return stack_file(web=service("mine:1", path="/", build={"context": "."}, environment={"A": env}))


def test_what_is_built_is_held_to_what_was_built(world):
    result = world.deploy(compose=built("1"), build=True)
    assert result["steps"][:4] == ["written", "pulled", "built", "secrets"]
    entry = world.store.images(result["release"])["web"]
    assert entry["action"] == "build" and entry["pinned"].startswith("landfall.local/toy/mine:")
    assert_settled(world, image=entry["pinned"], web=1)


def test_a_build_that_fails_touches_nothing(world):
    before = world.deploy(compose=built("1"), build=True)["release"]
    world.unbuildable = {"web"}
    with pytest.raises(DeployFailed) as failed:
        world.deploy(compose=built("2"), build=True)
    assert str(failed.value) == (
        "stack toy: building web failed: target web: exit code 1. Nothing was changed: what ran before runs on"
    )
    assert failed.value.result["step"] == "built"
    assert world.store.current() == before and world.outcomes() == [SEALED, FAILED]
