"""Chroma, the real server in a container: its rows and its index belong together, also while somebody writes."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import images
from lab.postgres import free_port
from lab.shell import docker, wait_for

from .ground import Ground, ground_of, standing

IMAGE = "landfall-lab/chroma:1.5"
BASE = "/api/v2/tenants/default_tenant/databases/default_database/collections"
#: More than Chroma holds back before it writes its index to files (``hnsw:sync_threshold``, 1000).
COUNT, WIDTH, BATCH = 2500, 24, 100


class Vectors:
    """A stack of one service, as its Compose file would make it. :ivar written: ids whose addition was answered"""

    def __init__(self) -> None:
        self.name = f"app{uuid.uuid4().hex[:8]}"
        self.volume, self.port = f"{self.name}-data", free_port()
        self.collection, self.written = "", 0

    def up(self) -> None:
        label = "com.docker.compose."
        docker("run", "-d", "--name", f"{self.name}-vectors", "--label", f"{label}project={self.name}", "--label",
               f"{label}service=vectors", "--label", f"{label}oneoff=False", "-p", f"127.0.0.1:{self.port}:8000",
               "-v", f"{self.volume}:/data", IMAGE)  # fmt: skip
        self.wait()
        self.collection = self.ask("POST", BASE, {"name": "notes"})["id"]

    def wait(self) -> None:
        def answers() -> bool:
            try:
                return "nanosecond heartbeat" in self.ask("GET", "/api/v2/heartbeat")
            except (OSError, http.client.HTTPException):
                return False

        wait_for("Chroma", answers, 60)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
            answer = link.getresponse()
            text = answer.read()
            assert answer.status < 300, text
            return json.loads(text)
        finally:
            link.close()

    @staticmethod
    def vector(number: int) -> list[float]:
        dice = random.Random(number)
        return [round(dice.uniform(-1, 1), 4) for _ in range(WIDTH)]

    def add(self) -> None:
        numbers = range(self.written, self.written + BATCH)
        self.ask("POST", f"{BASE}/{self.collection}/add",
                 {"ids": [str(n) for n in numbers], "embeddings": [self.vector(n) for n in numbers],
                  "documents": [f"note {n}" for n in numbers]})  # fmt: skip
        self.written += BATCH

    def count(self) -> int:
        return int(self.ask("GET", f"{BASE}/{self.collection}/count"))

    def nearest(self, numbers: list[int]) -> list[str]:
        """The document that is nearest to each vector: by the index, with the text of the rows."""
        found = self.ask("POST", f"{BASE}/{self.collection}/query",
                         {"query_embeddings": [self.vector(n) for n in numbers], "n_results": 1,
                          "include": ["documents", "distances"]})  # fmt: skip
        assert all(one[0] < 1e-6 for one in found["distances"])
        return [one[0] for one in found["documents"]]

    def down(self) -> None:
        print(docker("logs", "--tail", "30", f"{self.name}-vectors", check=False))
        docker("rm", "-f", "-v", f"{self.name}-vectors", check=False)
        docker("volume", "rm", "-f", self.volume, check=False)


@pytest.fixture
def vectors() -> Iterator[Vectors]:
    images.ensure(IMAGE)
    with standing(Vectors()) as made:
        yield made


@pytest.fixture
def ground(tmp_path: Path, cluster, s3_config, vectors: Vectors) -> Ground:
    # What `x-landfall: {backup: {chroma: {path: /data}}}` stands for: see backup/sources.py and its unit tests.
    still = {"service": "vectors", "quiesce": "stop", "name": "vectors-chroma"}
    sources = [
        {"kind": "sqlite", "where": "/data/chroma.sqlite3", **still},
        {
            "kind": "path",
            "where": "/data",
            "exclude": [f"./chroma.sqlite3{end}" for end in ("", "-wal", "-shm")],
            **still,
        },
    ]
    return ground_of(tmp_path, cluster, s3_config, vectors.name, sources)


@pytest.mark.parametrize("engine", ["stream", "restic"])
def test_there_and_back_while_somebody_writes(ground: Ground, vectors: Vectors, engine: str):
    ground.sources[1]["engine"] = engine
    ground.configure()
    while vectors.written < COUNT:
        vectors.add()
    before, done = vectors.written, threading.Event()

    def write() -> None:
        while not done.is_set():
            # While it is stopped nothing is answered; what was sent then may be there or not.
            with contextlib.suppress(OSError, http.client.HTTPException):
                vectors.add()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        said = ground.good("run")
    finally:
        done.set()
        writer.join()
    (made,) = ground.sets()
    assert made["state"] == "verified", said
    after = vectors.written
    assert after > before
    vectors.ask("DELETE", f"{BASE}/notes")
    said = ground.good("restore", "--in-place")
    vectors.wait()
    kept = vectors.count()
    assert before <= kept <= after + BATCH
    # Nothing that was answered before the backup is missing, and the index finds every row that there is.
    for start in range(0, kept, 500):
        numbers = list(range(start, min(start + 500, kept)))
        assert vectors.nearest(numbers) == [f"note {n}" for n in numbers]
    # It goes on as if nothing had been.
    vectors.written = kept
    vectors.add()
    assert vectors.count() == kept + BATCH
    assert "what was there is kept" in said
