# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotated secrets: what is decided, and that at no moment, kills included, a container refuses another one's tokens."""

from __future__ import annotations

import functools
import json
import os
import shutil
from itertools import product

import pytest
from fake_host import UNHEALTHY, release_files, service, stack_file
from test_kills import each_point

from ansible_collections.landfall.stack.plugins.module_utils.compose.envfile import parse_env
from ansible_collections.landfall.stack.plugins.module_utils.rollout import anew, rotation
from ansible_collections.landfall.stack.plugins.module_utils.rollout.anew import Step
from ansible_collections.landfall.stack.plugins.module_utils.rollout.plan import Refused
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import FAILED, REPLACED, SEALED
from ansible_collections.landfall.stack.plugins.module_utils.rollout.request import Secret
from ansible_collections.landfall.stack.plugins.module_utils.rollout.rotation import (
    ANNOUNCED,
    BEGIN,
    DAY,
    HOUR,
    NONE,
    SETTLE,
    SETTLED,
    SWITCH,
    SWITCHED,
    UNDO,
    WAIT,
    CannotRotate,
    Spec,
    Standing,
    decide,
    spec_of,
)
from ansible_collections.landfall.stack.plugins.module_utils.rollout.run import DeployFailed

KEY = Spec("KEY", "KEY_SECOND")
LOGIN = Spec("URL")
OLD, NEW = "t" * 48, "n" * 64
SECRETS = (
    Secret("KEY", None, 48, True),
    Secret("KEY_SECOND", None, 0, True),
    Secret("URL", "postgresql://app:old@db/shop?sslmode=require", env=True),
    Secret("token", "hunter2-secret"),
)
ANNOUNCE = Step(KEY, ANNOUNCED, key=NEW)
SWITCH_KEY = Step(KEY, SWITCHED)
SETTLE_KEY = Step(KEY, SETTLED)
UNDO_KEY = Step(KEY, SETTLED, undo=True)
LOG_IN = Step(LOGIN, SWITCHED, user="app__a", password="new/pass")


def project(image="app:1"):
    said = {"KEY": "${KEY}", "SECOND": "${KEY_SECOND}", "URL": "${URL}"}
    return stack_file(web=service(image, 2, path="/", environment=said), other=service("redis:1"))


def deploy(world, image="app:1", secrets=SECRETS, **more):
    return world.deploy(compose=project(image), secrets=secrets, **more)


def environments(world):
    return [
        one.environment
        for one in world.there.values()
        if one.service == "web" and one.at(world.clock).status == "running"
    ]


def agree(world):
    """Whatever one container signs, all accept."""
    for signs, checks in product(environments(world), repeat=2):
        assert signs["KEY"] in (checks["KEY"], checks["SECOND"]), (signs, checks)


def keys(world):
    found = {(one["KEY"], one["SECOND"]) for one in environments(world)}
    assert len(found) == 1, found
    return found.pop()


def current(world):
    return next(one for one in world.store.releases() if one.id == world.store.current())


def test_a_key_goes_through_its_steps(world):
    deploy(world, version="1.2")
    others = [one.id for one in world.there.values() if one.service == "other"]
    assert keys(world) == (OLD, "")
    for step, wanted in ((ANNOUNCE, (OLD, NEW)), (SWITCH_KEY, (NEW, OLD)), (SETTLE_KEY, (NEW, ""))):
        done = world.rotate(step)
        assert done["outcome"] == SEALED and keys(world) == wanted
        assert current(world).rotation["KEY"]["stage"] == step.stage
        assert current(world).version == "1.2"
        assert world.rotate(step) is None
        # It is no other content to a deployment, neither the secrets nor the release.
        assert deploy(world) is None and deploy(world, version="1.2") is None
        assert world.store.secret("KEY") == wanted[0]
    assert [one.id for one in world.there.values() if one.service == "other"] == others
    for rid in release_files(world):
        assert NEW not in world.store.read(rid, "release.json") + world.store.read(rid, "compose.landfall.yaml")


def test_what_was_replaced_is_no_release_to_go_back_to(world):
    first = deploy(world, "app:1", version="1")["release"]
    deploy(world, "app:2", version="2")
    for step in (ANNOUNCE, SWITCH_KEY):
        world.rotate(step)
    assert world.outcomes() == [SEALED, REPLACED, REPLACED, SEALED]
    assert world.back()["release"] == first
    # The version before, with the key of today.
    assert keys(world) == (NEW, OLD) and {one.image for one in world.there.values() if one.service == "web"} == {
        world.local["app:1"]
    }
    assert current(world).rotation["KEY"]["stage"] == SWITCHED
    world.rotate(SETTLE_KEY)
    assert keys(world) == (NEW, "")
    deploy(world, "app:3")
    assert keys(world) == (NEW, "")


