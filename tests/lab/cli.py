"""`python3 -m lab …` (with tests/ on PYTHONPATH): services, publish, apt-repo, host, reboot, remove, down, images."""

from __future__ import annotations

import argparse

from . import apt_repo, images
from .lab import OCTETS, Lab
from .publish import stand_ins
from .shell import LabError, say


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    parser.add_argument("--lab", default="demo", choices=list(OCTETS))
    sub = parser.add_subparsers(dest="verb", required=True)
    for verb in ("services", "down", "ca", "publish", "apt-repo"):
        sub.add_parser(verb)
    host = sub.add_parser("host")
    host.add_argument("name")
    host.add_argument("--image", default="landfall-lab/host:trixie")
    host.add_argument("--last", type=int, default=10)
    host.add_argument("--publish", action="store_true")
    for verb in ("reboot", "remove"):
        sub.add_parser(verb).add_argument("name")
    build = sub.add_parser("images")
    build.add_argument("tags", nargs="*")
    args = parser.parse_args(argv)
    lab = Lab(args.lab)
    try:
        if args.verb == "services":
            lab.services()
        elif args.verb == "host":
            lab.services()  # the hosts ask its DNS server
            print(lab.host(args.name, args.image, args.last, args.publish))
        elif args.verb == "publish":
            lab.services()
            stand_ins(lab)
        elif args.verb == "apt-repo":
            lab.services()  # the hosts find it by the lab's DNS
            print(apt_repo.serve(lab))
        elif args.verb == "reboot":
            lab.reboot(args.name)
        elif args.verb == "remove":
            lab.remove_host(args.name)
        elif args.verb == "images":
            images.ensure(*(args.tags or images.recipes()))
        elif args.verb == "ca":
            print(lab.acme_root() or "")
        else:
            lab.down()
    except LabError as problem:
        say(str(problem))
        return 1
    return 0
