# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small stack on this machine's Docker: applications, an edge, a relay; and clients that count what fails."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients.docker import DockerCli
from ansible_collections.landfall.stack.plugins.module_utils.clients.files import write_atomic
from ansible_collections.landfall.stack.plugins.module_utils.clients.nginx import connect
from ansible_collections.landfall.stack.plugins.module_utils.clients.process import runner
from ansible_collections.landfall.stack.plugins.module_utils.clients.traffic import Traffic
from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import Route, StackRoutes, to_json
from ansible_collections.landfall.stack.plugins.module_utils.edge.project import EdgeConfig
from ansible_collections.landfall.stack.plugins.module_utils.relay.spec import RelayNetwork, RelaySpec, RelayTarget

yaml = pytest.importorskip("yaml")

NGINX = os.environ.get("LANDFALL_NGINX_IMAGE", "landfall-lab/nginx-unprivileged:1.30")
PYTHON = os.environ.get("LANDFALL_PYTHON_IMAGE", "landfall-lab/python:3.13-slim")
HOST = "shop.example.com"
STACK = "it-shop"
APP = Path(__file__).with_name("app.py")


def docker(*args, check=True):
    """What docker printed."""
    return subprocess.run(["docker", *args], capture_output=True, text=True, check=check).stdout.strip()


def images_there():
    """Whether both images are at hand, on a Docker that answers."""
    return all(
        subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode == 0
        for name in (NGINX, PYTHON)
    )


def run(argv, cwd, env):
    """The runner for the collection: `docker compose up` as `docker run`, since not every machine has Compose."""
    if argv[:2] != ["docker", "compose"] or "up" not in argv:
        return runner(60)(argv, cwd, env)
    file = argv[argv.index("--file") + 1]
    with open(file, encoding="utf-8") as text:
        project = yaml.safe_load(text)
    wanted = [key for key in argv[argv.index("up") :] if key in project["services"]] or list(project["services"])
    for key in wanted:
        one = project["services"][key]
        name = one["container_name"]
        docker("rm", "--force", name, check=False)
        command = ["create", "--name", name, "--user", one["user"], "--read-only", "--restart", one["restart"]]
        command += ["--cap-drop", "ALL", "--memory", one["mem_limit"], "--stop-signal", one["stop_signal"]]
        for flag, field in (("--tmpfs", "tmpfs"), ("--publish", "ports"), ("--volume", "volumes")):
            for value in one.get(field, ()):
                command += [flag, value]
        for label, value in one["labels"].items():
            command += ["--label", f"{label}={value}"]
        networks = one["networks"] if isinstance(one["networks"], dict) else dict.fromkeys(one["networks"])
        first, *others = networks
        own = project["networks"]
        if "external" not in own[first]:
            docker("network", "create", own[first]["name"], check=False)
        command += ["--network", own[first]["name"]]
        for alias in (networks[first] or {}).get("aliases", ()):
            command += ["--network-alias", alias]
        shell, flag, script = one["entrypoint"]
        done = subprocess.run(["docker", *command, "--entrypoint", shell, one["image"], flag,
                               script.replace("$$", "$")], capture_output=True, text=True, check=False)  # fmt: skip
        if done.returncode:
            return done.returncode, done.stdout, done.stderr
        for other in others:
            docker("network", "connect", own[other]["name"], name)
        docker("start", name)
    return 0, "", ""


