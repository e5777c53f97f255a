"""What is written down of every request, and its file: one line each, tab-separated, gzipped."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TextIO

OK, RECONNECTED = "ok", "reconnected"


class Record(NamedTuple):
    at: float  # when it was due, seconds since the epoch
    kind: str
    latency: float  # seconds from when it was due to its answer, or to its failure
    outcome: str  # ok, reconnected, or why it failed
    version: str = ""  # which version answered
    detail: str = ""  # of a failure: what was read, from which container

    @property
    def done(self) -> float:
        return self.at + self.latency

    @property
    def ok(self) -> bool:
        return self.outcome in (OK, RECONNECTED)


def write(record: Record, stream: TextIO) -> None:
    detail = " ".join(record.detail.split())[:240]
    stream.write(
        f"{record.at:.4f}\t{record.kind}\t{record.latency:.4f}\t{record.outcome}\t{record.version}\t{detail}\n"
    )


def parse(lines: Iterable[str]) -> list[Record]:
    """The records, by the time they were due; a line torn by a crash is left out."""
    found = []
    for line in lines:
        parts = line.rstrip("\n").split("\t")
        if len(parts) == 6:
            found.append(Record(float(parts[0]), parts[1], float(parts[2]), parts[3], parts[4], parts[5]))
    return sorted(found, key=lambda record: record.at)


def read(path: Path) -> list[Record]:
    with gzip.open(path, "rt") as stream:
        return parse(stream)
