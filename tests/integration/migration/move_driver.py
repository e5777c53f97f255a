"""One step of a move as a process of its own, which kills itself where it is told: python -m … JSON.

``kill``: [module.function, "before" or "after", which call of it].
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import sys
from typing import Any

from ansible_collections.landfall.stack.plugins.module_utils.clients import move

UTILS = "ansible_collections.landfall.stack.plugins.module_utils"


def request(told: dict[str, Any]) -> move.Request:
    return move.Request(**{**told, "sources": tuple(told["sources"]), "registries": tuple(told.get("registries", ()))})


def arm(where: str, when: str, which: int) -> None:
    """Have a function, or a method as ``module.Class.method``, end the process."""
    path, _dot, name = where.rpartition(".")
    owner: Any = None
    if path.rpartition(".")[2][:1].isupper():
        path, _dot, kind = path.rpartition(".")
        owner = getattr(importlib.import_module(f"{UTILS}.{path}"), kind)
    owner = owner or importlib.import_module(f"{UTILS}.{path}")
    original, calls = getattr(owner, name), itertools.count(1)

    def deadly(*args: Any, **more: Any) -> Any:
        mine = next(calls) == which
        if mine and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **more)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)


def main() -> None:
    told = json.loads(sys.argv[1])
    if told.get("kill"):
        arm(*told["kill"])
    one = move.Move(request(told["request"]))
    with one.lock():
        result = getattr(one, told["step"])()
    sys.stdout.write(json.dumps(result, default=str))


if __name__ == "__main__":
    main()
