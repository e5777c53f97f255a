# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/stack-reference.md from the schema of ``x-landfall``. ``--check`` only says whether it is up to date."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "stack-reference.md"

sys.path.insert(0, str(ROOT / "plugins" / "module_utils"))
from compose.schema import SERVICE, STACK
from compose.values import resolve

INTRO = """\
# Stack reference: the keys of `x-landfall`

Generated from `plugins/module_utils/compose/schema.py` by `scripts/gen_stack_reference.py`; edit the schema.

A stack is a Compose project. What Compose cannot say stands in `x-landfall`, at the top of the file for the stack
and on a service for that service. Compose itself ignores these keys: the file runs on a laptop as it is.

```yaml
x-landfall:
  domains: [jarvis.example.com]
services:
  web-ui:
    image: ${REGISTRY}/jarvis-web:${VERSION}
    expose: ["9999"]
    x-landfall:
      route:
        - {path: /, port: 9999}
        - {path: /ws, port: 9999, protocol: websocket, drain: 5m}
```

- Variables (`${NAME}`, `${NAME:-default}`) are filled in here too, as everywhere in the file.
- With several files, mappings of `x-landfall` merge key by key; lists and single values of the later file take the
  place of the earlier ones. An overlay that gives `domains` or `route` gives all of them.
- Durations: `500ms`, `30s`, `5m`, `1h30m`, `1d`. Sizes: `512k`, `10m`, `1g`. Rates: `10r/s`, `300r/m`.
- `alerts` is validated now and acts later, so that a file written today stays good; all other keys act.
- What `backup` does, and how to restore: [backups.md](backups.md).
- What `rollout` and `hooks` do, and what is guaranteed: [rollouts.md](rollouts.md).
"""


def render() -> str:
    """The whole document."""
    parts = [INTRO]
    parts.append("## `x-landfall` of the stack\n\n" + _table(STACK, ""))
    for key, schema in SERVICE["properties"].items():
        parts.append(
            f"## `x-landfall.{key}` of a service\n\n{_resolved(schema)['description']}\n\n" + _table(schema, f"{key}.")
        )
    return "\n".join(parts)


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return resolve(schema, SERVICE["definitions"])


def _rows(schema: dict[str, Any], prefix: str) -> list[str]:
    schema = _mapping(schema)
    required = schema.get("required", [])
    out = []
    for key, raw in schema.get("properties", {}).items():
        item = _resolved(raw)
        inner = _mapping(item)
        must = " **Required.**" if key in required else ""
        cells = [
            f"`{prefix}{key}`",
            _kind(item),
            _code(item["default"]) if "default" in item else "",
            item["description"] + must,
        ]
        cells.append(_code(item["examples"][0]) if item.get("examples") and "properties" not in item else "")
        out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        out += _rows(inner, f"{prefix}{key}.") if inner.get("properties") else []
    return out


def _table(schema: dict[str, Any], prefix: str) -> str:
    head = ["| key | value | default | meaning | example |", "| --- | --- | --- | --- | --- |"]
    return "\n".join(head + _rows(schema, prefix)) + "\n"


def _mapping(schema: dict[str, Any]) -> dict[str, Any]:
    """The part of a schema that has properties: itself, or one of its alternatives."""
    options = [_resolved(option) for option in _resolved(schema).get("anyOf", [])]
    return next((one for one in [_resolved(schema), *options] if "properties" in one), {})


def _kind(item: dict[str, Any]) -> str:
    item = _resolved(item)
    if "anyOf" in item:
        return " or ".join(_kind(option) for option in item["anyOf"])
    if "const" in item:
        return _code(item["const"])
    if "enum" in item:
        return ", ".join(f"`{word}`" for word in item["enum"])
    if item["type"] == "array":
        return f"list of {_kind(item['items'])}"
    if item["type"] == "integer":
        low, high = item.get("minimum"), item.get("maximum")
        return f"integer {low}–{high}" if high is not None else f"integer ≥ {low}"
    return str(item.get("title") or {"string": "text", "object": "mapping"}.get(item["type"], item["type"]))


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`" if text else '`""`'


def main() -> int:
    text = render()
    if "--check" in sys.argv[1:]:
        if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
            return 0
        print(f"{TARGET.relative_to(ROOT)} is out of date; run scripts/gen_stack_reference.py", file=sys.stderr)
        return 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
