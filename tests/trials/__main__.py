"""``make trials`` · ``python -m trials [NAME …]``

For each trial: a copy of the collection with one protection taken out, the test that holds it, which has to fail, and
then the collection as it is, which has to put the host right again. Prints one line a trial; whole output in
report/trials/. Ends with 1 when a test did not notice.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab.lab import PROJECT, Lab
from lab.shell import say

from .catalogue import TRIALS, Trial

LOGS = PROJECT / "report" / "trials"
PRODUCT = ("plugins", "roles", "playbooks", "meta", "inventories", "examples")
#: pytest's own word for "some test failed"; anything else is a trial that did not take place
FAILED = 1


def copy(trial: Trial, root: Path) -> Path:
    """The product without the protection."""
    tree = root / trial.name
    shutil.rmtree(tree, ignore_errors=True)
    for name in PRODUCT:
        shutil.copytree(PROJECT / name, tree / name, symlinks=True)
    for file in ("galaxy.yml", "site.yml", "ansible.cfg"):
        shutil.copyfile(PROJECT / file, tree / file)
    for edit in trial.edits:
        edit.apply(tree)
    return tree


def python(log: Path, tree: Path | None, *argv: str) -> int:
    environment = {**os.environ, "LANDFALL_KEEP": "1"}
    environment |= {"LANDFALL_E2E_TREE": str(tree)} if tree else {}
    with log.open("a") as stream:
        done = subprocess.run(
            [sys.executable, *argv], cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL,
            stdout=stream, stderr=subprocess.STDOUT, timeout=1200, check=False,
        )  # fmt: skip
    return done.returncode


def attempt(trial: Trial, root: Path) -> str:
    """What was wrong with the trial; nothing when the test noticed."""
    log = LOGS / f"{trial.name}.log"
    log.unlink(missing_ok=True)
    tree = copy(trial, root)
    if trial.first and python(log, tree, "-m", "trials.turn"):
        return "the deploy before the test failed: the trial shows nothing"
    code = python(log, tree, "-m", "pytest", "tests/e2e/test_3_rollout.py", "-v", "-x", "-rfE", "-k", trial.tests)
    said = re.findall(r"^(?:FAILED|ERROR) \S+::(\S+)", log.read_text(errors="replace"), re.MULTILINE)
    if python(log, None, "-m", "trials.turn", "--until-well"):
        return "the collection as it is did not put the host right again"
    if code != FAILED or not said:
        return f"nobody noticed (pytest ended with {code})"
    return ""


def main() -> int:
    chosen = [one for one in TRIALS if not sys.argv[1:] or one.name in sys.argv[1:]]
    unknown = set(sys.argv[1:]) - {one.name for one in TRIALS}
    if unknown:
        say(f"no trial is called {', '.join(sorted(unknown))}; there are: {', '.join(one.name for one in TRIALS)}")
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    root = Lab("test").state / "trials"
    wrong = 0
    if python(LOGS / "ground.log", None, "-m", "pytest", "tests/e2e/test_3_rollout.py", "-v", "-k", "relay_only"):
        say(f"the test itself fails with nothing taken out; see {LOGS.relative_to(PROJECT)}/ground.log")
        return 1
    for trial in chosen:
        began = time.monotonic()
        try:
            problem = attempt(trial, root)
        except (ValueError, subprocess.TimeoutExpired) as trouble:
            problem = str(trouble)
        wrong += bool(problem)
        word = f"NOT NOTICED: {problem}" if problem else "noticed"
        print(f"case {trial.case:2}  {trial.name:<26} {time.monotonic() - began:4.0f} s  {word}", flush=True)
    if not os.environ.get("LANDFALL_KEEP"):
        Lab("test").down()
    print(f"{len(chosen) - wrong} of {len(chosen)} protections are held by a test")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
