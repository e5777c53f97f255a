# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables and env files, as Compose 2.26 was seen to treat them."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.envfile import EnvSyntaxError, parse_env
from ansible_collections.landfall.stack.plugins.module_utils.compose.interpolate import (
    InterpolationError,
    MissingVariable,
    Reference,
    find,
    needed,
    substitute,
    unset,
    variables,
)
from ansible_collections.landfall.stack.plugins.module_utils.compose.yamldoc import parse

ENV = {"A": "1", "E": ""}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("$A", "1"),
        ("${A}", "1"),
        ("$A-$A", "1-1"),
        ("$B|${B}", "|"),
        ("${B-d}", "d"),
        ("${B:-d}", "d"),
        ("${E-d}", ""),
        ("${E:-d}", "d"),
        ("${B-}", ""),
        ("${A:+x}${B:+y}${E+z}${E:+w}", "xz"),
        ("${B:-${C:-${A}}}", "1"),
        ("${B:-$A}", "1"),
        ("${B:-a}b}", "ab}"),
        ('${B:-"q"}', '"q"'),
        ("${B-b-c:?d}", "b-c:?d"),
        ("$$A $${A}", "$A ${A}"),
        ("$ 5 a$ x$1", "$ 5 a$ x$1"),
        ("${A:?no}${E?no}", "1"),
    ],
)
def test_substitute(text, value):
    assert substitute(text, ENV) == value


@pytest.mark.parametrize("text", ["${", "${A", "${1A}", "${a.b}", "${}", "${A!x}", "${A:-${B}"])
def test_broken(text):
    with pytest.raises(InterpolationError, match="is no valid variable; write"):
        substitute(text, ENV)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${B:?need it}", "required variable B is missing a value: need it"),
        ("${E:?}", "E is missing a value$"),
        ("${B?x}", "B .*: x"),
    ],
)
def test_required(text, message):
    with pytest.raises(MissingVariable, match=message):
        substitute(text, ENV)


def test_find_looks_into_defaults_but_not_into_messages():
    assert [ref.name for ref in find("${A:-${B}} ${C:?see $D} $$E $F")] == ["A", "B", "C", "F"]
    assert find("${A:?m}") == [Reference("A", ":?", "m")]


def test_needed_follows_the_way_taken():
    assert [ref.name for ref in needed("${A:-$B} ${C:-$D} ${A:+$F} ${C:+$G} ${E:?} ${E?}", ENV)] == ["D", "F", "E"]


def test_variables_have_places():
    text = (
        "# $NOT\nservices:\n  a:\n    image: ${IMG}\n    command: ['$$x', '${CMD:-run}']\n"
        "  b: {image: '${B:?name it}'}\n$K: ${TOP}\n"
    )
    found = variables(parse("f.yaml", text)[0])
    assert [(v.name, v.has_default, v.required_message, v.line, v.service) for v in found] == [
        ("IMG", False, None, 4, "a"),
        ("CMD", True, None, 5, "a"),
        ("B", False, "name it", 6, "b"),
        ("TOP", False, None, 7, ""),
    ]
    assert [v.name for v in unset(found, {"TOP": "", "B": ""})] == ["IMG", "B"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1", {"A": "1"}),
        ("export A=1 # c", {"A": "1"}),
        ("# c\n\n A = 1 ", {"A": "1"}),
        ("A: 1", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=a#b", {"A": "a#b"}),
        ("A=a   # t", {"A": "a"}),
        ("A='l $B # x'", {"A": "l $B # x"}),
        ("A='it\\'s'", {"A": "it's"}),
        ('A="x\\n\\"q\\" # no" # c', {"A": 'x\n"q" # no'}),
        ('A="m\nn"\nB=2', {"A": "m\nn", "B": "2"}),
        ('A=1\nB="${A}-${Z:-z}"\nC=$A', {"A": "1", "B": "1-z", "C": "1"}),
        ("A=$$x", {"A": "$x"}),
        ('A="\\$x"', {"A": "$x"}),
        ("HOST\nNOTSET", {"HOST": "h"}),
        ("A=$HOST", {"A": "h"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("A=x=y", {"A": "x=y"}),
        ("A=b c", {"A": "b c"}),
    ],
)
def test_parse_env(text, value):
    assert parse_env(text, {"HOST": "h"}) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nthis is not", "line 2: not an assignment; write NAME=value"),
        ("=x", "line 1: not an assignment"),
        ("A='x", "line 1: the quote ' is never closed; close it"),
        ("A='x' y", "line 1: text after the closing quote"),
        ("A=${", "line 1: '\\${' is no valid variable"),
    ],
)
def test_env_errors(text, message):
    with pytest.raises(EnvSyntaxError, match=message):
        parse_env(text)
