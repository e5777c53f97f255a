# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of a Debian host (os-release, /proc, apt, dpkg, docker) turned into values. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LISTEN = "0A"
_BROKEN = ("half-installed", "half-configured", "unpacked", "triggers-awaited", "triggers-pending")


def os_release(text: str) -> dict[str, str]:
    """Return the variables of /etc/os-release, unquoted."""
    found = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            found[name] = value.strip().strip("\"'")
    return found


def memory_mb(meminfo: str) -> int:
    """Return MemTotal of /proc/meminfo in MiB, 0 when it is not there."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.M)
    return int(match.group(1)) // 1024 if match else 0


def listening_inodes(proc_net_tcp: str, ports: Iterable[int]) -> dict[int, list[int]]:
    """Return the socket inodes that listen on ports, by port, from /proc/net/tcp or tcp6."""
    wanted = frozenset(ports)
    found: dict[int, list[int]] = {}
    for line in proc_net_tcp.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTEN:
            continue
        port = int(fields[1].rsplit(":", 1)[1], 16)
        if port in wanted:
            found.setdefault(port, []).append(int(fields[9]))
    return found


def unit_of(proc_cgroup: str) -> str:
    """Return the systemd service of a process from its /proc/PID/cgroup, empty when it has none."""
    match = re.search(r"/system\.slice/(?:[^/\n]+\.slice/)*([^/\n]+\.service)", proc_cgroup)
    return match.group(1) if match else ""


@dataclass(frozen=True)
class Source:
    """One suite of an apt source. suite that ends in ``/`` is a path below uri, without ``dists``."""

    uri: str
    suite: str

    def release_url(self, name: str = "InRelease") -> str:
        """Return the URL of the suite's release file, without user and password."""
        base = re.sub(r"(?<=://)[^/@]*@", "", self.uri).rstrip("/")
        if self.suite.endswith("/"):
            path = self.suite.strip("/")
            return "/".join(part for part in (base, path, name) if part and part != ".")
        return f"{base}/dists/{self.suite}/{name}"


def one_line_sources(text: str) -> list[Source]:
    """Return the binary sources of a sources.list."""
    found = []
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        match = re.match(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", line)
        if match:
            found.append(Source(match.group(1), match.group(2)))
    return found


def deb822_sources(text: str) -> list[Source]:
    """Return the enabled binary sources of a .sources file."""
    found = []
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
        fields: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t") and key:
                fields[key] += " " + line.strip()
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        for uri in fields.get("uris", "").split():
            found += [Source(uri, suite) for suite in fields.get("suites", "").split()]
    return found


def apt_proxies(config_dump: str) -> dict[str, str]:
    """Return apt's proxies by scheme from ``apt-config dump``; the value ``DIRECT`` is kept."""
    found = {}
    for scheme, value in re.findall(r'^Acquire::(https?)::proxy "([^"]*)";', config_dump, re.M | re.I):
        if value:
            found[scheme.lower()] = value
    return found


def packages(dpkg_status: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the installed packages and those that are only half installed, from /var/lib/dpkg/status."""
    installed = set()
    broken = []
    for name, status in re.findall(r"^Package: (\S+)\nStatus: (.+)$", dpkg_status, re.M):
        state = status.split()[-1]
        if state == "installed":
            installed.add(name)
        elif state in _BROKEN:
            broken.append(name)
    return frozenset(installed), tuple(broken)


def published(docker_ps: str) -> dict[int, tuple[str, ...]]:
    """Return container names by published TCP port, from ``docker ps --format '{{.Names}}\\t{{.Ports}}'``."""
    found: dict[int, tuple[str, ...]] = {}
    for line in docker_ps.splitlines():
        name, _tab, ports = line.partition("\t")
        for first, last in re.findall(r":(\d+)(?:-(\d+))?->[\d-]+/tcp", ports):
            for port in range(int(first), int(last or first) + 1):
                if name not in found.get(port, ()):
                    found[port] = (*found.get(port, ()), name)
    return found
