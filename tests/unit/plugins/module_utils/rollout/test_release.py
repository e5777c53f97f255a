# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases as values."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.rollout import release
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import Content, Release

KEY = b"k" * 32


def digest(**changes):
    base = {"files": {"compose.yaml": b"services: {}"}, "compose_files": ("compose.yaml",), "env": {"A": "1"}}
    return release.content_digest(Content(**{**base, **changes}), KEY)


def test_equal_content_has_an_equal_digest():
    assert digest() == digest()
    assert digest(env={"A": "1", "B": "2"}) == digest(env={"B": "2", "A": "1"})
    assert digest(profiles=("a", "b")) == digest(profiles=("b", "a"))


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"compose.yaml": b"services: {a: {}}"}},
        {"compose_files": ("compose.yaml", "compose.yaml")},
        {"env": {"A": "2"}},
        {"env_file": "X=1"},
        {"secrets": {"S": "digest"}},
        {"version": "2"},
        {"profiles": ("debug",)},
        {"executable": frozenset({"compose.yaml"})},
    ],
)
def test_any_change_of_content_changes_the_digest(change):
    assert digest(**change) != digest()


def test_the_digest_depends_on_the_key():
    """Otherwise a short value could be guessed from a record."""
    content = Content({}, (), {"PIN": "1234"})
    assert release.content_digest(content, KEY) != release.content_digest(content, b"other")


def test_record_survives_the_file():
    record = Release("20261121T044200Z-1a2b3c4d", "toy", "d" * 64, "2026-11-21T04:42:00Z", compose_files=("a", "b"))
    assert Release.from_json(record.to_json()) == record


def test_a_newer_record_is_read():
    text = Release("i", "s", "d", "c").to_json().replace("{", '{"of_tomorrow": 1,', 1)
    assert Release.from_json(text).id == "i"


@pytest.mark.parametrize("text", ["[]", "{}", '{"id": "x"}', "not json"])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(ValueError):
        Release.from_json(text)


def test_ids_sort_by_time_and_match_their_pattern():
    first = release.release_id("2026-11-21T04:42:00Z", "ffffffff00")
    second = release.release_id("2026-11-21T04:42:01Z", "0000000000")
    assert first < second
    assert release.ID_PATTERN.match(first)


def test_changed_keys_names_and_no_values():
    assert release.changed_keys({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == {
        "added": ["c"],
        "changed": ["b"],
        "removed": ["a"],
    }


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "a//b"])
def test_paths_that_leave_the_release_are_refused(path):
    with pytest.raises(ValueError, match="leaves the release"):
        release.check_path(path)


@pytest.mark.parametrize("name", ["Jarvis", "-x", "a b", "", "a/b"])
def test_stack_names_compose_would_refuse(name):
    with pytest.raises(ValueError, match="lower-case"):
        release.check_stack_name(name)
