"""What the programs said, as plain values. Pure: text of a report in, figures and findings out."""

from __future__ import annotations

import fnmatch
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

#: Severities of testssl.sh that count; LOW, INFO and OK do not. WARN is its word for "could not be tested".
TLS_COUNTED = ("MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL")
#: A detail of Lynis that is the name of a setting; others are whole sentences.
SHORT = re.compile(r"^\w+ \(")
#: Where one test of Lynis has many findings, the word of its text that tells which one it is.
WHICH = re.compile(r"'([^']+)' is really needed|full (/\S+) file system|(minimum|maximum) password age")
#: What may answer from outside: SSH, HTTP, HTTPS.
WANTED_PORTS = (22, 80, 443)


@dataclass(frozen=True, order=True)
class Finding:
    """One thing a program does not like. ``key`` names it in :mod:`.reasons`."""

    tool: str
    name: str
    text: str

    @property
    def key(self) -> str:
        return f"{self.tool} {self.name}"


@dataclass
class Audit:
    """The figures of one state of the host; None where there was nothing to look at."""

    lynis: int | None = None
    lynis_points: int = 0
    lynis_lost: dict[str, int] = field(default_factory=dict)
    ssh_audit_fail: int | None = None
    ssh_audit_warn: int | None = None
    ssh_first_kex: str = ""
    testssl_medium_or_worse: int | None = None
    testssl_grade: str = ""
    open_ports_v4: list[int] | None = None
    open_ports_v6: list[int] | None = None
    open_udp_v4: list[int] | None = None
    gixy_findings: int | None = None
    daemon_findings: int | None = None
    container_findings: int | None = None
    containers: int = 0
    findings: list[Finding] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Audit:
        data = json.loads(text)
        return cls(**{**data, "findings": [Finding(**one) for one in data["findings"]]})


def lynis(report: str) -> tuple[int, list[Finding]]:
    """The hardening index, and warnings and suggestions of ``lynis-report.dat``.

    :raises ValueError: the report has no index: Lynis did not come to its end
    """
    index = re.search(r"^hardening_index=(\d+)$", report, re.MULTILINE)
    if not index:
        raise ValueError("the report of Lynis has no hardening_index: it did not come to its end")
    found = []
    for kind, line in re.findall(r"^(warning|suggestion)\[\]=(.*)$", report, re.MULTILINE):
        name, text, detail = [*line.split("|"), "", ""][:3]
        which = detail.split(" (")[0] if SHORT.match(detail) else ""
        if not which and (word := WHICH.search(text)):
            which = next(one for one in word.groups() if one)
        found.append(Finding("lynis", f"{name} {which}".strip(), f"{kind}: {text}"))
    return int(index[1]), found


def lynis_points(log: str) -> tuple[int, dict[str, int]]:
    """The most points the host could have, and those it lost, by test. The index is their ratio.

    Tests lose points without a suggestion too: only the log tells of these.
    """
    test, most, lost = "", 0, {}
    for line in log.splitlines():
        if begun := re.search(r"Performing test ID (\S+)", line):
            test = begun[1]
        if given := re.search(r"Hardening: assigned .*\((\d+) of (\d+)\)", line):
            lost[test] = lost.get(test, 0) + int(given[2]) - int(given[1])
        if now := re.search(r"\(out of (\d+)\)", line):
            most = int(now[1])
    return most, {name: points for name, points in sorted(lost.items()) if points}


def ssh_audit(report: str) -> tuple[str, int, int, list[Finding]]:
    """The key exchange that is offered first, failures, warnings, and all of these as findings."""
    data = json.loads(report)
    found = []
    for part in ("kex", "key", "enc", "mac"):
        for entry in data[part]:
            for kind in ("fail", "warn"):
                for text in entry["notes"].get(kind, []):
                    found.append(Finding("ssh-audit", f"{entry['algorithm']} {kind}", f"{kind}: {text}"))
    for one in data.get("cves", []):
        found.append(Finding("ssh-audit", f"{one['name']} fail", f"fail: {one.get('description', '')}"))
    fails = sum(finding.name.endswith(" fail") for finding in found)
    return data["kex"][0]["algorithm"], fails, len(found) - fails, found


def testssl(report: str) -> tuple[str, list[Finding]]:
    """The grade ("" where none is printed), and what is of medium severity or worse.

    :raises ValueError: no protocol was tested: testssl.sh did not reach the server
    """
    entries = json.loads(report)
    by_id = {entry["id"]: entry for entry in entries}
    if "TLS1_3" not in by_id or "TLS1_2" not in by_id:
        raise ValueError("the report of testssl.sh knows of no TLS 1.2 and 1.3: it did not reach the server")
    found = [
        Finding("testssl", entry["id"], f"{entry['severity']}: {entry['finding']}")
        for entry in entries
        if entry["severity"] in TLS_COUNTED
    ]
    return by_id.get("overall_grade", {}).get("finding", ""), found


def nmap(report: str) -> list[int]:
    """The open ports of an nmap report. :raises ValueError: the scan did not come to its end"""
    root = ElementTree.fromstring(report)
    done = root.find("./runstats/finished")
    if done is None or done.get("exit") != "success" or root.find("./host") is None:
        raise ValueError("nmap did not come to its end")
    return sorted(
        int(port.get("portid", "0"))
        for port in root.iterfind("./host/ports/port")
        if (state := port.find("state")) is not None and state.get("state") == "open"
    )


def unwanted(name: str, ports: Sequence[int]) -> list[Finding]:
    """What is open and should not be, and what should be and is not."""
    found = [Finding(name, str(port), "open to the outside") for port in ports if port not in WANTED_PORTS]
    return found + [Finding(name, str(port), "closed") for port in WANTED_PORTS if port not in ports]


def gixy(report: str, where: str) -> list[Finding]:
    """The findings in one nginx configuration. :param where: what the configuration is of"""
    return [
        Finding("gixy", f"{where} {one['plugin']}", f"{one['severity']}: {one['summary']}")
        for one in json.loads(report)
    ]


def figures(audit: Audit) -> dict[str, Any]:
    """The figures by name, without the findings."""
    return {key: value for key, value in asdict(audit).items() if key != "findings"}


def explained(found: Sequence[Finding], reasons: Mapping[str, str]) -> dict[str, list[Finding]]:
    """The findings of each key or pattern of ``reasons``, the first that fits; "" holds those without a reason."""
    told: dict[str, list[Finding]] = {"": []}
    for finding in sorted(set(found)):
        fits = next((pattern for pattern in reasons if fnmatch.fnmatchcase(finding.key, pattern)), "")
        told.setdefault(fits, []).append(finding)
    return told


def unexplained(found: Sequence[Finding], reasons: Mapping[str, str]) -> list[Finding]:
    return explained(found, reasons)[""]
