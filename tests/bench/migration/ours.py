"""One migration by this project, as a process of its own: ours.py PATH DSN VERIFY JSON_TYPE → JSON on stdout."""

from __future__ import annotations

import json
import sys
import time

from ansible_collections.landfall.stack.plugins.module_utils.clients import migrate, migration_plan
from ansible_collections.landfall.stack.plugins.module_utils.migration.options import options


def main() -> None:
    path, dsn, verify, json_type = sys.argv[1:5]
    began = time.monotonic()
    plan, _notes = migration_plan.make([path], options({"json_type": json_type}))
    planned = time.monotonic() - began
    result = migrate.migrate(plan, dsn, migrate.Settings(verify=verify))
    keys = ("timings", "seconds", "rows", "peak_rss_bytes")
    sys.stdout.write(json.dumps({"plan_s": round(planned, 3), **{key: result[key] for key in keys}}))


if __name__ == "__main__":
    main()
