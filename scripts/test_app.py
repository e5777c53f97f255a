"""The example's own tests, in an environment of their own (the example pins other packages than the collection)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / "examples" / "jarvis" / "app"
VENV = ROOT / ".build" / "app-venv"


def main() -> int:
    wanted = [APP / "requirements.txt", APP / "requirements-dev.txt"]
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in wanted)).hexdigest()
    done = VENV / ".done"
    if not done.exists() or done.read_text() != stamp:
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(VENV / "bin/pip"), "install", "-q", "--disable-pip-version-check", "-r", str(wanted[1])],
                       check=True)  # fmt: skip
        done.write_text(stamp)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHONPATH")}
    return subprocess.run([str(VENV / "bin/python"), "-m", "pytest", "-q"], cwd=APP, env=environment,
                          check=False).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
