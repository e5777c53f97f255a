"""Run the programs against the host, and read what they found. What they print is kept under report/audit/."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lab.shell import LabError, docker, docker_argv, run, say

from . import docker_bench, findings
from .findings import Audit
from .ground import BAITS, PROJECT, Ground

REPORT = PROJECT / "report" / "audit"
DOMAIN = "jarvis.localhost"
#: On the host, and in memory: nothing is installed there for the audit's sake.
LYNIS = "/run/lynis"
NMAP = ["nmap", "-n", "-Pn", "-T4", "--min-rate", "4000", "--max-retries", "1", "-oX", "-"]
#: Ports over UDP that are asked for: names, time, management, HTTP/3, and the bait's.
UDP = "53,123,161,443,5353"


def measure(ground: Ground, state: str, stack: bool) -> Audit:
    """All figures of the host as it is now. :param state: "before" or "after", for the names of the reports"""
    audit = Audit()
    steps: list[Callable[[Ground, Audit, Path], None]] = [_lynis, _ssh, _ports, _docker]
    if stack:
        steps += [_gixy, _testssl]
    where = REPORT / state
    where.mkdir(parents=True, exist_ok=True)
    for step in steps:
        began = time.monotonic()
        step(ground, audit, where)
        say(f"{state}: {step.__name__.lstrip('_')} took {time.monotonic() - began:.0f} s")
    audit.findings.sort()
    return audit


def versions(ground: Ground) -> dict[str, str]:
    """The programs that were used, and what they looked at."""
    names = ["lynis", "ssh-audit", "testssl.sh", "nmap"]
    listing = ground.auditor("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *names)
    found = dict(line.split() for line in listing.splitlines())
    found["gixy-ng"] = importlib.metadata.version("gixy-ng")
    said = ground.host("sh", "-c", '. /etc/os-release; echo "$PRETTY_NAME"; uname -r; ssh -V 2>&1')
    found["host"], kernel, ssh = said.strip().splitlines()
    found["kernel"], found["OpenSSH"] = kernel.split("-")[0], ssh.split(",")[0].split()[0].removeprefix("OpenSSH_")
    found["Docker"] = ground.host("docker", "version", "-f", "{{.Server.Version}}").strip()
    return found


def _lynis(ground: Ground, audit: Audit, where: Path) -> None:
    taken = "tar -C /usr/share/lynis -cf - . && tar -C /etc/lynis -cf - . && tar -C /usr/sbin -cf - lynis"
    archive = _bytes(ground, "auditor", "sh", "-c", taken)
    name = ground.lab.container("host")
    ground.host("mkdir", "-p", LYNIS)
    docker("exec", "-i", name, "tar", "-C", LYNIS, "-i", "--no-same-owner", "-xf", "-", stdin=archive)
    words = ["--quick", "--no-colors", "--report-file", f"{LYNIS}/report.dat", "--log-file", f"{LYNIS}/log.txt"]
    try:
        docker("exec", "-w", LYNIS, name, "./lynis", "audit", "system", *words, check=False)
        report = ground.host("cat", f"{LYNIS}/report.dat")
        (where / "lynis-report.dat").write_text(report)
        log = ground.host("cat", f"{LYNIS}/log.txt")
        (where / "lynis.log").write_text(log)
    finally:
        ground.host("rm", "-rf", LYNIS)
    audit.lynis, found = findings.lynis(report)
    audit.lynis_points, audit.lynis_lost = findings.lynis_points(log)
    audit.findings += found


def _ssh(ground: Ground, audit: Audit, where: Path) -> None:
    # Its exit status tells of findings.
    report = ground.auditor("ssh-audit", "-j", ground.v4, check=False)
    (where / "ssh-audit.json").write_text(report)
    audit.ssh_first_kex, audit.ssh_audit_fail, audit.ssh_audit_warn, found = findings.ssh_audit(report)
    audit.findings += found


def _ports(ground: Ground, audit: Audit, where: Path) -> None:
    def scan(name: str, *words: str) -> list[int]:
        report = ground.auditor(*NMAP, *words)
        (where / f"{name}.xml").write_text(report)
        return findings.nmap(report)

    audit.open_ports_v4 = scan("nmap-v4", "-p-", ground.v4)
    audit.open_ports_v6 = scan("nmap-v6", "-6", "-p-", ground.v6)
    audit.open_udp_v4 = scan("nmap-udp", "-sU", "-p", UDP, ground.v4)
    audit.findings += findings.unwanted("nmap-v4", audit.open_ports_v4)
    audit.findings += findings.unwanted("nmap-v6", audit.open_ports_v6)
    audit.findings += [findings.Finding("nmap-udp", str(port), "open to the outside") for port in audit.open_udp_v4]


def _docker(ground: Ground, audit: Audit, where: Path) -> None:
    files = ["/etc/docker", "/etc/docker/daemon.json", "/run/docker.sock"]
    config = ground.host("cat", "/etc/docker/daemon.json", check=False) or "{}"
    info = ground.host("docker", "info", "-f", "{{json .}}")
    bridge = ground.host("docker", "network", "inspect", "-f", "{{json .Options}}", "bridge")
    modes = ground.host("stat", "-c", "%n %a %U:%G", *files, check=False)
    found = docker_bench.daemon(json.loads(info), json.loads(config), json.loads(bridge), modes)
    audit.daemon_findings = len(found)
    audit.findings += found
    ids = ground.host("docker", "ps", "-q").split()
    inspected = json.loads(ground.host("docker", "inspect", *ids)) if ids else []
    ours = [one for one in inspected if one["Name"].lstrip("/") not in BAITS]
    (where / "docker.json").write_text(json.dumps({"info": json.loads(info), "containers": _quiet(ours)}, indent=1))
    if ours:
        found = sorted({finding for one in ours for finding in docker_bench.container(one)})
        audit.containers, audit.container_findings = len(ours), len(found)
        audit.findings += found


def _quiet(inspected: list[dict]) -> list[dict]:
    """Without the environment: it holds the stack's secrets."""
    return [{**one, "Config": {**one["Config"], "Env": []}} for one in inspected]


