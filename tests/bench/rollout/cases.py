"""The cases: what is done to the bench's stack while the load runs, and what must be true afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from lab.shell import LabError, say

from . import images
from .deploys import Deploy, Deployer
from .ground import DOMAIN, Ground
from .host import Host
from .load_process import Load
from .machine import Machine, share
from .result import Case

REPLICAS = {"api": 2, "web": 2, "worker": 1}
DRAIN_S = 8.0  # as stack/compose.yaml says


class Bench:
    """Runs cases one after the other on one host; each leaves the stack whole for the next."""

    def __init__(self, ground: Ground, out: Path, rate: float) -> None:
        self.ground, self.out, self.rate = ground, out, rate
        self.host = Host(ground.lab)
        self.deployer = Deployer(ground, ground.bench, self.host)
        self.version = "1.0.0"
        self.machine = Machine(ground.lab)
        self.done: list[Case] = []

    # -- parts of every case -----------------------------------------------------------------------------------------
    def next_version(self) -> str:
        known = images.VERSIONS
        return known[(known.index(self.version) + 1) % len(known)]

    def run(self, name: str, about: str, act: Callable[[Case], None], machine_fault: bool = False) -> Case:
        """One case under load; what `act` raises is a problem of the case, not of the bench."""
        case = Case(name, about, DRAIN_S, machine_fault=machine_fault)
        say(f"case {name}: {about}")
        case.records_file = self.out / f"{name}.tsv.gz"
        before = self.machine.sample()
        load = Load(case.records_file, self.ground.lab.address(), DOMAIN, self.ground.ca, self.rate)
        with load:
            try:
                act(case)
            except LabError as problem:
                case.problems.append(str(problem)[:600])
            time.sleep(3)
        case.cpu_own, case.cpu_others = share(before, self.machine.sample())
        case.loaded(load.records, load.said["lag_p99_s"])
        self.done.append(case)
        short = case.summary
        say(
            f"  {short.requests} requests, {short.failed} failed, gap {short.longest_gap_s} s, "
            f"p99 {short.p99_ms} ms ({short.p99_during_ms} during), {case.wall_s} s, "
            f"CPU {case.cpu_own:.0%} ours + {case.cpu_others:.0%} others' {short.reasons or ''}"
        )
        for problem in case.problems:
            say(f"  PROBLEM {problem}")
        return case

    def _good(self, case: Case, deploy: Deploy, version: str) -> None:
        """A deploy that had to succeed: it did, and the host is as it should be."""
        if deploy.rc:
            case.problems.append(f"the deploy of {version} failed: {deploy.said()[:500]}")
        else:
            self.version = version
        case.problems += self.host.settle(self.version, REPLICAS)

    def _bad(self, case: Case, deploy: Deploy, version: str) -> None:
        """A deploy that had to fail: it did, said why, and the old release stands untouched."""
        if not deploy.rc:
            case.problems.append(f"the deploy of {version} did not fail")
        case.more["said"] = deploy.said()[:700]
        case.problems += self.host.settle(self.version, REPLICAS)

    # -- the cases -----------------------------------------------------------------------------------------------
    def steady(self, seconds: float) -> Case:
        return self.run("steady", "no deploy at all: the load itself", lambda case: time.sleep(seconds))

    def rollouts(self, turns: int) -> Case:
        def act(case: Case) -> None:
            for turn in range(turns):
                version = self.next_version()
                deploy = self.deployer.deploy(version)
                self.deployer.note(case, deploy, f"{turn + 1}: {version}")
                self._good(case, deploy, version)
                if deploy.rc:
                    return
                case.more.setdefault("timings", []).append(deploy.result.get("timings"))
                time.sleep(2)

        return self.run("rollouts", f"{turns} good releases in a row", act)

    def rollback(self) -> Case:
        def act(case: Case) -> None:
            before, version = self.version, self.next_version()
            deploy = self.deployer.deploy(version)
            self.deployer.note(case, deploy, version)
            self._good(case, deploy, version)
            deploy = self.deployer.rollback()
            self.deployer.note(case, deploy, "rollback")
            self._good(case, deploy, before)

        return self.run("rollback", "a release, then back by rollback.yml", act)

    def failing(self, name: str, version: str, about: str) -> Case:
        def act(case: Case) -> None:
            deploy = self.deployer.deploy(version)
            self.deployer.note(case, deploy, version)
            self._bad(case, deploy, version)

        return self.run(name, about, act)

    def failing_image(self) -> Case:
        return self.failing("failing_image", images.MISSING, "a tag that the registry does not have")

    def failing_start(self) -> Case:
        return self.failing("failing_start", "1.1.0-start", "a version that exits at start")

    def failing_health(self) -> Case:
        return self.failing("failing_health", "1.1.0-health", "a version that never gets healthy")

    def failing_migration(self) -> Case:
        return self.failing("failing_migration", "1.1.0-migration", "a version whose migration fails")

    def kill9(self, most: int = 0) -> Case:
        """`most`: at so many steps, evenly spread; 0: at every one."""

        def act(case: Case) -> None:
            line, version = self.host.journal_length(), self.next_version()
            deploy = self.deployer.deploy(version)
            self.deployer.note(case, deploy, f"{version}, whole")
            self._good(case, deploy, version)
            steps = [str(entry.get("step")) for entry in self.host.journal(line)]
            chosen = list(range(1, len(steps) + 1))
            if most and len(chosen) > most:
                chosen = chosen[:: max(1, len(chosen) // most)][:most]
            case.more["steps"] = steps
            case.more["killed_at"] = [self._kill(case, number, steps[number - 1]) for number in chosen]

        return self.run("kill9", "kill -9 of the engine at the steps of its journal, each followed by a re-run", act)

    def _kill(self, case: Case, number: int, step: str) -> dict[str, object]:
        version = self.next_version()
        killer = self.host.killer(number)
        deploy = self.deployer.deploy(version)
        said, _ = killer.communicate(timeout=200)
        case.windows.append((deploy.begin, deploy.end))
        label = f"kill -9 at {number} ({step})"
        case.mark(label, "fault", deploy.end)
        self.deployer.switches(case, deploy)
        if killer.returncode:
            case.notes.append(f"{label}: the engine was not killed; the deploy ended with {deploy.rc}")
        between = [f"{one.name} {one.version} {one.state}" for one in self.host.containers()]
        again = self.deployer.deploy(version)
        self.deployer.note(case, again, f"re-run after {number}")
        if again.rc:
            case.problems.append(f"{label}: the re-run failed: {again.said()[:400]}")
        self.version = version
        wrong = self.host.settle(version, REPLICAS)
        case.problems += [f"{label}: {problem}" for problem in wrong]
        return {"step": step, "killed": said.strip()[:300], "between": between, "rerun_s": round(again.seconds, 1)}

    def two_deploys(self) -> Case:
        def act(case: Case) -> None:
            first_version = self.next_version()
            self.version, before = first_version, self.version
            second_version = self.next_version()
            self.version = before
            thread, first = self.deployer.in_background(first_version)
            time.sleep(1.0)
            second = self.deployer.deploy(second_version)
            thread.join()
            self.deployer.note(case, first[0], f"A: {first_version}")
            self.deployer.note(case, second, f"B: {second_version}")
            case.more["exits"] = [first[0].rc, second.rc]
            case.more["said"] = [one.said()[:300] for one in (first[0], second) if one.rc]
            good = sorted((one.end, version) for one, version in ((first[0], first_version), (second, second_version))
                          if not one.rc)  # fmt: skip
            if not good:
                case.problems.append(f"both deploys failed: {first[0].said()[:300]} / {second.said()[:300]}")
            else:
                self.version = good[-1][1]
            case.problems += self.host.settle(self.version, REPLICAS)

        return self.run("two_deploys", "two deploys of different versions at once", act)

    def dockerd_restart(self, live_restore: bool) -> Case:
        name = "dockerd_restart" if live_restore else "dockerd_restart_without_live_restore"

        def act(case: Case) -> None:
            self.host.live_restore(live_restore)
            case.mark("dockerd restarts", "fault")
            case.more["dockerd_s"] = [round(self.host.restart_dockerd(), 1)]
            case.problems += [f"after a restart: {one}" for one in self.host.settle(self.version, REPLICAS, 60)]
            time.sleep(3)
            self._during(case, "dockerd restarts in a deploy", lambda: self.host.restart_dockerd())
            self.host.live_restore(True)

        kept = "containers stay up" if live_restore else "all containers go down with it"
        return self.run(name, f"dockerd restarted, at rest and in a deploy; {kept}", act, not live_restore)

    def _during(self, case: Case, label: str, fault: Callable[[], object]) -> None:
        """The fault in the middle of a deploy (when its journal says that containers start); what comes by itself,
        then a re-run."""
        before, version, line = self.version, self.next_version(), self.host.journal_length()
        thread, out = self.deployer.in_background(version)
        try:
            self.host.wait_for_step("start", line)
            case.mark(label, "fault")
            fault()
        finally:
            thread.join()
        self.deployer.note(case, out[0], version)
        wrong = self.host.settle(before, REPLICAS, 60, any_of=(before, version))
        case.more["by_itself"] = wrong or "the state was right without a hand"
        if self.deployer.engine and wrong:
            case.problems += [f"{label}, before the re-run: {one}" for one in wrong]
        again = self.deployer.deploy(version)
        self.deployer.note(case, again, f"re-run: {version}")
        self._good(case, again, version)

    def reboot(self) -> Case:
        def act(case: Case) -> None:
            case.mark("reboot", "fault")
            self.ground.lab.reboot("host")

            case.problems += [f"after a reboot: {one}" for one in self.host.settle(self.version, REPLICAS, 90)]
            time.sleep(3)
            self._during(case, "reboot in a deploy", lambda: self.ground.lab.reboot("host"))

        return self.run("reboot", "the host loses power, at rest and in a deploy", act, machine_fault=True)


def names() -> list[str]:
    return [
        "steady",
        "rollouts",
        "rollback",
        "failing_image",
        "failing_start",
        "failing_health",
        "failing_migration",
        "kill9",
        "two_deploys",
        "dockerd_restart",
        "dockerd_restart_without_live_restore",
        "reboot",
    ]


def call(bench: Bench, name: str, short: bool) -> Case:
    """The case of that name, in its short or its long form."""
    if name == "steady":
        return bench.steady(8 if short else 60)
    if name == "rollouts":
        return bench.rollouts(3 if short else 20)
    if name == "kill9":
        return bench.kill9(2 if short else 0)
    if name.startswith("dockerd_restart"):
        return bench.dockerd_restart(live_restore=name == "dockerd_restart")
    return getattr(bench, name)()
