"""A migration as a process of its own, which kills itself where it is told: python -m … JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from integration.migration import ground


def main() -> None:
    told = json.loads(sys.argv[1])

    def progress(state) -> None:
        if state.phase == told.get("phase") and state.rows >= told.get("rows", 0):
            os.kill(os.getpid(), signal.SIGKILL)

    made = ground.plan(Path(told["path"]), told["library"])
    settings = told.get("settings", {})
    result = ground.run(made, told["dsn"], told["library"], on_progress=progress, **settings)
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
