"""Each role's meta/argument_specs.yml and defaults/main.yml agree: same names, same default values, described."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def problems(role: Path) -> list[str]:
    defaults_file, specs_file = role / "defaults" / "main.yml", role / "meta" / "argument_specs.yml"
    if not specs_file.exists():
        return [f"{role.name}: no meta/argument_specs.yml"]
    defaults = (yaml.safe_load(defaults_file.read_text()) if defaults_file.exists() else None) or {}
    specs = yaml.safe_load(specs_file.read_text())["argument_specs"]
    found = []
    main = specs.get("main", {}).get("options", {})
    for name in sorted(set(defaults) | set(main)):
        if not name.startswith(f"{role.name}_"):
            found.append(f"{role.name}: {name} does not begin with {role.name}_")
        if name not in main:
            found.append(f"{role.name}: {name} is in defaults, not in argument_specs")
        elif name not in defaults:
            if not main[name].get("required"):
                found.append(f"{role.name}: {name} is in argument_specs, not in defaults, and not required")
        elif main[name].get("default") != defaults[name]:
            found.append(
                f"{role.name}: {name} defaults to {defaults[name]!r}, its spec says {main[name].get('default')!r}"
            )
        if name in main and not main[name].get("description"):
            found.append(f"{role.name}: {name} has no description")
    for point in (role / "tasks").glob("*.yml"):
        if point.stem in specs and point.stem != "main" and not isinstance(specs[point.stem].get("options"), dict):
            found.append(f"{role.name}: the spec of {point.stem} has no options")
    return found


def main() -> int:
    found = [line for role in sorted((ROOT / "roles").iterdir()) if role.is_dir() for line in problems(role)]
    print("\n".join(found) if found else "argument specs: equal to the defaults in every role")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
