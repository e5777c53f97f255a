"""The host that is audited, and the machine beside it that looks at it from outside."""

from __future__ import annotations

import subprocess

from lab import images
from lab.images import APT, BASE, CLEAN, Image
from lab.lab import PROJECT as PROJECT
from lab.lab import Lab
from lab.publish import jarvis, stand_ins
from lab.shell import docker, docker_argv, say, wait_for
from lab.site import Run, Site

NAME = "audit"
#: Last part of the auditor's address.
AUDITOR = 20
#: Not among the lab's recipes: only an audit needs it, and the other suites build all of those.
IMAGE = Image(
    "landfall-lab/auditor:trixie",
    f"""
FROM {BASE["trixie"]}
RUN apt-get update -q && {APT} install -y --no-install-recommends lynis ssh-audit testssl.sh nmap iproute2 \\
      openssh-client bsdextrautils curl && {CLEAN}
""".lstrip(),
    BASE["trixie"],
)
BAIT_IMAGE = "landfall-lab/python:3.13-slim"
SERVE = ["python3", "-m", "http.server", "--bind", "::"]
ECHO = """import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 9999))
while True:
    data, peer = s.recvfrom(2048)
    s.sendto(data or b"x", peer)
"""
#: Containers that publish ports on purpose: what nmap must not find on the hardened host. Name → options, program.
BAITS = {
    "audit-bait-tcp": (["-p", "5432:9999", "-p", "0.0.0.0:8000:9999"], [*SERVE, "9999"]),
    "audit-bait-udp": (["-p", "5353:9999/udp"], ["python3", "-c", ECHO]),
    "audit-bait-loopback": (["-p", "127.0.0.1:6379:9999"], [*SERVE, "9999"]),
    "audit-bait-host": (["--network", "host"], [*SERVE, "9000"]),
}


class Ground:
    def __init__(self) -> None:
        self.lab = Lab(NAME)
        self.site = Site(self.lab)

    @property
    def v4(self) -> str:
        return self.lab.net.ip(10)

    @property
    def v6(self) -> str:
        return self.lab.net.ip6(10)

    def host(self, *argv: str, check: bool = True, timeout: float = 900) -> str:
        """A program on the audited host, past SSH."""
        return docker("exec", self.lab.container("host"), *argv, check=check, timeout=timeout)

    def auditor(self, *argv: str, check: bool = True, timeout: float = 900) -> str:
        """A program on the machine beside it."""
        return docker("exec", self.lab.container("auditor"), *argv, check=check, timeout=timeout)

    def bare(self) -> None:
        """A host as a provider gives it, with Docker as the distribution gives it; anew each time."""
        images.ensure("landfall-lab/services:trixie", "landfall-lab/host-docker:trixie", BAIT_IMAGE)
        images.ensure_one(IMAGE)
        self.lab.services()
        (self.lab.state / "ca.pem").write_text(self.lab.acme_root() or "")
        stand_ins(self.lab)
        jarvis(self.lab)
        self.lab.start("auditor", AUDITOR, IMAGE.tag, "--dns", self.lab.net.ip(2), command=["sleep", "infinity"])
        self.lab.remove_host("host")
        self.lab.host(image="landfall-lab/host-docker:trixie")
        self.host("systemctl", "start", "docker")
        # From inside the network the host is reached by the ports that it has.
        self.site.write_inventory(edge_settings={"https_port": 443}, docker_source="distribution")
        self._load(BAIT_IMAGE)

    def no_baits(self) -> None:
        self.host("docker", "rm", "-f", *BAITS, check=False)

    def baits(self) -> None:
        """Start the containers that publish ports, anew: as an operator who does not know what Docker opens."""
        self.no_baits()
        for name, (options, program) in BAITS.items():
            self.host("docker", "run", "-d", "--name", name, *options, BAIT_IMAGE, *program)
        # They answer on the host itself: nothing but the firewall stands before them.
        for port in (5432, 8000, 6379, 9000):
            wait_for(f"the bait on port {port}", lambda port=port: self._answers(port))

    def _answers(self, port: int) -> bool:
        return "<html" in self.host("curl", "-s", "-m", "2", f"http://127.0.0.1:{port}/", check=False)

    def stack(self) -> Run:
        """The whole way, as an operator goes it: site.yml with the Jarvis example."""
        return self.site.play("site.yml", timeout=1500)

    def there(self) -> bool:
        return self.lab.running("host") and self.lab.running("auditor")

    def down(self) -> None:
        self.lab.down()

    def _load(self, image: str) -> None:
        if self.host("docker", "images", "-q", image).strip():
            return
        say(f"{image} onto the host")
        saved = subprocess.Popen([*docker_argv(), "save", image], stdout=subprocess.PIPE)
        subprocess.run(
            [*docker_argv(), "exec", "-i", self.lab.container("host"), "docker", "load", "-q"],
            stdin=saved.stdout, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        saved.wait()