def test_going_back_to_a_release_that_knew_no_second_key(world):
    deploy(world, secrets=[one for one in SECRETS if one.name != "KEY_SECOND"])
    deploy(world, "app:2")
    world.rotate(ANNOUNCE)
    world.rotate(SWITCH_KEY)
    world.back()
    assert keys(world) == (NEW, OLD)


def test_a_login_is_switched_and_its_url_keeps_the_rest(world):
    deploy(world)
    world.rotate(LOG_IN)
    assert {one["URL"] for one in environments(world)} == {"postgresql://app__a:new%2Fpass@db/shop?sslmode=require"}
    # What the inventory says is the login of before: the deployment does not take it back.
    assert deploy(world) is None
    deploy(world, "app:2")
    assert {one["URL"] for one in environments(world)} == {"postgresql://app__a:new%2Fpass@db/shop?sslmode=require"}
    (told,) = rotation.lines(current(world).rotation)
    assert told.startswith("URL: a new one is in use since 2026-11-21T") and "new%2Fpass" not in told
    assert anew.standing(world.store, current(world), LOGIN, 0.0) == Standing(SWITCHED, 0.0, "app__a", "shop")


def test_a_login_is_taken_back(world):
    deploy(world)
    world.rotate(LOG_IN)
    world.rotate(Step(LOGIN, SETTLED, undo=True))
    assert {one["URL"] for one in environments(world)} == {SECRETS[2].value}
    assert current(world).rotation["URL"]["stage"] == SETTLED and rotation.lines(current(world).rotation) == []


@pytest.mark.parametrize("steps", [(ANNOUNCE,), (ANNOUNCE, SWITCH_KEY)])
def test_a_key_is_taken_back(world, steps):
    deploy(world)
    for step in steps:
        world.rotate(step)
    world.rotate(UNDO_KEY)
    assert keys(world) == (OLD, "")


def test_a_value_that_is_given_anew_wins(world):
    given = (Secret("KEY", "g" * 40, env=True), *SECRETS[1:])
    deploy(world, secrets=given)
    world.rotate(ANNOUNCE)
    world.rotate(SWITCH_KEY)
    assert deploy(world, secrets=given) is None
    deploy(world, secrets=(Secret("KEY", "h" * 40, env=True), *SECRETS[1:]))
    assert keys(world)[0] == "h" * 40
    assert "KEY" not in current(world).rotation


def test_a_step_that_fails_leaves_all_as_it_was(world):
    deploy(world)
    world.rotate(ANNOUNCE)
    world.fates["app:1"] = UNHEALTHY
    with pytest.raises(DeployFailed, match="Rolled back"):
        world.rotate(SWITCH_KEY)
    assert world.outcomes()[-1] == FAILED and keys(world) == (OLD, NEW)
    assert world.store.secret("KEY") == OLD and world.store.secret("KEY_SECOND") == NEW
    world.fates.clear()
    world.rotate(SWITCH_KEY)
    assert keys(world) == (NEW, OLD)


def test_images_are_those_that_run(world):
    deploy(world)
    runs = world.local["app:1"]
    world.local["app:1"] = "sha256:moved"
    world.rotate(ANNOUNCE)
    assert {one.image for one in world.there.values() if one.service == "web"} == {runs}


@pytest.mark.parametrize("step", [ANNOUNCE, SWITCH_KEY, SETTLE_KEY])
@pytest.mark.parametrize("then", ["the same", "deploy", "new version"])
def test_killed_anywhere(new_world, step, then):
    """No moment at which a token is refused, and the next run, whatever it is, brings all to one state."""

    def before(world):
        deploy(world)
        for one in (ANNOUNCE, SWITCH_KEY, SETTLE_KEY):
            if one is step:
                break
            world.rotate(one)

    stride = 1 if then == "the same" or os.environ.get("LANDFALL_LONG") else 4
    for world in each_point(new_world, before, lambda world: world.rotate(step), stride):
        agree(world)
        was = keys_of(step, before=True)
        if then == "the same":
            world.rotate(step)
            assert keys(world) == keys_of(step, before=False)
        else:
            deploy(world, "app:2" if then == "new version" else "app:1")
            assert keys(world) in (was, keys_of(step, before=False))
            stage = current(world).rotation.get("KEY", {}).get("stage", SETTLED)
            assert (stage == step.stage) == (keys(world) == keys_of(step, before=False)), (stage, keys(world))
        agree(world)
        assert "pending" not in world.outcomes()
        assert deploy(world, "app:2" if then == "new version" else "app:1") is None


def keys_of(step, before):
    states = [(OLD, ""), (OLD, NEW), (NEW, OLD), (NEW, "")]
    number = [ANNOUNCE, SWITCH_KEY, SETTLE_KEY].index(step)
    return states[number if before else number + 1]


