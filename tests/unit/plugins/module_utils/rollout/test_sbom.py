# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bills of materials: which are made, which go, and what a scanner that fails leaves."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.cli.main import main
from ansible_collections.landfall.stack.plugins.module_utils.clients.files import StackDir
from ansible_collections.landfall.stack.plugins.module_utils.clients.sbom import NoBill, make
from ansible_collections.landfall.stack.plugins.module_utils.rollout import sbom
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import Release

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
WEB = {"web": {"image": "web:1", "id": ONE}, "api": {"image": "web:1", "id": ONE}}
BOTH = {**WEB, "db": {"image": "db:1", "id": TWO}, "odd": {"image": "x"}}


def test_one_bill_for_each_image():
    assert sbom.missing(BOTH, []) == [ONE, TWO]
    assert sbom.missing(BOTH, [sbom.file_of(ONE)]) == [TWO]
    assert sbom.unneeded([WEB, BOTH], [sbom.file_of(TWO), "left.cdx.json.part"]) == ["left.cdx.json.part"]
    assert sbom.unneeded([WEB], [sbom.file_of(ONE), sbom.file_of(TWO)]) == [sbom.file_of(TWO)]
    for text in ("latest", "sha256:../../etc", ""):
        with pytest.raises(ValueError):
            sbom.file_of(text)


def test_packages_are_counted():
    assert sbom.packages(json.dumps({"components": [{"type": "library"}, {"type": "file"}, {"type": "library"}]})) == 2
    assert sbom.packages("{}") == 0
    assert sbom.packages("{") is None and sbom.packages("[]") is None


@pytest.fixture(name="store")
def _store(tmp_path):
    store = StackDir(str(tmp_path), "toy")
    store.prepare()
    rid = "20261121T044200Z-00000001"
    os.mkdir(store.release_path(rid))
    store.save(Release(rid, "toy", "d", "c", outcome="sealed"))
    store.write(rid, "digests.json", json.dumps(WEB))
    store.switch(rid)
    return store


def scanner(rc=0, calls=None):
    """Stands in for syft: writes what it is told to."""

    def run(argv, _cwd, _env):
        if calls is not None:
            calls.append(argv[2])
        with open(argv[-1].partition("=")[2], "w", encoding="utf-8") as stream:
            stream.write('{"components": [{"type": "library"}]}' if rc == 0 else "{")
        return rc, "", "no space left on device" if rc else ""

    return run


def test_made_once(store):
    calls = []
    bills, made = make(store, scanner(calls=calls))
    assert [(one.service, one.packages) for one in bills] == [("api", 1), ("web", 1)] and made == 1
    assert make(store, scanner(calls=calls))[1] == 0 and calls == [f"docker:{ONE}"]


def test_a_scan_that_fails_leaves_nothing(store):
    with pytest.raises(NoBill, match="no space left"):
        make(store, scanner(1))
    assert os.listdir(os.path.join(store.path, "sbom")) == []


def test_without_syft_it_says_what_to_do(store, tmp_path, capsys):
    assert main(["--root", str(tmp_path), "sbom", "toy", "--syft", str(tmp_path / "none")]) == 1
    assert "playbooks/sbom.yml" in capsys.readouterr().err
