# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make audit` makes of the programs' reports; the samples are cut from real ones."""

from __future__ import annotations

import json

import pytest
from audit import docker_bench, findings
from audit.findings import Audit, Finding
from audit.page import last_line, page
from audit.reasons import REASONS

LYNIS = """\
suggestion[]=SSH-7408|Consider hardening SSH configuration|MaxSessions (set 10 to 2)|-|
suggestion[]=NETW-3200|Determine if protocol 'dccp' is really needed on this system|-|-|
warning[]=PKGS-7388|Can't find any security repository in /etc/apt/sources.list or sources.list.d directory|-|-|
hardening_index=60
"""
SSH = json.dumps(
    {
        "kex": [{"algorithm": "mlkem768x25519-sha256", "notes": {"info": ["default since OpenSSH 10.0"]}}],
        "key": [{"algorithm": "ecdsa-sha2-nistp256", "notes": {"fail": ["suspected"], "warn": ["weak"]}}],
        "enc": [{"algorithm": "aes128-ctr", "notes": {}}],
        "mac": [{"algorithm": "hmac-sha1", "notes": {"fail": ["broken"], "warn": ["encrypt-and-MAC"]}}],
        "cves": [],
    }
)
NMAP = """<nmaprun><host><ports>
<port protocol="tcp" portid="443"><state state="open"/></port>
<port protocol="tcp" portid="22"><state state="open"/></port>
<port protocol="udp" portid="53"><state state="open|filtered"/></port>
</ports></host><runstats><finished exit="success"/></runstats></nmaprun>"""
TLS = [
    {"id": "TLS1_2", "severity": "OK", "finding": "offered"},
    {"id": "TLS1_3", "severity": "OK", "finding": "offered with final"},
    {"id": "DNS_CAArecord", "severity": "LOW", "finding": "--"},
    {"id": "BREACH", "severity": "MEDIUM", "finding": "potentially VULNERABLE"},
    {"id": "overall_grade", "severity": "OK", "finding": "A+"},
]
GOOD = {
    "Name": "/shop-web-1",
    "Config": {"User": "101:101", "Healthcheck": {"Test": ["CMD", "true"]}, "Labels": {}},
    "HostConfig": {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": True,
        "Memory": 1,
        "NanoCpus": 1,
        "PidsLimit": 100,
        "NetworkMode": "shop_default",
        "RestartPolicy": {"Name": "on-failure"},
    },
    "Mounts": [{"Type": "volume", "Source": "/var/lib/docker/volumes/x/_data"}],
}


def test_lynis_gives_index_and_one_key_a_finding():
    index, found = findings.lynis(LYNIS)
    assert index == 60
    assert {one.key for one in found} == {"lynis SSH-7408 MaxSessions", "lynis NETW-3200 dccp", "lynis PKGS-7388"}


def test_a_lynis_that_broke_off_is_no_result():
    with pytest.raises(ValueError, match="hardening_index"):
        findings.lynis("suggestion[]=SSH-7408|x|y|-|\n")


def test_lost_points_of_lynis_are_told_by_test():
    log = """\
Performing test ID USB-3000 (Check for presence of USBGuard)
Hardening: assigned partial number of hardening points (0 of 8). Currently having 1 points (out of 9)
Performing test ID SSH-7408 (Check SSH specific defined options)
Hardening: assigned maximum number of hardening points for this item (3). Currently having 4 points (out of 12)
Hardening: assigned partial number of hardening points (1 of 3). Currently having 5 points (out of 15)
Hardening: assigned partial number of hardening points (0 of 3). Currently having 5 points (out of 18)
"""
    assert findings.lynis_points(log) == (18, {"SSH-7408": 5, "USB-3000": 8})


def test_ssh_audit_counts_each_note():
    first, fail, warn, found = findings.ssh_audit(SSH)
    assert (first, fail, warn, len(found)) == ("mlkem768x25519-sha256", 2, 2, 4)


def test_nmap_takes_open_ports_only():
    assert findings.nmap(NMAP) == [22, 443]


@pytest.mark.parametrize("broken", [NMAP.replace('exit="success"', 'exit="error"'), "<nmaprun></nmaprun>"])
def test_an_nmap_that_broke_off_is_no_result(broken):
    with pytest.raises(ValueError, match="nmap"):
        findings.nmap(broken)


def test_an_open_port_too_many_and_one_too_few_are_findings():
    assert [one.key for one in findings.unwanted("nmap-v4", [22, 443, 5432])] == ["nmap-v4 5432", "nmap-v4 80"]


def test_testssl_counts_medium_and_worse():
    grade, found = findings.testssl(json.dumps(TLS))
    assert grade == "A+" and [one.name for one in found] == ["BREACH"]


def test_a_testssl_that_reached_nothing_is_no_result():
    with pytest.raises(ValueError, match="reach"):
        findings.testssl(json.dumps(TLS[2:]))


