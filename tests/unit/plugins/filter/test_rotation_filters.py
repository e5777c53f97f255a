# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller decides about rotations, and the URL of a database's keeper."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.landfall.stack.plugins.filter.postgresql_login import postgresql_login
from ansible_collections.landfall.stack.plugins.filter.rotated_secrets import rotated_secrets
from ansible_collections.landfall.stack.plugins.filter.rotation_plan import rotation_plan
from ansible_collections.landfall.stack.plugins.module_utils.preflight.inventory import check_rotate, made_names

STACKS = [
    {
        "name": "shop",
        "generate_secrets": [{"name": "KEY"}],
        "migration": {"dsn": "postgresql://app:x@db/shop"},
        "rotate": [
            {"secret": "KEY", "second": "KEY_SECOND"},
            {"secret": "DATABASE_URL", "database": {"admin": "postgresql://keeper:secret@db/postgres"}},
        ],
    },
    {"name": "blog", "rotate": [{"secret": "SALT", "second": "SALT_BEFORE"}]},
]


def standing(stage="settled", age=0.0, user="app", salt="settled"):
    return {
        "shop": {
            "KEY": {"stage": stage, "age": age, "user": "", "base": ""},
            "DATABASE_URL": {"stage": "settled", "age": age, "user": user, "base": "shop"},
        },
        "blog": {"SALT": {"stage": salt, "age": age, "user": "", "base": ""}},
    }


def test_nothing_is_due():
    plan = rotation_plan(STACKS, {"one": standing()})
    empty = {"undone": [], "announced": [], "switched": [], "settled": []}
    assert plan["hosts"] == {"one": {"shop": empty, "blog": empty}}
    assert [one["what"] for one in plan["secrets"]] == [[], [], []]


def test_asked_for():
    plan = rotation_plan(STACKS, {"one": standing(), "two": standing()}, ["KEY", "DATABASE_URL"])
    for host in ("one", "two"):
        assert plan["hosts"][host]["shop"] == {
            "undone": [],
            "announced": ["KEY"],
            "switched": ["KEY", "DATABASE_URL"],
            "settled": [],
        }
        assert not any(plan["hosts"][host]["blog"].values())
    login = next(one for one in plan["secrets"] if one["secret"] == "DATABASE_URL")
    assert (login["user"], login["owner"], login["next"], login["base"]) == ("app", "app", "app__a", "shop")
    assert "secret@" not in str(plan)


def test_due_and_over_and_interrupted():
    plan = rotation_plan(STACKS, {"one": standing("switched", 25 * 3600.0, salt="announced")})
    assert plan["hosts"]["one"]["shop"]["settled"] == ["KEY"]
    assert plan["hosts"]["one"]["blog"]["switched"] == ["SALT"]
    plan = rotation_plan(STACKS, {"one": standing("announced"), "two": standing()})
    assert plan["hosts"]["one"]["shop"]["undone"] == ["KEY"] and not plan["hosts"]["two"]["shop"]["undone"]


def test_the_overlap_as_it_comes_from_a_survey():
    there = {"one": standing("switched", 60.0)}
    assert rotation_plan(STACKS, there, overlap_hours="0")["hosts"]["one"]["shop"]["settled"] == ["KEY"]
    assert rotation_plan(STACKS, there, overlap_hours="")["hosts"]["one"]["shop"]["settled"] == []
    with pytest.raises(AnsibleFilterError, match="overlap=soon: give hours"):
        rotation_plan(STACKS, there, overlap_hours="soon")


@pytest.mark.parametrize(
    ("there", "asked", "said"),
    [
        (standing(), ["NOPE"], "NOPE: not under 'rotate' of a stack; those that are: DATABASE_URL, KEY, SALT"),
        (standing("switched", 3600.0), ["KEY"], "stack shop: KEY was rotated"),
    ],
)
def test_refused(there, asked, said):
    with pytest.raises(AnsibleFilterError, match=said):
        rotation_plan(STACKS, {"one": there}, asked)


def test_a_host_without_the_stack():
    plan = rotation_plan(STACKS, {"one": standing(), "two": {"blog": standing()["blog"]}}, ["KEY"])
    assert plan["hosts"]["one"]["shop"]["announced"] == ["KEY"] and "shop" not in plan["hosts"]["two"]


def test_secrets_and_their_second_keys():
    assert rotated_secrets(STACKS[0]) == {"KEY": "KEY_SECOND", "DATABASE_URL": ""}
    assert rotated_secrets({"name": "x"}) == {}
    with pytest.raises(AnsibleFilterError, match="stack x: rotate: an entry without 'secret'"):
        rotated_secrets({"name": "x", "rotate": [{"second": "B"}]})


def test_logins():
    assert postgresql_login("postgresql://ke%40eper:p%2Fw@[::1]:6432/shop?sslmode=verify-full&sslrootcert=/ca.pem") == {
        "login_host": "::1",
        "login_port": 6432,
        "login_user": "ke@eper",
        "login_password": "p/w",
        "login_db": "shop",
        "connect_params": {"sslmode": "verify-full", "sslrootcert": "/ca.pem"},
    }
    assert postgresql_login("postgres://a@db")["login_db"] == "postgres"
    for bad in ("", "mysql://a:geheim@db/x", "postgresql://db/x", "postgresql://a:geheim@db:port/x"):
        with pytest.raises(AnsibleFilterError, match="not a URL of the form") as caught:
            postgresql_login(bad)
        assert "geheim" not in str(caught.value)


def test_the_preflight_looks_at_it():
    assert check_rotate(STACKS[0]) == [] and "KEY_SECOND" in made_names(STACKS[0])
    (found,) = check_rotate(STACKS[1])
    assert "stack blog: rotate names SALT, which is none of its secrets: none" in found.message
    (found,) = check_rotate({"name": "x", "rotate": ["KEY"]})
    assert "an entry without 'secret'" in found.message
