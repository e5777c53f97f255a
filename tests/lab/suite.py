"""`make test`: every step of the suite, in two lanes side by side, one line a step, whole logs in report/suite/.

Lane one needs the processor (linters, unit tests, ansible-test sanity, the role scenarios, backups), lane two mostly
waits for hosts (end to end) and PostgreSQL. What counts failed requests runs after both, beside nothing but tests that
mostly wait; the bench of the rollouts runs last, alone. A failed step stops nothing; its log's end is printed, and the
run ends non-zero. Where tests do not depend on one another, up to three that failed are run once more at the end,
alone; one that passes then is named in the last lines as unsteady: it is to be mended, and does not fail the run.
    python -m lab.suite [STEP …]      only the steps whose name begins with one of these
"""

from __future__ import annotations

import json
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
    #: Whether each of its tests can be run by itself.
    apart: bool = False


#: More failed tests than that of one step are no accident.
ACCIDENTS = 3


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
    one.append(pytest_step("backup", "tests/integration/backup", "--durations=12", minutes=35, apart=True))
    # The rollouts' own tests measure requests under load: see alone().
    site = sorted(str(p.relative_to(PROJECT)) for p in (PROJECT / "tests" / "e2e").glob("test_[12]_*.py"))
    two = [
        pytest_step("e2e", *site, "--durations=12", minutes=45),
        pytest_step("migration", "tests/integration/migration", "--durations=12", apart=True),
        pytest_step("e2e-migrate", "tests/e2e/test_4_migrate.py", "-s"),
        pytest_step("e2e-recover", "tests/e2e/test_5_recover.py", "-s"),
        Step("bench-rollout-host", (str(BIN / "python"), "-m", "bench.rollout", "--prepare", "--fresh")),
    ]
    return one, two


#: Of the rollouts' tests those that have proven steady beside nothing else; `make soak` runs them all, and the bench.
ROLLOUTS = "rollback or serves_badly or blue_green or drops_nothing or relay_only or reboot_in_the_middle or no_secret"


def requests() -> tuple[list[Step], list[Step]]:
    """What counts failed requests, after both lanes; and what mostly waits, beside it."""
    return [
        pytest_step(
            "integration",
            "tests/integration",
            *(f"--ignore=tests/integration/{name}" for name in ("backup", "migration")),
        ),
        pytest_step("rollouts", "tests/e2e/test_3_rollout.py", "-k", ROLLOUTS, "--durations=12", minutes=30),
    ], [
        pytest_step("e2e-lockout", "tests/e2e/test_6_lockout.py", "--durations=12", minutes=30),
        pytest_step("e2e-bans", "tests/e2e/test_7_bans.py", "--durations=12", minutes=30),
    ]


def last() -> list[Step]:
    """What measures, and so wants the machine for itself."""
    return [Step("bench-rollout", (str(BIN / "python"), "-m", "bench.rollout", "--short", "--no-site", "--rate=80"))]


def pytest_step(name: str, *args: str, minutes: float = 20, apart: bool = False) -> Step:
    # A cache of its own: what failed is read from it.
    argv = (str(BIN / "python"), "-m", "pytest", "-v", "-o", f"cache_dir={LOGS / name}.cache", *args)
    return Step(name, argv, minutes=minutes, apart=apart)


def failures(step: Step) -> list[str]:
    """The tests of a step that failed last."""
    try:
        return sorted(json.loads((LOGS / f"{step.name}.cache" / "v" / "cache" / "lastfailed").read_text()))
    except (OSError, ValueError):
        return []


def once_more(step: Step, lock: threading.Lock) -> tuple[bool, list[str]]:
    """Run a step's failed tests again where that tells something: whether all passed, and which these are."""
    failed = failures(step)
    if not step.apart or not 0 < len(failed) <= ACCIDENTS:
        return False, []
    base = step.argv[: step.argv.index("-v") + 1]
    again = Step(f"{step.name}-again", (*base, *failed), minutes=15)
    return run(again, lock)[1], failed


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
    # Else each of a thousand starts of our own program compiles all of it anew, where bytecode is not to be written.
    # Not beside the sources: stacks are deployed from there.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(PROJECT / ".build" / "bytecode")
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
    began = time.monotonic()
    lock = threading.Lock()

    def side_by_side(lanes: tuple[list[Step], list[Step]]) -> list[tuple[Step, bool, float]]:
        chosen = [[s for s in lane if not wanted or s.name.startswith(wanted)] for lane in lanes]
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(lambda lane=lane: [run(step, lock) for step in lane]) for lane in chosen if lane]
            return [result for future in futures for result in future.result()]

    every = [step for lane in (*lanes(), *requests(), last()) for step in lane]
    try:
        if any(s.name.startswith(("molecule", "e2e", "integration")) for s in every if s.name.startswith(wanted or "")):
            say("images (built once)")
            images.ensure(*images.recipes())
            print(f"ok     {'images':<24} {time.monotonic() - began:6.0f} s", flush=True)
    except LabError as problem:
        say(str(problem))
        return 1
    done = side_by_side(lanes()) + side_by_side(requests()) + side_by_side((last(), []))
    if not os.environ.get("LANDFALL_KEEP") and any(step.name.startswith("molecule") for step, _, _ in done):
        Lab("molecule").down()
    unsteady: list[str] = []
    failed = []
    for step, good, _seconds in done:
        if not good:
            passed, tests = once_more(step, lock)
            unsteady += tests if passed else []
            failed += [] if passed else [step.name]
    print(f"\nsuite: {time.monotonic() - began:.0f} s; logs in {LOGS.relative_to(PROJECT)}")
    for name in unsteady:
        print(f"unsteady: {name} failed, and passed when it was run again alone: mend it")
    if failed:
        print("failed: " + ", ".join(failed))
    print(f"{len(done) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
