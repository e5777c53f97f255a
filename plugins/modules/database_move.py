#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move the data of a running stack from SQLite to PostgreSQL, and back, step by step."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_move
short_description: Move the data of a running stack from SQLite to PostgreSQL, and back
version_added: 0.1.0
description:
  - The steps of C(playbooks/migrate.yml). Between them the stack is deployed with the other database; the playbook
    joins both. See C(docs/migration.md) for the whole way.
  - At any moment one side takes writes, and the other refuses them. What one side is given is noted there, and brought
    to the other, so that nothing is lost on the way there or back.
  - Each step can be killed and run again, and does nothing when it is done.
author:
  - Landfall contributors (@landfall-stack)
requirements:
  - python3-psycopg 3.1 or newer on the host
  - PostgreSQL 13 or newer, with a database in UTF-8
attributes:
  check_mode:
    description: Returns the plan, or whether the step would be taken, and changes nothing.
    support: full
  diff_mode:
    description: Shows the plan, line by line.
    support: full
options:
  state:
    description:
      - V(planned) looks at every value and returns the plan.
      - V(loaded) makes a backup, loads, compares, and catches up with what was written since; the services go on.
      - V(cut_over) has SQLite refuse writes, brings the last of them, compares, and has PostgreSQL note what it is
        given.
      - V(brought_back) has PostgreSQL refuse writes, brings to SQLite what was noted, and has SQLite take writes
        again.
      - V(sealed) says that the services work where the data is, and writes the report.
      - V(finished) ends the noting; there is no way back any more.
    type: str
    choices: [planned, loaded, cut_over, brought_back, sealed, finished]
    required: true
  directory:
    description: Of this move; state, plan, progress, backups and report are kept in it.
    type: path
    required: true
  project:
    description: The Compose project that volumes belong to.
    type: str
    default: ""
  sources:
    description: The SQLite files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: On the host, or relative to O(sources[].volume).
        type: str
        required: true
      volume:
        description: The volume as the Compose file names it.
        type: str
        default: ""
  registries:
    description: JSON files whose records go into tables; they are loaded again at the cutover, and not brought back.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: On the host, or relative to O(registries[].volume).
        type: str
        required: true
      volume:
        description: The volume as the Compose file names it.
        type: str
        default: ""
      table:
        description: As in M(landfall.stack.json_to_postgres).
        type: str
        required: true
      records:
        description: As in M(landfall.stack.json_to_postgres).
        type: str
        default: ""
      schema:
        description: As in M(landfall.stack.json_to_postgres).
        type: str
        default: public
      key:
        description: As in M(landfall.stack.json_to_postgres).
        type: list
        elements: str
        default: []
      key_column:
        description: As in M(landfall.stack.json_to_postgres).
        type: str
        default: id
      document:
        description: As in M(landfall.stack.json_to_postgres).
        type: str
        default: ""
      columns:
        description: As in M(landfall.stack.json_to_postgres).
        type: dict
        default: {}
  dsn:
    description: The target as the host reaches it, as in M(landfall.stack.sqlite_to_postgres).
    type: str
    required: true
  options:
    description:
      - Options of M(landfall.stack.sqlite_to_postgres) that shape the tables, C(mode), C(schema), C(staging),
        C(include), C(exclude), C(tables), C(columns), C(conversions), C(nocase), C(json_type), C(foreign_keys),
        C(on_violation), C(on_existing), C(triggers) and C(analyze).
    type: dict
    default: {}
  verify:
    description:
      - What is compared at the cutover, while nobody writes. V(auto) is V(rows) up to 64 MB of SQLite, V(counts) above.
      - The load itself is always compared row by row.
    type: str
    choices: [auto, rows, counts, none]
    default: auto
  restart:
    description: Load anew, whatever was loaded before.
    type: bool
    default: false
  incomplete:
    description: With O(state=brought_back) leave behind in PostgreSQL what cannot go back, instead of refusing.
    type: bool
    default: false
  library:
    description: Python's library for SQLite. V(auto) is apsw where it is installed.
    type: str
    choices: [auto, apsw, sqlite3]
    default: auto
  lock_timeout:
    description: Seconds to wait for a lock on a source.
    type: float
    default: 30.0
"""

EXAMPLES = r"""
- name: Load what the stack has in its volume, while it goes on
  landfall.stack.database_move:
    state: loaded
    directory: /var/lib/landfall/migration/shop
    project: shop
    sources: [{volume: data, path: shop.db}]
    dsn: "{{ shop_dsn }}"
"""

RETURN = r"""
state:
  description: The move's state after the step, with C(state), C(serves), C(since), and what was measured.
  returned: always
  type: dict
plan:
  description: The plan in lines.
  returned: with state=planned, and in check mode before the load
  type: list
  elements: str
applied:
  description: Changes that were brought over since the load.
  returned: with state=loaded and state=cut_over
  type: int
seconds:
  description: Seconds that the step held or refused writes.
  returned: with state=cut_over and state=brought_back
  type: float
written:
  description: Rows that were brought back.
  returned: with state=brought_back
  type: int
deleted:
  description: Rows that were taken away in SQLite.
  returned: with state=brought_back
  type: int
left:
  description: What could not be brought back, with C(table), C(key) and C(reason).
  returned: with state=brought_back
  type: list
  elements: dict
registries:
  description: JSON files that differ from their tables now.
  returned: with state=brought_back
  type: list
  elements: str
