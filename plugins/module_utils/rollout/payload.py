# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What travels from the controller to the host: the project's files and its environment as one small archive.

The same input gives the same bytes, so that nothing but content makes a difference.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from .release import check_path

FILES = "files/"
META = "meta.json"


@dataclass(frozen=True)
class Payload:
    """``files``: path → bytes; ``executable``: those with the x bit; ``env`` and ``env_file``: the environment."""

    files: Mapping[str, bytes]
    executable: frozenset[str] = frozenset()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    env_file: str = field(default="", repr=False)


def tar_gz(members: Mapping[str, bytes], executable: frozenset[str] = frozenset()) -> bytes:
    """A deterministic tar.gz: sorted, no owner, no times."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(members):
            info = tarfile.TarInfo(name)
            info.size = len(members[name])
            info.mode = 0o755 if name in executable else 0o644
            tar.addfile(info, io.BytesIO(members[name]))
    return gzip.compress(raw.getvalue(), compresslevel=6, mtime=0)


def pack(payload: Payload) -> bytes:
    """The archive. :raises ValueError: a path that leaves the project"""
    members = {FILES + check_path(path): data for path, data in payload.files.items()}
    meta = {"env": dict(payload.env), "env_file": payload.env_file}
    members[META] = json.dumps(meta, sort_keys=True).encode()
    return tar_gz(members, frozenset(FILES + path for path in payload.executable))


def unpack(data: bytes) -> Payload:
    """The inverse. :raises ValueError: not an archive of :func:`pack`"""
    files: dict[str, bytes] = {}
    executable = set()
    meta = {"env": {}, "env_file": ""}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            for info in tar:
                content = tar.extractfile(info) if info.isfile() else None
                if content is None:
                    raise ValueError(f"unexpected member {info.name!r}")
                if info.name == META:
                    meta = json.loads(content.read())
                    continue
                path = check_path(info.name.removeprefix(FILES))
                files[path] = content.read()
                if info.mode & 0o100:
                    executable.add(path)
    except (tarfile.TarError, OSError, EOFError) as problem:
        raise ValueError(f"the payload is damaged: {problem}") from problem
    return Payload(files, frozenset(executable), meta["env"], meta["env_file"])  # type: ignore[arg-type]
