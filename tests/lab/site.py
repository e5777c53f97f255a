"""Run the playbooks against a lab as an operator does, and read what came of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .lab import PROJECT, Lab
from .shell import docker, run

JARVIS_DOMAIN = "jarvis.localhost"


def jarvis_stack(*files: str, **more: Any) -> dict[str, Any]:
    """The example as an inventory's stack, one container a service.

    :param files: Compose files after ``compose.yaml`` and ``compose.prod.yaml``
    :param more: further keys of the stack
    """
    return {
        "name": "jarvis",
        "src": str(PROJECT / "examples" / "jarvis"),
        "files": ["compose.yaml", "compose.prod.yaml", *files],
        "env": {
            "REGISTRY": "registry.landfall.test:5000",
            "VERSION": "1.0.0",
            "JARVIS_DOMAIN": JARVIS_DOMAIN,
            "JARVIS_REPLICAS": "1",
        },
        "generate_secrets": [{"name": "JWT_SECRET_KEY", "env": True}],
        **more,
    }


@dataclass(frozen=True)
class Run:
    """One playbook run: exit status, whole output, seconds, and the recap's numbers a host."""

    rc: int
    output: str
    seconds: float

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        found = {}
        for line in self.output.splitlines():
            match = re.match(r"^(\S+)\s+: (ok=\d+.*)$", line)
            if match:
                found[match[1]] = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", match[2])}
        return found

    def total(self, what: str) -> int:
        return sum(numbers.get(what, 0) for numbers in self.recap.values())


class Site:
    """The inventory of a lab's host and the playbooks run against it."""

    def __init__(self, lab: Lab, host: str = "host", inventory: str = "inventory") -> None:
        self.lab = lab
        self.host = host
        self.inventory = lab.state / inventory

    def write_inventory(self, name: str = "embedded", **host_vars: Any) -> None:
        """The group variables are inventories/local's own; only the host's address differs."""
        self.inventory.mkdir(parents=True, exist_ok=True)
        link = self.inventory / "group_vars"
        if not link.is_symlink():
            link.symlink_to(PROJECT / "inventories" / "local" / "group_vars")
        content = {
            "landfall": {
                "hosts": {
                    name: {
                        "ansible_host": self.lab.address(self.host),
                        "lab_name": self.lab.name,
                        "lab_project": str(PROJECT),
                        "lab_state": str(self.lab.state),
                        # A machine that runs much beside a lab is slower than any host.
                        "hardening_lockout_window": 300,
                        **host_vars,
                    }
                }
            }
        }
        (self.inventory / "hosts.json").write_text(json.dumps(content, indent=2))

    def variables(self, extra: dict[str, Any]) -> Path:
        """A file of variables for ``-e @FILE``: there are secrets among them, and a command line can be read by all."""
        text = json.dumps(extra)
        path = self.lab.state / f"extra-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def play(
        self,
        playbook: str,
        *args: str,
        extra: dict[str, Any] | None = None,
        venv: str | None = None,
        timeout: float = 900,
        collections: str | None = None,
    ) -> Run:
        binary = (Path(venv) if venv else Path(sys.executable).parent.parent) / "bin" / "ansible-playbook"
        argv = [str(binary), playbook, "-i", str(self.inventory / "hosts.json"), *args]
        if extra:
            argv += ["-e", f"@{self.variables(extra)}"]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_NOCOLOR": "1",
            "LANDFALL_HTTPS_PORT": str(self.lab.port("https")),
            "ANSIBLE_COLLECTIONS_PATH": collections or str(PROJECT / ".build" / "collections"),
            "PATH": f"{binary.parent}:{os.environ['PATH']}",
        }
        began = time.monotonic()
        done = subprocess.run(
            argv,
            cwd=PROJECT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
        result = Run(done.returncode, done.stdout, time.monotonic() - began)
        log = self.lab.state / "runs"
        log.mkdir(exist_ok=True)
        (log / f"{int(time.time() * 1000)}-{Path(playbook).stem}.log").write_text(" ".join(argv) + "\n" + done.stdout)
        return result

    def ssh(self, command: str, check: bool = True) -> str:
        return run(
            [
                "ssh",
                "-i",
                str(self.lab.key),
                "-o",
                f"UserKnownHostsFile={self.lab.known_hosts}",
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "IdentitiesOnly=yes",
                f"root@{self.lab.address(self.host)}",
                command,
            ],
            check=check,
        )

    def sh(self, command: str, check: bool = True) -> str:
        """A shell command on the host, past SSH."""
        return docker("exec", self.lab.container(self.host), "sh", "-c", command, check=check)

    def fingerprint(self) -> dict[str, str]:
        """All that a refused run must leave as it was: files of the product, containers, firewall, packages."""
        script = {
            "files": "find /opt/landfall /etc/landfall /etc/ssh /etc/ufw /etc/docker /etc/fail2ban -type f 2>/dev/null "
            "! -name journal ! -name lock ! -path '*/landfall/*/evidence*' | sort | xargs -r sha256sum",
            "containers": "docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.State}}' 2>/dev/null | sort",
            "packages": "dpkg-query -W | sha256sum",
            "firewall": "iptables-save 2>/dev/null | grep -E '^(-A|:)' | grep -v '\\[' | sort | sha256sum",
        }
        return {name: self.sh(command, check=False) for name, command in script.items()}
