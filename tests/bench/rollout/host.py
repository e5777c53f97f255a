"""What is read from the host, and what is done to it: containers, journal, lock, edge; the killer; dockerd; reboot."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.lab import Lab
from lab.shell import docker, docker_argv, wait_for

ROOT = "/opt/landfall"
ROUTES = "/etc/landfall/edge/stacks"

# Runs on the host: waits for line number N of the journal from now on, and kills the process the lock file names.
KILLER = """
import json, os, signal, sys, time
root, number, patience = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
journal, lock = root + "/journal", root + "/lock"
start = os.path.getsize(journal) if os.path.exists(journal) else 0
print("ready", flush=True)
end = time.monotonic() + patience
rest, seen = b"", 0
while time.monotonic() < end:
    if os.path.exists(journal) and os.path.getsize(journal) > start:
        with open(journal, "rb") as stream:
            stream.seek(start)
            data = stream.read()
        start += len(data)
        *lines, rest = (rest + data).split(b"\\n")
        for line in lines:
            seen += 1
            if seen == number:
                pid = int(json.load(open(lock))["pid"])
                os.kill(pid, signal.SIGKILL)
                print(json.dumps({"at": time.time(), "pid": pid, "line": json.loads(line)}), flush=True)
                sys.exit(0)
    time.sleep(0.001)
