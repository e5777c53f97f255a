"""The bench's images: versions that differ by VERSION alone, and three that are broken on purpose."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lab import images, publish
from lab.lab import Lab
from lab.shell import docker, docker_argv, run, say

APP = Path(__file__).parent / "stack" / "app"
BASE = "landfall-lab/python:3.13-slim"
VERSIONS = tuple(f"1.0.{number}" for number in range(6))
#: tag → what is wrong with it (service.py, migrate.py)
BROKEN = {"1.1.0-start": "start", "1.1.0-health": "health", "1.1.0-migration": "migration"}
#: a tag that no registry has
MISSING = "9.9.9"


def _recipe() -> str:
    parent = docker("image", "inspect", "-f", "{{.Id}}", BASE).strip()
    digest = hashlib.sha256(parent.encode())
    for path in sorted(APP.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(APP)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def publish_all(lab: Lab) -> None:
    """Build every version and push it to the lab's registry, unless it is there already."""
    images.ensure(BASE)
    recipe = _recipe()
    for version in (*VERSIONS, *BROKEN):
        local = f"landfall-lab/bench-app:{version}"
        old = docker("image", "inspect", "-f", '{{index .Config.Labels "landfall.recipe"}}', local, check=False).strip()
        if old != recipe:
            say(f"building bench-app:{version}")
            build = {"BASE": BASE, "VERSION": version, "BROKEN": BROKEN.get(version, "")}
            argv = [*docker_argv(), "build", "-q", "-t", local, "--label", f"landfall.recipe={recipe}"]
            for name, value in build.items():
                argv += ["--build-arg", f"{name}={value}"]
            run([*argv, str(APP)], timeout=1500)
        publish.push_once(lab, local, f"bench-app:{version}", recipe)
