"""The migration of a release: half a second of work, or, in the version broken on purpose, a failure."""

import os
import sys
import time

print(f"bench: migrating for {os.environ.get('VERSION')}")
time.sleep(0.5)
if os.environ.get("BROKEN") == "migration":
    print('bench: relation "orders" does not exist (this migration fails on purpose)', file=sys.stderr)
    sys.exit(1)
