# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of ``landfall`` that are about deployed stacks. Each: 0 done and well, 1 not well."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time

from ..clients import drain as drain_client
from ..clients import lockout as lockout_client
from ..clients import sbom as sbom_client
from ..clients.docker import DockerCli
from ..clients.files import StackBusy, StackDir, stacks
from ..clients.process import base_env, runner
from ..hardening import lockout
from ..rollout import sbom as bills_of
from ..rollout.journal import line
from . import drain, gather
from . import status as shown_as
from .wrong import Wrong


def _known(args: argparse.Namespace) -> str:
    names = stacks(args.root)
    if args.stack not in names:
        there = f"here are: {', '.join(names)}" if names else "no stack is deployed here"
        raise Wrong(f"there is no stack {args.stack!r}; {there}")
    return str(args.stack)


def status(args: argparse.Namespace) -> int:
    """Stacks, releases, services, routes, certificates, and what of the host is not as it should be."""
    found = gather.gather(args.root, args.edge, DockerCli(runner(60.0)))
    certificates = gather.certificates(args.edge)
    rows = [shown_as.summarise(stack, certificates, time.time()) for stack in found]
    host = lockout.status_lines(lockout_client.manifest(), lockout_client.report()) + drain_client.status_lines()
    if args.json:
        print(json.dumps(shown_as.to_dict(rows, host), indent=2, sort_keys=True))
    else:
        print("\n".join(shown_as.render(rows, host)))
    return 1 if host or any(row.problems for row in rows) else 0


def releases(args: argparse.Namespace) -> int:
    """The releases of a stack, newest first."""
    store = StackDir(args.root, _known(args))
    current = store.current()
    lines: list[tuple[str, ...]] = [("", "RELEASE", "OUTCOME", "VERSION", "COMMIT", "WHO", "WHY")]
    for one in reversed(store.releases()):
        mark = "*" if one.id == current else ""
        lines.append((mark, one.id, one.outcome, one.version, one.commit, one.who, one.why))
    print("\n".join(shown_as.columns(lines)))
    return 0


def logs(args: argparse.Namespace) -> int:
    """What the containers of a stack print, by Compose."""
    argv = ["docker", "compose", "--project-name", _known(args), "logs", "--tail", str(args.tail)]
    argv += ["--follow"] if args.follow else []
    argv += [args.service] if args.service else []
    try:
        return subprocess.run(argv, env=base_env(), check=False).returncode
    except KeyboardInterrupt:
        return 0
    except FileNotFoundError as problem:
        raise Wrong("docker is not installed on this host") from problem


def watch(args: argparse.Namespace) -> int:
    """The steps of a rollout as they are taken."""
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


def timeline(args: argparse.Namespace) -> int:
    """A rollout as a page."""
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


def rollback(args: argparse.Namespace) -> int:
    """A kept release back."""
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


def recover(args: argparse.Namespace) -> int:
    """What a drain stopped and a power cut interrupted."""
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


def maintenance(args: argparse.Namespace) -> int:
    """The flag that the edge looks for."""
    path = gather.flag(args.edge, _known(args))
    if args.state == "on":
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "a", encoding="utf-8"):
            pass
    elif os.path.exists(path):
        os.unlink(path)
    print(f"maintenance is {args.state} for {args.stack}")
    return 0


def sbom(args: argparse.Namespace) -> int:
    """What is in the images of a stack."""
    try:
        bills, made = sbom_client.make(StackDir(args.root, _known(args)), runner(900.0), args.syft)
    except sbom_client.NoBill as problem:
        raise Wrong(str(problem)) from problem
    print("\n".join([*shown_as.columns(bills_of.rows(bills)), f"{made} made now"]))
    return 0


def migrate(args: argparse.Namespace) -> int:
    """How far the moves of data are."""
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


VERBS = {
    "status": status,
    "releases": releases,
    "logs": logs,
    "watch": watch,
    "timeline": timeline,
    "rollback": rollback,
    "recover": recover,
    "maintenance": maintenance,
    "sbom": sbom,
    "migrate": migrate,
}
