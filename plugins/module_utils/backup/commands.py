# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines of the programs that make, pack and unpack streams. No secret ever stands in one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Command:
    """A program to run.

    :param env: added to its environment; where secrets go
    :param tolerated: exit code → words; with one of them on stderr that code counts as well, and is a warning
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    tolerated: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The program, for messages: within a container it is the one inside."""
        known = (
            "pg_dump", "pg_dumpall", "pg_restore", "psql", "redis-cli", "mongodump", "mongorestore", "tar", "zstd",
            "age",
        )  # fmt: skip
        return next((word.rpartition("/")[2] for word in self.argv if word.rpartition("/")[2] in known), self.argv[0])


#: GNU tar ends with 1 when a file changed while it was read.
_CHANGED = ("file changed as we read it", "File removed before we read it")


def zstd(level: int = 1) -> Command:
    """Compress, with a checksum of the content.

    By one thread: on two cores, beside a server that dumps, it took a fifth less time than by ``-T2`` (3.1 s instead of
    3.9 for 689 MB), and 430 MB/s are more than a dump or an uplink gives.
    """
    return Command(("zstd", f"-{level}", "--single-thread", "--check", "-q", "-c"))


def unzstd() -> Command:
    """Decompress; the checksum is verified."""
    return Command(("zstd", "-d", "-q", "-c"))


def age(recipients: Sequence[str]) -> Command:
    """Encrypt to every recipient. Public keys: they may stand in a command line."""
    argv = ["age", "--encrypt"]
    for one in recipients:
        argv += ["--recipient", one]
    return Command(tuple(argv))


def unage(identity_file: str) -> Command:
    """Decrypt with the identity in a file."""
    return Command(("age", "--decrypt", "--identity", identity_file))


def undo(filters: Sequence[str], identity_file: str) -> list[Command]:
    """What takes the filters of an item off again."""
    known = {"zstd": unzstd(), "age": unage(identity_file)}
    return [known[name] for name in reversed(filters)]


def tar(directory: str, names: Sequence[str] = (".",), exclude: Sequence[str] = ()) -> Command:
    """Pack what is in a directory, with owners by number, ACLs and extended attributes."""
    argv = [
        "tar",
        "--create",
        "--file=-",
        f"--directory={directory}",
        "--numeric-owner",
        "--acls",
        "--xattrs",
        "--sparse",
    ]
    argv += [f"--exclude={pattern}" for pattern in exclude]
    return Command((*argv, "--one-file-system", "--", *names), tolerated={1: _CHANGED})


def untar(directory: str) -> Command:
    """Unpack into a directory, with owners and modes."""
    return Command(
        ("tar", "--extract", "--file=-", f"--directory={directory}", "--numeric-owner", "--same-owner", "--acls",
         "--xattrs", "--preserve-permissions", "--delay-directory-restore")
    )  # fmt: skip


def list_tar() -> Command:
    """Read an archive to its end."""
    return Command(("tar", "--list", "--file=-"))


def inside(container: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Command:
    """A program in a container. Never with a terminal, which would change bytes; values go by the environment."""
    words = ["docker", "exec", "-i"]
    for name in sorted(env or {}):
        words += ["--env", name]
    return Command((*words, container, *argv), dict(env or {}))


def redis(container: str, password: str, port: int = 6379) -> Command:
    """A snapshot of a Redis or Valkey server, as a replica gets it."""
    # Valkey's image has redis-cli under that name, too.
    env = {"REDISCLI_AUTH": password} if password else {}
    argv = ("redis-cli", "-p", str(port), "--rdb", "-")
    return inside(container, argv, env) if container else Command(argv, env)


def redis_mark(tail: bytes) -> int:
    """Bytes behind the snapshot: into a pipe redis-cli also writes the mark by which the server ended its stream."""
    end = tail[-40:]
    marked = len(end) == 40 and all(byte in b"0123456789abcdef" for byte in end) and tail[-49:-48] == b"\xff"
    return 40 if marked else 0


def redis_fault(head: bytes, tail: bytes, count: int) -> str:
    """Why a stream is no whole snapshot of Redis: it begins with its magic, and ends with 0xFF and a checksum."""
    if not head.startswith((b"REDIS", b"VALKEY")):
        return f"redis-cli wrote no snapshot: it begins with {head[:16]!r}"
    if count < 18 or (tail[-9:-8] != b"\xff" and not redis_mark(tail)):
        return "the snapshot of Redis is cut off"
    return ""


def mongo(container: str, config: str, databases: Sequence[str] = ()) -> Command:
    """A dump of MongoDB with the oplog of its duration, which needs a replica set and all databases.

    :param config: path, inside the container, of a file that holds the password or the URI (``--config``), or ""
    """
    # Without --quiet, by which they do not even say why they failed (mongo-tools, common/log).
    argv = ["mongodump", "--archive"]
    argv += [f"--db={databases[0]}"] if databases else ["--oplog"]
    argv += [f"--config={config}"] if config else []
    return inside(container, argv) if container else Command(tuple(argv))


def mongo_load(container: str, config: str, oplog: bool) -> Command:
    """Load a dump, in place of each collection that it holds; those that it does not know stay as they are.

    Without ``--stopOnError`` mongorestore counts documents that it could not write, and ends with 0 all the same
    (mongo-tools, mongorestore/main).
    :param oplog: the dump was made with one: its collections are brought to one moment by it
    """
    argv = ["mongorestore", "--archive", "--drop", "--stopOnError"]
    argv += ["--oplogReplay"] if oplog else []
    argv += [f"--config={config}"] if config else []
    return inside(container, argv)


def mongo_fault(head: bytes, tail: bytes, count: int) -> str:
    """Why a stream is no archive of mongodump."""
    return "" if head.startswith(b"\x6d\xe2\x99\x81") else f"mongodump wrote no archive: it begins with {head[:16]!r}"


_MONGO_HINTS = (
    (("getting oplog start", "recent oplog entry"), "this server is no replica set, and has no oplog: run it as one "
     "(--replSet, and rs.initiate() once), or name its one database in mongo.databases"),
    (("not connected to master", "NotYetInitialized", "not primary", "NotWritablePrimary"), "this member is no "
     "primary: a new replica set begins with rs.initiate(); of several members name all in a URI (mongo.config_file)"),
    (("uthentication failed", "requires authentication", "not authorized", "Unauthorized"), "give mongo.config_file, "
     "with the password or the URI of a user that has the roles backup and restore"),
    (("server selection",), "mongod does not answer: look at its log"),
)  # fmt: skip


def mongo_hint(said: str) -> str:
    """What to do about what MongoDB's programs complain of, where that is known; begins with a blank."""
    return next((f" ({what})" for words, what in _MONGO_HINTS if any(one in said for one in words)), "")


def mongo_documents(said: str) -> int:
    """Documents that mongorestore says it has written, -1 when it does not say."""
    found = re.findall(r"(\d+) document\(s\) restored successfully", said)
    return int(found[-1]) if found else -1
