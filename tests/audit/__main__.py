"""``make audit`` · ``python -m audit [--keep-host] [--again] [--write]``

A bare host, the audits; site.yml with the Jarvis example, the audits again. The last line is JSON. Ends with 1 when a
finding on the hardened host has no reason in tests/audit/reasons.py.
"""

from __future__ import annotations

import argparse
import datetime
import sys

from lab.shell import LabError, say

from .findings import Audit, explained, unexplained
from .ground import PROJECT, Ground
from .measure import REPORT, measure, versions
from .page import last_line, page, table
from .reasons import REASONS


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="audit", description=__doc__)
    parser.add_argument("--keep-host", action="store_true", help="leave the lab up")
    parser.add_argument("--again", action="store_true", help="run site.yml on the kept host and audit only that")
    parser.add_argument("--write", action="store_true", help="write docs/audit.md")
    args = parser.parse_args(argv)
    ground = Ground()
    kept = REPORT / "before.json"
    try:
        if args.again and not (ground.there() and kept.exists()):
            raise LabError("there is no kept host to audit again; run with --keep-host first")
        before = Audit.from_json(kept.read_text()) if args.again else _before(ground)
        after = _after(ground)
        told = versions(ground)
    except (LabError, ValueError) as problem:
        say(str(problem))
        return 2
    finally:
        if not args.keep_host and not args.again:
            ground.down()
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    if args.write:
        (PROJECT / "docs" / "audit.md").write_text(page(before, after, told, today, REASONS))
    print("\n".join(table(before, after)))
    missing = unexplained(after.findings, REASONS)
    for finding in missing:
        print(f"no reason: {finding.key} ({finding.text})")
    for key in sorted(set(REASONS) - set(explained(after.findings, REASONS))):
        print(f"not found any more: {key}")
    print(last_line(before, after, REASONS))
    return 1 if missing else 0


def _before(ground: Ground) -> Audit:
    ground.bare()
    ground.baits()
    before = measure(ground, "before", stack=False)
    (REPORT / "before.json").write_text(before.to_json())
    return before


def _after(ground: Ground) -> Audit:
    # They would not outlive the restart of the daemon that the role asks for.
    ground.no_baits()
    run = ground.stack()
    if run.rc:
        raise LabError(f"site.yml failed:\n{run.output[-4000:]}")
    ground.baits()
    after = measure(ground, "after", stack=True)
    (REPORT / "after.json").write_text(after.to_json())
    return after


if __name__ == "__main__":
    sys.exit(main())
