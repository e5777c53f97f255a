"""How long a release of Jarvis takes, all six services changed: Landfall's rollout beside docker-rollout, no load.

Both get the same files (compose.bench.yaml sets the bake to nothing, for docker-rollout has none), the same health
checks, and images that are on the host already. Landfall's time is the module's own on the host; docker-rollout's is
its script's on the host, called for each service in turn, as its documentation has it. The playbook's time, with
Ansible's start and SSH, is given beside it.
"""

from __future__ import annotations

import time

from lab.shell import docker, say

from ..deploys import Deployer
from ..ground import REGISTRY, Ground
from ..host import Host
from ..peers import HERE as PEERS
from ..result import Case

#: in the order of their dependencies
SERVICES = ("auth-service", "registry-service", "tickets-agent", "finops-agent", "oxygen-agent", "web-ui")
REPLICAS = {**dict.fromkeys(SERVICES, 2), "auth-service": 1, "registry-service": 1}
FILES = ("compose.yaml", "compose.prod.yaml", "compose.bench.yaml")
WHERE = "/opt/peer-jarvis"


def compare(ground: Ground, turns: int = 1) -> Case:
    """`turns` releases by each; the ratio is of the medians."""
    case = Case("jarvis", "six services of Jarvis, all changed, without load: wall time against docker-rollout")
    ours, playbooks = _landfall(ground, case, turns)
    theirs = _docker_rollout(ground, case, turns)
    if ours and theirs:
        ours_s, theirs_s = sorted(ours)[len(ours) // 2], sorted(theirs)[len(theirs) // 2]
        case.more |= {
            "landfall_s": round(ours_s, 1),
            "docker_rollout_s": round(theirs_s, 1),
            "playbook_s": round(sorted(playbooks)[len(playbooks) // 2], 1),
            "ratio_to_docker_rollout": round(ours_s / theirs_s, 2),
        }
    return case


def _landfall(ground: Ground, case: Case, turns: int) -> tuple[list[float], list[float]]:
    say("jarvis: six services changed, by Landfall")
    ground.write_inventories(with_jarvis=True)
    ground.play(ground.site, "site.yml")
    host = Host(ground.lab, "jarvis")
    deployer = Deployer(ground, ground.jarvis, host)
    seconds, playbooks, version = [], [], "1.0.0"
    for _ in range(turns):
        version = "1.0.1" if version == "1.0.0" else "1.0.0"
        host.sh(_pull(version))
        deploy = deployer.deploy(version)
        if deploy.rc:
            case.problems.append(f"the deploy of Jarvis {version} failed: {deploy.said()[:500]}")
            break
        total = (deploy.result.get("timings") or {}).get("total_s")
        if total is None:
            case.notes.append("the module gave no timings: the playbook's time stands in for it")
        seconds.append(float(total or deploy.seconds))
        playbooks.append(deploy.seconds)
        case.more.setdefault("timings", []).append(deploy.result.get("timings"))
        case.overheads_s += deploy.overheads_s
        case.problems += host.settle(version, REPLICAS)
    # The peer gets the machine to itself: idle containers' health checks cost a third of a core here.
    host.sh("docker stop -t 5 $(docker ps -q --filter label=com.docker.compose.project=jarvis) >/dev/null")
    return seconds, playbooks


def _pull(version: str) -> str:
    names = ("auth", "registry", "tickets", "finops", "oxygen", "web")
    return "; ".join(f"docker pull -q {REGISTRY}/jarvis-{name}:{version} >/dev/null" for name in names)


def _docker_rollout(ground: Ground, case: Case, turns: int) -> list[float]:
    say("jarvis: six services changed, by docker-rollout's algorithm")
    container = ground.lab.container("host")
    docker("exec", container, "mkdir", "-p", WHERE)
    for name in FILES:
        docker("cp", str(ground.lab.state / "jarvis" / name), f"{container}:{WHERE}/{name}")
    docker("cp", str(PEERS / "docker_rollout.sh"), f"{container}:{WHERE}/docker_rollout.sh")
    settings = {
        "REGISTRY": REGISTRY,
        "JWT_SECRET_KEY": "bench" * 8,
        "COMPOSE_FILE": ":".join(FILES),
        "COMPOSE_PROJECT_NAME": "peer-jarvis",
    }
    environment = [part for name, value in settings.items() for part in ("-e", f"{name}={value}")]

    def sh(command: str, version: str) -> None:
        docker("exec", *environment, "-e", f"VERSION={version}", "-w", WHERE, container, "sh", "-c", command)

    sh("docker compose up -d --wait", "1.0.0")
    seconds, version = [], "1.0.0"
    for _ in range(turns):
        version = "1.0.1" if version == "1.0.0" else "1.0.0"
        sh("docker compose pull -q", version)
        began = time.monotonic()
        for service in SERVICES:
            sh(f"sh docker_rollout.sh {service}", version)
        seconds.append(time.monotonic() - began)
        wrong = [one for one in Host(ground.lab, "peer-jarvis").containers() if one.version != version]
        case.notes += [f"docker-rollout left {one.name} at {one.version}" for one in wrong]
    sh("docker compose down -v -t 2", version)
    return seconds
