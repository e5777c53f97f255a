# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``landfall``: the one program on the host."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from ..clients import drain as drain_client
from ..clients import lockout as lockout_client
from ..clients import sbom as sbom_client
from ..clients.docker import DockerCli, DockerError
from ..clients.files import MOVES, StackBusy, StackDir, stacks
from ..clients.process import base_env, runner
from ..clients.sbom import SYFT
from ..hardening import lockout
from ..rollout import sbom
from ..rollout.journal import line
from . import drain, gather, status

ROOT = "/opt/landfall"
EDGE = "/etc/landfall/edge"


class Wrong(Exception):
    """What cannot be done, and what to do instead."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="landfall", description="the stacks of this host")
    top.add_argument("--root", default=ROOT, help=f"where stacks live ({ROOT})")
    top.add_argument("--edge", default=EDGE, help=f"where the edge's files live ({EDGE})")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="verb")
    show = verbs.add_parser("status", help="stacks, releases, services, routes, certificates")
    show.add_argument("--json", action="store_true", help="for programs")
    history = verbs.add_parser("releases", help="the releases of a stack")
    history.add_argument("stack")
    logs = verbs.add_parser("logs", help="what the containers of a stack print")
    logs.add_argument("stack")
    logs.add_argument("service", nargs="?")
    logs.add_argument("--tail", type=int, default=100, help="lines of each container (100)")
    logs.add_argument("--follow", action="store_true", help="go on as lines come")
    watch = verbs.add_parser("watch", help="the steps of a rollout as they are taken")
    watch.add_argument("stack")
    drawn = verbs.add_parser("timeline", help="a rollout as a page: what was done when (HTML on standard output)")
    drawn.add_argument("stack")
    drawn.add_argument("release", nargs="?", default="", help="the newest one, when not given")
    back = verbs.add_parser("rollback", help="bring the release before back, or a kept one")
    back.add_argument("stack")
    back.add_argument("release", nargs="?", default="", help="see: landfall releases STACK")
    recover = verbs.add_parser("recover", help="undo what a power cut or a drain interrupted; systemd runs it at boot")
    recover.add_argument("stack", nargs="?", default="", help="all, when not given")
    recover.add_argument("--drained", action="store_true", help="only start what a drain stopped")
    drain.arguments(verbs)
    flag = verbs.add_parser("maintenance", help="show a maintenance page instead of the stack")
    flag.add_argument("state", choices=("on", "off"))
    flag.add_argument("stack")
    bills = verbs.add_parser("sbom", help="what is in the images of a stack: a bill of materials of each (CycloneDX)")
    bills.add_argument("stack")
    bills.add_argument("--syft", default=SYFT, help=f"the scanner ({SYFT})")
    moved = verbs.add_parser("migrate", help="how far the move of a stack's data is")
    moved.add_argument("action", choices=("status",))
    moved.add_argument("stack", nargs="?", default="", help="all, when not given")
    moved.add_argument("--directory", default=MOVES, help=f"where moves keep their state ({MOVES})")
    moved.add_argument("--json", action="store_true", help="for programs")
    for name, text in (
        ("certificates", "list or renew certificates"),
        ("edge", "nginx of this host"),
        ("backup", "take, list, verify, prune and restore backups"),
    ):
        verbs.add_parser(name, help=text, add_help=False)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. 0: done and well; 1: not well, or it could not be done; 2: a wrong call."""
    args, rest = parser().parse_known_args(argv)
    if rest and args.verb not in ("certificates", "edge", "backup"):
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if args.verb == "certificates":
            from ..edge.certs_cli import main as certificates

            return certificates(rest)
        if args.verb == "edge":
            from ..edge.edge_cli import main as edge

            return edge(rest)
        if args.verb == "backup":
            from .backup import main as backup

            return backup(rest, args.root)
        verbs = {"status": _status, "releases": _releases, "logs": _logs, "maintenance": _maintenance}
        verbs |= {"watch": _watch, "timeline": _timeline, "rollback": _rollback, "recover": _recover}
        verbs |= {"migrate": _migrate, "sbom": _sbom, "drain": drain.drain, "reboot": drain.reboot}
        return verbs[args.verb](args)
    except Wrong as problem:
        print(f"landfall {args.verb}: {problem}", file=sys.stderr)
    except PermissionError as problem:
        print(f"landfall {args.verb}: {problem.filename}: permission denied; run it with sudo", file=sys.stderr)
    except DockerError as problem:
        print(f"landfall {args.verb}: Docker: {problem}; is the docker service running?", file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 1


def _known(args: argparse.Namespace) -> str:
    names = stacks(args.root)
    if args.stack not in names:
        there = f"here are: {', '.join(names)}" if names else "no stack is deployed here"
        raise Wrong(f"there is no stack {args.stack!r}; {there}")
    return str(args.stack)


def _status(args: argparse.Namespace) -> int:
    found = gather.gather(args.root, args.edge, DockerCli(runner(60.0)))
    certificates = gather.certificates(args.edge)
    rows = [status.summarise(stack, certificates, time.time()) for stack in found]
    host = lockout.status_lines(lockout_client.manifest(), lockout_client.report()) + drain_client.status_lines()
    if args.json:
        print(json.dumps(status.to_dict(rows, host), indent=2, sort_keys=True))
    else:
        print("\n".join(status.render(rows, host)))
    return 1 if host or any(row.problems for row in rows) else 0


def _releases(args: argparse.Namespace) -> int:
    store = StackDir(args.root, _known(args))
    current = store.current()
    lines: list[tuple[str, ...]] = [("", "RELEASE", "OUTCOME", "VERSION", "COMMIT", "WHO", "WHY")]
    for one in reversed(store.releases()):
        mark = "*" if one.id == current else ""
        lines.append((mark, one.id, one.outcome, one.version, one.commit, one.who, one.why))
    print("\n".join(status.columns(lines)))
    return 0


def _logs(args: argparse.Namespace) -> int:
    argv = ["docker", "compose", "--project-name", _known(args), "logs", "--tail", str(args.tail)]
    argv += ["--follow"] if args.follow else []
    argv += [args.service] if args.service else []
    try:
        return subprocess.run(argv, env=base_env(), check=False).returncode
    except KeyboardInterrupt:
        return 0
    except FileNotFoundError as problem:
        raise Wrong("docker is not installed on this host") from problem


def _watch(args: argparse.Namespace) -> int:
    store = StackDir(args.root, _known(args))
    shown = len(store.journal())
    # Of a rollout that goes on, what it did so far too.
    if store.holder():
        entries = store.journal()
        shown = next((at for at, one in enumerate(entries) if one.release == entries[-1].release), shown)
    else:
        print(f"nobody works on {args.stack}; waiting for a rollout, end with Ctrl-C")
    try:
        while True:
            entries = store.journal()
            for one in entries[shown:]:
                print(line(one), flush=True)
            ended = shown < len(entries) and not store.holder()
            shown = len(entries)
            if ended:
                return 0
            time.sleep(0.3)
    except KeyboardInterrupt:
        return 0


def _timeline(args: argparse.Namespace) -> int:
    from ..rollout.timeline_page import page

    store = StackDir(args.root, _known(args))
    releases = store.releases()
    found = next((one for one in reversed(releases) if args.release in ("", one.id)), None)
    if found is None:
        raise Wrong(
            f"there is no release {args.release!r}; here are: {', '.join(one.id for one in releases) or 'none'}"
        )
    try:
        report = json.loads(store.read(found.id, "report.json"))
    except (OSError, ValueError):
        report = {}
    print(page(found, report, store.journal()), end="")
    return 0


def _rollback(args: argparse.Namespace) -> int:
    from ..clients.host import back
    from ..rollout.plan import Refused
    from ..rollout.run import DeployFailed

    try:
        result = back(args.root, os.path.join(args.edge, "stacks"), _known(args), args.release)
    except (DeployFailed, Refused, StackBusy) as problem:
        raise Wrong(str(problem)) from problem
    if not result["changed"]:
        print(f"{args.stack} runs release {result['release']} already")
    else:
        print("\n".join([*result["plan"], f"{args.stack} runs release {result['release']} again"]))
    return 0


def _recover(args: argparse.Namespace) -> int:
    from ..clients.host import recover
    from ..rollout.plan import Refused
    from ..rollout.run import DeployFailed

    well = True
    if not args.stack:
        well = drain.bring_back(args)
    if args.drained:
        return 0 if well else 1
    for name in [_known(args)] if args.stack else stacks(args.root):
        try:
            said = recover(args.root, os.path.join(args.edge, "stacks"), name)
        except (DeployFailed, Refused, StackBusy) as problem:
            well, said = False, str(problem)
        print(f"{name}: {said}", flush=True)
    return 0 if well else 1


def _maintenance(args: argparse.Namespace) -> int:
    path = gather.flag(args.edge, _known(args))
    if args.state == "on":
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "a", encoding="utf-8"):
            pass
    elif os.path.exists(path):
        os.unlink(path)
    print(f"maintenance is {args.state} for {args.stack}")
    return 0


def _sbom(args: argparse.Namespace) -> int:
    try:
        bills, made = sbom_client.make(StackDir(args.root, _known(args)), runner(900.0), args.syft)
    except sbom_client.NoBill as problem:
        raise Wrong(str(problem)) from problem
    print("\n".join([*status.columns(sbom.rows(bills)), f"{made} made now"]))
    return 0


def _migrate(args: argparse.Namespace) -> int:
    from ..migration.move_state import lines

    found = gather.moves(args.directory)
    if args.stack and args.stack not in found:
        raise Wrong(f"no data of {args.stack!r} has been moved; here are: {', '.join(found) or 'none'}")
    chosen = {name: one for name, one in found.items() if args.stack in ("", name)}
    if args.json:
        print(json.dumps(chosen, indent=2, sort_keys=True))
    else:
        for name, one in chosen.items():
            print("\n".join(lines(name, one["state"], one["progress"], time.time())))
    return 0
