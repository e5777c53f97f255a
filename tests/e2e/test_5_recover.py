"""Backups on a real host, by the playbooks: data damaged and brought back, drilled, the whole host lost and recovered.

Jarvis has its users and sessions in SQLite, in volumes; a second stack has PostgreSQL in a container, and a cluster of
the host's that pgBackRest keeps.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
import uuid
from typing import Any

import pytest

from lab.lab import PROJECT, S3
from lab.leaks import leaks, secrets_of
from lab.shell import wait_for
from lab.site import JARVIS_DOMAIN as DOMAIN
from lab.site import Run, Site, jarvis_stack

from .asking import ask
from .conftest import open_lab

PASSWORD = "correct horse battery staple"
BUCKET = "landfall-backups"
KEYS = {"access_key": "landfall", "secret_key": "landfall-lab-secret"}
#: What has several lines is hard to keep out of a log: its quoted form is another text.
SEAL = f"-----BEGIN SEAL-----\n{uuid.uuid4().hex}\n-----END SEAL-----\n"
STACKS: list[dict[str, Any]] = [
    jarvis_stack(),
    {
        "name": "ledger",
        "src": str(PROJECT / "tests" / "e2e" / "ledger"),
        "secrets": [{"name": "seal", "value": SEAL, "env": False}],
    },
]
CLUSTER = {"kind": "postgres", "engine": "pgbackrest", "name": "main", "cluster": "17/main"}
#: Every row of a SQLite file, as SQL; the agents say again and again that they are alive, which no user sees.
DUMP = (
    "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); "
    "print('\\n'.join(line for line in db.iterdump() if 'agents' not in line[:24]))"
)


class Host:
    """The host, its playbooks, its data, and the store's own client."""

    def __init__(self, lab: Any) -> None:
        import boto3

        self.lab = lab
        self.escrow = lab.state / "escrow.age"
        lab.state.mkdir(parents=True, exist_ok=True)
        self.escrow.unlink(missing_ok=True)
        subprocess.run(["age-keygen", "-o", str(self.escrow)], check=True, capture_output=True)
        done = subprocess.run(["age-keygen", "-y", str(self.escrow)], check=True, capture_output=True, text=True)
        endpoint = f"https://{lab.net.ip(S3)}:8334"
        self.extra = {
            "landfall_stacks": STACKS,
            "backup_stores": [
                {
                    "name": "main",
                    "bucket": BUCKET,
                    "prefix": "e2e",
                    "endpoint": endpoint,
                    "path_style": True,
                    "ca_file": "/usr/local/share/lab-acme.pem",
                }
            ],
            "backup_credentials": {"main": KEYS},
            "backup_recipients": [done.stdout.strip()],
            "backup_schedule_spread": "1s",
            # The lab's one user of S3 may do everything.
            "backup_drill_uploader_may_delete": True,
        }
        self.s3 = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", verify=str(lab.state / "acme" / "cert.pem"),
            aws_access_key_id=KEYS["access_key"], aws_secret_access_key=KEYS["secret_key"],
        )  # fmt: skip
        wait_for("the S3 server", self._bucket)

    def _bucket(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.s3.create_bucket(Bucket=BUCKET)
        except ClientError as problem:
            return "BucketAlready" in str(problem)
        except BotoCoreError:
            return False
        return True

    def new(self, image: str) -> None:
        """Another host under the same name and address; of the one before nothing is left."""
        self.lab.remove_host("host")
        self.address = self.lab.host(image=image)
        self.site = Site(self.lab)
        self.site.write_inventory()

    def play(self, playbook: str, *args: str, rc: int = 0, **extra: Any) -> Run:
        run = self.site.play(f"playbooks/{playbook}.yml", *args, extra={**self.extra, **extra})
        print(f"{playbook} {' '.join(args)} {extra}: {run.seconds:.0f} s")
        assert (run.rc == 0) == (rc == 0), run.output[-8000:]
        assert "landfall-lab-secret" not in run.output and "AGE-SECRET-KEY" not in run.output
        return run

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        return ask(self.lab, self.address, DOMAIN, method, path, body, token)

    def sql(self, text: str, base: str = "ledger") -> str:
        name = self.site.sh("docker ps -q --filter label=com.docker.compose.project=ledger").strip()
        return self.site.sh(f'docker exec {name} psql -qAt -d {base} -c "{text}"').strip()

    def data(self) -> dict[str, str]:
        """All that people have here: every row."""
        found = {
            name: self.site.sh(f"python3 -c {shlex.quote(DUMP)} /var/lib/docker/volumes/jarvis_{volume}/_data/{name}")
            for volume, name in (("auth-data", "users.db"), ("registry-data", "sessions.db"))
        }
        found["ledger"] = self.sql("SELECT e FROM entry e ORDER BY id")
        return found

    def sets(self, stack: str) -> list[dict[str, Any]]:
        return json.loads(self.site.sh(f"landfall backup list {stack} --json", check=False))

    def bases(self) -> list[dict[str, Any]]:
        """Backups of the cluster."""
        return [one for one in self.sets("ledger") if one.get("engine") == "pgbackrest"]

    def cluster(self, text: str) -> str:
        """A query to the cluster of the host."""
        return self.site.sh(f'runuser -u postgres -- psql -qAt -d books -c "{text}"').strip()


@pytest.fixture(scope="module")
def host():
    for lab in open_lab(os.environ.get("LANDFALL_RECOVER_LAB", "drill")):
        lab.push("landfall-lab/postgres:17", "library/postgres:17")
        host = Host(lab)
        host.new("landfall-lab/host-docker:trixie")
        host.play("site")
        yield host


@pytest.fixture(scope="module")
def people(host) -> dict[str, str]:
    """Users with sessions, and a ledger; a set of each stack. Token by user."""
    tokens = {}
    for _number in range(3):
        name = f"user-{uuid.uuid4().hex[:8]}"
        body = {"username": name, "password": PASSWORD}
        assert host.ask("POST", "/auth/register", body)[0] == 201
        status, answer = host.ask("POST", "/auth/login", body)
        assert status == 200
        tokens[name] = str(answer["access_token"])
        for number in range(3):
            turn = {
                "agent": "tickets",
                "message_id": f"m{number}",
                "question": "what?",
                "answer": f"{number} of {name}",
            }
            assert host.ask("POST", f"/api/sessions/{name}/turns", turn, tokens[name])[0] == 201
            time.sleep(0.2)
    host.sql("CREATE ROLE bookkeeper LOGIN PASSWORD 'x'", "postgres")
    host.sql("CREATE DATABASE ledger OWNER bookkeeper", "postgres")
    host.sql(
        "CREATE TABLE entry (id int PRIMARY KEY, cents bigint, note text); INSERT INTO entry SELECT n, "
        "CASE n % 2 WHEN 0 THEN n - 1 ELSE -n END, md5(n::text) FROM generate_series(1, 20000) n"
    )
    host.play("backup")
    return tokens


def damage(host: Host) -> None:
    host.sql("DELETE FROM entry WHERE id > 100; CREATE TABLE junk (id int)")
    wipe = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('DELETE FROM ' + sys.argv[2]); db.commit()"
    )
    for volume, name, table in (("auth-data", "users.db", "users"), ("registry-data", "sessions.db", "turns")):
        host.site.sh(f'python3 -c "{wipe}" /var/lib/docker/volumes/jarvis_{volume}/_data/{name} {table}')


