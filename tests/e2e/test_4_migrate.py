"""Jarvis moves from SQLite to PostgreSQL, back, and there again, while people use it: nothing read fails, and every
write that was answered is there. A write that fails is tried again by its client, with the same message id.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from typing import Any

import pytest

from lab.lab import PROJECT
from lab.leaks import leaks, secrets_of
from lab.shell import docker, wait_for
from lab.site import JARVIS_DOMAIN as DOMAIN
from lab.site import Run, Site, jarvis_stack

from .asking import ask
from .conftest import open_lab
from .journey import run as journey

PASSWORD = "correct horse battery staple"


def stack(address: str, secret: str) -> dict[str, Any]:
    migration = {
        "sources": [
            {"volume": "auth-data", "path": "users.db"},
            {"volume": "registry-data", "path": "sessions.db"},
        ],
        "registries": [
            {
                "volume": "registry-data",
                "path": "agent_registry.json",
                "table": "agent_registry",
                "records": "/agents",
                "key": ["id"],
            }
        ],
        "dsn": f"postgresql://jarvis:{secret}@{address}:5432/jarvis",
    }
    return jarvis_stack("compose.rolling.yaml", migration=migration)


class Mover:
    """The host, its playbooks, and questions to both databases."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.address = lab.host(image="landfall-lab/host-docker:trixie")
        self.site = Site(lab)
        self.site.write_inventory()
        self.secret, self.keeper = uuid.uuid4().hex, uuid.uuid4().hex
        self.extra = {"landfall_stacks": [stack(self.address, self.secret)], "stack": "jarvis"}

    def play(self, playbook: str, *args: str, **extra: Any) -> Run:
        began = time.monotonic()
        run = self.site.play(f"playbooks/{playbook}.yml", *args, extra={**self.extra, **extra})
        print(f"{playbook} {extra}: {time.monotonic() - began:.0f} s")
        assert run.rc == 0, run.output[-8000:]
        assert self.secret not in run.output and self.keeper not in run.output
        return run

    def postgres(self) -> None:
        """PostgreSQL from Debian's packages, open to the host's containers."""
        apt = "DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0"
        self.site.sh(f"{apt} update && {apt} install -y --no-install-recommends postgresql python3-psycopg")
        self.site.sh(
            "echo \"listen_addresses = '*'\" > /etc/postgresql/17/main/conf.d/lab.conf && "
            "echo 'host all all 172.16.0.0/12 scram-sha-256' >> /etc/postgresql/17/main/pg_hba.conf && "
            "systemctl restart postgresql@17-main"
        )
        self.psql(f"CREATE ROLE jarvis LOGIN PASSWORD '{self.secret}';")
        self.sql("CREATE DATABASE jarvis OWNER jarvis ENCODING 'UTF8' TEMPLATE template0", "postgres")

    def psql(self, text: str) -> None:
        """By standard input: command lines are searched for the password."""
        psql = ("runuser", "-u", "postgres", "--", "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", "postgres")
        docker("exec", "-i", "-w", "/", self.lab.container("host"), *psql, stdin=text)

    def containers(self) -> list[str]:
        return sorted(self.site.sh("docker ps -q --no-trunc").split())

    def sql(self, text: str, base: str = "jarvis") -> str:
        return self.site.sh(f'runuser -u postgres -- psql -qAt -d {base} -c "{text}"').strip()

    def sqlite(self, text: str) -> list[list[Any]]:
        code = (
            "import json, sqlite3, sys; db = sqlite3.connect('file:/var/lib/docker/volumes/jarvis_registry-data/_data/"
            "sessions.db?mode=ro', uri=True); print(json.dumps(db.execute(sys.argv[1]).fetchall()))"
        )
        return json.loads(self.site.sh(f'python3 -c "{code}" "{text}"'))

    def state(self) -> dict[str, Any]:
        return json.loads(self.site.sh("landfall migrate status jarvis --json"))["jarvis"]["state"]

    def databases(self) -> set[str]:
        """What the running services have as their database: '' for SQLite."""
        names = self.site.sh("docker ps --format '{{.Names}}' | grep -E 'jarvis-(auth|registry)-service'").split()
        found = set()
        for name in names:
            env = json.loads(self.site.sh(f"docker inspect -f '{{{{json .Config.Env}}}}' {name}"))
            found.add(next((one.partition("=")[2] for one in env if one.startswith("DATABASE_URL=")), ""))
        return found

    def ask(self, method: str, path: str, body: Any = None, token: str = "", timeout: float = 40) -> tuple[int, Any]:
        return ask(self.lab, self.address, DOMAIN, method, path, body, token, timeout)

    def journey(self, username: str | None = None) -> dict[str, Any]:
        rules = f"MAP {DOMAIN}:443 {self.address}:443"
        return journey(f"https://{DOMAIN}", rules, self.lab.state / "ca.pem", username=username)


