"""``make bench-rollout`` (long) · ``make bench-rollout SHORT=1`` · ``python tests/bench/rollout --short``

Brings up the lab "bench", runs the cases and both peers under load, writes report/bench-rollout/index.html and prints
one JSON object as its last line. Ends with 1 when a request failed, or a state was wrong, that should not have been.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

if __package__ in (None, ""):  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    __package__ = "bench.rollout"
    import bench.rollout  # noqa: F401

from lab.lab import PROJECT
from lab.shell import LabError, say

from .cases import Bench, call, names
from .ground import REGISTRY, Ground
from .jarvis import compare
from .load import mix
from .peers import SCRIPTS, Peers
from .report import write
from .result import Case
from .totals import totals

OUT = PROJECT / "report" / "bench-rollout"
SHORT_CASES = ("steady", "rollouts", "failing_image", "failing_migration", "failing_start")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.rollout", description=__doc__)
    parser.add_argument("--short", action="store_true", help="under four minutes once the lab stands; for CI")
    parser.add_argument("--rate", type=float, default=150, help="requests per second in all")
    every = ", ".join([*names(), "peers", "jarvis"])
    parser.add_argument("--only", default="", help=f"cases, comma-separated: {every}")
    parser.add_argument("--fresh", action="store_true", help="a new host; otherwise the one that is there is kept")
    parser.add_argument("--no-site", action="store_true", help="the host is up already: no images, no site.yml")
    parser.add_argument("--prepare", action="store_true", help="bring the host up and end")
    args = parser.parse_args(argv)
    args.only = [name for name in args.only.split(",") if name]
    unknown = set(args.only) - {*names(), "peers", "jarvis"}
    if unknown:
        parser.error(f"no case is called {', '.join(sorted(unknown))}")
    return args


def about(ground: Ground, bench: Bench, rate: float, began: float) -> list[str]:
    """What the numbers were measured on."""
    host = ground.site
    engine = host.sh("docker version -f '{{.Server.Version}}'; docker compose version --short").split()
    shares = ", ".join(f"{kind} {value:.3g}" for kind, value in mix.rates(rate).items())
    out = [
        time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began)) + f", {(time.time() - began) / 60:.0f} minutes in all",
        f"{os.cpu_count()} cores for host, load and controller together, {platform.machine()}, "
        f"Docker {engine[0]}, Compose {engine[1]}",
        f"{rate:g} requests/s: {shares}; WebSockets {mix.SESSIONS_PER_S:g} visits/s of {mix.MESSAGES} messages and "
        f"{mix.LONG_LIVED} connections that stay",
    ]
    if not bench.deployer.engine:
        out.append("playbooks/deploy.yml is not in this tree: site.yml, which recreates containers, stood in for it")
    return out


def run(args: argparse.Namespace) -> int:
    began = time.time()
    ground = Ground()
    if args.no_site:
        ground.write_inventories()
    else:
        ground.up(args.fresh)
    say(f"the host is up after {time.time() - began:.0f} s")
    if args.prepare:
        return 0
    bench = Bench(ground, OUT, args.rate)
    found = bench.host.containers()
    if found:
        bench.version = next((one.version for one in found if one.service == "web"), bench.version)
    peers: list[Case] = []
    jarvis: Case | None = None
    chosen = args.only or (SHORT_CASES if args.short else [*names(), "peers", "jarvis"])
    if args.short and not args.only:
        chosen = [*chosen, "peers"]
    for name in chosen:
        try:
            if name == "peers":
                both = Peers(ground.lab, REGISTRY)
                peers += [both.case(peer, 1 if args.short else 3, args.rate, OUT) for peer in SCRIPTS]
            elif name == "jarvis":
                jarvis = compare(ground, 1 if args.short else 3)
            else:
                call(bench, name, args.short)
        except LabError as problem:  # one broken case does not take the others' numbers with it
            broken = Case(name, "the case itself broke off")
            broken.problems.append(str(problem)[:800])
            bench.done.append(broken)
            say(f"{name}: {problem}")
    result = totals(bench.done, peers, jarvis)
    every = [*bench.done, *peers, *([jarvis] if jarvis else [])]
    page = write(OUT, every, result, about(ground, bench, args.rate, began))
    (OUT / "result.json").write_text(json.dumps(result, indent=1))
    shown = look(page)
    say(f"report: {page.relative_to(PROJECT)}; whole run {time.time() - began:.0f} s")
    print(json.dumps(result))
    return int(not shown or not all(case.good for case in bench.done) or bool(jarvis and jarvis.problems))


def look(page: Path) -> bool:
    """Open the page in headless Chromium where there is one; light.png and dark.png beside it."""
    try:
        from .screenshot import shoot
    except ImportError as missing:
        say(f"the page was not looked at: {missing}")
        return True
    try:
        shoot(page, page.parent)
    except AssertionError as problem:
        say(f"the page is not as it should be: {problem}")
        return False
    return True


def main() -> int:
    try:
        return run(arguments())
    except LabError as problem:
        say(str(problem))
        return 1


if __name__ == "__main__":
    sys.exit(main())
