"""The load generator as a process beside the bench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lab.lab import PROJECT
from lab.shell import LabError

from . import records

WARM_UP_S = 2.0


class Load:
    """``with Load(…) as load:`` sends requests from outside the host until the block ends; ``records`` after."""

    def __init__(self, out: Path, address: str, host: str, ca: Path, rate: float, port: int = 443) -> None:
        self.out = out
        self.argv = [sys.executable, "-m", "bench.rollout.load", "--out", str(out), "--rate", f"{rate:g}"]
        self.argv += ["--address", address, "--port", str(port), "--host", host, "--ca", str(ca)]
        self.said: dict[str, Any] = {}
        self.records: list[records.Record] = []

    def __enter__(self) -> Load:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(PROJECT / "tests")}
        self.process = subprocess.Popen(
            self.argv, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        time.sleep(WARM_UP_S)
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the load and reads what it wrote. :raises LabError: the generator itself failed."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            said, _ = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said, _ = self.process.communicate()
        if self.process.returncode:
            raise LabError(f"the load generator ended with {self.process.returncode}: {' '.join(self.argv)}")
        self.said = json.loads(said.strip().splitlines()[-1])
        self.records = records.read(self.out)
