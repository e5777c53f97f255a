"""One migration by this project, as a process of its own: ours.py JSON → JSON on stdout.

The JSON: path, dsn, settings (of the migration), options (of the plan), plan (a file that keeps the plan, "" for none).
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from pathlib import Path

from ansible_collections.landfall.stack.plugins.module_utils.clients import migrate, migration_plan
from ansible_collections.landfall.stack.plugins.module_utils.migration.options import options


def main() -> None:
    told = json.loads(sys.argv[1])
    began = time.monotonic()
    kept = Path(told["plan"]) if told["plan"] else None
    if kept and kept.exists():
        plan = pickle.loads(kept.read_bytes())
    else:
        plan, _notes = migration_plan.make([told["path"]], options(told["options"]))
        if kept:
            kept.write_bytes(pickle.dumps(plan))
    planned = time.monotonic() - began
    result = migrate.migrate(plan, told["dsn"], migrate.Settings(**told["settings"]))
    keys = ("timings", "seconds", "rows", "quarantined", "peak_rss_bytes")
    sys.stdout.write(json.dumps({"plan_s": round(planned, 3), **{key: result[key] for key in keys}}))


if __name__ == "__main__":
    main()