def test_killed_while_going_back(new_world):
    def before(world):
        deploy(world)
        deploy(world, "app:2")
        world.rotate(ANNOUNCE)
        world.rotate(SWITCH_KEY)

    for world in each_point(new_world, before, functools.partial(lambda world: world.back()), 2):
        agree(world)
        world.back()
        agree(world)
        assert keys(world) == (NEW, OLD)


def test_refusals(world):
    deploy(world, secrets=[one for one in SECRETS if one.name != "KEY_SECOND"])
    look = functools.partial(anew.standing, world.store, current(world))
    with pytest.raises(Refused, match="rotate names NOPE, which is none of its secrets; they are: KEY, URL, token"):
        look(Spec("NOPE", "NOPE2"), 0.0)
    with pytest.raises(Refused, match=r"does not know KEY_SECOND yet: run deploy\.yml once"):
        look(KEY, 0.0)
    with pytest.raises(Refused, match="secret token: its value is no URL with a user") as caught:
        look(Spec("token"), 0.0)
    assert "hunter2" not in str(caught.value)


# --- what is decided


@pytest.mark.parametrize(
    ("there", "asked", "overlap", "wanted"),
    [
        ({"a": Standing(SETTLED, 10 * DAY)}, False, None, {"a": NONE}),
        ({"a": Standing(SETTLED, 90 * DAY)}, False, None, {"a": BEGIN}),
        ({"a": Standing(SETTLED, 1.0)}, True, None, {"a": BEGIN}),
        ({"a": Standing(SETTLED, 1.0), "b": Standing(SETTLED, 91 * DAY)}, False, None, {"a": BEGIN, "b": BEGIN}),
        ({"a": Standing(ANNOUNCED, 1.0)}, False, None, {"a": SWITCH}),
        ({"a": Standing(ANNOUNCED, 1.0), "b": Standing(SWITCHED, 1.0)}, False, None, {"a": SWITCH, "b": NONE}),
        ({"a": Standing(ANNOUNCED, 1.0), "b": Standing(SETTLED, 1.0)}, False, None, {"a": UNDO, "b": NONE}),
        ({"a": Standing(SWITCHED, 23 * HOUR)}, False, None, {"a": WAIT}),
        ({"a": Standing(SWITCHED, 25 * HOUR)}, False, None, {"a": SETTLE}),
        ({"a": Standing(SWITCHED, 25 * HOUR), "b": Standing(SWITCHED, HOUR)}, False, None, {"a": WAIT, "b": WAIT}),
        ({"a": Standing(SWITCHED, 1.0)}, False, 0.0, {"a": SETTLE}),
        (
            {"a": Standing(SWITCHED, 30 * HOUR), "b": Standing(SETTLED, 30 * HOUR)},
            False,
            None,
            {"a": SETTLE, "b": NONE},
        ),
    ],
)
def test_decisions(there, asked, overlap, wanted):
    assert decide(KEY, there, asked, overlap)[0] == wanted


def test_logins_that_differ_are_taken_back():
    there = {"a": Standing(SWITCHED, 60.0, "app__a"), "b": Standing(SETTLED, DAY, "app")}
    assert decide(LOGIN, there, True)[0] == {"a": UNDO, "b": NONE}
    there = {"a": Standing(SWITCHED, 60.0, "app__b"), "b": Standing(SWITCHED, DAY, "app__a")}
    assert decide(LOGIN, there, False)[0] == {"a": UNDO, "b": NONE}
    there = {"a": Standing(SETTLED, 60.0, "app__a"), "b": Standing(SWITCHED, 2 * DAY, "app__a")}
    assert decide(LOGIN, there, False)[0] == {"a": NONE, "b": SETTLE}


def test_twice_within_the_overlap_is_refused():
    with pytest.raises(CannotRotate, match=r"KEY was rotated, .* for 23\.0 hours more: .* -e overlap=0"):
        decide(KEY, {"a": Standing(SWITCHED, HOUR)}, True)


def test_never_by_itself():
    assert decide(Spec("KEY", "K2", every=0), {"a": Standing(SETTLED, 999 * DAY)}, False)[0] == {"a": NONE}


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"second": "B"}, "without 'secret'"),
        ({"secret": "A"}, "exactly one"),
        ({"secret": "A", "second": "B", "database": {"admin": "x"}}, "exactly one"),
        ({"secret": "A", "database": {"owner": "x"}}, "database.admin is missing"),
        ({"secret": "A", "second": "B", "overlap_hours": "soon"}, "are numbers"),
        ({"secret": "A", "second": "B", "overlap_hours": -1}, "not negative"),
        ({"secret": "A", "second": "B", "overlap": 3}, "overlap is not known; known are"),
    ],
)
def test_entries_that_are_refused(item, said):
    with pytest.raises(CannotRotate, match=said):
        spec_of(item)


