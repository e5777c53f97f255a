"""The shop: a small stack beside Jarvis on the test lab's host, its versions, its operator, and its customers."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rollout.host import Container, Host
from bench.rollout.load.http1 import Bad, Connection, Target
from bench.rollout.load.kinds import Kinds

from lab import images, publish
from lab.lab import PROJECT, Lab
from lab.shell import docker, docker_argv, run, say, wait_for
from lab.site import Run, Site

HERE = Path(__file__).parent / "shop"
BASE = "landfall-lab/python:3.13-slim"
REGISTRY = "registry.landfall.test:5000"
DOMAIN = "shop.site.test"
GOOD = ("1", "2", "3", "4", "5", "6")
BAD = ("7-start", "7-health", "7-closed", "7-errors", "7-crash", "7-migration")
#: a tag that no registry has
MISSING = "99"
#: seconds for an answer: on a machine that has too much to do an answer may be late, and is an answer
PATIENCE_S = 30.0
REPLICAS = {"api": 2, "web": 2}
#: Another checkout of the collection, for trying a test with a protection taken out; normally this one.
TREE = Path(os.environ.get("LANDFALL_E2E_TREE", str(PROJECT)))


def publish_shop(lab: Lab) -> None:
    """Build every version and push it to the lab's registry, unless it is there already."""
    images.ensure(BASE)
    digest = hashlib.sha256(docker("image", "inspect", "-f", "{{.Id}}", BASE).strip().encode())
    for path in sorted((HERE / "app").iterdir()):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    recipe = digest.hexdigest()[:16]
    for version in ("base", *GOOD, *BAD):
        local = f"landfall-lab/shop-app:{version}"
        old = docker("image", "inspect", "-f", '{{index .Config.Labels "landfall.recipe"}}', local, check=False).strip()
        if old != recipe:
            say(f"building shop-app:{version}")
            argv = [*docker_argv(), "build", "-q", "-t", local, "--label", f"landfall.recipe={recipe}"]
            if version == "base":
                run([*argv, "--build-arg", f"BASE={BASE}", str(HERE / "app")])
            else:
                run([*argv, "-"], stdin=f"FROM landfall-lab/shop-app:base\nENV VERSION={version}\n")
        if version != "base":
            publish.push_once(lab, local, f"shop-app:{version}", recipe)


# -- customers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    at: float
    kind: str
    why: str
    detail: str = ""


class Load:
    """Requests a second by kind, each sent when it is due whatever became of those before it; new and kept
    connections, GET, POST, and calls from web to api by name. Every failure is written down.

    ``idle`` is no rate: so many connections that say nothing for seconds on end, as browsers have them. The server may
    end one with an answer that says so, and not in between: a POST on its way would be lost.
    """

    def __init__(self, target: Target, **rates: float) -> None:
        self.target = target
        self.rates = {"get_new": 5.0, "get_keep": 8.0, "get_api": 5.0, "post_keep": 8.0, "call": 6.0, **rates}
        self.idle = 6
        self.failures: list[Failure] = []
        self.answers: list[tuple[float, str, str]] = []
        self._stop = threading.Event()

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        wait_for("the first answers", lambda: self.answers or self.failures, 20, 0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S + 10)

    @property
    def requests(self) -> int:
        return len(self.answers) + len(self.failures)

    def versions(self, since: float = 0.0, until: float = float("inf"), kind: str = "") -> Counter[str]:
        """Version → answers, of requests that were sent in this time."""
        return Counter(
            version for at, what, version in self.answers if since <= at <= until and (not kind or kind == what)
        )

    def failed(self, since: float = 0.0) -> str:
        """What failed, for a person; "" when nothing did."""
        found = [one for one in self.failures if one.at >= since]
        if not found:
            return ""
        why = Counter(f"{one.kind}: {one.why}" for one in found)
        first, last = found[0].at, found[-1].at
        return (
            f"{len(found)} of {self.requests} requests failed in {last - first:.2f} s: {dict(why)}; first "
            f"{time.strftime('%H:%M:%S', time.gmtime(first))}: {[one.detail for one in found[:4]]}"
        )

    async def _main(self) -> None:
        kinds = Kinds(self.target)
        kinds.turn = itertools.cycle((client, method) for client in ("httpx", "requests") for method in ("GET", "POST"))
        tasks: set[asyncio.Task[None]] = set()

        async def one(kind: str) -> None:
            sent = time.time()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    version = await getattr(kinds, kind)()
                self.answers.append((sent, kind, version))
            except Bad as problem:
                self.failures.append(Failure(sent, kind, problem.why, problem.detail))
            except Exception as error:
                self.failures.append(Failure(sent, kind, type(error).__name__, str(error)))

        async def schedule(kind: str, rate: float) -> None:
            due = asyncio.get_running_loop().time()
            while not self._stop.is_set():
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
                due += 1 / rate
                task = asyncio.ensure_future(one(kind))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        async def idle(number: int) -> None:
            connection = await Connection(self.target).open()
            while not self._stop.is_set():
                sent = time.time()
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        answer = await connection.request("POST", "/echo", kinds.echo_body)
                    self.answers.append((sent, "idle", answer.version))
                    if answer.headers.get("connection", "").lower() == "close":
                        connection = await Connection(self.target).open()
                        continue
                    for _ in range(20 + 7 * number):
                        await asyncio.sleep(0.1)
                        if self._stop.is_set():
                            break
                        if not connection.usable:
                            raise Bad("an idle connection was closed without a word")
                except Exception as problem:
                    self.failures.append(Failure(sent, "idle", str(problem) or type(problem).__name__))
                    connection.abort()
                    connection = await Connection(self.target).open()
            connection.abort()

        rates = {kind: rate for kind, rate in self.rates.items() if rate}
        await asyncio.gather(
            *(schedule(kind, rate) for kind, rate in rates.items()), *(idle(number) for number in range(self.idle))
        )
        if tasks:
            await asyncio.wait(set(tasks), timeout=PATIENCE_S)
        for pool in kinds.pools.values():
            pool.close()


