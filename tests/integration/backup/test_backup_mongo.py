"""MongoDB in containers: there and back, drilled, refused. Its three programs are stand-ins: see lab.mongo_stand_in."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import images
from lab.shell import docker, wait_for

from .ground import Ground, ground_of, standing

IMAGE = "landfall-lab/mongo-stand-in:1"
USERS = [{"_id": number, "name": f"user {number}"} for number in range(50)]


class Members:
    """A replica set's two members, of which one is backed up, and a service that uses them."""

    def __init__(self) -> None:
        self.name = f"app{uuid.uuid4().hex[:8]}"

    def up(self) -> None:
        docker("volume", "create", f"{self.name}-config")
        for service in ("mongo", "mongo-2"):
            self.run(service, IMAGE, "--auth", "--replSet", "rs0")
        self.run("api", "landfall-lab/python:3.13-slim", "sh", "-c", "trap exit TERM; sleep 1000 & wait")
        docker("exec", f"{self.name}-mongo", "sh", "-c", "echo 'password: hunter2' > /config/tools.yaml")

    def run(self, service: str, image: str, *args: str) -> None:
        label = "com.docker.compose."
        needs = ["--label", f"{label}depends_on=mongo:service_started:false"] if service == "api" else []
        docker("run", "-d", "--name", f"{self.name}-{service}", "--label", f"{label}project={self.name}",
               "--label", f"{label}oneoff=False", "--label", f"{label}service={service}", *needs,
               "-v", f"{self.name}-{service}:/data/db", "-v", f"{self.name}-config:/config", image, *args)  # fmt: skip
        if service != "api":
            state = Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", f"{self.name}-{service}").strip())
            wait_for("the stand-in", (state / "state.json").exists)

    def started(self, service: str) -> str:
        return docker("inspect", "-f", "{{.State.StartedAt}}", f"{self.name}-{service}").strip()

    @property
    def state(self) -> Path:
        place = docker("volume", "inspect", "-f", "{{.Mountpoint}}", f"{self.name}-mongo").strip()
        return Path(place, "state.json")

    def hold(self, **collections: list[dict[str, Any]]) -> None:
        self.state.write_text(json.dumps({f"devora.{name}": held for name, held in collections.items()}))

    def held(self) -> dict[str, list[dict[str, Any]]]:
        return {name.removeprefix("devora."): held for name, held in json.loads(self.state.read_text()).items()}

    def down(self) -> None:
        them = [f"{self.name}-{service}" for service in ("mongo", "mongo-2", "api")]
        docker("rm", "-f", "-v", *them, check=False)
        docker("volume", "rm", "-f", *them, f"{self.name}-config", check=False)


@pytest.fixture(scope="module")
def members() -> Iterator[Members]:
    images.ensure(IMAGE)
    with standing(Members()) as made:
        yield made


@pytest.fixture
def ground(tmp_path: Path, cluster, s3_config, s3, members: Members) -> Ground:
    members.hold(users=USERS, logs=[{"_id": 1}])
    sources = [{"kind": "mongo", "service": "mongo", "config_file": "/config/tools.yaml"}]
    s3.keep(s3_config.bucket)
    return ground_of(tmp_path, cluster, s3_config, members.name, sources)


def test_there_and_back(ground: Ground, members: Members):
    ground.sources.append({"kind": "volume", "service": "mongo", "where": f"{members.name}-mongo", "name": "server"})
    ground.configure()
    ground.good("run")
    later = [{"_id": 7, "name": "somebody else"}, {"_id": 99, "name": "new"}]
    members.hold(users=later, orders=[{"_id": 1}])
    before = {service: members.started(service) for service in ("mongo", "mongo-2", "api")}
    assert "in place of mongo" in ground.good("restore", "--in-place", "--plan")
    assert members.held()["users"] == later
    # What a killed one left.
    state = ground.root / "state" / members.name
    (state / "mongo-mongo.before.partial").write_bytes(b"half" * 100_000)
    said = ground.good("restore", "--in-place")
    assert not list(state.glob("*.partial")) and len(list(state.glob("mongo-mongo.before-*.zst"))) == 1
    # What the backup knows is as it was, what it does not know is there still.
    assert members.held() == {"users": USERS, "logs": [{"_id": 1}], "orders": [{"_id": 1}]}
    assert "volume-server is left out: it holds the data directory of MongoDB" in said
    # Without its members a replica set takes no writes; what writes was stopped meanwhile.
    after = {service: members.started(service) for service in before}
    assert {service for service in before if after[service] != before[service]} == {"api"}
    # What was there before comes back by what the message says.
    kept = re.search(r"what was there is kept: (\S+) \(a dump of mongo\)", said)
    assert kept and Path(kept[1]).stat().st_mode & 0o777 == 0o600
    back(kept[1], members, "--oplogReplay", "--config=/config/tools.yaml")
    assert members.held()["users"] == later


