"""The migration: says who it is, takes its time, and fails in the version that is made so."""

import os
import sys
import time

print(f"shop: migrating to {os.environ['VERSION']}", flush=True)
time.sleep(float(os.environ.get("MIGRATION_S", "0.3")))
if os.environ["VERSION"].endswith("-migration"):
    print('shop: column "colour" already exists', file=sys.stderr)
    sys.exit(7)
