# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``landfall``: the one program on the host."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ..clients.docker import DockerError
from ..clients.files import MOVES
from ..clients.sbom import SYFT
from ..compose.values import seconds
from .wrong import Wrong

ROOT = "/opt/landfall"
EDGE = "/etc/landfall/edge"


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
    drained = verbs.add_parser("drain", help="stop all stacks of this host in order; back: landfall recover")
    drained.add_argument("--at-shutdown", action="store_true", help="only while the host goes down; systemd's way")
    again = verbs.add_parser("reboot", help="drain this host, then reboot it")
    again.add_argument("--if-required", action="store_true", help="only when an upgrade asks for it")
    for one in (drained, again):
        one.add_argument("--check", action="store_true", help="only say what would be stopped")
        one.add_argument(
            "--within", type=_duration, default=3600.0, help="wait for what works here, and drain, that long (1h)"
        )
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


def _duration(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


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
        # Only now: what they need takes longer to import than a backup's own parts.
        from . import drain, stacks

        verbs = {"drain": drain.drain, "reboot": drain.reboot, **stacks.VERBS}
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
