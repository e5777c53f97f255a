"""Stands in for get-pip.py where only the package index can be reached: runs pip out of its own wheel.

ansible-test fetches get-pip.py from a server of its own; scripts/prepare_ansible_test.py puts this file into the
place where it looks first, with the wheel that `pip download` brought beside it.
"""

import glob
import os
import re
import runpy
import sys


def main():
    here = os.path.dirname(os.path.abspath(os.environ["GET_PIP"]))
    version = re.search(r"get_pip_([0-9_]+)\.py$", os.environ["GET_PIP"]).group(1).replace("_", ".")
    wheel = glob.glob(os.path.join(here, "wheels", f"pip-{version}-*.whl"))[0]
    args = [arg for arg in sys.argv[1:] if arg not in ("--no-setuptools", "--no-wheel")]
    if not any(arg.startswith("pip") for arg in args):
        args.append("pip==" + version)
    sys.path.insert(0, wheel)
    sys.argv = ["pip", "install", *args]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


main()