sys.exit(1)
"""

# Runs on the host: can the stack's lock be had?
LOCK_FREE = """
import fcntl, sys
try:
    with open(sys.argv[1], "a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("free")
except BlockingIOError:
    print("held")
"""


@dataclass(frozen=True)
class Container:
    name: str
    service: str
    image: str
    state: str
    health: str
    version: str


class Host:
    def __init__(self, lab: Lab, stack: str = "bench") -> None:
        self.lab, self.stack = lab, stack
        self.container = lab.container("host")

    def sh(self, command: str, check: bool = True) -> str:
        return docker("exec", self.container, "sh", "-c", command, check=check)

    # -- what is there -------------------------------------------------------------------------------------------
    def containers(self) -> list[Container]:
        """All containers of the stack's Compose project, stopped ones too."""
        ids = self.sh(f"docker ps -aq --filter label=com.docker.compose.project={self.stack}").split()
        if not ids:
            return []
        found = []
        for data in json.loads(self.sh(f"docker inspect {' '.join(ids)}")):
            labels = data["Config"]["Labels"] or {}
            environment = dict(item.partition("=")[::2] for item in data["Config"]["Env"] or [])
            found.append(
                Container(
                    data["Name"].lstrip("/"),
                    labels.get("com.docker.compose.service", "?"),
                    data["Config"]["Image"],
                    data["State"]["Status"],
                    (data["State"].get("Health") or {}).get("Status", "none"),
                    environment.get("VERSION", environment.get("JARVIS_VERSION", "?")),
                )
            )
        return sorted(found, key=lambda one: one.name)

    def journal(self, after: int = 0) -> list[dict[str, Any]]:
        """The journal's lines but the first `after`, with ``epoch`` added."""
        out = []
        for line in self.sh(f"cat {ROOT}/{self.stack}/journal 2>/dev/null || true").splitlines()[after:]:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # torn by a kill
            at = entry.get("at", 0)
            entry["epoch"] = datetime.fromisoformat(str(at).replace("Z", "+00:00")).timestamp() if at else 0.0
            out.append(entry)
        return out

    def journal_length(self) -> int:
        return int(self.sh(f"cat {ROOT}/{self.stack}/journal 2>/dev/null | wc -l").strip())

    def wrong(self, version: str, replicas: dict[str, int], any_of: tuple[str, ...] = ()) -> list[str]:
        """What is not as it should be: versions, numbers, orphans, lock, routes. Nothing: all is well.

        :param version: the one that must run everywhere.
        :param replicas: service → number.
        :param any_of: when given, one of these versions must run everywhere instead.
        """
        found = self.containers()
        problems = []
        running = [one for one in found if one.state == "running"]
        versions = {one.version for one in running}
        if any_of:
            if len(versions) != 1 or not versions <= set(any_of):
                problems.append(f"versions {sorted(versions)} run; wanted one of {', '.join(any_of)}")
        elif versions != {version}:
            problems.append(f"versions {sorted(versions)} run; wanted {version}")
        for service, number in replicas.items():
            have = [one.name for one in running if one.service == service]
            if len(have) != number:
                problems.append(f"{service}: {len(have)} containers run ({', '.join(have)}); wanted {number}")
        for one in found:
            if one.state != "running":
                problems.append(f"{one.name} ({one.version}) is left behind, {one.state}")
            elif one.health not in ("healthy", "none"):
                problems.append(f"{one.name} ({one.version}) is {one.health}")
            if one.service not in replicas:
                problems.append(f"{one.name} belongs to no service of the stack")
        lock = f"{ROOT}/{self.stack}/lock"
        held = self.sh(f"test -e {lock} && python3 -c '{LOCK_FREE}' {lock} || echo free").strip()
        if held != "free":
            problems.append(f"the lock is still held: {self.sh(f'cat {lock}', check=False).strip()}")
        problems += self._routes_wrong(running)
        return problems

    def upstreams(self, service: str) -> list[str]:
        """The containers the edge sends this service's requests to."""
        text = self.sh(f"cat {ROUTES}/{self.stack}.json 2>/dev/null || echo '{{}}'")
        routes = json.loads(text).get("routes", [])
        return sorted({name for route in routes if route["service"] == service for name in route["upstreams"]})

    def _routes_wrong(self, running: list[Container]) -> list[str]:
        """The edge must name the running containers of each routed service, all of them and no others."""
        text = self.sh(f"cat {ROUTES}/{self.stack}.json 2>/dev/null || true")
        try:
            routes = json.loads(text)["routes"]
        except (ValueError, KeyError, TypeError):
            return [f"no routes file of {self.stack} that can be read"]
        problems = []
        for route in routes:
            named = sorted(str(one).partition(":")[0] for one in route.get("upstreams", []))
            have = sorted(one.name for one in running if one.service == route.get("service"))
            if named != have:
                problems.append(f"the edge sends {route.get('path')} to {named}; {have} run")
        return sorted(set(problems))

    def settle(self, version: str, replicas: dict[str, int], seconds: float = 30, **how: Any) -> list[str]:
        """Like :meth:`wrong`, with patience: health checks of containers just started, workers that may drain on."""
        end = time.monotonic() + seconds
        while True:
            problems = self.wrong(version, replicas, **how)
            if not problems or time.monotonic() > end:
                return problems
            time.sleep(1)

    # -- what is done to it ----------------------------------------------------------------------------------------
    def killer(self, line: int, patience_s: float = 180) -> subprocess.Popen[str]:
        """A process on the host that kills the engine when its journal gets the line of this number (from 1)."""
        argv = [*docker_argv(), "exec", self.container, "python3", "-c", KILLER]
        argv += [f"{ROOT}/{self.stack}", str(line), str(patience_s)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        process.stdout.readline()  # "ready"
        return process

    def wait_for_step(self, words: str, after: int, seconds: float = 120) -> dict[str, Any]:
        """The first journal line past `after` whose step holds one of `words` (a|b). :raises LabError: none came."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [
                entry
                for entry in self.journal(after)
                if any(word in str(entry.get("step", "")) for word in words.split("|"))
            ]
            return bool(found)

        wait_for(f"the step {words} in the journal", look, seconds, every=0.05)
        return found[0]

    def live_restore(self, wanted: bool) -> None:
        """Set dockerd's live-restore and have it read (a reload is enough for that key)."""
        self.sh(
            "python3 - <<'E'\nimport json\np='/etc/docker/daemon.json'\nd=json.load(open(p))\n"
            f"d['live-restore']={wanted}\njson.dump(d,open(p,'w'),indent=2)\nE\nsystemctl reload docker"
        )

    def restart_dockerd(self) -> float:
        """Seconds until the daemon answers again."""
        began = time.monotonic()
        self.sh("systemctl reset-failed docker; systemctl restart docker")
        wait_for("dockerd", lambda: bool(self.sh("docker info -f '{{.ID}}' 2>/dev/null", check=False).strip()), 60)
        return time.monotonic() - began
