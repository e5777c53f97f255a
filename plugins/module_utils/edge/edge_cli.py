# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``landfall edge``: what an operator and other programs on the host ask of the edge."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..clients.nginx import connect
from .engine import reload
from .errors import EdgeError
from .project import EdgeConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit status is 0, or 1 when the edge could not do it, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="landfall edge", description="nginx of this host")
    parser.add_argument("verb", choices=("plan", "apply", "reload", "status"))
    parser.add_argument("--config", default="/etc/landfall/edge/edge.json")
    args = parser.parse_args(argv)
    try:
        with open(args.config, encoding="utf-8") as file:
            config = EdgeConfig.from_json(file.read())
        edge, disk = connect(config)
        if args.verb == "status":
            print(f"runs {edge.docker.marker() or 'nothing'}, current is {disk.current() or 'nothing'}")
            return 0 if disk.current() and edge.docker.marker() == disk.current() else 1
        if args.verb == "plan":
            print("\n".join(map(str, edge.run(apply=False).actions)) or "nothing to do")
            return 0
        with disk.lock():
            if args.verb == "reload":
                reload(edge)
            else:
                print("\n".join(map(str, edge.run().actions)) or "nothing to do")
        return 0
    except FileNotFoundError:
        print(f"landfall edge: {args.config} is not there: no edge was set up here; run site.yml", file=sys.stderr)
    except EdgeError as problem:
        print(f"landfall edge: {problem}", file=sys.stderr)
    return 1
