"""How long site.yml takes: first run on a bare host, second run without changes, beside a round of `ansible -m ping`.

The last line is one JSON object: first_s, second_s, second_changed, tasks, ratio_to_ping.
LANDFALL_BENCH_LAB: the lab whose host is made anew for it (bench).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import images
from lab.lab import PROJECT, Lab
from lab.publish import jarvis, stand_ins
from lab.site import Site


def main() -> int:
    lab = Lab(os.environ.get("LANDFALL_BENCH_LAB", "bench"))
    images.ensure(*images.recipes())
    lab.services()
    stand_ins(lab)
    jarvis(lab)
    lab.remove_host("host")
    lab.host(publish=True)
    site = Site(lab)
    site.write_inventory()
    print("converge: first run, a bare host", file=sys.stderr)
    first = site.play("site.yml")
    if first.rc:
        print(first.output[-3000:], file=sys.stderr)
        return 1
    pings, seconds, last = [], [], first
    for turn in range(3):
        print(f"converge: run {turn + 2}, nothing to do", file=sys.stderr)
        began = time.monotonic()
        subprocess.run(
            [
                str(Path(sys.executable).parent / "ansible"),
                "landfall",
                "-m",
                "ansible.builtin.ping",
                "-i",
                str(site.inventory / "hosts.json"),
            ],
            cwd=PROJECT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        pings.append(time.monotonic() - began)
        last = site.play("site.yml")
        if last.rc:
            print(last.output[-3000:], file=sys.stderr)
            return 1
        seconds.append(last.seconds)
    second = statistics.median(seconds)
    print(
        json.dumps(
            {
                "first_s": round(first.seconds, 1),
                "second_s": round(second, 1),
                "second_changed": last.total("changed"),
                "tasks": last.total("ok"),
                "ratio_to_ping": round(second / statistics.median(pings), 1),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
