"""The trials follow the code: each edit still finds its place, each trial still has a test that could notice."""

from __future__ import annotations

import ast
import re
import shutil

import pytest
from trials.catalogue import TRIALS

from lab.lab import PROJECT

SUITE = PROJECT / "tests" / "e2e" / "test_3_rollout.py"


@pytest.mark.parametrize("trial", TRIALS, ids=lambda one: one.name)
def test_each_edit_finds_its_place_and_leaves_python(trial, tmp_path):
    for edit in trial.edits:
        copy = tmp_path / edit.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            shutil.copyfile(PROJECT / edit.path, copy)
        before = copy.read_text()
        edit.apply(tmp_path)
        assert copy.read_text() != before
        if copy.suffix == ".py":
            ast.parse(copy.read_text())


@pytest.mark.parametrize("trial", TRIALS, ids=lambda one: one.name)
def test_each_trial_has_a_test_that_could_notice(trial):
    text = SUITE.read_text()
    names = re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    words = [word for word in re.findall(r"\w+", trial.tests) if word not in ("and", "or", "not")]
    assert any(words[0] in name for name in names), f"{words[0]} is no test of {SUITE.name}"
    assert all(word in text for word in words)


def test_each_of_the_twelve_cases_has_a_trial():
    assert {trial.case for trial in TRIALS} == set(range(1, 13))
