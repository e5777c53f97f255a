"""`make demo`: the lab, the example's images, and then exactly what an operator runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from . import images
from .lab import PROJECT, Lab
from .publish import jarvis, stand_ins
from .shell import LabError, say


def main() -> int:
    began = time.monotonic()
    lab = Lab("demo")
    try:
        lab.require_ports()
        say("1/4 images (built once; the first time takes a few minutes)")
        images.ensure(*images.recipes())
        say("2/4 DNS, ACME CA, registry and S3 beside the host; the embedded host itself")
        lab.services()
        lab.host(publish=True)
        (lab.state / "ca.pem").write_text(lab.acme_root() or "")
        say("3/4 the example's images into the registry")
        stand_ins(lab)
        jarvis(lab)
    except LabError as problem:
        say(str(problem))
        return 1
    say("4/4 ansible-playbook site.yml -i inventories/local")
    environment = {"LANDFALL_HTTPS_PORT": str(lab.port("https")), "LANDFALL_HTTP_PORT": str(lab.port("http"))}
    playbook = str(Path(sys.executable).parent / "ansible-playbook")
    done = subprocess.run(
        [playbook, "site.yml", "-i", "inventories/local"],
        cwd=PROJECT,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    if done.returncode:
        say("the playbook failed; its last message says what to do. `make demo` again goes on from there")
        return done.returncode
    url = f"https://jarvis.localhost:{lab.port('https')}/"
    ca = os.path.relpath(lab.state / "ca.pem", PROJECT)
    # Where the ports were chosen, the playbooks must know it in later runs too.
    chosen = "" if lab.port("https") == 8443 else f" LANDFALL_HTTPS_PORT={lab.port('https')}"
    print(f"""
  Jarvis runs at   {url}
  in {time.monotonic() - began:.0f} s on an embedded host ({lab.address()}), behind nginx and TLS.

  Trust the test CA for one command:   curl --cacert {ca} {url}health
  In a browser: import {ca} as an authority, or accept the warning once. From another machine, tunnel first:
      ssh -L {lab.port("https")}:127.0.0.1:{lab.port("https")} <this machine>

  Try next
      source .venv/bin/activate; export ANSIBLE_COLLECTIONS_PATH=$PWD/.build/collections{chosen}
      ansible-playbook playbooks/status.yml                             what runs, since when, certificates
      ansible-playbook playbooks/doctor.yml                             everything that could be wrong, with remedies
      ansible-playbook site.yml --check --diff                          what a run would change (nothing now)
      ansible-playbook playbooks/maintenance.yml -e stack=jarvis -e state=on    the maintenance page (state=off)
      ssh -i .lab/demo/id_ed25519 -o UserKnownHostsFile=.lab/demo/known_hosts root@{lab.address()}
      make clean                                                        takes all of this away again
""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
