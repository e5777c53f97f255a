# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``landfall drain`` and ``landfall reboot``: all stacks of a host stopped in order, before it goes down."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from types import FrameType

from ..clients.docker import DockerError
from ..clients.drain import UNIT, Drain, NotDrained, hold, locks, stack_locks
from ..clients.process import runner

#: Seconds until a reboot that was asked for has come, or will not come any more.
REBOOTS = 300.0
#: While the host goes down on somebody's word: for those who still work on a stack, and for the edge's requests.
HURRY = 30.0


class Interrupted(Exception):
    """A signal."""


def _ground(args: argparse.Namespace) -> Drain:
    return Drain(args.root, args.edge, runner(60.0), runner(None), lambda line: print(line, flush=True))


def _caught(number: int, _frame: FrameType | None) -> None:
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise Interrupted(f"ended by {signal.Signals(number).name}")


def _listen() -> None:
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, _caught)


def drain(args: argparse.Namespace) -> int:
    """Stop everything; nothing is rebooted."""
    ground = _ground(args)
    if args.at_shutdown:
        return _at_shutdown(args, ground) if ground.stopping() else 0
    return _drained(args, ground, "")


def reboot(args: argparse.Namespace) -> int:
    """Stop everything, and reboot. What cannot be done is undone, and told by `landfall status`."""
    ground = _ground(args)
    due = ground.due()
    if args.if_required and not due:
        ground.settle()
        print("no reboot is due")
        return 0
    print(f"a reboot is due: {due}" if due else "no upgrade asks for a reboot", flush=True)
    return _drained(args, ground, due or "asked for")


def _drained(args: argparse.Namespace, ground: Drain, due: str) -> int:
    """:param due: why there is a reboot afterwards, "" for none"""
    try:
        if due and not ground.brought_back():
            print(f"{UNIT} is not enabled: nothing is drained, Docker stops and starts the containers", flush=True)
            if not args.check:
                with hold(locks(args.root, args.edge), args.within):
                    _reboot(ground)
            return 0
        plan = ground.plan()
        if args.check:
            print("\n".join([*plan.lines(), f"{plan.longest:.0f} s at most"]))
            return 0
        patience = args.within - plan.longest
        if patience < 0:
            raise NotDrained(
                f"the containers may take {plan.longest:.0f} s to end by their grace periods, more than the "
                f"{args.within:.0f} s there are (--within, hardening_unattended_upgrades_reboot_window)"
            )
        _listen()
        with ground.alone(), hold(locks(args.root, args.edge), patience):
            # Anew: who was waited for has left other containers.
            ground.stop(ground.plan())
            if due:
                _reboot(ground)
        return 0
    except (NotDrained, DockerError, Interrupted) as problem:
        if ground.stopping():
            return 0
        print(f"landfall {args.verb}: {problem}", file=sys.stderr, flush=True)
        if due:
            ground.refuse(due, str(problem))
        bring_back(args)
    return 1


def _reboot(ground: Drain) -> None:
    """Ends by the signal of the shutdown. :raises NotDrained: it does not come"""
    print("rebooting", flush=True)
    rc, _, err = runner(60.0)(["systemctl", "reboot"], "/", {})
    if rc:
        raise NotDrained(f"systemctl reboot: {err.strip()}")
    until = time.monotonic() + REBOOTS
    while time.monotonic() < until:
        time.sleep(1)
    raise NotDrained(f"the reboot did not come within {REBOOTS:.0f} s")


def _at_shutdown(args: argparse.Namespace, ground: Drain) -> int:
    """Somebody's reboot cannot be refused: who works on a stack gets a moment, and what is left is stopped in order."""
    if not ground.brought_back():
        return 0
    try:
        with ground.alone(), contextlib.ExitStack() as stack:
            try:
                stack.enter_context(hold(stack_locks(args.root), HURRY, poll=0.5))
            except NotDrained as problem:
                print(f"{problem}; stopping it", flush=True)
            ground.stop(ground.plan(edge_most=HURRY))
        return 0
    except (NotDrained, DockerError) as problem:
        print(f"landfall drain: {problem}", file=sys.stderr, flush=True)
        return 1


def bring_back(args: argparse.Namespace) -> bool:
    """Start what a drain stopped, unless the host is on its way down. :returns: whether all runs that should"""
    ground = _ground(args)
    if ground.kept() is None or ground.stopping():
        return True
    try:
        with ground.alone(), hold(stack_locks(args.root), 60.0, poll=0.5):
            started = ground.bring_back()
    except (NotDrained, DockerError) as problem:
        print(f"what a drain stopped cannot be started: {problem}", file=sys.stderr, flush=True)
        return False
    print(f"brought back after a drain: {', '.join(started) or 'all ran already'}", flush=True)
    return True