def test_a_hardened_container_has_no_finding():
    assert docker_bench.container(GOOD) == []


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"User": ""}, "4.1"),
        ({"User": "0:101"}, "4.1"),
        ({"Healthcheck": None}, "4.6"),
        ({"CapDrop": None}, "5.3"),
        ({"CapAdd": ["NET_ADMIN"]}, "5.3"),
        ({"Privileged": True}, "5.4"),
        ({"NetworkMode": "host"}, "5.9"),
        ({"Memory": 0}, "5.10"),
        ({"NanoCpus": 0}, "5.11"),
        ({"ReadonlyRootfs": False}, "5.12"),
        ({"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}}, "5.13"),
        ({"SecurityOpt": ["seccomp=unconfined", "no-new-privileges"]}, "5.21"),
        ({"SecurityOpt": []}, "5.25"),
        ({"SecurityOpt": ["no-new-privileges:false"]}, "5.25"),
        ({"PidsLimit": None}, "5.28"),
        ({"NetworkMode": "bridge"}, "5.29"),
    ],
)
def test_each_weakness_of_a_container_is_found(change, number):
    kinds = {key: {**GOOD[key], **{k: v for k, v in change.items() if k in belongs}} for key, belongs in PARTS.items()}
    assert [one.text.split()[0] for one in docker_bench.container({**GOOD, **kinds})] == [number]


PARTS = {
    "Config": ("User", "Healthcheck"),
    "HostConfig": (
        "CapDrop", "CapAdd", "Privileged", "NetworkMode", "Memory", "NanoCpus", "ReadonlyRootfs", "PortBindings",
        "SecurityOpt", "PidsLimit",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "number"), [("/var/run/docker.sock", "5.31"), ("/etc", "5.5")])
def test_a_mount_of_the_host_is_found(source, number):
    wrong = {**GOOD, "Mounts": [{"Type": "bind", "Source": source}]}
    assert [one.text.split()[0] for one in docker_bench.container(wrong)] == [number]


def test_a_bare_daemon_has_findings_and_a_strict_one_has_none():
    bare = {"SecurityOptions": ["name=seccomp,profile=builtin"], "LoggingDriver": "json-file", "Driver": "overlay2"}
    found = {one.text.split()[0] for one in docker_bench.daemon(bare, {}, {}, "/run/docker.sock 660 root:docker")}
    assert {"2.13", "2.15", "2.8", "2.16"} <= found and "2.17" not in found and "3.15" not in found
    strict = {**bare, "LiveRestoreEnabled": True, "SecurityOptions": [*bare["SecurityOptions"], "name=userns"]}
    config = {
        "default-ulimits": {"nofile": {}}, "no-new-privileges": True, "userland-proxy": False,
        "log-opts": {"max-size": "10m"},
    }  # fmt: skip
    icc = {"com.docker.network.bridge.enable_icc": "false"}
    assert docker_bench.daemon(strict, config, icc, "/run/docker.sock 660 root:docker") == []
    wide = docker_bench.daemon(strict, {**config, "hosts": ["tcp://0.0.0.0:2375"]}, icc, "/run/docker.sock 666 a:b")
    assert [one.text.split()[0] for one in wide] == ["2.7", "3.15"]


def test_a_finding_without_a_reason_is_told():
    one = Finding("lynis", "SSH-7408 Port", "suggestion: x")
    after = Audit(lynis=80, open_ports_v4=[22], open_ports_v6=[22], findings=[one])
    line = json.loads(last_line(Audit(lynis=60), after, {}))
    assert (line["lynis"], line["before"]["lynis"], line["unexplained"]) == (80, 60, 1)
    assert json.loads(last_line(Audit(), after, {one.key: "why"}))["unexplained"] == 0
    text = page(Audit(lynis=60), after, {"lynis": "3.1.4"}, "2026-11-22", {one.key: "why | not"})
    assert "| Lynis, hardening index | 60 | 80 | ≥ 90 |" in text and "no reason" not in text


def test_a_pattern_explains_many_and_nothing_else():
    found = [Finding("container", f"shop/{name} 5.14 restarts", "x") for name in ("web", "api")]
    found.append(Finding("container", "shop/web 4.1 root", "y"))
    told = findings.explained(found, {"container shop/* 5.14 restarts": "why"})
    assert len(told["container shop/* 5.14 restarts"]) == 2 and told[""] == found[2:]


def test_an_audit_comes_back_from_its_file():
    audit = Audit(lynis=1, open_ports_v4=[22], findings=[Finding("a", "b", "c")])
    assert Audit.from_json(audit.to_json()) == audit


def test_each_reason_is_one_sentence_of_a_table():
    assert all(reason.strip() and "|" not in reason and "\n" not in reason for reason in REASONS.values())