def works(host: Host, tokens: dict[str, str]) -> None:
    """Every user logs in, still has the token of before, and finds what was said."""
    for name, token in tokens.items():
        assert host.ask("POST", "/auth/login", {"username": name, "password": PASSWORD})[0] == 200
        status, answer = host.ask("GET", f"/api/sessions/{name}", token=token)
        assert status == 200 and [one["answer"] for one in answer["turns"]] == [f"{n} of {name}" for n in range(3)]
    seen = json.loads(host.site.sh("landfall status --json", check=False))
    assert not [line for row in seen["stacks"] for line in row["problems"] if "drill" not in line], seen


def test_damaged_data_are_brought_back(host, people):
    before = host.data()
    damage(host)
    broken = host.data()
    assert all(broken[name] != before[name] for name in before)
    assert host.ask("POST", "/auth/login", {"username": next(iter(people)), "password": PASSWORD})[0] == 401

    containers = host.site.sh("docker ps --no-trunc -q | sort")
    for stack in ("jarvis", "ledger"):
        plan = host.play("restore", "--check", stack=stack, in_place=True)
        assert "in place of" in plan.output and plan.total("changed") == 0
    assert host.data() == broken and host.site.sh("docker ps --no-trunc -q | sort") == containers

    beside = host.play("restore", stack="ledger", what="postgres-db-ledger", place="ledger_copy")
    assert "as in the backup" in beside.output
    assert host.sql("SELECT e FROM entry e ORDER BY id", "ledger_copy") == before["ledger"]
    assert host.data() == broken

    for stack in ("jarvis", "ledger"):
        told = host.play("restore", stack=stack, in_place=True)
        assert "what was there is kept" in told.output
    assert host.data() == before
    kept = host.sql("SELECT datname FROM pg_database WHERE datname LIKE 'ledger_before_%'", "postgres")
    assert host.sql("SELECT count(*) FROM entry", kept) == "100"
    assert host.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'ledger'") == "bookkeeper"
    works(host, people)
    for name in (kept, "ledger_copy"):
        host.sql(f"DROP DATABASE {name}", "postgres")