class People:
    """Clients that write turns and read their sessions; each write that was answered is remembered."""

    def __init__(self, mover: Mover, count: int = 3) -> None:
        self.mover, self.stop = mover, threading.Event()
        self.taken: dict[str, dict[str, str]] = {}
        self.failed_reads: list[str] = []
        self.retried: Counter[str] = Counter()
        self.acknowledged: list[float] = []
        self.reads = 0
        self.threads: list[threading.Thread] = []
        self.users = []
        for _number in range(count):
            name = f"move-{uuid.uuid4().hex[:8]}"
            status, _answer = mover.ask("POST", "/auth/register", {"username": name, "password": PASSWORD})
            assert status == 201
            self.users.append((name, self.login(name)))

    def login(self, name: str) -> str:
        status, answer = self.mover.ask("POST", "/auth/login", {"username": name, "password": PASSWORD})
        assert status == 200, answer
        return str(answer["access_token"])

    def __enter__(self) -> People:
        self.stop.clear()
        self.threads = []
        before = len(self.acknowledged)
        for number, (name, token) in enumerate(self.users):
            self.taken.setdefault(name, {})
            self.threads.append(threading.Thread(target=self.write, args=(name, token), daemon=True))
            self.threads.append(threading.Thread(target=self.read, args=(name, token, number), daemon=True))
        for thread in self.threads:
            thread.start()
        wait_for("the first writes", lambda: len(self.acknowledged) > before + 5, 30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)

    def write(self, name: str, token: str) -> None:
        for number in itertools.count(len(self.taken[name]) + 1):
            if self.stop.wait(0.8):
                return
            message, answer = f"m{number}", f"answer {number} of {name}"
            body = {"agent": "tickets", "message_id": message, "question": f"question {number}", "answer": answer}
            while True:
                try:
                    status, _said = self.mover.ask("POST", f"/api/sessions/{name}-{number // 10}/turns", body, token)
                except OSError as problem:
                    status = 0
                    self.retried[type(problem).__name__] += 1
                if status == 201:
                    break
                # The end of the test may fall into a time in which writes are refused.
                assert status in (0, 429) or status >= 500, f"a write was answered {status}, which no client repeats"
                self.retried[str(status)] += 1
                time.sleep(1)
            self.taken[name][f"{name}-{number // 10}/{message}"] = answer
            self.acknowledged.append(time.monotonic())

    def read(self, name: str, token: str, number: int) -> None:
        while not self.stop.wait(0.9):
            known = list(self.taken[name])
            try:
                if self.reads % 7 == number:
                    self.login(name)
                path = f"/api/sessions/{known[-1].partition('/')[0]}" if known else "/api/sessions"
                status, answer = self.mover.ask("GET", path, token=token)
                self.reads += 1
                if status != 200:
                    self.failed_reads.append(f"{time.strftime('%T')} {path}: {status} {answer}")
            except (OSError, AssertionError) as problem:
                self.failed_reads.append(f"{time.strftime('%T')} {problem!r}")

    def longest(self, since: float) -> float:
        """Seconds in which nobody's write was taken."""
        times = [since, *(at for at in self.acknowledged if at > since)]
        return max((later - sooner for sooner, later in itertools.pairwise(times)), default=0.0)

    def check(self) -> int:
        """No read failed, and each write that was answered is there once. How many."""
        assert not self.failed_reads, self.failed_reads[:10]
        count = 0
        for name, token in self.users:
            wanted = dict(self.taken[name])
            seen: Counter[str] = Counter()
            for session in sorted({key.partition("/")[0] for key in wanted}):
                status, answer = self.mover.ask("GET", f"/api/sessions/{session}", token=token)
                assert status == 200, answer
                for turn in answer["turns"]:
                    key = f"{session}/{turn['message_id']}"
                    seen[key] += 1
                    assert wanted.get(key, turn["answer"]) == turn["answer"]
                time.sleep(0.15)
            missing = [key for key in wanted if seen[key] != 1]
            assert not missing, f"lost or doubled: {missing[:10]}"
            count += len(wanted)
        return count


