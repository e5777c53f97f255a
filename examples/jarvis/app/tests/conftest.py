# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: settings in a temporary directory, and the whole stack as six processes on loopback ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from jarvis.catalog import SERVICES
from jarvis.settings import Settings

APP = Path(__file__).parents[1]
SECRET = "a-secret-for-tests-only-0123456789abcdef"
URL_VARIABLES = {
    "auth-service": "AUTH_SERVICE_URL",
    "registry-service": "REGISTRY_SERVICE_URL",
    "tickets-agent": "TICKETS_AGENT_URL",
    "finops-agent": "FINOPS_AGENT_URL",
    "oxygen-agent": "OXYGEN_AGENT_URL",
}


@pytest.fixture
def settings(tmp_path: Path):
    """``settings(service, **variables)``: the settings of a service that keeps its data in tmp_path."""

    def make(service: str, **variables: str) -> Settings:
        env = {"JWT_SECRET_KEY": SECRET, "DATA_DIR": str(tmp_path / service), "JARVIS_VERSION": "9.9.9", **variables}
        return Settings.from_env(service, env)

    return make


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Stack:
    """Six running processes."""

    data: Path
    env: dict[str, str]
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    started_s: dict[str, float] = field(default_factory=dict)

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def log(self, service: str) -> str:
        return (self.data / f"{service}.log").read_text()

    def start(self, service: str, **variables: str) -> None:
        """Start a service and wait until it is healthy."""
        own = {"PORT": str(self.ports[service]), "DATA_DIR": str(self.data / service), **variables}
        with open(self.data / f"{service}.log", "a") as log:
            self.processes[service] = subprocess.Popen(
                [sys.executable, "-m", "jarvis", service], cwd=APP, env={**self.env, **own}, stdout=log, stderr=log
            )
        begin = time.monotonic()
        while time.monotonic() < begin + 30:
            assert self.processes[service].poll() is None, f"{service} ended:\n{self.log(service)}"
            try:
                if httpx.get(self.url(service) + SERVICES[service].health, timeout=2).is_success:
                    self.started_s[service] = time.monotonic() - begin
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"{service} did not get healthy:\n{self.log(service)}")

    def stop(self, service: str) -> int:
        """SIGTERM; returns the exit code."""
        process = self.processes.pop(service)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=30)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data = tmp_path_factory.mktemp("stack")
    ports = {service: free_port() for service in SERVICES}
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(APP),
        "HOST": "127.0.0.1",
        "JWT_SECRET_KEY": SECRET,
        "JARVIS_VERSION": "9.9.9",
        "DATABASE_URL": os.environ.get("JARVIS_TEST_DATABASE_URL", ""),
        **{variable: f"http://127.0.0.1:{ports[service]}" for service, variable in URL_VARIABLES.items()},
    }
    running = Stack(data, env, ports)
    try:
        for service in SERVICES:
            running.start(service)
        yield running
    finally:
        for service in list(running.processes):
            running.stop(service)