def test_a_drill_green_and_red(host, people, tmp_path):
    for stack in ("jarvis", "ledger"):
        run = host.play("drill", stack=stack, escrow=str(host.escrow), report=str(tmp_path))
        assert "restored and proven" in run.output
        (page,) = tmp_path.glob(f"backup-{stack}-*.html")
        made = host.sets(stack)[-1]
        assert made["drill"]["good"] and made["id"] in page.read_text()
        record = json.loads(
            host.s3.get_object(Bucket=BUCKET, Key=f"e2e/{stack}/{made['id']}/drilled.json")["Body"].read()
        )
        rungs = {one["name"]: one["outcome"] for one in record["rungs"]}
        assert rungs["smoke"] == rungs["escrow"] == "passed"
        print(f"{stack}: RTO {record['rto']} s, RPO {record['rpo']:.0f} s, {record['rungs']}")
    assert "restored and proven" in host.site.sh("landfall status")
    assert host.site.sh("systemctl is-active landfall-drill-ledger.timer").strip() == "active"

    key = f"e2e/ledger/{host.sets('ledger')[0]['id']}/postgres-db-ledger.000"
    good = host.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    flipped = bytearray(good)
    flipped[len(flipped) // 3] ^= 4
    host.s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(flipped))
    run = host.play("drill", rc=2, stack="ledger", set_id=host.sets("ledger")[-1]["id"], report=str(tmp_path))
    assert "sha256 differs" in run.output
    assert "the last drill failed: bytes" in host.site.sh("landfall status", check=False)
    assert "the last drill failed" in next(tmp_path.glob("backup-ledger-*.html")).read_text()
    # By the timer's own service as well, which leaves nothing.
    host.site.sh("systemctl start landfall-drill-ledger.service", check=False)
    assert host.site.sh("systemctl is-failed landfall-drill-ledger.service", check=False).strip() == "failed"
    assert host.site.sh("docker ps -aq --filter label=landfall.drill").strip() == ""
    host.s3.put_object(Bucket=BUCKET, Key=key, Body=good)
    host.site.sh("landfall backup verify ledger && systemctl start landfall-drill-ledger.service")
    assert host.sets("ledger")[-1]["state"] == "verified" and host.sets("ledger")[-1]["drill"]["good"]


def test_a_deploy_takes_a_set_first(host, people):
    before = len(host.sets("ledger"))
    host.play("deploy", stack="ledger", landfall_backup_before=["deploy"])
    assert len(host.sets("ledger")) == before + 1
    current = host.site.sh("readlink /opt/landfall/ledger/current; ls /opt/landfall/ledger/releases")
    host.site.sh("mv /etc/landfall/backup/ledger.main.keys /root/")
    run = host.play("deploy", rc=2, stack="ledger", landfall_backup_before=["deploy"])
    assert "ledger.main.keys cannot be read" in run.output
    assert host.site.sh("readlink /opt/landfall/ledger/current; ls /opt/landfall/ledger/releases") == current
    host.site.sh("mv /root/ledger.main.keys /etc/landfall/backup/")


def test_a_reboot_in_mid_run_and_the_timer_that_was_missed(host, people):
    """The run that the power cut ended leaves its lease and parts; the timer makes up for the night that was missed."""

    def begun() -> list[Any]:
        return host.s3.list_multipart_uploads(Bucket=BUCKET, Prefix="e2e/ledger/").get("Uploads") or []

    before = len(host.sets("ledger"))
    config, stamp = "/etc/landfall/backup/ledger.json", "/var/lib/systemd/timers/stamp-landfall-backup-ledger.timer"
    slow = f'cp -p {config} /root/config.json && sed -i \'s/"rate": 0/"rate": 20000/\' {config}'
    host.site.sh(f"{slow} && systemctl start --no-block landfall-backup-ledger.service")
    wait_for("an upload in mid-run", begun)
    host.site.sh(f"cp -p /root/config.json {config} && touch -d '3 days ago' {stamp}")
    host.lab.reboot("host")
    wait_for("the timer's set", lambda: len(host.sets("ledger")) > before, 120)
    made = host.sets("ledger")[-1]
    manifest = json.loads(
        host.s3.get_object(Bucket=BUCKET, Key=f"e2e/ledger/{made['id']}/manifest.json")["Body"].read()
    )
    assert manifest["trigger"] == "timer" and made["state"] == "verified" and begun() == []


