"""Deploys and rollbacks as an operator runs them, with what the module said about them."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from lab.shell import LabError
from lab.site import Site

from .ground import Ground
from .host import Host
from .result import Case


@dataclass
class Deploy:
    begin: float
    end: float
    rc: int
    output: str
    line: int = 0  # lines of the journal before it
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    @property
    def overheads_s(self) -> list[float]:
        """The engine's own seconds a wave: of the whole run, what is not the waves' alone among them."""
        timings = self.result.get("timings") or {}
        return [float(timings["overhead_s"]) / timings["waves"]] if timings.get("waves") else []

    def said(self) -> str:
        """The message of the module, or the end of the output."""
        return str(self.result.get("msg") or self.output[-1500:])


def module_result(output: str) -> dict[str, Any]:
    """The result of the rollout module out of ``ansible-playbook -v``: the last JSON object with its keys."""
    decoder = json.JSONDecoder()
    found: dict[str, Any] = {}
    for line_start in _starts(output):
        try:
            value, _ = decoder.raw_decode(output, line_start)
        except ValueError:
            continue
        if isinstance(value, dict) and ("waves" in value or "release" in value):
            found = value
    return found


def _starts(output: str) -> list[int]:
    out, at = [], 0
    while (at := output.find("=> {", at)) != -1:
        out.append(at + 3)
        at += 4
    return out


class Deployer:
    """deploy.yml and rollback.yml for one stack; where they are not there yet, site.yml stands in (and says so)."""

    def __init__(self, ground: Ground, site: Site, host: Host) -> None:
        self.ground, self.site, self.host = ground, site, host
        self.web: list[str] = []  # the containers that got the WebSockets at the last switch
        self.engine = (ground.tree / "playbooks" / "deploy.yml").exists()

    def _run(self, playbook: str, **extra: Any) -> Deploy:
        self.web = self.web or self.host.upstreams("web")
        os.environ["ANSIBLE_CALLBACK_RESULT_FORMAT"] = "json"  # read by module_result
        line, begin = self.host.journal_length(), time.time()
        done = self.ground.play(self.site, playbook, "-v", check=False, **extra)
        return Deploy(begin, time.time(), done.rc, done.output, line, module_result(done.output))

    def deploy(self, version: str, **extra: Any) -> Deploy:
        return self._run("playbooks/deploy.yml" if self.engine else "site.yml", version=version, **extra)

    def rollback(self) -> Deploy:
        if not self.engine:
            raise LabError("there is no playbooks/rollback.yml in this tree")
        return self._run("playbooks/rollback.yml")

    def in_background(self, version: str) -> tuple[threading.Thread, list[Deploy]]:
        out: list[Deploy] = []
        thread = threading.Thread(target=lambda: out.append(self.deploy(version)))
        thread.start()
        return thread, out

    def note(self, case: Case, deploy: Deploy, label: str) -> None:
        """The deploy's window, its switches and overheads into the case."""
        case.windows.append((deploy.begin, deploy.end))
        case.mark(label, "begin", deploy.begin)
        case.mark("end" if deploy.rc == 0 else f"ended with {deploy.rc}", "end", deploy.end)
        case.overheads_s += deploy.overheads_s
        self.switches(case, deploy)

    def switches(self, case: Case, deploy: Deploy) -> None:
        """Mark the steps that say which containers get the requests from then on."""
        for entry in self.host.journal(deploy.line):
            upstreams = (entry.get("detail") or {}).get("upstreams")
            if entry["epoch"] > deploy.end + 1 or upstreams is None:
                continue
            case.mark(str(entry.get("step")), "switch", entry["epoch"])
            web = sorted(upstreams.get("web") or [])
            if web != self.web:
                case.web_switches.append(entry["epoch"])
                self.web = web