@pytest.fixture(scope="module")
def own_lab():
    # A host of its own under the names that the lab's DNS knows.
    yield from open_lab("move")


@pytest.fixture(scope="module")
def mover(own_lab):
    own_lab.remove_host("host")
    mover = Mover(own_lab)
    mover.postgres()
    mover.play("site")
    mover.site.sh("ufw allow from 172.16.0.0/12 to any port 5432 proto tcp >/dev/null")
    return mover


def killed_play(mover: Mover) -> None:
    """A cutover whose controller is gone as soon as SQLite takes no more writes."""
    argv = [str(sys.executable).replace("/python", "/ansible-playbook"), "playbooks/migrate.yml"]
    argv += ["-i", str(mover.site.inventory / "hosts.json"), "-e"]
    argv += [f"@{mover.site.variables({**mover.extra, 'phase': 'cutover'})}"]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(PROJECT / ".build" / "collections"),
    }
    process = subprocess.Popen(
        argv,
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for("the cutover", lambda: mover.state()["state"] == "cut_over" or process.poll() is not None, 120)
    assert process.poll() is None, "the cutover ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_there_back_and_there_again(mover):
    assert mover.databases() == {""}
    first = mover.journey()
    with People(mover) as people:
        mover.play("migrate", phase="load")
        assert mover.state()["state"] == "following"
        began = time.monotonic()
        mover.play("migrate", phase="cutover")
        time.sleep(3)
        state = mover.state()
        print(
            f"cutover: writers waited {state['hold_s']} s, compared in {state['verify_s']} s, writes refused for "
            f"{state['refused_s']} s, no write taken for {people.longest(began):.1f} s, repeated {dict(people.retried)}"
        )
        assert state["state"] == "moved" and len(mover.databases()) == 1 and "" not in mover.databases()
        assert people.longest(began) < 60
        again = mover.journey(first["username"])
        assert again["restored"] >= 3
    print(f"there: {people.check()} writes, {people.reads} reads, repeated {dict(people.retried)}")
    assert int(mover.sql("SELECT count(*) FROM turns")) >= sum(map(len, people.taken.values()))
    assert mover.sql("SELECT count(*) FROM agent_registry") == "3"

    # An ordinary deployment stays where the data is.
    assert mover.play("deploy").total("changed") == 0
    # And the release before does not come back onto a database that refuses its writes.
    refused = mover.site.play("playbooks/rollback.yml", extra=mover.extra)
    assert refused.rc != 0 and "SQLite refuses writes" in refused.output and "phase=rollback" in refused.output
    assert len(mover.databases()) == 1 and "" not in mover.databases()

    with people:
        began = time.monotonic()
        mover.play("migrate", phase="rollback")
        time.sleep(3)
        state = mover.state()
        print(f"back: {state['written']} rows brought, no write taken for {people.longest(began):.1f} s")
        assert state["state"] == "following" and mover.databases() == {""}
        assert people.longest(began) < 60
    turns = people.check()
    assert mover.sqlite("SELECT count(*) FROM turns")[0][0] >= turns
    assert mover.journey(first["username"])["restored"] >= 6

    with people:
        killed_play(mover)
        assert "run phase=cutover" in mover.site.sh("landfall migrate status")
        mover.play("migrate", phase="cutover")
        time.sleep(3)
        assert mover.state()["state"] == "moved" and "" not in mover.databases()
    print(f"there again, after a kill: {people.check()} writes, {people.reads} reads, repeated {dict(people.retried)}")


def test_keys_and_logins_are_rotated(mover):
    """New key, new login: who has a token of before is let in until the overlap is over, and nobody waits."""
    if mover.databases() == {""}:
        mover.play("migrate")
    # It may create logins and give them the owner's rights; it is no superuser, as on a managed server.
    mover.psql(
        f"CREATE ROLE keeper LOGIN CREATEROLE PASSWORD '{mover.keeper}'; GRANT jarvis TO keeper WITH ADMIN OPTION;"
    )
    mover.extra["landfall_stacks"][0]["rotate"] = [
        {"secret": "JWT_SECRET_KEY", "second": "JWT_SECRET_KEY_PREVIOUS"},
        {
            "secret": "DATABASE_URL",
            "database": {"admin": f"postgresql://keeper:{mover.keeper}@127.0.0.1:5432/postgres"},
        },
    ]
    # The second key is a variable that the release has to know; no container changes for it.
    before = mover.containers()
    mover.play("deploy")
    assert mover.containers() == before
    assert mover.play("rotate").total("changed") == 0

    with People(mover) as people:
        (name, old_token), *_others = people.users
        planned = mover.play("rotate", "--check", secret="JWT_SECRET_KEY,DATABASE_URL")
        assert "begin: asked for" in planned.output and mover.containers() == before
        mover.play("rotate", secret="JWT_SECRET_KEY,DATABASE_URL")
        assert mover.sql(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = 'jarvis' AND usename <> 'postgres'"
        ) == ("jarvis__a")
        assert mover.ask("GET", "/api/sessions", token=old_token)[0] == 200
        fresh = people.login(name)
        assert mover.ask("GET", "/api/sessions", token=fresh)[0] == 200
        assert mover.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == "jarvis"
        # What the inventory has is the login of before; a deployment leaves both as they are.
        assert mover.play("deploy").total("changed") == 0
        # Nothing is due, and a second rotation has to wait.
        assert mover.play("rotate").total("changed") == 0
        refused = mover.site.play("playbooks/rotate.yml", extra={**mover.extra, "secret": "JWT_SECRET_KEY"})
        assert refused.rc != 0 and "-e overlap=0" in refused.output and "hours more" in refused.output
    print(f"rotated: {people.check()} writes, {people.reads} reads, repeated {dict(people.retried)}")
    assert not people.retried

    mover.play("rotate", overlap=0)
    assert mover.ask("GET", "/api/sessions", token=old_token)[0] == 401
    assert mover.ask("GET", "/api/sessions", token=fresh)[0] == 200
    # The owner's own login is other people's, too: it stays. The next one takes the right from the one before.
    mover.play("rotate", secret="DATABASE_URL")
    mover.play("rotate", overlap=0)
    roles = "SELECT string_agg(rolname || rolcanlogin, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'jarvis%'"
    assert mover.sql(roles) == "jarvistrue jarvis__afalse jarvis__btrue"
    assert mover.play("rotate").total("changed") == 0
    assert mover.journey()["restored"] >= 0


def test_no_secret_came_out(mover, processes):
    """PostgreSQL's passwords, and the stack's own secrets: in no output, process list, log or report of the move."""
    assert leaks(mover.site, {mover.secret, mover.keeper, *secrets_of(mover.site)}, processes) == []
