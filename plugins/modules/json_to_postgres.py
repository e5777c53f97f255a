#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a JSON file into a table of PostgreSQL: exact, keyed, read back before they are committed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: json_to_postgres
short_description: The records of a JSON file into a table of PostgreSQL
version_added: 0.1.0
description:
  - Loads a registry that an application keeps in a JSON file (an object or an array of records) into one table. Each
    field becomes a column, or the whole record one column of type C(jsonb).
  - Rows are put in by their key. Those that are there already are brought up to date, and those that are as they should
    be are not written. Nothing is deleted.
  - All is done in one transaction. Every row is read back and compared before it is committed; a value that does not
    fit its column is told with its record, before anything is made.
  - Numbers are read as they are spelled, never through a float.
requirements:
  - psycopg 3.1 or newer on the host (Debian's C(python3-psycopg))
author:
  - Landfall contributors (@landfall-stack)
attributes:
  check_mode:
    description: Does all of it in a transaction that is taken back, and tells what would have changed.
    support: full
  diff_mode:
    description: Shows the plan.
    support: full
options:
  src:
    description: The JSON file on the host. It must be strict JSON in UTF-8; a key twice in an object is refused.
    type: path
    required: true
  records:
    description: Where the records stand in the file, as a JSON pointer like V(/agents). Empty for the whole file.
    type: str
    default: ""
  dsn:
    description:
      - How to reach the database, as libpq wants it (C(host=… dbname=… user=… password=…), or a C(postgresql://) URL).
    type: str
    required: true
  schema:
    description: The schema of the table. It is made where it is missing.
    type: str
    default: public
  table:
    description:
      - The table. It is made where it is missing; one that is there is loaded by the names of its columns, and its
        types are held to.
    type: str
    required: true
  key:
    description:
      - The columns that tell the records apart. Needed for an array. When not given, an object's records are told apart
        by their names, which go into O(key_column).
    type: list
    elements: str
    default: []
  key_column:
    description: The column that gets the names of an object's records.
    type: str
    default: id
  document:
    description: Name of one C(jsonb) column that gets the whole record. Empty for a column for each field.
    type: str
    default: ""
  columns:
    description:
      - What is said of fields. Each has the field's name, and a dictionary with any of C(type), C(conversion) (a name
        or a list), C(name) (of the column) and C(exclude).
      - Without it, a field of true and false becomes C(boolean), one of integers C(bigint), of other numbers
        C(numeric), of strings C(text), and anything else C(jsonb).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: The registry of agents into a table of its own
  landfall.stack.json_to_postgres:
    src: /srv/jarvis/agent_registry.json
    dsn: "host=127.0.0.1 dbname=jarvis user=jarvis password={{ jarvis_db_password }}"
    table: agents
    key_column: agent_id
    columns:
      created: {type: timestamptz, conversion: iso_to_timestamptz}

- name: An array of records, each as one document
  landfall.stack.json_to_postgres:
    src: /srv/shop/products.json
    records: /products
    dsn: "{{ shop_dsn }}"
    table: products
    key: [sku]
    document: data
"""

RETURN = r"""
plan:
  description: The table and its columns, with the reason for each type, one line each.
  returned: success
  type: list
  elements: str
inserted:
  description: Rows that are new.
  returned: success
  type: int
updated:
  description: Rows that were there with other values.
  returned: success
  type: int
unchanged:
  description: Rows that were there as they should be.
  returned: success
  type: int
columns:
  description: Column and its type in PostgreSQL.
  returned: success
  type: dict
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.landfall.stack.plugins.module_utils.clients import json_load, json_target
from ansible_collections.landfall.stack.plugins.module_utils.migration.problems import Stopped

try:
    import psycopg
except ImportError:
    PSYCOPG_ERROR = traceback.format_exc()
    psycopg = None
else:
    PSYCOPG_ERROR = None

ARGUMENTS = {
    "src": {"type": "path", "required": True},
    "records": {"type": "str", "default": ""},
    "dsn": {"type": "str", "required": True, "no_log": True},
    "schema": {"type": "str", "default": "public"},
    "table": {"type": "str", "required": True},
    "key": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "key_column": {"type": "str", "default": "id", "no_log": False},
    "document": {"type": "str", "default": ""},
    "columns": {"type": "dict", "default": {}},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if psycopg is None:
        module.fail_json(msg=missing_required_lib("psycopg (python3-psycopg)"), exception=PSYCOPG_ERROR)
    src, table = module.params["src"], f"{module.params['schema']}.{module.params['table']}"
    try:
        plan, counts = json_load.load(module.params, not module.check_mode)
    except OSError as problem:
        module.fail_json(msg=f"{src}: {problem.strerror}. Check the path and the rights on the host")
    except UnicodeDecodeError as problem:
        module.fail_json(msg=f"{src}: byte {problem.start} is not UTF-8. Save the file in UTF-8")
    except (ValueError, Stopped, json_target.Different) as problem:
        module.fail_json(msg=f"{src}: {problem}")
    except psycopg.Error as problem:
        said = " ".join(str(problem.diag.message_primary or problem).split())
        module.fail_json(msg=f"{src} into {table}: PostgreSQL says: {said}. Nothing was changed")
    changed = bool(counts["inserted"] or counts["updated"] or plan.create)
    result = {"changed": changed, "plan": plan.lines(), "columns": {one.name: one.pg_type for one in plan.columns}}
    if module._diff:
        result["diff"] = [{"prepared": "".join(f"{line}\n" for line in plan.lines())}]
    module.exit_json(**result, **counts)


if __name__ == "__main__":
    main()
