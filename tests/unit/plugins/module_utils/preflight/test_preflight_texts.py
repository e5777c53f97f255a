# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded texts of hosts, and the table."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.preflight import findings, parse
from ansible_collections.landfall.stack.plugins.module_utils.preflight.findings import Finding
from ansible_collections.landfall.stack.plugins.module_utils.preflight.parse import Source

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
   2: 0100007F:01BB 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
"""
DEB822 = """\
# comment
Types: deb deb-src
URIs: http://deb.debian.org/debian
 http://mirror.example/debian/
Suites: trixie trixie-updates
Components: main

Types: deb
Enabled: no
URIs: http://off.example/
Suites: x

Types: deb-src
URIs: http://src.example/
Suites: x
"""


def test_os_release() -> None:
    assert parse.os_release("# c\nID=debian\nVERSION_ID=\"12\"\nNAME='a b'\n") == {
        "ID": "debian",
        "VERSION_ID": "12",
        "NAME": "a b",
    }


def test_memory() -> None:
    assert parse.memory_mb("MemTotal:        2048000 kB\nMemFree: 1 kB\n") == 2000
    assert parse.memory_mb("") == 0


def test_listening_inodes_takes_listeners_only() -> None:
    assert parse.listening_inodes(TCP, [80, 443]) == {80: [4711]}


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/apache2.service\n", "apache2.service"),
        ("1:name=systemd:/system.slice/system-x.slice/x@1.service\n", "x@1.service"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", ""),
    ],
)
def test_unit_of(text: str, unit: str) -> None:
    assert parse.unit_of(text) == unit


def test_sources() -> None:
    one = (
        "deb http://a/debian trixie main\n# deb http://no x\ndeb-src http://no x\n"
        "deb [arch=amd64 signed-by=/k] https://b ./\n"
    )
    assert parse.one_line_sources(one) == [Source("http://a/debian", "trixie"), Source("https://b", "./")]
    assert parse.deb822_sources(DEB822) == [
        Source("http://deb.debian.org/debian", "trixie"),
        Source("http://deb.debian.org/debian", "trixie-updates"),
        Source("http://mirror.example/debian/", "trixie"),
        Source("http://mirror.example/debian/", "trixie-updates"),
    ]


@pytest.mark.parametrize(
    ("source", "url"),
    [
        (Source("http://a/debian/", "trixie"), "http://a/debian/dists/trixie/InRelease"),
        (Source("https://me:word@b", "./"), "https://b/InRelease"),
        (Source("https://b", "sub/"), "https://b/sub/InRelease"),
    ],
)
def test_release_url_holds_no_login(source: Source, url: str) -> None:
    assert source.release_url() == url


def test_apt_proxies() -> None:
    dump = 'Acquire "";\nAcquire::http "";\nAcquire::http::Proxy "http://p:3128";\nAcquire::https::proxy "DIRECT";\n'
    assert parse.apt_proxies(dump) == {"http": "http://p:3128", "https": "DIRECT"}


def test_packages() -> None:
    status = (
        "Package: a\nStatus: install ok installed\nVersion: 1\n\n"
        "Package: b\nStatus: install ok half-configured\n\nPackage: c\nStatus: deinstall ok config-files\n"
    )
    assert parse.packages(status) == (frozenset({"a"}), ("b",))


def test_published() -> None:
    ps = (
        "edge\t0.0.0.0:80->8080/tcp, :::80->8080/tcp, 0.0.0.0:443->443/tcp, 0.0.0.0:443->443/udp\n"
        "x\t5432/tcp\ny\t0.0.0.0:90-91->1-2/tcp\n"
    )
    assert parse.published(ps) == {80: ("edge",), 443: ("edge",), 90: ("y",), 91: ("y",)}


FOUND = [
    Finding("os", "ok", "Debian"),
    Finding("dns", "warning", "a.com is odd.", "Look."),
    Finding("ports", "error", "Port 80 is taken by a-program-with-a-name (pid 7). " * 3, "Stop it " * 12),
]


def test_table_has_errors_first_and_keeps_its_width() -> None:
    lines = findings.table(FOUND, 100)
    assert lines[0].split() == ["LEVEL", "CHECK", "MESSAGE", "REMEDY"]
    assert [line.split()[0] for line in lines if line[0] != " "] == ["LEVEL", "error", "warning", "ok"]
    assert max(map(len, lines)) <= 100
    assert findings.table([]) == []
    assert findings.table(FOUND[:1])[1] == "ok     os     Debian"


def test_error_text_lists_all_errors_with_remedies() -> None:
    assert findings.error_text(FOUND[:2], "web1") == ""
    assert findings.error_text([*FOUND, Finding("x", "error", "Bad.", "Mend.")], "web1").splitlines()[-2:] == [
        "2. [x] Bad.",
        "   Remedy: Mend.",
    ]
    assert findings.summary(FOUND) == "1 error, 1 warning, 1 ok"


def test_from_dicts_refuses_an_unknown_level() -> None:
    assert findings.from_dicts([f.to_dict() for f in FOUND]) == FOUND
    with pytest.raises(ValueError, match="unknown level 'bad'"):
        findings.from_dicts([{"check": "x", "level": "bad", "message": "m"}])
