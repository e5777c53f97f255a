# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``landfall certificates``: what the timer runs, and what an operator reads."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from ansible_collections.landfall.stack.plugins.module_utils.clients.certbot import CertificateError, load
from ansible_collections.landfall.stack.plugins.module_utils.edge.certificates import render_list

#: After a failed try the timer leaves a certificate alone for this long: CAs count failures (Let's Encrypt: 5 an hour).
BACK_OFF_S = 3600
FAILURES = Path("/var/lib/landfall/certificates-failed.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit status is 0, or 1 when a certificate could not be had, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="landfall certificates", description="the edge's certificates")
    parser.add_argument("verb", choices=("list", "renew"))
    parser.add_argument("--force", action="store_true", help="renew what is not due, too, and ignore the back-off")
    parser.add_argument("--config", default="/etc/landfall/certificates.json")
    args = parser.parse_args(argv)
    try:
        certificates, wanted = load(args.config)
        steps = certificates.plan(wanted, datetime.now(timezone.utc))
        if args.verb == "list":
            print("\n".join(render_list([(s.wanted.name, certificates.observe(s.wanted), s) for s in steps])))
            return 0
    except (CertificateError, ValueError) as problem:
        print(f"landfall certificates: {problem}", file=sys.stderr)
        return 1
    failed = _failures()
    status, changed = 0, False
    for step in steps:
        name = step.wanted.name
        if step.action == "keep" and not args.force:
            continue
        if not args.force and time.time() - failed.get(name, 0) < BACK_OFF_S:
            print(f"{name}: left alone, the last try failed less than an hour ago")
            continue
        print(f"{name}: {step.action}, {step.reason}", flush=True)
        try:
            certificates.obtain(step.wanted)
            changed = True
            failed.pop(name, None)
            print(f"{name}: done")
        except CertificateError as problem:
            failed[name] = time.time()
            status = 1
            print(f"landfall certificates: {problem}", file=sys.stderr)
    if changed:
        try:
            certificates.reload()
        except CertificateError as problem:
            status = 1
            print(f"landfall certificates: {problem}", file=sys.stderr)
    FAILURES.parent.mkdir(parents=True, exist_ok=True)
    FAILURES.write_text(json.dumps(failed), encoding="utf-8")
    return status


def _failures() -> dict[str, float]:
    try:
        return {str(k): float(v) for k, v in json.loads(FAILURES.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError):
        return {}