def _gixy(ground: Ground, audit: Audit, where: Path) -> None:
    program = Path(sys.executable).parent / "gixy"
    roots = ["/etc/landfall/edge/current", "/etc/landfall/relay/jarvis/current"]
    audit.gixy_findings = 0
    for root in roots:
        with tempfile.TemporaryDirectory(prefix="landfall-audit-") as tmp:
            archive = _bytes(ground, "host", "tar", "-C", f"{root}/", "-chf", "-", ".")
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(tmp, filter="data")
            kind = root.split("/")[3]
            mains = sorted(Path(tmp).glob("*.conf"))
            if not mains:
                raise LabError(f"there is no nginx configuration in {root}")
            for main in mains:
                # The types are nginx's own, and not here.
                main.write_text(re.sub(r"include /etc/nginx/mime\.types;", "", main.read_text()))
                report = run([str(program), "-f", "json", str(main)], check=False)
                (where / f"gixy-{kind}-{main.stem}.json").write_text(report)
                found = findings.gixy(report, kind)
                audit.gixy_findings += len(found)
                audit.findings += found


def _testssl(ground: Ground, audit: Audit, where: Path) -> None:
    root = ground.lab.acme_root() or ""
    docker("exec", "-i", ground.lab.container("auditor"), "sh", "-c", "cat > /tmp/root.pem", stdin=root)
    words = ["--quiet", "--color", "0", "--warnings", "off", "--add-ca", "/tmp/root.pem", "--ip", ground.v4]
    words += ["--overwrite", "--jsonfile", "/tmp/testssl.json", f"https://{DOMAIN}/"]
    # Its exit status tells of findings.
    (where / "testssl.txt").write_text(ground.auditor("testssl", *words, check=False))
    report = ground.auditor("cat", "/tmp/testssl.json")
    (where / "testssl.json").write_text(report)
    audit.testssl_grade, found = findings.testssl(report)
    audit.testssl_medium_or_worse = sum(not finding.text.startswith("WARN") for finding in found)
    audit.findings += found


def _bytes(ground: Ground, part: str, *argv: str) -> bytes:
    done = subprocess.run(
        [*docker_argv(), "exec", ground.lab.container(part), *argv], capture_output=True, check=False, timeout=120
    )
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {done.stderr.decode(errors='replace')[-1000:]}")
    return done.stdout