result:
  description: What M(landfall.stack.sqlite_to_postgres) returns of a load.
  returned: with state=loaded
  type: dict
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.landfall.stack.plugins.module_utils.clients import json_target
from ansible_collections.landfall.stack.plugins.module_utils.clients.move import Move, Request
from ansible_collections.landfall.stack.plugins.module_utils.clients.process import runner
from ansible_collections.landfall.stack.plugins.module_utils.clients.sqlite_file import Refused
from ansible_collections.landfall.stack.plugins.module_utils.clients.volumes import host_path
from ansible_collections.landfall.stack.plugins.module_utils.migration import move_state, plan_lines
from ansible_collections.landfall.stack.plugins.module_utils.migration.problems import Stopped

try:
    import psycopg
except ImportError:
    psycopg = None
    PSYCOPG_ERROR = traceback.format_exc()
else:
    PSYCOPG_ERROR = None

PATH = {
    "path": {"type": "str", "required": True},
    "volume": {"type": "str", "default": ""},
}
REGISTRY = {
    **PATH,
    "table": {"type": "str", "required": True},
    "records": {"type": "str", "default": ""},
    "schema": {"type": "str", "default": "public"},
    "key": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "key_column": {"type": "str", "default": "id", "no_log": False},
    "document": {"type": "str", "default": ""},
    "columns": {"type": "dict", "default": {}},
}
STEPS = {
    "loaded": "load",
    "cut_over": "cut_over",
    "brought_back": "bring_back",
    "sealed": "seal",
    "finished": "finish",
}
ARGUMENTS = {
    "state": {"type": "str", "choices": ["planned", *STEPS], "required": True},
    "directory": {"type": "path", "required": True},
    "project": {"type": "str", "default": ""},
    "sources": {"type": "list", "elements": "dict", "required": True, "options": PATH},
    "registries": {"type": "list", "elements": "dict", "default": [], "options": REGISTRY},
    "dsn": {"type": "str", "required": True, "no_log": True},
    "options": {"type": "dict", "default": {}},
    "verify": {"type": "str", "choices": ["auto", "rows", "counts", "none"], "default": "auto"},
    "restart": {"type": "bool", "default": False},
    "incomplete": {"type": "bool", "default": False},
    "library": {"type": "str", "choices": ["auto", "apsw", "sqlite3"], "default": "auto"},
    "lock_timeout": {"type": "float", "default": 30.0},
}
SHAPE = ("schema", "staging", "include", "exclude", "tables", "columns", "conversions", "nocase", "json_type")
SETTINGS = ("on_violation", "on_existing", "triggers", "analyze")


def request_of(params: dict) -> Request:
    """What is moved; volumes are looked up. :raises Stopped: an option that is not known, a volume that is not there"""
    told, run = params["options"], runner(60.0)
    known = {*SHAPE, *SETTINGS, "foreign_keys", "mode"}
    if set(told) - known:
        raise Stopped(f"options: {', '.join(sorted(set(told) - known))}: there are {', '.join(sorted(known))}")
    if "analyze" in told:
        # A dictionary's values come as the inventory or -e has them, "no" among them.
        try:
            told = {**told, "analyze": boolean(told["analyze"])}
        except TypeError as problem:
            raise Stopped(f"options: analyze: {problem}") from problem
    registries = []
    for one in params["registries"]:
        rest = {name: one[name] for name in REGISTRY if name not in PATH}
        registries.append({"src": host_path(one, params["project"], run), **rest})
    return Request(
        directory=params["directory"],
        sources=tuple(host_path(one, params["project"], run) for one in params["sources"]),
        dsn=params["dsn"],
        registries=tuple(registries),
        options={name: told[name] for name in (*SHAPE, "foreign_keys", "on_violation") if name in told},
        settings={name: told[name] for name in SETTINGS if name in told},
        mode=told.get("mode", "create"),
        **{name: params[name] for name in ("verify", "restart", "incomplete", "library", "lock_timeout")},
    )


def run(module: AnsibleModule) -> dict:
    """Take the step, or say what it would be."""
    move, step = Move(request_of(module.params)), module.params["state"]
    state = move.state()
    if step == "planned" or module.check_mode:
        result = {"changed": step != "planned" and move_state.would(step, state["state"]), "state": state}
        if state["state"] in ("none", "preparing") and step in ("planned", "loaded"):
            plan = move.make_plan()
            result["plan"] = plan_lines.lines(plan, move.request.settings.get("analyze", True))
            if module._diff:
                result["diff"] = {"before": "", "after": "\n".join(result["plan"]) + "\n"}
        return result
    with move.lock():
        result = getattr(move, STEPS[step])()
    return {**result, "state": move.state()}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if psycopg is None and not (module.check_mode or module.params["state"] == "planned"):
        module.fail_json(msg=missing_required_lib("psycopg", reason="3.1 or newer"), exception=PSYCOPG_ERROR)
    try:
        result = run(module)
    except (Stopped, Refused, ValueError, json_target.Different) as problem:
        module.fail_json(msg=str(problem))
    except Exception as problem:
        if psycopg is None or not isinstance(problem, psycopg.Error):
            raise
        said = " ".join(str(problem.diag.message_primary or problem).split())
        module.fail_json(msg=f"PostgreSQL says: {said}. Correct that and run again", exception=traceback.format_exc())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
