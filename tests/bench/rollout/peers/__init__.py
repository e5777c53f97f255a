"""Two peers on the same host, under the same load: the document's `up -d --no-deps`, and docker-rollout's algorithm."""

from __future__ import annotations

import time
from pathlib import Path

from lab.lab import Lab
from lab.shell import docker, run, say, wait_for

from ..load_process import Load
from ..machine import Machine, share
from ..result import Case

HERE = Path(__file__).parent
PORT = 8443
DOMAIN = "bench.localhost"
WHERE = "/opt/peer"
SCRIPTS = {"recreate": "recreate.sh", "docker-rollout": "docker_rollout.sh"}
ABOUT = {
    "recreate": "docker compose up -d --no-deps, service by service, behind a plain nginx",
    "docker-rollout": "docker-rollout's algorithm, service by service, behind a plain nginx",
}


class Peers:
    def __init__(self, lab: Lab, registry: str) -> None:
        self.lab, self.registry = lab, registry
        self.host = lab.container("host")
        self.ca = lab.state / "peer" / "cert.pem"

    def _sh(self, command: str, version: str = "1.0.0", where: str = WHERE, project: str = "peer") -> str:
        environment = ["-e", f"REGISTRY={self.registry}", "-e", f"VERSION={version}"]
        environment += ["-e", f"COMPOSE_PROJECT_NAME={project}"]
        return docker("exec", *environment, "-w", where, self.host, "sh", "-c", command)

    def up(self) -> None:
        """The peers' stack at 1.0.0, answering."""
        self.ca.parent.mkdir(exist_ok=True)
        if not self.ca.exists():
            subject = ["-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:{DOMAIN}"]
            key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"]
            files = ["-keyout", str(self.ca.with_name("key.pem")), "-out", str(self.ca)]
            run(["openssl", "req", "-x509", *key, *subject, *files])
            self.ca.with_name("key.pem").chmod(0o644)  # read by nginx's user in its container; a test's throw-away key
        docker("exec", self.host, "mkdir", "-p", f"{WHERE}/tls")
        for name in ("compose.yaml", "nginx.conf", *SCRIPTS.values()):
            docker("cp", str(HERE / name), f"{self.host}:{WHERE}/{name}")
        for name in ("cert.pem", "key.pem"):
            docker("cp", str(self.ca.with_name(name)), f"{self.host}:{WHERE}/tls/{name}")
        self._sh("docker compose up -d --wait --quiet-pull")
        for version in ("1.0.1", "1.0.2", "1.0.3"):  # neither tool is charged for the download
            self._sh("docker compose pull -q", version)
        url = f"https://{DOMAIN}:{PORT}/ping"
        resolve = f"{DOMAIN}:{PORT}:{self.lab.address()}"
        curl = ["curl", "-fsS", "--cacert", str(self.ca), "--resolve", resolve, url]
        wait_for("the peers' nginx", lambda: run(curl, check=False).startswith("pong"), 30)

    def down(self) -> None:
        self._sh("docker compose down -v --remove-orphans -t 2")

    def case(self, name: str, turns: int, rate: float, out: Path) -> Case:
        """`turns` rollouts of api and web, one version after the other, under load."""
        case = Case(f"peer {name}", ABOUT[name])
        say(f"peer {name}: {turns} rollouts")
        self.up()
        case.records_file = out / f"peer-{name}.tsv.gz"
        machine = Machine(self.lab)
        before = machine.sample()
        with Load(case.records_file, self.lab.address(), DOMAIN, self.ca, rate, PORT) as load:
            for turn in range(turns):
                began = time.time()
                case.mark(f"{name} {turn + 1}", "begin", began)
                self._sh(f"sh {SCRIPTS[name]} api web", f"1.0.{turn % 3 + 1}")
                case.windows.append((began, time.time()))
                case.mark("end", "end", case.windows[-1][1])
                time.sleep(5)
        case.cpu_own, case.cpu_others = share(before, machine.sample())
        case.loaded(load.records, load.said["lag_p99_s"])
        self.down()
        return case