def test_entries():
    assert spec_of({"secret": "A", "second": "B"}) == Spec("A", "B", DAY, 90 * DAY)
    assert spec_of({"secret": "A", "database": {"admin": "x"}, "overlap_hours": 1, "every_days": 0}) == Spec(
        "A", "", HOUR, 0.0
    )


@pytest.mark.parametrize(
    ("user", "owner", "other"),
    [("app", "app", "app__a"), ("app__a", "app", "app__b"), ("app__b", "app", "app__a"), ("a", "a", "a__a")],
)
def test_names_of_logins(user, owner, other):
    assert (rotation.owner(user), rotation.other(user)) == (owner, other)


def test_urls():
    url = "postgresql://us%40er:p%2Fw@[::1]:6432/db%20x?sslmode=verify-full&application_name=a"
    assert rotation.login_of(url) == ("us@er", "db x")
    assert rotation.with_login(url, "new@er", "p:w@/") == url.replace("us%40er:p%2Fw", "new%40er:p%3Aw%40%2F")
    for bad in ("", "sqlite:///x.db", "postgresql://host/db", "postgresql://[broken/db"):
        with pytest.raises(CannotRotate, match="no URL"):
            rotation.login_of(bad)


def test_the_environment_of_a_release_comes_back(world):
    """A rotation writes the environment of the release anew: nothing may be lost or changed on the way."""
    odd = {"A": 'it\'s $5 "quoted" \\ and\nmore', "B": "", "C": "# no comment"}
    deploy(world, env=odd)
    world.rotate(ANNOUNCE)
    found = parse_env(world.store.read(world.store.current(), "env"))
    assert {name: found[name] for name in odd} == odd


def test_secrets_that_are_read_as_files(world):
    """Their value is no part of a container's configuration: its label is, and a rollback has to mend that, too."""

    def files(image):
        document = json.loads(stack_file(web=service(image, 2, path="/", secrets=[{"source": "key"}])))
        document["secrets"] = {"key": {"file": "${LANDFALL_SECRETS}/KEY"}}
        return json.dumps(document).encode()

    def labels():
        return {one.labels["landfall.secrets"] for one in world.there.values() if one.service == "web"}

    secrets = (Secret("KEY", None, 48, owner=os.getuid()), Secret("KEY_SECOND", None, 0, owner=os.getuid()))
    world.deploy(compose=files("app:1"), secrets=secrets)
    (old,) = labels()
    world.deploy(compose=files("app:2"), secrets=secrets)
    assert labels() == {old}
    world.rotate(ANNOUNCE)
    assert labels() == {old}, "nobody reads the second key here"
    world.rotate(SWITCH_KEY)
    (new,) = labels()
    assert new != old and world.store.secret("KEY") == NEW
    world.back()
    assert labels() == {new} and world.store.secret("KEY") == NEW
    assert {one.image for one in world.there.values()} == {world.local["app:1"]}


def test_secrets_brought_back_to_another_host(new_world):
    """A backup brings the secrets, and the inventory still has the login of before, which may log in no longer."""
    lost = new_world()
    deploy(lost)
    for step in (ANNOUNCE, SWITCH_KEY, LOG_IN):
        lost.rotate(step)
    fresh = new_world()
    fresh.store.prepare()
    for name in os.listdir(lost.store.secrets_dir):
        path = os.path.join(lost.store.secrets_dir, name)
        if os.path.isfile(path):
            shutil.copy(path, os.path.join(fresh.store.secrets_dir, name))
    shutil.copy(os.path.join(lost.store.path, "digest.key"), os.path.join(fresh.store.path, "digest.key"))
    deploy(fresh)
    assert keys(fresh) == (NEW, OLD)
    assert {one["URL"] for one in environments(fresh)} == {"postgresql://app__a:new%2Fpass@db/shop?sslmode=require"}
    assert current(fresh).rotation == current(lost).rotation
    fresh.rotate(SETTLE_KEY)
    assert keys(fresh) == (NEW, "") and deploy(fresh) is None


def test_a_new_value_on_another_host_wins(new_world):
    lost = new_world()
    deploy(lost)
    lost.rotate(LOG_IN)
    fresh = new_world()
    fresh.store.prepare()
    for name in ("URL", ".rotation.json"):
        shutil.copy(os.path.join(lost.store.secrets_dir, name), os.path.join(fresh.store.secrets_dir, name))
    shutil.copy(os.path.join(lost.store.path, "digest.key"), os.path.join(fresh.store.path, "digest.key"))
    url = "postgresql://app:other@elsewhere/shop"
    deploy(fresh, secrets=(*SECRETS[:2], Secret("URL", url, env=True)))
    assert {one["URL"] for one in environments(fresh)} == {url} and current(fresh).rotation == {}
