"""The module firewall beside a loop over community.general.ufw: 30 rules on a real host, turn and turn about.

Both start from an active UFW that lets SSH in; both must end with the same rules. A run is a whole `ansible-playbook`.
The last line is one JSON object: seconds (medians) of the first run and of the second, without changes, and the ratios.
LANDFALL_BENCH_LAB: the lab whose host is made anew for it (harden). LANDFALL_BENCH_ROUNDS: 3.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import images
from lab.lab import Lab
from lab.site import Site

RULES = [{"port": "22"}, *({"port": str(8000 + n)} for n in range(14))]
RULES += [{"port": str(9000 + n), "protocol": "udp"} for n in range(5)]
RULES += [{"port": "5432", "source": f"10.0.{n}.0/24"} for n in range(10)]
START = (
    "ufw --force reset >/dev/null 2>&1; rm -f /etc/ufw/*.20*; ufw allow 22/tcp comment landfall >/dev/null; "
    "ufw --force enable >/dev/null"
)
OURS = [{"name": "One task", "landfall.stack.firewall": {"rules": RULES}}]
LOOP = [
    {
        "name": "A loop",
        "community.general.ufw": {
            "rule": "allow",
            "to_port": "{{ item.port }}",
            "proto": "{{ item.protocol | default('tcp') }}",
            "from_ip": "{{ item.source | default('any') }}",
            "comment": "landfall",
        },
        "loop": RULES,
    },
]


def main() -> int:
    lab = Lab(os.environ.get("LANDFALL_BENCH_LAB", "harden"))
    images.ensure("landfall-lab/services:trixie", "landfall-lab/host:trixie")
    lab.services()
    lab.remove_host("host")
    lab.host()
    site = Site(lab)
    site.write_inventory()
    site.sh("apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends ufw")
    seconds: dict[str, list[float]] = {}
    for turn in range(int(os.environ.get("LANDFALL_BENCH_ROUNDS", "3"))):
        ends = set()
        for name, tasks in (("ours", OURS), ("loop", LOOP)) if turn % 2 == 0 else (("loop", LOOP), ("ours", OURS)):
            playbook = lab.state / f"{name}.yml"
            play = {"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}
            playbook.write_text(json.dumps([play]))
            site.sh(START)
            for which in ("first", "second"):
                run = site.play(str(playbook))
                if run.rc or (which == "second" and run.total("changed")):
                    print(run.output[-3000:], file=sys.stderr)
                    return 1
                print(f"firewall: {name}, {which} run: {run.seconds:.1f} s", file=sys.stderr)
                seconds.setdefault(f"{name}_{which}_s", []).append(run.seconds)
            ends.add("\n".join(sorted(site.sh("ufw show added").splitlines())))
        if len(ends) != 1:
            print("firewall: the two leave different rules:\n" + "\n---\n".join(ends), file=sys.stderr)
            return 1
    if not os.environ.get("LANDFALL_KEEP"):
        lab.down()
    result: dict[str, float] = {name: round(statistics.median(all_), 1) for name, all_ in seconds.items()}
    for which in ("first", "second"):
        result[f"ratio_{which}"] = round(result[f"loop_{which}_s"] / result[f"ours_{which}_s"], 1)
    print(json.dumps({"rules": len(RULES), **result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
