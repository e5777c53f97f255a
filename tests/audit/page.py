"""docs/audit.md and the last line of the output. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .findings import WANTED_PORTS, Audit, explained, unexplained

#: The figures of the last line, in this order, with what they are to be.
FIGURES: dict[str, tuple[str, Any]] = {
    "lynis": ("Lynis, hardening index", "≥ 90"),
    "ssh_audit_fail": ("ssh-audit, failures", 0),
    "ssh_audit_warn": ("ssh-audit, warnings", 0),
    "testssl_medium_or_worse": ("testssl.sh, findings of medium or worse", 0),
    "open_ports_v4": ("nmap from another host, open TCP ports, IPv4", list(WANTED_PORTS)),
    "open_ports_v6": ("… IPv6", list(WANTED_PORTS)),
    "gixy_findings": ("gixy, findings in the edge's and the relays' configuration", 0),
}
MORE: dict[str, tuple[str, Any]] = {
    "ssh_first_kex": ("ssh-audit, key exchange offered first", "post-quantum"),
    "testssl_grade": ("testssl.sh, grade", "A+"),
    "open_udp_v4": ("nmap, UDP ports that answer, IPv4", []),
    "daemon_findings": ("Docker daemon, findings after the CIS benchmark", "a reason for each"),
    "container_findings": ("Containers, findings after the CIS benchmark", "a reason for each"),
}


def last_line(before: Audit, after: Audit, reasons: Mapping[str, str]) -> str:
    """One line of JSON: the figures of the hardened host, those before it, and how many findings have no reason."""
    line: dict[str, Any] = {name: getattr(after, name) for name in FIGURES}
    line["unexplained"] = len(unexplained(after.findings, reasons))
    line["before"] = {name: getattr(before, name) for name in FIGURES}
    return json.dumps(line)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value) or "none"
    return str(value)


def table(before: Audit, after: Audit) -> list[str]:
    lines = ["| | before | after | target |", "| --- | --- | --- | --- |"]
    for name, (text, target) in {**FIGURES, **MORE}.items():
        cells = (getattr(before, name), getattr(after, name), target)
        lines.append(f"| {text} | {' | '.join(_cell(cell) for cell in cells)} |")
    return lines


HEAD = """# Audits from outside

<!-- Written by `make audit WRITE=1` (tests/audit); changes made here are overwritten. -->

What programs that others wrote find on a host. Before: a Debian host with sshd and Docker as the distribution gives
them. After: the same host after `site.yml` with the whole Jarvis example. In both states containers publish ports on
purpose (5432 and 8000 over TCP, 5353 over UDP, one more on the host's network at 9000), as somebody does who does not
know what Docker opens. nmap, ssh-audit and testssl.sh run on another host of the same network.
"""
LYNIS_TOLD = [
    "The target of 90 is not reached. Some of these tests see the lab: KRNL-6000 (a container may not set kernel.* and",
    "fs.*, which the role sets elsewhere) and PKGS-7388 (no security repository in the lab's images). Most others ask",
    "for programs: USBGuard (USB-3000), a file integrity tool (FINT-4350), a malware scanner (MALW-3280, HRDN-7230), a",
    "password strength test (AUTH-9262), apt's helpers (DEB-…, PKGS-…). None is installed for its points. Some would",
    "break work on the host: hidepid on /proc (FILE-6344) hides processes from monitoring, and a shell that ends when",
    "idle (SHLL-6220) ends what an operator watches.",
]
TAIL = """
## What the figures cannot say
- The host is a container with systemd (see [decision 3](decisions/0003-test-lab.md)). Its kernel, its boot loader, its
  partitions and its modules are the machine's: Lynis reads those too, and the role leaves `kernel.*`, `fs.*` and `vm.*`
  alone there. On a host of its own these are set, and the index is another one.
- The web server's certificate is of the lab's own ACME CA, not of Let's Encrypt.
- The checks of Docker are our own, after the CIS Docker Benchmark 1.6:
  [tests/audit/docker_bench.py](../tests/audit/docker_bench.py).
"""


def _lynis(audit: Audit) -> list[str]:
    """Where the points of the index are lost: a target that is missed is told with all that it would take."""
    lost = sorted(audit.lynis_lost.items(), key=lambda one: (-one[1], one[0]))
    return [
        "## Where Lynis's points are lost",
        "",
        f"The index is a ratio: of {audit.lynis_points} points the host lost {sum(audit.lynis_lost.values())}. "
        + ", ".join(f"{name} {points}" for name, points in lost)
        + ".",
        "",
        *(LYNIS_TOLD if (audit.lynis or 0) < 90 else []),
    ]


def page(before: Audit, after: Audit, versions: Mapping[str, str], date: str, reasons: Mapping[str, str]) -> str:
    """The text of docs/audit.md."""
    told = " · ".join(f"{name} {version}" for name, version in versions.items())
    lines = [HEAD, f"{date} · {told}", "", *table(before, after)]
    lines += ["", *_lynis(after)]
    found = explained(after.findings, reasons)
    lines += ["", f"## What stays, and why ({len(set(after.findings))})", ""]
    lines += ["| Finding | What it says | Why it stays |", "| --- | --- | --- |"]
    for pattern in sorted(found):
        for finding in found[pattern] if not pattern else found[pattern][:1]:
            name, many = pattern or finding.key, len(found[pattern])
            text = finding.text.removeprefix("suggestion: ") + (f" ({many} findings)" if pattern and many > 1 else "")
            text = text.replace("|", "\\|").replace("\n", " ")
            lines.append(f"| `{name}` | {text} | {reasons.get(pattern, '**no reason**')} |")
    return "\n".join(lines) + "\n" + TAIL
