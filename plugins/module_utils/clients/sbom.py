# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bills of materials beside a stack's releases, made by syft from the images that Docker has."""

from __future__ import annotations

import contextlib
import os

from ..rollout import sbom
from .files import StackDir, sync_dir
from .process import Runner

#: Where `playbooks/sbom.yml` puts it.
SYFT = "/usr/local/libexec/landfall/syft"


class NoBill(Exception):
    """Why there is none, and what to do."""


def make(store: StackDir, run: Runner, syft: str = SYFT) -> tuple[list[sbom.Bill], int]:
    """The bills of the current release, and how many of them are new; what no kept release needs goes.

    :raises NoBill: no release, no syft, or it failed; those made before stay
    """
    current = store.current()
    images = store.images(current) if current else {}
    if not images:
        raise NoBill(f"{store.stack} has no release with images here; deploy it first")
    top = os.path.join(store.path, "sbom")
    os.makedirs(top, mode=0o755, exist_ok=True)
    for name in sbom.unneeded([store.images(one.id) for one in store.releases()], os.listdir(top)):
        os.unlink(os.path.join(top, name))
    todo = sbom.missing(images, os.listdir(top))
    for image in todo:
        _scan(image, os.path.join(top, sbom.file_of(image)), run, syft)
    bills = []
    for service, entry in sorted(images.items()):
        path = os.path.join(top, sbom.file_of(str(entry["id"])))
        with open(path, encoding="utf-8") as stream:
            bills.append(sbom.Bill(service, str(entry.get("image", "")), path, sbom.packages(stream.read())))
    return bills, len(todo)


def _scan(image: str, path: str, run: Runner, syft: str) -> None:
    part = f"{path}.part"
    # It would ask its maker for a newer version each time.
    environment = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}
    rc, out, err = run([syft, "scan", f"docker:{image}", "-q", "-o", f"cyclonedx-json={part}"], "/", environment)
    if rc == 127:
        raise NoBill(f"{syft} is not there: ansible-playbook playbooks/sbom.yml installs it, or name another by --syft")
    if rc:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise NoBill(f"syft ended with {rc} at {image}: {' '.join((err or out).split())[-400:]}")
    os.replace(part, path)
    sync_dir(os.path.dirname(path))
