"""`make test`: every step of the suite, in two lanes side by side, one line a step, whole logs in report/suite/.

Lane one needs the processor (linters, unit tests, ansible-test sanity, the role scenarios, backups), lane two mostly
waits for hosts (end to end) and PostgreSQL. What counts failed requests runs after both, alone. A failed step stops
nothing; its log's end is printed, and the run ends non-zero.
    python -m lab.suite [STEP …]      only the steps whose name begins with one of these
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import images
from .lab import PROJECT, Lab
from .shell import LabError, say

LOGS = PROJECT / "report" / "suite"
BIN = Path(sys.executable).parent
OTHER = PROJECT / ".venv-other" / "bin"


@dataclass(frozen=True)
class Step:
    name: str
    argv: tuple[str, ...]
    bin: Path = BIN
    minutes: float = 20


def scenarios() -> list[str]:
    return sorted(p.parent.name for p in (PROJECT / "molecule").glob("*/molecule.yml"))


def lanes() -> tuple[list[Step], list[Step]]:
    one = [Step("lint", ("scripts/lint",)), Step("unit", (str(BIN / "python"), "-m", "pytest", "tests/unit", "-q"))]
    if OTHER.is_dir():
        one.append(Step("unit-other", (str(OTHER / "python"), "-m", "pytest", "tests/unit", "-q"), OTHER))
    one.append(Step("app", (str(BIN / "python"), "scripts/test_app.py")))
    one.append(Step("sanity", ("scripts/sanity", ".venv")))
    if OTHER.is_dir():
        one.append(Step("sanity-other", ("scripts/sanity", ".venv-other")))
    one += [Step(f"molecule-{name}", (str(BIN / "molecule"), "test", "-s", name)) for name in scenarios()]
    one.append(pytest_step("backup", "tests/integration/backup", "--durations=12", minutes=35))
    one.append(pytest_step("e2e-lockout", "tests/e2e/test_6_lockout.py", "--durations=12", minutes=30))
    # The rollouts' own tests measure requests under load: see alone().
    site = sorted(str(p.relative_to(PROJECT)) for p in (PROJECT / "tests" / "e2e").glob("test_[12]_*.py"))
    two = [
        pytest_step("e2e", *site, "--durations=12", minutes=45),
        pytest_step("migration", "tests/integration/migration", "--durations=12"),
        pytest_step("e2e-migrate", "tests/e2e/test_4_migrate.py", "-s"),
        pytest_step("e2e-recover", "tests/e2e/test_5_recover.py", "-s"),
        Step("bench-rollout-host", (str(BIN / "python"), "-m", "bench.rollout", "--prepare", "--fresh")),
    ]
    return one, two


#: Of the rollouts' tests those that have proven steady beside nothing else; `make soak` runs them all, and the bench.
ROLLOUTS = "rollback or serves_badly or blue_green or drops_nothing or relay_only or reboot_in_the_middle"


def alone() -> list[Step]:
    """What counts failed requests, and so wants the machine for itself: after both lanes."""
    return [
        pytest_step(
            "integration",
            "tests/integration",
            *(f"--ignore=tests/integration/{name}" for name in ("backup", "migration")),
        ),
        pytest_step("rollouts", "tests/e2e/test_3_rollout.py", "-k", ROLLOUTS, "--durations=12", minutes=30),
        Step("bench-rollout", (str(BIN / "python"), "-m", "bench.rollout", "--short", "--no-site", "--rate=80")),
    ]


def pytest_step(name: str, *args: str, minutes: float = 20) -> Step:
    return Step(name, (str(BIN / "python"), "-m", "pytest", "-v", *args), minutes=minutes)


def run(step: Step, lock: threading.Lock) -> tuple[Step, bool, float]:
    log = LOGS / f"{step.name}.log"
    environment = {
        **os.environ,
        "PATH": f"{step.bin}:{os.environ['PATH']}",
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "PY_COLORS": "0",
        "ANSIBLE_COLLECTIONS_PATH": str(PROJECT / ".build" / "collections"),
        "PYTHONPATH": f"{PROJECT / 'tests'}:{PROJECT / '.build' / 'collections'}",
    }
    began = time.monotonic()
    with log.open("w") as stream:
        try:
            code = subprocess.run(
                step.argv,
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=step.minutes * 60,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = 124
            stream.write(f"\nended after {step.minutes} minutes\n")
    seconds = time.monotonic() - began
    good = code == 0
    with lock:
        print(f"{'ok    ' if good else 'FAILED'} {step.name:<24} {seconds:6.0f} s", flush=True)
        lines = log.read_text(errors="replace").splitlines()
        if good:
            for line in lines[-3:]:
                if " passed" in line:
                    print(f"       {line.strip('= ')}", flush=True)
        else:
            print("\n".join(f"    | {line[:240]}" for line in telling(lines)), flush=True)
    return step, good, seconds


def telling(lines: list[str]) -> list[str]:
    """Of a failed step's log what says why, shortest first: a CI may keep only the beginning of a long output."""
    noise = ("WARNING: Location", "  display.warning(", "AnsibleWarning: Enable")
    lines = [line for line in lines if not line.startswith(noise) and "AnsibleWarning: Found dup" not in line]
    marks = ("FAILED ", "ERROR ", "E  ", "fatal: ", "ERROR: ", "[ERROR]")
    causes = [
        line
        for at, line in enumerate(lines)
        if line.startswith(marks) or any(one.endswith("^ failed") for one in lines[at + 1 : at + 12])
    ]
    return [*causes[:24], "…", *lines[-25:]]


def main() -> int:
    wanted = tuple(sys.argv[1:])
    LOGS.mkdir(parents=True, exist_ok=True)
    pair = [[s for s in lane if not wanted or s.name.startswith(wanted)] for lane in lanes()]
    began = time.monotonic()
    lock = threading.Lock()
    try:
        if any(step.name.startswith(("molecule", "e2e", "integration")) for lane in pair for step in lane):
            say("images (built once)")
            images.ensure(*images.recipes())
            print(f"ok     {'images':<24} {time.monotonic() - began:6.0f} s", flush=True)
    except LabError as problem:
        say(str(problem))
        return 1
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(lambda lane=lane: [run(step, lock) for step in lane]) for lane in pair if lane]
        done = [result for future in futures for result in future.result()]
    done += [run(step, lock) for step in alone() if not wanted or step.name.startswith(wanted)]
    if not os.environ.get("LANDFALL_KEEP") and any(step.name.startswith("molecule") for step, _, _ in done):
        Lab("molecule").down()
    failed = [step.name for step, good, _ in done if not good]
    print(f"\nsuite: {time.monotonic() - began:.0f} s; logs in {LOGS.relative_to(PROJECT)}")
    if failed:
        print("failed: " + ", ".join(failed))
    print(f"{len(done) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