# -- the operator ----------------------------------------------------------------------------------------------------

# Runs on the host: kills the process that the lock names as soon as the journal gets a step that begins so.
KILLER = """
import json, os, signal, sys, time
root, step, patience = sys.argv[1], sys.argv[2], float(sys.argv[3])
journal, lock = root + "/journal", root + "/lock"
start = os.path.getsize(journal)
print("ready", flush=True)
end, rest = time.monotonic() + patience, b""
while time.monotonic() < end:
    if os.path.getsize(journal) > start:
        with open(journal, "rb") as stream:
            stream.seek(start)
            data = stream.read()
        start += len(data)
        *lines, rest = (rest + data).split(b"\\n")
        for line in lines:
            if json.loads(line)["step"].startswith(step):
                time.sleep(float(sys.argv[4]))
                os.kill(int(json.load(open(lock))["pid"]), signal.SIGKILL)
                print("killed at", line.decode(), flush=True)
                sys.exit(0)
    time.sleep(0.001)
print("never came")
sys.exit(1)
"""


class Play:
    """A playbook that runs in a process group of its own, as one started in a terminal does."""

    def __init__(self, argv: list[str], environment: dict[str, str], log: Path) -> None:
        self.log, self.began = log, time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                argv,
                cwd=PROJECT,
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def ctrl_c(self) -> None:
        """What the terminal does: the whole group gets it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, seconds: float = 300) -> Run:
        code = self.process.wait(seconds)
        return Run(code, self.log.read_text(), time.monotonic() - self.began)


class Shop:
    """The stack on one host of the lab, and the playbooks as an operator runs them."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab, self.directory = lab, directory
        self.site = Site(lab, inventory="inventory-shop")
        self.host = Host(lab, "shop")
        self.replicas = dict(REPLICAS)
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / "compose.yaml", directory / "compose.yaml")
        self._plays = itertools.count(1)

    def stack(self, env: dict[str, Any] | None = None, over: str = "") -> dict[str, Any]:
        """Its entry in landfall_stacks. :param over: a further Compose file"""
        files = ["compose.yaml"]
        if over:
            (self.directory / "over.yaml").write_text(over)
            files.append("over.yaml")
        return {
            "name": "shop",
            "src": str(self.directory),
            "files": files,
            "env": {"REGISTRY": REGISTRY, "SHOP_DOMAIN": "{{ shop_domain }}", **(env or {})},
        }

    # -- playbooks -------------------------------------------------------------------------------------------------
    def start(self, playbook: str, *args: str, env: dict[str, Any] | None = None, over: str = "", **extra: Any) -> Play:
        """Begin a playbook: ``start("deploy", version="2")``."""
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), str(TREE / "playbooks" / f"{playbook}.yml")]
        argv += ["-i", str(self.site.inventory / "hosts.json"), *args]
        argv += ["-e", json.dumps({"landfall_stacks": [self.stack(env, over)], "landfall_hosts": "embedded", **extra})]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "LANDFALL_HTTPS_PORT": str(self.lab.port("https")),
            "ANSIBLE_COLLECTIONS_PATH": collections(self.lab),
        }
        name = f"{int(time.time() * 1000)}-{next(self._plays)}-shop-{playbook}.log"
        return Play(argv, environment, self.lab.state / "runs" / name)

    def play(self, playbook: str, *args: str, **more: Any) -> Run:
        return self.start(playbook, *args, **more).wait()

    def deploy(self, version: str, *args: str, check: bool = True, **more: Any) -> Run:
        """deploy.yml as an operator runs it; ``check``: it must succeed."""
        done = self.play("deploy", *args, version=version, **more)
        assert not check or done.rc == 0, done.output[-6000:]
        return done

    def fails(self, version: str, *words: str, **more: Any) -> Run:
        """A deployment that must fail, with these words in what the operator sees."""
        done = self.deploy(version, check=False, **more)
        assert done.rc != 0, done.output[-3000:]
        said = " ".join(done.output.split())
        for word in words:
            assert word in said, f"{word!r} is not in what the operator sees:\n{done.output[-6000:]}"
        assert "Traceback" not in done.output, done.output[-6000:]
        return done

    def next(self) -> str:
        """A good version that does not run now."""
        running = {one.version for one in self.containers()}
        return next(version for version in GOOD if version not in running)

    def base(self) -> str:
        """The one good version that runs everywhere; brought about when a test before this one left something else."""
        found = self.containers()
        versions = {one.version for one in found}
        plain = self.sh(
            "cd /opt/landfall/shop/current && ls | grep -c yaml; grep -cE '^(API_VERSION|HEALTHY_FOR)=' env",
            check=False,
        ).split() == ["2", "0"]
        usual = Counter(one.service for one in found) == Counter(REPLICAS)
        if not plain or not usual or not versions <= set(GOOD) or self.host.settle(min(versions), REPLICAS, 10):
            self.deploy(self.next())
        self.replicas = dict(REPLICAS)
        return str(self.current()["version"])

    # -- what is there ---------------------------------------------------------------------------------------------
    def sh(self, command: str, check: bool = True) -> str:
        return self.host.sh(command, check)

    def containers(self) -> list[Container]:
        return self.host.containers()

    def ids(self) -> dict[str, str]:
        """Container → id and start time: the same before and after means that nobody touched it."""
        text = self.sh(
            "docker ps -aq --no-trunc --filter label=com.docker.compose.project=shop "
            "| xargs -r docker inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}}'"
        )
        return {line.split()[0].lstrip("/"): line.partition(" ")[2] for line in sorted(text.splitlines())}

    def current(self) -> dict[str, Any]:
        """The record of the current release."""
        return json.loads(self.sh("cat /opt/landfall/shop/current/release.json"))

    def report(self) -> dict[str, Any]:
        """What the rollout of the current release said of itself."""
        return json.loads(self.sh("cat /opt/landfall/shop/current/report.json"))

    def releases(self) -> list[dict[str, Any]]:
        """All kept releases, the oldest first."""
        text = self.sh("cd /opt/landfall/shop/releases && for one in *; do cat $one/release.json; echo; done")
        decoder, found, at = json.JSONDecoder(), [], 0
        while at < len(text.rstrip()):
            value, at = decoder.raw_decode(text, at)
            found.append(value)
            at += len(text[at:]) - len(text[at:].lstrip())
        return found

    def steps(self, after: int = 0) -> list[str]:
        return [str(entry["step"]) for entry in self.host.journal(after)]

    def held(self) -> str:
        """Who holds the stack's lock at this moment, "" when nobody does."""
        script = (
            "import fcntl; f = open('/opt/landfall/shop/lock', 'r+')\n"
            "try: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
            "except OSError: print(f.read())"
        )
        return self.sh(f'python3 -c "{script}"').strip()

    def well(self, version: str, seconds: float = 15, failed: str = "") -> None:
        """Docker, the edge, the lock and ``landfall status`` agree that this version runs and nothing else.

        :param failed: the release that failed last, which the status tells of, and of nothing else
        """
        problems = self.host.settle(version, self.replicas, seconds)
        assert not problems, problems
        troubles = self.troubles()
        if failed:
            assert len(troubles) == 1 and f"the last deployment, {failed}, failed" in troubles[0], troubles
        else:
            assert troubles == [], troubles

    def troubles(self) -> list[str]:
        """What ``landfall status`` finds wrong with the shop."""
        said = json.loads(self.sh("landfall status --json", check=False))
        row = next(one for one in said["stacks"] if one["name"] == "shop")
        return list(row["problems"])

    def fingerprint(self) -> dict[str, str]:
        """All of the stack that a refused release must leave as it was."""
        return {
            "containers": "\n".join(f"{name} {what}" for name, what in self.ids().items()),
            "files": self.sh(
                "find /opt/landfall/shop /etc/landfall -type f ! -name journal ! -name lock ! -path '*/shop/releases/*'"
                " | sort | xargs sha256sum; readlink /opt/landfall/shop/current; "
                "sha256sum $(readlink -f /opt/landfall/shop/current)/*"
            ),
            "networks": self.sh("docker network ls --format '{{.Name}}' | sort"),
            "edge": self.sh(
                "docker inspect -f '{{.Id}} {{.State.StartedAt}}' landfall-edge landfall-relay-shop-default"
            ),
        }

    @contextmanager
    def watched(self) -> Iterator[list[tuple[str, str]]]:
        """What Docker does to the shop's containers while the block runs, as (start or die, container); filled at the
        block's end. Docker itself remembers only the last 256 events."""
        command = (
            "echo $$; exec docker events --filter event=start --filter event=die "
            "--filter label=com.docker.compose.project=shop --format '{{.Action}} {{.Actor.Attributes.name}}'"
        )
        argv = [*docker_argv(), "exec", self.host.container, "sh", "-c", command]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        pid = process.stdout.readline().strip()
        time.sleep(0.5)  # until dockerd listens to it
        story: list[tuple[str, str]] = []
        try:
            yield story
            time.sleep(0.5)
        finally:
            self.sh(f"kill {pid}", check=False)
            for line in process.communicate(timeout=20)[0].splitlines():
                what, _, name = line.partition(" ")
                story.append((what, name))

    # -- what is done to it ----------------------------------------------------------------------------------------
    @contextmanager
    def killed(self, step: str, later: float = 0.0, seconds: float = 120) -> Iterator[None]:
        """While the block runs the engine is killed with SIGKILL at this step of its journal."""
        argv = [*docker_argv(), "exec", self.host.container, "python3", "-c", KILLER]
        argv += ["/opt/landfall/shop", step, str(seconds), str(later)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        process.stdout.readline()  # "ready"
        yield
        said = process.communicate(timeout=seconds + 10)[0]
        assert process.returncode == 0, f"the step {step!r}: {said}\n{self.steps()[-30:]}"

    @contextmanager
    def busy(self, who: str) -> Iterator[None]:
        """Somebody else holds the stack's lock while the block runs."""
        script = (
            "import fcntl, json, os, time; f = open('/opt/landfall/shop/lock', 'r+'); fcntl.flock(f, fcntl.LOCK_EX)\n"
            f"json.dump({{'who': '{who}', 'pid': os.getpid(), 'since': 'now'}}, f)\n"
            "f.flush(); print(os.getpid(), flush=True)\n"
            "time.sleep(120)"
        )
        argv = [*docker_argv(), "exec", self.host.container, "python3", "-c", script]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        pid = process.stdout.readline().strip()
        try:
            yield
        finally:
            self.sh(f"kill {pid}; : > /opt/landfall/shop/lock")
            process.wait(20)

    def load(self, **rates: float) -> Load:
        return Load(self.target(), **rates)

    def target(self) -> Target:
        context = ssl.create_default_context(cafile=str(self.lab.state / "ca.pem"))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return Target("127.0.0.1", self.lab.port("https"), DOMAIN, context)

    def ask(self, path: str) -> bytes:
        """One GET through the edge. :raises Bad: anything but 200"""

        async def once() -> bytes:
            connection = await Connection(self.target()).open()
            try:
                return (await connection.request("GET", path, close=True)).body
            finally:
                connection.abort()

        return asyncio.run(asyncio.wait_for(once(), 15))


def collections(lab: Lab) -> str:
    """Where ansible-playbook finds the tree under test."""
    if TREE == PROJECT:
        return str(PROJECT / ".build" / "collections")
    root = TREE.parent / f"{TREE.name}-collections"
    link = root / "ansible_collections" / "landfall" / "stack"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(TREE)
    return f"{root}:{PROJECT / '.build' / 'collections'}"
