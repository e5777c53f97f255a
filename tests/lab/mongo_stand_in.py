"""Stands in for mongod, mongodump and mongorestore, of which no package registry has one.

By what mongo-tools' own source says they do: exit codes, what goes to standard error and what ``--quiet`` takes away
of it, the magic of an archive, no oplog without a replica set, ``--drop`` for each collection that the archive knows,
``--stopOnError``, ``--config`` where a server asks for a password. What it stores and sends is JSON, not BSON: that a
real archive is loaded by a real server it cannot show.

The server is process 1 of its container; its collections are in ``state.json``: name → documents with ``_id``. A
document that holds ``"poison"`` cannot be written.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

MAGIC = b"\x6d\xe2\x99\x81"


def option(words: list[str], name: str, default: str = "") -> str:
    for at, word in enumerate(words):
        if word == name and at + 1 < len(words):
            return words[at + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return default


def failed(why: str) -> int:
    if "--quiet" not in sys.argv:
        print(f"2026-11-22T10:00:00.000+0000\t{why}", file=sys.stderr)
    return 1


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())
    return found


def mongod(words: list[str]) -> int:
    directory = Path(option(words, "--dbpath", "/data/db"))
    (directory / "WiredTiger").touch()
    if not (directory / "state.json").exists():
        (directory / "state.json").write_text("{}")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


def mongodump(words: list[str], server: list[str], path: Path) -> int:
    if "--oplog" in words and not option(server, "--replSet"):
        return failed(
            "Failed: error getting oplog start: error getting recent oplog entry: mongo: no documents in result"
        )
    only = option(words, "--db")
    held = {name: docs for name, docs in read(path).items() if not only or name.startswith(f"{only}.")}
    body = json.dumps({"oplog": "--oplog" in words, "collections": held}).encode()
    sys.stdout.buffer.write(MAGIC + body + b"\xff\xff\xff\xff")
    failed(f"done dumping ({sum(map(len, held.values()))} documents)")
    return 0


def mongorestore(words: list[str], path: Path) -> int:
    archive = sys.stdin.buffer.read()
    if not archive.startswith(MAGIC):
        return failed("Failed: stream or file does not appear to be a mongodump archive")
    if not archive.endswith(b"\xff\xff\xff\xff"):
        return failed("Failed: corruption found in archive; 858927154 is neither a valid bson length nor a terminator")
    held = json.loads(archive[len(MAGIC) : -4])
    if "--oplogReplay" in words and not held["oplog"]:
        return failed("Failed: no oplog file to replay; make sure you run mongodump with --oplog")
    now = read(path)
    written = refused = 0
    for name, documents in held["collections"].items():
        there = [] if "--drop" in words else now.get(name, [])
        known = {one["_id"] for one in there}
        good = [one for one in documents if one["_id"] not in known and "poison" not in one.values()]
        written, refused = written + len(good), refused + len(documents) - len(good)
        now[name] = there + good
        path.write_text(json.dumps(now))
        if refused and "--stopOnError" in words:
            failed("Failed: devora.poison: error restoring: Document failed validation")
            failed(f"{written} document(s) restored successfully. {refused} document(s) failed to restore.")
            return 1
    failed(f"{written} document(s) restored successfully. {refused} document(s) failed to restore.")
    return 0


def main() -> int:
    program, words = Path(sys.argv[0]).name, sys.argv[1:]
    if program == "mongod":
        return mongod(words)
    server = Path("/proc/1/cmdline").read_text().split("\0")
    path = Path(option(server, "--dbpath", "/data/db"), "state.json")
    if not any(word.endswith("mongod") for word in server) or not path.exists():
        return failed("could not connect to server: server selection error: context deadline exceeded")
    config = option(words, "--config")
    if "--auth" in server and not (config and "password: hunter2" in Path(config).read_text()):
        return failed("Failed: (Unauthorized) Command listDatabases requires authentication")
    if program == "mongodump":
        return mongodump(words, server, path)
    return mongorestore(words, path)


if __name__ == "__main__":
    sys.exit(main())