class Shop:
    """The stack: one network of its own, one to the edge, any number of applications."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="landfall-it-", dir="/tmp")
        os.chmod(self.home, 0o755)
        self.net, self.edge_net = "landfall-it-net", f"landfall-edge-{STACK}"
        self.config = EdgeConfig(
            root=f"{self.home}/edge", container="landfall-it-edge", image=NGINX,
            http_port=28080, https_port=28443, address="127.0.0.1", settings={"worker_processes": "2"},
        )  # fmt: skip
        self.traffic = Traffic(STACK, self.config.root, f"{self.home}/relay", docker=DockerCli(run))

    def up(self):
        """Networks and an edge without routes."""
        self.down(keep=True)
        docker("network", "create", self.net)
        docker("network", "create", "--internal", "--label", "landfall.edge=true", self.edge_net)
        certs = f"{self.config.root}/certs/placeholder"
        os.makedirs(certs)
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
        command += ["-keyout", f"{certs}/privkey.pem", "-out", f"{certs}/fullchain.pem"]
        subprocess.run(command, check=True, capture_output=True)
        for name in ("privkey", "fullchain"):
            os.chown(f"{certs}/{name}.pem", 101, 101)
        edge, disk = connect(self.config)
        disk.prepare(101)
        edge.docker._client = DockerCli(run)
        edge.run()

    def down(self, keep=False):
        """Everything of this rig, whoever left it."""
        names = docker("ps", "--all", "--quiet", "--filter", "name=landfall-it-", "--filter", "name=landfall-relay-it-")
        if names:
            docker("rm", "--force", *names.split(), check=False)
        for name in (self.net, self.edge_net, "landfall-it-edge"):
            docker("network", "rm", name, check=False)
        if not keep:
            shutil.rmtree(self.home, ignore_errors=True)

    def app(self, name, idle=5.0):
        """Start an application; it is there when this returns. :param idle: seconds it keeps idle connections"""
        docker("run", "--detach", "--name", name, "--network", self.net, "--volume", f"{APP}:/app.py:ro",
               PYTHON, "python3", "/app.py", name, str(idle))  # fmt: skip
        docker("network", "connect", self.edge_net, name)
        for _ in range(100):
            with socket.socket() as link:
                if link.connect_ex((self.address(name), 8000)) == 0:
                    return name
            time.sleep(0.05)
        raise AssertionError(f"{name} does not listen")

    def address(self, name, network=None):
        """A container's address."""
        found = json.loads(docker("inspect", name))[0]["NetworkSettings"]["Networks"]
        return found[network or self.net]["IPAddress"]

    def routes(self, *containers, **more):
        """The text of a routes file."""
        one = Route(HOST, "/", "web", 8000, upstreams=tuple(containers), **more)
        socket_ = Route(HOST, "/ws", "web", 8000, protocol="websocket", upstreams=tuple(containers), **more)
        return to_json(StackRoutes(STACK, (HOST,), self.edge_net, (one, socket_)))

    def relay(self, *containers, more=()):
        """What the relay shall do."""
        web = RelayTarget("web", (8000,), ("web", "shop"), tuple(containers))
        return RelaySpec(STACK, (RelayNetwork("default", self.net, (web, *more)),))

    @property
    def relay_address(self):
        """Where the relay is reached."""
        return self.address(f"landfall-relay-{STACK}-default")


class Client(threading.Thread):
    """One keep-alive connection that posts again and again; every answer and every failure is kept.

    :param pause: seconds between an answer and the next request
    :param sizes: bytes of each body
    """

    def __init__(self, host, port, name, pause=0.01, tls=False, size=200, path="/"):
        super().__init__(daemon=True)
        self.host, self.port, self.called, self.pause, self.tls = host, port, name, pause, tls
        self.body, self.path = b"x" * size, path
        self.answers, self.failures, self.enough = [], [], threading.Event()

    def _connect(self):
        if not self.tls:
            return http.client.HTTPConnection(self.host, self.port, timeout=30)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link = http.client.HTTPSConnection(self.called, self.port, timeout=30, context=context)
        link._create_connection = lambda address, *args, **more: socket.create_connection(
            (self.host, self.port), *args, **more
        )
        return link

    def run(self):
        link = self._connect()
        while not self.enough.wait(self.pause):
            began = time.time()
            try:
                link.request("POST", self.path, self.body, {"Host": self.called})
                answer = link.getresponse()
                said = answer.read().decode()
                if answer.status != 200:
                    self.failures.append((began, time.time(), answer.status, said[:80]))
                else:
                    self.answers.append((began, time.time(), said))
            except OSError as problem:
                self.failures.append((began, time.time(), type(problem).__name__, str(problem)))
                link.close()
                link = self._connect()
            except http.client.HTTPException as problem:
                self.failures.append((began, time.time(), type(problem).__name__, str(problem)))
                link.close()
                link = self._connect()

    def done(self):
        """Stop, and say how it went."""
        self.enough.set()
        self.join(40)
        return self.answers, self.failures


def write(path, text):
    """Write a file."""
    write_atomic(str(path), text)
