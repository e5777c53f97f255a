# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bills of materials of a stack's images: which to make, which nobody needs any more, what is told of them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: CycloneDX as JSON. An image's id is a hash of all it holds, so a bill is made once.
SUFFIX = ".cdx.json"
_ID = re.compile(r"^sha256:([0-9a-f]{64})$")
#: service → what a release recorded of its image; see StackDir.images.
Images = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Bill:
    """One service's. :param image: as the Compose file names it; :param packages: that it lists, None: there is none"""

    service: str
    image: str
    file: str
    packages: int | None


def file_of(image_id: str) -> str:
    """The name of an image's bill. :raises ValueError: this is no id of an image"""
    found = _ID.match(image_id)
    if not found:
        raise ValueError(f"{image_id!r} is no id of an image")
    return found[1] + SUFFIX


def missing(images: Images, there: Iterable[str]) -> list[str]:
    """Ids of a release's images that have no bill yet. :param there: names of files"""
    known = set(there)
    ids = {str(entry.get("id", "")) for entry in images.values()}
    return sorted(one for one in ids if _ID.match(one) and file_of(one) not in known)


def unneeded(releases: Sequence[Images], there: Iterable[str]) -> list[str]:
    """Bills of images that no kept release has, and what a killed run left."""
    ids = {str(entry.get("id", "")) for images in releases for entry in images.values()}
    needed = {file_of(one) for one in ids if _ID.match(one)}
    return sorted(name for name in there if name not in needed)


def packages(text: str) -> int | None:
    """How many packages a bill lists: components that are libraries; None when it cannot be read."""
    try:
        listed = json.loads(text).get("components") or []
        return sum(1 for one in listed if one.get("type") == "library")
    except (ValueError, AttributeError):
        return None


def rows(bills: Sequence[Bill]) -> list[tuple[str, ...]]:
    """A table's."""
    out: list[tuple[str, ...]] = [("SERVICE", "IMAGE", "PACKAGES", "FILE")]
    return out + [
        (one.service, one.image, "none" if one.packages is None else str(one.packages), one.file) for one in bills
    ]
