"""``python -m trials.turn``: one deploy of the next good version on the tests' host; 0 when it stands.

``--until-well`` tries twice: what a trial left behind is found by the first run.
"""

from __future__ import annotations

import sys

from e2e.shop_ground import REPLICAS, Shop

from lab.lab import Lab


def main() -> int:
    lab = Lab("test")
    shop = Shop(lab, lab.state / "shop")
    problems: list[str] = []
    for _ in range(2 if "--until-well" in sys.argv else 1):
        version = shop.next()
        done = shop.deploy(version, check=False)
        print(done.output)
        problems = [] if done.rc == 0 else [f"the deploy ended with {done.rc}"]
        problems += shop.host.settle(version, REPLICAS, 20)
        if not problems:
            return 0
    print(problems)
    return 1


if __name__ == "__main__":
    sys.exit(main())
