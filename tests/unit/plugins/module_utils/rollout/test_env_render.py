# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Env files come back byte for byte."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.envfile import parse_env
from ansible_collections.landfall.stack.plugins.module_utils.rollout import envfile

VALUES = [
    "",
    "plain",
    "two words",
    "a'b",
    'a"b',
    "$HOME ${X}",
    "it's $me",
    "back\\slash",
    "end\\",
    "#no comment",
    "line\nbreak",
    "'\"\\$",
    "tab\there",
    "ümläut",
    " spaces ",
]


@pytest.mark.parametrize("value", VALUES)
def test_round_trip(value):
    assert parse_env(envfile.render({"X": value, "Y": "after"})) == {"X": value, "Y": "after"}


def test_sorted_by_name():
    assert envfile.render({"B": "2", "A": "1"}) == "A='1'\nB='2'\n"


@pytest.mark.parametrize("name", ["1A", "A-B", "A B", ""])
def test_bad_names_are_refused(name):
    with pytest.raises(ValueError, match="env variable"):
        envfile.render({name: "x"})


def test_names_without_values():
    assert envfile.names("# c\nA=1\nexport B = 2\n\nC\nA=3\n") == ["A", "B"]
