"""Fill the lab's registry: stand-ins for public images under their own names, and the example's images by version."""

from __future__ import annotations

import hashlib
import subprocess
import urllib.request
from pathlib import Path

from . import images
from .lab import PROJECT, Lab
from .shell import docker, docker_argv, run, say

# Local image → the name that a host pulls it by.
STAND_INS = {
    "landfall-lab/nginx-unprivileged:1.30": "nginxinc/nginx-unprivileged:1.30",
    "landfall-lab/python:3.13-slim": "library/python:3.13-slim",
}
JARVIS = ["auth", "registry", "tickets", "finops", "oxygen", "web"]


def _in_registry(lab: Lab, name: str) -> bool:
    repository, tag = name.rsplit(":", 1)
    request = urllib.request.Request(f"http://127.0.0.1:{lab.port('registry')}/v2/{repository}/manifests/{tag}",
                                     method="HEAD",
                                     headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"})
    try:
        with urllib.request.urlopen(request, timeout=5):
            return True
    except OSError:
        return False


def stand_ins(lab: Lab) -> None:
    for local, name in STAND_INS.items():
        if not _in_registry(lab, name):
            images.ensure(local)
            say(f"registry: {name}")
            lab.push(local, name)


def _tree_hash(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and "tests" not in path.parts:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def jarvis(lab: Lab, version: str = "1.0.0") -> None:
    """Build the six images of examples/jarvis at `version` and push them, unless they are there from the same source."""
    source = PROJECT / "examples" / "jarvis"
    base = "landfall-lab/python:3.13-slim"
    images.ensure(base)
    parent = docker("image", "inspect", "-f", "{{.Id}}", base).strip()
    recipe = hashlib.sha256((_tree_hash(source / "app") + (source / "Dockerfile").read_text() + parent
                             + version).encode()).hexdigest()[:16]
    for name in JARVIS:
        local = f"landfall-lab/jarvis-{name}:{version}"
        old = docker("image", "inspect", "-f", '{{index .Config.Labels "landfall.recipe"}}', local, check=False).strip()
        if old != recipe:
            say(f"building jarvis-{name}:{version}")
            run([*docker_argv(), "build", "-q", "-t", local, "--label", f"landfall.recipe={recipe}", "--build-arg",
                 f"BASE={base}", "--build-arg", f"SERVICE={name}", "--build-arg", f"VERSION={version}", str(source)])
        marker = lab.state / f"pushed-jarvis-{name}-{version}-{recipe}"
        if not marker.exists() or not _in_registry(lab, f"jarvis-{name}:{version}"):
            say(f"registry: jarvis-{name}:{version}")
            lab.push(local, f"jarvis-{name}:{version}")
            marker.touch()


def alias(lab: Lab, source: str, names: list[str]) -> None:
    """Push one local image under more names (tests)."""
    for name in names:
        lab.push(source, name)


def playbook(lab: Lab, *args: str, capture: bool = False, check: bool = True,
             env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook as an operator does, from the project's root."""
    import os
    import sys

    binary = str(Path(sys.executable).parent / "ansible-playbook")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR":
                   "0" if capture else os.environ.get("ANSIBLE_FORCE_COLOR", "0"), **(env or {})}
    environment["PATH"] = str(Path(sys.executable).parent) + ":" + environment.get("PATH", "")
    return subprocess.run([binary, *args], cwd=PROJECT, text=True, capture_output=capture, check=check,
                          env=environment, stdin=subprocess.DEVNULL)
