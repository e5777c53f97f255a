# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, as far as it goes without Docker."""

from __future__ import annotations

import os

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.cli.main import main
from ansible_collections.landfall.stack.plugins.module_utils.clients.files import StackDir
from ansible_collections.landfall.stack.plugins.module_utils.rollout.journal import Entry
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import Release


@pytest.fixture(name="host")
def _host(tmp_path):
    store = StackDir(str(tmp_path / "stacks"), "toy")
    store.prepare()
    for number, outcome in (("1", "sealed"), ("2", "failed")):
        rid = f"2026112{number}T044200Z-0000000{number}"
        os.mkdir(store.release_path(rid))
        store.save(Release(rid, "toy", "d", "c", outcome=outcome, version=f"v{number}", why="why"))
    store.switch("20261121T044200Z-00000001")
    return ["--root", str(tmp_path / "stacks"), "--edge", str(tmp_path / "edge")]


def test_releases(host, capsys):
    assert main([*host, "releases", "toy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "failed" in lines[1] and lines[2].startswith("*  20261121T044200Z-00000001  sealed")


@pytest.mark.parametrize("verb", [["releases", "nope"], ["logs", "nope"], ["maintenance", "on", "nope"]])
def test_an_unknown_stack(host, capsys, verb):
    assert main([*host, *verb]) == 1
    assert "there is no stack 'nope'; here are: toy" in capsys.readouterr().err


def test_maintenance(host, tmp_path):
    flag = tmp_path / "edge" / "maintenance" / "toy"
    assert main([*host, "maintenance", "on", "toy"]) == 0 and flag.exists()
    assert main([*host, "maintenance", "on", "toy"]) == 0 and flag.exists()
    assert main([*host, "maintenance", "off", "toy"]) == 0 and not flag.exists()
    assert main([*host, "maintenance", "off", "toy"]) == 0


def test_recover(host, tmp_path, capsys):
    store = StackDir(str(tmp_path / "stacks"), "toy")
    assert main([*host, "recover"]) == 0
    assert capsys.readouterr().out == "toy: nothing was interrupted\n"
    store.log(Entry("2026-11-22T04:42:00Z", "20261122T044200Z-00000002", "wave 1 started", {}))
    with store.lock("carol@laptop", "2026-11-22T04:42:00Z", 1):
        assert main([*host, "recover", "toy"]) == 0
    assert "toy: carol@laptop works on it" in capsys.readouterr().out
    os.unlink(os.path.join(store.path, "current"))
    assert main([*host, "recover"]) == 0
    assert "deploy again to finish it" in capsys.readouterr().out


def test_status_of_an_empty_host_needs_no_docker(tmp_path, capsys):
    assert main(["--root", str(tmp_path), "--edge", str(tmp_path), "status"]) == 0
    assert "No stack is deployed" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["status", "--what"], ["maintenance", "maybe", "toy"]])
def test_wrong_calls(argv):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


def test_certificates_and_edge_have_words_of_their_own():
    with pytest.raises(SystemExit) as caught:
        main(["certificates", "nonsense"])
    assert caught.value.code == 2


def test_moves(tmp_path, capsys):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "state.json").write_text('{"state": "moved", "since": 1.0, "refused_s": 9.5}')
    where = ["--directory", str(tmp_path)]
    assert main(["migrate", "status", *where]) == 0
    out = capsys.readouterr().out
    assert "shop: moved" in out and "writes were refused for at most: 9.5 s" in out
    assert main(["migrate", "status", "other", *where]) == 1
    assert "here are: shop" in capsys.readouterr().err
