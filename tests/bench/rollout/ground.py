"""The ground the bench stands on: the lab "bench", one host brought up by site.yml as an operator does, two stacks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from lab import images as lab_images
from lab.lab import PROJECT, Lab
from lab.publish import jarvis, stand_ins
from lab.shell import LabError, docker, say
from lab.site import Run, Site

from . import images

HERE = Path(__file__).parent
REGISTRY = "registry.landfall.test:5000"
DOMAIN = "bench.localhost"
PEER_PORT = 8443


class Ground:
    """The lab, its host, and three inventories: the whole site, and one for each stack that is deployed alone."""

    def __init__(self) -> None:
        self.lab = Lab("bench")
        self.site = Site(self.lab)
        self.bench = Site(self.lab, inventory="inventory-bench")
        self.jarvis = Site(self.lab, inventory="inventory-jarvis")
        self.ca = self.lab.state / "ca.pem"
        # Another checkout of the collection, for a bench of two versions of it; normally this one.
        self.tree = Path(os.environ.get("LANDFALL_BENCH_TREE", str(PROJECT)))

    def up(self, fresh: bool = False) -> None:
        """Images, services, the host, site.yml. A host that is there is kept unless `fresh`.

        :raises LabError: with the playbook's last words.
        """
        lab_images.ensure(*lab_images.recipes())
        self.lab.services()
        stand_ins(self.lab)
        for version in ("1.0.0", "1.0.1"):
            jarvis(self.lab, version)
        images.publish_all(self.lab)
        if fresh or self._of_another_bench():
            self.lab.remove_host("host")
        self.lab.host(publish=True)
        self.ca.write_text(self.lab.acme_root() or "")
        self._jarvis_project()
        self.write_inventories()
        say("site.yml on the bench's host")
        self.play(self.site, "site.yml")

    def _of_another_bench(self) -> bool:
        """A host on which bench-converge, which uses the same lab, has put its own stack."""
        there = docker("exec", self.lab.container("host"), "ls", "/opt/landfall", check=False).split()
        return "jarvis" in there and "bench" not in there

    def _jarvis_project(self) -> None:
        """The example's Compose files and the bench's overlay in one directory, as a release wants them."""
        where = self.lab.state / "jarvis"
        where.mkdir(exist_ok=True)
        for path in (
            PROJECT / "examples" / "jarvis" / "compose.yaml",
            PROJECT / "examples" / "jarvis" / "compose.prod.yaml",
            HERE / "jarvis" / "compose.bench.yaml",
        ):
            shutil.copyfile(path, where / path.name)

    def write_inventories(self, with_jarvis: bool = False, **host_vars: Any) -> None:
        """Jarvis joins the site only for its own case: its health checks cost a third of a core here."""
        version = "{{ version | default('', true) or '1.0.0' }}"
        bench = {
            "name": "bench",
            "src": str(HERE / "stack"),
            "files": ["compose.yaml"],
            "env": {"REGISTRY": REGISTRY, "VERSION": version},
        }
        jarvis_stack = {
            "name": "jarvis",
            "src": str(self.lab.state / "jarvis"),
            "files": ["compose.yaml", "compose.prod.yaml", "compose.bench.yaml"],
            "env": {"REGISTRY": REGISTRY, "VERSION": version, "JARVIS_DOMAIN": "jarvis.localhost"},
            "generate_secrets": [{"name": "JWT_SECRET_KEY", "env": True}],
        }
        common = {
            "docker_published_ports": [
                {"port": str(port), "protocol": protocol}
                for port, protocol in ((80, "tcp"), (443, "tcp"), (443, "udp"), (PEER_PORT, "tcp"))
            ],
            **host_vars,
        }
        both = [bench, jarvis_stack] if with_jarvis else [bench]
        self.site.write_inventory(landfall_stacks=both, **common)
        self.bench.write_inventory(landfall_stacks=[bench], **common)
        self.jarvis.write_inventory(landfall_stacks=[jarvis_stack], **common)

    def play(self, site: Site, playbook: str, *args: str, check: bool = True, **extra: Any) -> Run:
        """A playbook of the tree under test. :raises LabError: it failed, and `check` was asked for."""
        done = site.play(str(self.tree / playbook), *args, extra=extra or None, collections=self.collections())
        if check and done.rc:
            raise LabError(f"{playbook} failed:\n{done.output[-3500:]}")
        return done

    def collections(self) -> str:
        if self.tree == PROJECT:
            return str(PROJECT / ".build" / "collections")
        link = self.lab.state / "collections" / "ansible_collections" / "landfall" / "stack"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() or link.resolve() != self.tree:
            link.unlink(missing_ok=True)
            link.symlink_to(self.tree)
        return str(link.parents[2])
