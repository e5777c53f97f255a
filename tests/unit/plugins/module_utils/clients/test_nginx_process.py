# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's processes, from a /proc made of files."""

from __future__ import annotations

import os

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import nginx_process

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 500 1 0 100 0 0 10 0
   1: 0200A8C0:D431 0500A8C0:1F40 01 00000000:00000000 00:00000000 00000000   101        0 700 1 0 20 4 29 10 -1
   2: 0200A8C0:D432 0500A8C0:1F40 02 00000000:00000000 00:00000000 00000000   101        0 701 1 0 20 4 29 10 -1
   3: 0200A8C0:D433 0500A8C0:1F40 06 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 29 10 -1
   4: 0200A8C0:D434 0500A8C0:1F40 08 00000000:00000010 00:00000000 00000000   101        0 702 1 0 20 4 29 10 -1
   5: 0200A8C0:D435 0600A8C0:1F40 01 00000000:00000000 00:00000000 00000000   101        0 703 1 0 20 4 29 10 -1
"""
UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 501 /etc/landfall/edge/run/edge.sock
0000000000000000: 00000003 00000000 00000000 0001 03 502
"""


@pytest.fixture
def proc(tmp_path):
    def process(pid, title, sockets, children=""):
        home = tmp_path / str(pid)
        (home / "task" / str(pid)).mkdir(parents=True)
        (home / "net").mkdir()
        (home / "fd").mkdir()
        (home / "cmdline").write_text(title)
        (home / "stat").write_text(f"{pid} (nginx) S 1 " + " ".join(["0"] * 17) + f" {pid * 10} 0")
        (home / "task" / str(pid) / "children").write_text(children)
        (home / "net" / "tcp").write_text(TCP)
        (home / "net" / "unix").write_text(UNIX)
        for number, inode in enumerate(sockets):
            os.symlink(f"socket:[{inode}]", home / "fd" / str(number))
        os.symlink("/dev/null", home / "fd" / "99")

    process(10, "nginx: master process nginx", [500, 501], "11 12 13 14 ")
    process(11, "nginx: worker process", [500, 501, 700])
    process(12, "nginx: worker process is shutting down", [502, 701])
    process(13, "nginx: worker process is shutting down", [501])
    process(14, "nginx: cache manager process", [500])
    return str(tmp_path)


def test_a_worker_listens_until_it_has_closed_its_sockets(proc):
    found = nginx_process.workers(10, proc)
    assert found == {(11, 110): True, (12, 120): False, (13, 130): True}


def test_what_cannot_be_seen_is_unknown(proc):
    assert nginx_process.workers(99, proc) is None
    assert nginx_process.connections(99, ["192.168.0.5"], proc) is None


def test_only_an_nginx_gets_a_signal(proc):
    assert nginx_process.is_master(10, proc)
    assert not nginx_process.is_master(11, proc) and not nginx_process.is_master(0, proc)
    assert not nginx_process.hang_up(11, proc)


def test_connections_that_may_carry_something(proc):
    assert nginx_process.connections(10, ["192.168.0.5"], proc) == 3
    assert nginx_process.connections(10, ["192.168.0.6", "fd00::1"], proc) == 1
    assert nginx_process.connections(10, ["192.168.0.7"], proc) == 0


def test_the_latest_errors():
    text = "\n".join(["a [warn] b", "c [emerg] d", "e [crit] f"])
    assert nginx_process.errors(text) == "c [emerg] d | e [crit] f"
