# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a stack is backed up: from ``x-landfall.backup`` and from the inventory to sources, in a consistent order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..compose.stack import Service, Stack
from . import pgbackrest
from .layout import RESTIC_KEY, item_name
from .ports import BackupError

#: Order within a set: what refers to others first. A job in a queue finds its row, a row finds its file.
ORDER = ("redis", "mongo", "postgres", "sqlite", "volume", "path", "key", "project")
#: What no inventory names: it comes by itself.
_OWN = ("key", "project")
QUIESCE = ("none", "pause", "stop")
ENGINES = ("stream", "restic")
_OPTIONS = {
    "redis": {"password_file", "password_env", "port"},
    "mongo": {"databases", "config_file"},
    "postgres": {
        "databases",
        "user",
        "url_file",
        "image",
        "run_as",
        "host",
        "port",
        "password_file",
        "allow_empty",
        "bin_dir",
    },
    "sqlite": set(),
    "volume": {"engine"},
    "path": {"engine"},
    "key": set(),
    "project": set(),
}


@dataclass(frozen=True)
class Source:
    """One thing to back up.

    :param service: the service it belongs to, "" for one of the host or elsewhere
    :param where: a path in the container, a path of the host (no service), or the name of a volume
    :param quiesce: what is done to the service while its files are read
    """

    kind: str
    name: str
    service: str = ""
    where: str = ""
    quiesce: str = "none"
    exclude: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_restic(self) -> bool:
        """Whether restic keeps it, deduplicated; else it is a stream."""
        return self.options.get("engine") == "restic"


def of_stack(stack: Stack) -> list[Source]:
    """The sources that a stack's file declares."""
    out: list[Source] = []
    for name in sorted(stack.services):
        said = stack.services[name].extra.get("backup")
        if said:
            out += _of_service(stack, stack.services[name], said)
    return out


def _of_service(stack: Stack, service: Service, said: Mapping[str, Any]) -> list[Source]:
    quiesce, exclude = str(said.get("quiesce", "none")), tuple(said.get("exclude", ()))

    def source(kind: str, *words: str, where: str = "", **options: Any) -> Source:
        return Source(kind, item_name(kind, service.name, *words), service.name, where, quiesce, exclude, options)

    engine = {"engine": str(said["engine"])} if "engine" in said else {}
    out = [source(kind, **dict(said[kind] or {})) for kind in ("redis", "mongo") if kind in said]
    if "postgres" in said:
        asked = dict(said["postgres"] or {})
        if asked.pop("engine", "logical") != "logical":
            raise BackupError(
                f"service {service.name}: engine pgbackrest is for clusters of the host (backup_sources: {{kind: "
                "postgres, engine: pgbackrest, cluster: 17/main}); a server in a container takes "
                "engine: logical (the default)"
            )
        out.append(source("postgres", **asked))
    out += [source("sqlite", _slug(path), where=path) for path in said.get("sqlite", ())]
    for key in said.get("volumes", ()):
        if key not in stack.volumes:
            raise BackupError(f"service {service.name}: backup.volumes: the project has no volume {key!r}")
        out.append(source("volume", key, where=stack.volumes[key], **engine))
    out += [source("path", _slug(path), where=path, **engine) for path in said.get("paths", ())]
    if "chroma" in said:
        root = str((said["chroma"] or {}).get("path", "/data")).rstrip("/")
        database = f"{root}/chroma.sqlite3"
        # The index belongs to the rows, and is written in several steps: a server that is paused in the midst of them
        # leaves an index that no restore can load (seen in 2 of 18 backups under writes, with Chroma 1.5).
        still = quiesce if quiesce != "none" else "stop"
        skip = (*exclude, "./chroma.sqlite3", "./chroma.sqlite3-wal", "./chroma.sqlite3-shm")
        out.append(Source("sqlite", item_name("sqlite", service.name, "chroma"), service.name, database, still))
        out.append(Source("path", item_name("path", service.name, "chroma"), service.name, root, still, skip, engine))
    return out


def with_keys(
    sources: Sequence[Source], password: str, cipher: str, clusters: Sequence[pgbackrest.Cluster] = ()
) -> list[Source]:
    """With what other programs' repositories need: a set can be read without the host that made it.

    :param password: restic's file, taken where a source needs it
    :param cipher: pgBackRest's file, taken where it keeps something
    :param clusters: what it keeps; their configuration is in no repository
    """
    own = [Source("key", RESTIC_KEY, where=password)] if any(one.by_restic for one in sources) else []
    own += [Source("key", pgbackrest.KEY, where=cipher)] if clusters else []
    own += [Source("key", one.settings_item, where=one.conf_dir) for one in clusters]
    return [*sources, *own]


def _slug(path: str) -> str:
    return path.strip("/").replace("/", "-") or "root"


def parse(raw: Mapping[str, Any]) -> Source:
    """A source of the inventory: ``{kind, service, where, quiesce, exclude, name, …options of the kind}``.

    :raises BackupError: it makes no sense, with what to write
    """
    kind = str(raw.get("kind", ""))
    if kind not in _OPTIONS or kind in _OWN:
        raise BackupError(f"source {dict(raw)!r}: kind is one of {', '.join(k for k in ORDER if k not in _OWN)}")
    known = {"kind", "name", "service", "where", "quiesce", "exclude"}
    unknown = set(raw) - known - _OPTIONS[kind]
    if unknown:
        raise BackupError(
            f"source of kind {kind}: unknown: {', '.join(sorted(unknown))}; known: "
            f"{', '.join(sorted(known | _OPTIONS[kind]))}"
        )
    service, where = str(raw.get("service", "")), str(raw.get("where", ""))
    if kind in ("sqlite", "path") and not where.startswith("/"):
        raise BackupError(f"source of kind {kind}: where must be an absolute path, not {where!r}")
    if kind == "volume" and not where:
        raise BackupError("source of kind volume: where is the name of the volume, as `docker volume ls` shows it")
    if str(raw.get("engine", "stream")) not in ENGINES:
        raise BackupError(f"source of kind {kind}: engine is one of {', '.join(ENGINES)}")
    if kind == "mongo" and not service:
        raise BackupError("source of kind mongo: service is missing")
    quiesce = str(raw.get("quiesce", "none"))
    if quiesce not in QUIESCE or (quiesce != "none" and not service):
        raise BackupError(f"source of kind {kind}: quiesce is one of {', '.join(QUIESCE)}, and needs a service")
    name = item_name(kind, str(raw.get("name") or "-".join(filter(None, (service, _slug(where) if where else "")))))
    options = {key: raw[key] for key in _OPTIONS[kind] if key in raw}
    return Source(kind, name, service, where, quiesce, tuple(raw.get("exclude", ())), options)


def ordered(sources: Sequence[Source]) -> list[Source]:
    """All of them in the order they are taken; those of one quiesced service stay together.

    :raises BackupError: two have one name
    """
    names = [one.name for one in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BackupError(f"two sources have one name: {', '.join(twice)}; give one of them a name, or leave it out")
    first: dict[str, int] = {}
    for one in sources:
        if one.quiesce != "none":
            # The latest of its kinds: a queue's own rows are never older than what they point to.
            first[one.service] = max(first.get(one.service, 0), ORDER.index(one.kind))

    def key(one: Source) -> tuple[int, str, int, str]:
        rank = ORDER.index(one.kind)
        return (first[one.service] if one.quiesce != "none" else rank, one.service, rank, one.name)

    return sorted(sources, key=key)
