#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move SQLite databases into PostgreSQL, exactly."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_to_postgres
short_description: Move SQLite databases into PostgreSQL, exactly
version_added: 0.1.0
description:
  - Looks at every value of the SQLite files, plans a type for each column and says why, loads the tables into a staging
    schema beside what is there, builds keys, indexes and foreign keys, compares source and target row by row, and puts
    the tables in their place in one transaction. A failure leaves the target as it was.
  - The first value that does not fit its column ends the migration with table, column, row, storage class and bytes,
    and names the settings that would let it pass. Nothing is cut, rounded or dropped without a word.
  - The journal is in PostgreSQL and commits with the data. After a kill of the module, of PostgreSQL or of the host,
    run it again, and it goes on. A source or a plan that has changed since is refused.
  - A live source is read at one moment, by several processes too.
author:
  - Landfall contributors (@landfall-stack)
requirements:
  - python3-psycopg 3.1 or newer on the host; with python3-psycopg-c it is about three times faster
  - PostgreSQL 13 or newer, with a database in UTF-8
  - python3-apsw on the host is used when it is there, and is faster than Python's own sqlite3
attributes:
  check_mode:
    description: Returns the plan and changes nothing, as O(state=planned) does.
    support: full
  diff_mode:
    description: Shows the plan, line by line.
    support: full