def keep_a_cluster(host: Host) -> list[str]:
    """A server of the host's own, kept by pgBackRest, with rows that no backup has, only the log; those rows."""
    host.site.sh("apt-get -q -y install --no-install-recommends postgresql >/dev/null 2>&1")
    host.site.sh("runuser -u postgres -- createdb books; mkdir -p /etc/postgresql/17/main/conf.d; "
                 "echo 'max_connections = 140' > /etc/postgresql/17/main/conf.d/50-own.conf; "
                 "echo 'host books all 172.16.0.0/12 md5' >> /etc/postgresql/17/main/pg_hba.conf")  # fmt: skip
    host.cluster("CREATE TABLE page (id int PRIMARY KEY, text text); INSERT INTO page SELECT n, md5(n::text) FROM "
                 "generate_series(1, 1000) n")  # fmt: skip
    kept = {**STACKS[1], "backup_sources": [CLUSTER]}
    host.extra["landfall_stacks"] = [STACKS[0], kept]
    host.play("backup")
    host.site.sh("landfall backup run ledger --engine pgbackrest --full")
    host.cluster("INSERT INTO page SELECT n, 'of the log' FROM generate_series(1001, 1010) n")
    host.cluster("SELECT pg_switch_wal()")
    wait_for(
        "the archive",
        lambda: host.cluster("SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name ~ 'ready'") == "0",
    )
    return host.cluster("SELECT p FROM page p ORDER BY id").splitlines()


def test_the_host_is_lost(host, people, tmp_path):
    pages = keep_a_cluster(host)
    before = host.data()
    host.new("landfall-lab/host:trixie")
    planned = host.play("recover", "--check", identity=str(host.escrow), report=str(tmp_path))
    assert "Will be installed: postgresql-17" in planned.output and "to the end of its log: 17/main" in planned.output
    assert host.site.sh("ls /etc/landfall /etc/postgresql 2>/dev/null | wc -l").strip() == "0"
    began = time.monotonic()
    run = host.play("recover", identity=str(host.escrow), report=str(tmp_path))
    took = time.monotonic() - began
    assert host.data() == before
    (report,) = tmp_path.glob("recover-*.json")
    told = json.loads(report.read_text())
    print(f"recovered in {took:.0f} s: {told['steps']}")
    assert took < 600 and abs(told["total_s"] - took) < 60 and "the time to recover" in run.output
    assert set(told["steps"]) == {"host", "secrets", "clusters", "stack", "data", "edge, certificates, verification"}
    assert host.cluster("SELECT p FROM page p ORDER BY id").splitlines() == pages
    assert host.cluster("SHOW max_connections") == "140" and host.cluster("SHOW archive_mode") == "on"
    assert "172.16.0.0/12" in host.site.sh("cat /etc/postgresql/17/main/pg_hba.conf")
    # A full backup was begun behind it; and what is there is not brought back again.
    host.site.sh("while systemctl is-active landfall-full-ledger.service | grep -q activating; do sleep 0.5; done")
    assert [one["type"] for one in host.bases()] == ["full", "full"]
    assert host.site.sh("landfall backup recover ledger").strip() == "pgbackrest: nothing to bring back"
    # What the timer does every few minutes; until then the status says that nobody has looked.
    host.site.sh("landfall backup watch ledger")
    works(host, people)
    assert host.site.sh("ls /dev/shm | grep -v '^PostgreSQL[.]' || true").strip() == ""
    # Done once: a second time it would put old data in the place of new.
    refused = host.play("recover", rc=2, identity=str(host.escrow))
    assert "runs here already" in refused.output


def test_no_secret_came_out(host, processes, tmp_path):
    """The store's keys, the escrow identity, the stacks' secrets: in no output, process list, log or report."""
    identity = host.escrow.read_text().split()[-1]
    secrets = {KEYS["secret_key"], identity, SEAL.split("\n")[1], *secrets_of(host.site)}
    assert leaks(host.site, secrets, processes, tmp_path.parent) == []
