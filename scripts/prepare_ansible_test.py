"""Give ansible-test the pip it wants from the package index alone (see tests/lab/get_pip.py)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import ansible_test._internal.python_requirements as requirements

HERE = Path(__file__).resolve().parent
CACHE = Path("~/.ansible/test/cache").expanduser()


def main() -> None:
    source = Path(requirements.__file__).read_text(encoding="utf-8")
    for version in sorted(set(re.findall(r"pip='([0-9.]+)'", source))):
        script = CACHE / f"get_pip_{version.replace('.', '_')}.py"
        wheels = CACHE / "wheels"
        if script.exists() and list(wheels.glob(f"pip-{version}-*.whl")):
            continue
        wheels.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), f"pip=={version}"],
            check=True,
        )
        shutil.copy(HERE.parent / "tests" / "lab" / "get_pip.py", script)


if __name__ == "__main__":
    main()