options:
  src:
    description: SQLite files on the host. Tables of several files go into one schema.
    type: list
    elements: path
    required: true
  dsn:
    description:
      - The target, as C(postgresql://user:password@host:5432/database) or as libpq's C(key=value) words.
      - Not needed to plan with O(mode=create).
    type: str
    default: ""
  state:
    description: V(present) migrates, V(planned) returns the plan and changes nothing.
    type: str
    choices: [present, planned]
    default: present
  mode:
    description:
      - V(create) makes the tables.
      - V(existing) loads into the application's own tables, which its migrations (Alembic, Django, ...) have made;
        columns are matched by name, and their types are held to the data.
    type: str
    choices: [create, existing]
    default: create
  schema:
    description: Schema of PostgreSQL that the tables go to.
    type: str
    default: public
  staging:
    description: Schema that is loaded into first. It belongs to this module, and is dropped in the end.
    type: str
    default: landfall_staging
  include:
    description: Patterns of the tables to migrate. When not given, all.
    type: list
    elements: str
    default: []
  exclude:
    description: Patterns of tables to leave out.
    type: list
    elements: str
    default: []
  tables:
    description: New names of tables, SQLite's name to PostgreSQL's.
    type: dict
    default: {}
  columns:
    description:
      - What is said of single columns. Keys are C(table.column), values have C(type) (of PostgreSQL), C(conversion) (a
        name, or a list of names), C(name) (the new one) and C(exclude).
      - The conversions are listed in C(docs/migration-types.md).
    type: dict
    default: {}
  conversions:
    description: Conversions for all columns of a type of PostgreSQL, as in C({timestamptz - unix_s}).
    type: dict
    default: {}
  nocase:
    description:
      - What becomes of C(COLLATE NOCASE). V(lower) makes indexes over C(lower()), V(citext) columns of that type,
        V(plain) drops the collation, and says so.
    type: str
    choices: [lower, citext, plain]
    default: lower
  json_type:
    description: Type of columns declared JSON. V(json) keeps the text to the letter, V(jsonb) its meaning.
    type: str
    choices: [json, jsonb]
    default: json
  foreign_keys:
    description: V(fail) on rows whose parent is not there. V(unvalidated) keeps the key for new rows only.
    type: str
    choices: [fail, unvalidated]
    default: fail
  on_violation:
    description:
      - V(fail) ends at the first value that does not fit.
      - V(quarantine) puts such rows, whole and raw, into C(landfall_quarantine) in the staging schema, which is then
        kept. They are counted, and never as migrated.
    type: str
    choices: [fail, quarantine]
    default: fail
  on_existing:
    description:
      - Of tables that are there (with O(mode=existing), that have rows), V(refuse) stops before anything is done.
      - V(replace) lets the new tables, or rows, take their place in the last transaction.
      - V(append) adds the rows, with O(mode=existing) only.
    type: str
    choices: [refuse, replace, append]
    default: refuse
  triggers:
    description: Whether the application's own triggers fire while its tables are filled, with O(mode=existing).
    type: str
    choices: [disable, fire]
    default: disable
  verify:
    description: V(rows) compares every value, V(counts) the numbers of rows, V(none) nothing.
    type: str
    choices: [rows, counts, none]
    default: rows
  analyze:
    description:
      - Make the planner's statistics (C(ANALYZE)) before the tables are used, of the application's own tables within
        the last transaction.
      - With V(false) the planner knows nothing of the rows until autovacuum looks at the tables, and may choose slow
        plans until then. Run C(ANALYZE) in a quiet hour.
    type: bool
    default: true
  snapshot:
    description:
      - V(live) reads the file where it is. A database in WAL mode goes on being written meanwhile; with a rollback
        journal writers wait until the load has ended.
      - V(copy) makes a private copy first (SQLite's backup), with which a load goes on after a kill whatever is written
        meanwhile.
      - V(auto) is V(live) in WAL mode, and while no other process has the file open, and V(copy) otherwise.
    type: str
    choices: [auto, live, copy]
    default: auto
  work_dir:
    description: Where copies are made.
    type: path
    default: /var/lib/landfall/migration
  restart:
    description: Begin anew, and drop what an earlier run has loaded into the staging schema.
    type: bool
    default: false
  library:
    description: Python's library for SQLite. V(auto) is apsw where it is installed.
    type: str
    choices: [auto, apsw, sqlite3]
    default: auto
  processes:
    description: Processes that read and load. V(0) means two where there are processors for it, one for small files.
    type: int
    default: 0
  lock_timeout:
    description: Seconds to wait for a lock on a source.
    type: float
    default: 5.0
  progress_file:
    description: A JSON file that says how far it is, for C(landfall migrate status).
    type: path
  pause_file:
    description: While this file is there no more is begun; the task fails and says so, and the next run goes on.
    type: path
  report:
    description: Where to write the plan and the result as one HTML page, and beside it as JSON.
    type: path
"""

EXAMPLES = r"""
- name: What would be done
  landfall.stack.sqlite_to_postgres:
    src: [/srv/app/data/app.db]
    state: planned

- name: Move it
  landfall.stack.sqlite_to_postgres:
    src: [/srv/app/data/app.db]
    dsn: "postgresql://app:{{ vault_app_db_password | urlencode }}@127.0.0.1:5432/app"
    columns:
      users.created: {type: timestamptz, conversion: unix_s}
    report: /var/lib/landfall/migration/app.html

- name: Into the tables that the application's own migrations have made
  landfall.stack.sqlite_to_postgres:
    src: [/srv/app/data/app.db]
    dsn: "{{ app_dsn }}"
    mode: existing
    exclude: [alembic_version]
"""

RETURN = r"""
plan:
  description: The plan in lines, with type and reason of each column, what would not fit, and what is not carried over.
  returned: success, and failure when it was made
  type: list
  elements: str
plan_json:
  description: The plan as it is, with what was seen of each column.
  returned: with state=planned, and in check mode
  type: dict
digest:
  description: Digest of the plan. It changes with whatever changes what is made and loaded.
  returned: when planned
  type: str
violations:
  description: What does not fit, each with C(where), C(reason), C(count), C(rowids) and C(remedies).
  returned: when planned
  type: list
  elements: dict
notes:
  description: What was met while the application's tables were matched.
  returned: when planned
  type: list
  elements: str
tables:
  description:
    - For each table C(table), C(target), C(rows) migrated, C(quarantined), C(source_rows), C(verified) (how),
      C(source_hash) and C(target_hash), C(differ), and C(named) rows that do.
  returned: when migrated, and when the verification failed
  type: list
  elements: dict
rows:
  description: Rows migrated.
  returned: when migrated
  type: int
quarantined:
  description: Rows in quarantine.
  returned: when migrated
  type: int
analyzed:
  description: Whether the planner's statistics were made.
  returned: when migrated
  type: bool
resumed:
  description: Whether an earlier run was gone on with.
  returned: when migrated
  type: bool
timings:
  description: Seconds of the phases.
  returned: when migrated
  type: dict
seconds:
  description: Seconds in all.
  returned: when migrated
  type: float
peak_rss_bytes:
  description: Peak memory of all processes, in bytes; what they share is counted in each.
  returned: when migrated
  type: int
misfit:
  description: What does not fit, with C(table), C(column), C(key), C(storage_class), C(hex), C(size), C(reason).
  returned: when a value met during the load does not fit
  type: dict
"""

import traceback
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.landfall.stack.plugins.module_utils.clients import migrate, migration_plan
from ansible_collections.landfall.stack.plugins.module_utils.clients.migration_report import write_report
from ansible_collections.landfall.stack.plugins.module_utils.clients.sqlite_file import Refused
from ansible_collections.landfall.stack.plugins.module_utils.migration import plan_lines, planner
from ansible_collections.landfall.stack.plugins.module_utils.migration.options import options
from ansible_collections.landfall.stack.plugins.module_utils.migration.problems import (
    Stopped,
    ValueMisfit,
    VerifyFailed,
)

try:
    import psycopg
except ImportError:
    psycopg = None
    PSYCOPG_ERROR = traceback.format_exc()
else:
    PSYCOPG_ERROR = None

ARGUMENTS = {
    "src": {"type": "list", "elements": "path", "required": True},
    "dsn": {"type": "str", "default": "", "no_log": True},
    "state": {"type": "str", "choices": ["present", "planned"], "default": "present"},
    "mode": {"type": "str", "choices": ["create", "existing"], "default": "create"},
    "schema": {"type": "str", "default": "public"},
    "staging": {"type": "str", "default": "landfall_staging"},
    "include": {"type": "list", "elements": "str", "default": []},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "tables": {"type": "dict", "default": {}},
    "columns": {"type": "dict", "default": {}},
    "conversions": {"type": "dict", "default": {}},
    "nocase": {"type": "str", "choices": ["lower", "citext", "plain"], "default": "lower"},
    "json_type": {"type": "str", "choices": ["json", "jsonb"], "default": "json"},
    "foreign_keys": {"type": "str", "choices": ["fail", "unvalidated"], "default": "fail", "no_log": False},
    "on_violation": {"type": "str", "choices": ["fail", "quarantine"], "default": "fail"},
    "on_existing": {"type": "str", "choices": ["refuse", "replace", "append"], "default": "refuse"},
    "triggers": {"type": "str", "choices": ["disable", "fire"], "default": "disable"},
    "verify": {"type": "str", "choices": ["rows", "counts", "none"], "default": "rows"},
    "analyze": {"type": "bool", "default": True},
    "snapshot": {"type": "str", "choices": ["auto", "live", "copy"], "default": "auto"},
    "work_dir": {"type": "path", "default": "/var/lib/landfall/migration"},
    "restart": {"type": "bool", "default": False},
    "library": {"type": "str", "choices": ["auto", "apsw", "sqlite3"], "default": "auto"},
    "processes": {"type": "int", "default": 0},
    "lock_timeout": {"type": "float", "default": 5.0},
    "progress_file": {"type": "path"},
    "pause_file": {"type": "path"},
    "report": {"type": "path"},
}
SETTINGS = (
    "library", "snapshot", "work_dir", "on_violation", "on_existing", "verify", "analyze", "triggers", "restart",
)  # fmt: skip
NUMBERS = ("processes", "lock_timeout")


def settings_of(params: dict) -> migrate.Settings:
    """How the plan is carried out."""
    chosen = {name: params[name] for name in SETTINGS + NUMBERS}
    files = {name: params[name] or "" for name in ("progress_file", "pause_file")}
    return migrate.Settings(**chosen, **files)


def run(module: AnsibleModule) -> dict:
    """Plan, and carry out unless told otherwise."""
    params, told = module.params, {}
    only_plan = module.check_mode or params["state"] == "planned"
    if not only_plan and not params["dsn"]:
        module.fail_json(msg="dsn is needed to migrate: postgresql://user:password@host:5432/database")
    try:
        plan, notes = migration_plan.make(
            params["src"], options(params), params["mode"], params["dsn"], params["library"], params["lock_timeout"]
        )
        violations = [{"where": where, **asdict(one)} for where, one in planner.violations(plan)]
        lines = plan_lines.lines(plan, params["analyze"])
        told = {"plan": lines, "digest": plan.digest, "violations": violations, "notes": list(notes)}
        if module._diff:
            told["diff"] = {"before": "", "after": "\n".join(lines) + "\n"}
        if only_plan:
            write_report(params["report"], plan, {}, module.check_mode, params["analyze"])
            return {"changed": params["state"] == "present", "plan_json": plan_lines.as_json(plan), **told}
        if stopping := planner.stopping(plan, params["on_violation"]):
            first = "; ".join(plan_lines.violation_line(where, one) for where, one in stopping[:5])
            module.fail_json(msg=f"nothing was changed: {len(stopping)} kinds of values do not fit: {first}", **told)
        result = migrate.migrate(plan, params["dsn"], settings_of(params))
        write_report(params["report"], plan, result, False)
        return {**told, **result}
    except ValueMisfit as problem:
        module.fail_json(msg=str(problem), misfit=problem.found, **told)
    except VerifyFailed as problem:
        module.fail_json(msg=str(problem), tables=problem.tables, **told)
    except (Stopped, Refused, ValueError) as problem:
        module.fail_json(msg=str(problem), **told)
    return {}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if psycopg is None and (module.params["state"] == "present" or module.params["mode"] == "existing"):
        module.fail_json(msg=missing_required_lib("psycopg", reason="3.1 or newer"), exception=PSYCOPG_ERROR)
    module.exit_json(**run(module))


if __name__ == "__main__":
    main()
