"""Fill the lab's registry: stand-ins for public images under their own names, and the example's images by version."""

from __future__ import annotations

import hashlib
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
# Image → target in the example's Dockerfile.
JARVIS = {
    "auth": "auth-service",
    "registry": "registry-service",
    "tickets": "tickets-agent",
    "finops": "finops-agent",
    "oxygen": "oxygen-agent",
    "web": "web-ui",
}


def _in_registry(lab: Lab, name: str) -> bool:
    repository, tag = name.rsplit(":", 1)
    request = urllib.request.Request(
        f"http://127.0.0.1:{lab.port('registry')}/v2/{repository}/manifests/{tag}",
        method="HEAD",
        headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
    )
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
        inside = path.relative_to(root).parts
        if path.is_file() and not {"__pycache__", "tests"} & set(inside) and not any(p.startswith(".") for p in inside):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def jarvis(lab: Lab, version: str = "1.0.0") -> None:
    """Build the six images of examples/jarvis at `version` and push them, unless they are there already."""
    source = PROJECT / "examples" / "jarvis" / "app"
    base = "landfall-lab/python:3.13-slim"
    images.ensure(base)
    parent = docker("image", "inspect", "-f", "{{.Id}}", base).strip()
    recipe = hashlib.sha256((_tree_hash(source) + parent + version).encode()).hexdigest()[:16]
    for name, target in JARVIS.items():
        local = f"landfall-lab/jarvis-{name}:{version}"
        old = docker("image", "inspect", "-f", '{{index .Config.Labels "landfall.recipe"}}', local, check=False).strip()
        if old != recipe:
            say(f"building jarvis-{name}:{version}")
            run(
                [
                    *docker_argv(),
                    "build",
                    "-q",
                    "-t",
                    local,
                    "--label",
                    f"landfall.recipe={recipe}",
                    "--build-arg",
                    f"BASE={base}",
                    "--build-arg",
                    f"VERSION={version}",
                    "--target",
                    target,
                    str(source),
                ]
            )
        push_once(lab, local, f"jarvis-{name}:{version}", recipe)


def push_once(lab: Lab, local: str, name: str, recipe: str) -> None:
    """Push `local` as `name`, unless the registry has it from the same `recipe`."""
    marker = lab.state / f"pushed-{name.replace(':', '-')}-{recipe}"
    if not marker.exists() or not _in_registry(lab, name):
        say(f"registry: {name}")
        lab.push(local, name)
        marker.touch()


def alias(lab: Lab, source: str, names: list[str]) -> None:
    """Push one local image under more names (tests)."""
    for name in names:
        lab.push(source, name)