def back(kept: str, members: Members, *words: str) -> None:
    load = ["docker", "exec", "-i", f"{members.name}-mongo", "mongorestore", "--archive", "--drop", "--stopOnError"]
    plain = subprocess.run(["zstd", "-dc", kept], capture_output=True, check=True).stdout
    subprocess.run([*load, *words], input=plain, capture_output=True, check=True)


def test_a_restore_that_breaks_says_how_to_go_back(ground: Ground, members: Members):
    members.hold(users=USERS, notes=[{"_id": 1, "text": "poison"}], words=[{"_id": 1}])
    ground.good("run")
    later = [{"_id": 1, "name": "later"}]
    members.hold(users=later)
    done = ground.do("restore", "--in-place")
    assert done.rc == 1 and "mongorestore ended with 1" in done.err and "failed validation" in done.err, done.said
    assert members.held()["users"] == USERS and "words" not in members.held()
    assert docker("inspect", "-f", "{{.State.Status}}", f"{members.name}-api").strip() == "running"
    kept = re.search(r"comes back by: zstd -dc (\S+) \| docker exec -i mongo mongorestore (.*)", done.err)
    assert kept, done.err
    words = kept[2].split(". Run")[0].split()
    assert words == ["--archive", "--drop", "--stopOnError", "--oplogReplay", "--config=/config/tools.yaml"]
    back(kept[1], members, *words[3:])
    assert members.held()["users"] == later
    # Nothing is begun when what is there cannot be kept.
    ground.sources[0]["config_file"] = ""
    ground.configure()
    done = ground.do("restore", "--in-place")
    assert done.rc == 1 and "give mongo.config_file" in done.err and members.held()["users"] == later
    # Beside is for a person.
    done = ground.do("restore", "--item", "mongo-mongo", "--as", "copy")
    assert done.rc == 1 and "--nsFrom" in done.err


def test_a_dump_that_fails_says_why(ground: Ground, members: Members):
    ground.sources[0]["config_file"] = ""
    ground.configure()
    done = ground.do("run")
    assert done.rc == 1 and "mongodump ended with 1" in done.err and "requires authentication" in done.err, done.said
    assert "give mongo.config_file" in done.err and not ground.sets()
    docker("rm", "-f", f"{members.name}-mongo-2")
    members.run("mongo-2", IMAGE)
    ground.sources = [{"kind": "mongo", "service": "mongo-2", "name": "alone"}]
    ground.configure()
    done = ground.do("run")
    assert done.rc == 1 and "no replica set" in done.err and "rs.initiate()" in done.err and not ground.sets()
    # One database needs no oplog.
    ground.sources[0]["databases"] = ["devora"]
    ground.configure()
    ground.good("run")
    ground.good("restore", "--in-place")


def test_a_drill_loads_it(ground: Ground, members: Members):
    ground.good("run")
    done = ground.do("drill", "--json")
    record = json.loads(done.out)
    found = {one["name"]: one for one in record["rungs"]}
    assert done.rc == 0 and record["good"] and found["mongo"]["outcome"] == "passed", done.said
    assert found["mongo"]["detail"].startswith("mongo-mongo: 51 documents, from sha256:")
    assert docker("ps", "-aq", "--filter", f"label=landfall.drill={members.name}").split() == []
    # Bytes that are right and cannot be loaded.
    members.hold(users=USERS, notes=[{"_id": 1, "text": "poison"}])
    ground.good("run")
    done = ground.do("drill", "--json")
    record = json.loads(done.out)
    assert done.rc == 1 and not record["good"] and record["reason"].startswith("mongo: mongorestore ended with 1")
    assert docker("ps", "-aq", "--filter", f"label=landfall.drill={members.name}").split() == []
