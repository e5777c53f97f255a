# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema itself: complete, valid, and told by the reference."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from ansible_collections.landfall.stack.plugins.module_utils.compose.schema import SERVICE, STACK
from ansible_collections.landfall.stack.plugins.module_utils.compose.values import resolve, seconds

DEFINITIONS = SERVICE["definitions"]


def keys(schema, path):
    schema = resolve(schema, DEFINITIONS)
    for option in schema.get("anyOf", []):
        yield from keys(option, path)
    for name, item in schema.get("properties", {}).items():
        yield f"{path}.{name}", resolve(item, DEFINITIONS)
        yield from keys(item, f"{path}.{name}")


KEYS = [*keys(STACK, "stack"), *keys(SERVICE, "service")]


@pytest.mark.parametrize(("path", "schema"), KEYS, ids=[path for path, _schema in KEYS])
def test_each_key_is_described_and_its_examples_are_valid(path, schema):
    assert schema["description"].endswith("."), path
    validator = Draft7Validator({**schema, "definitions": DEFINITIONS})
    for value in [*schema.get("examples", []), *([schema["default"]] if "default" in schema else [])]:
        validator.validate(value)
    assert "examples" in schema or "properties" in schema, path


@pytest.mark.parametrize("schema", [STACK, SERVICE], ids=["stack", "service"])
def test_the_schema_is_draft_7(schema):
    Draft7Validator.check_schema(schema)


@pytest.mark.parametrize(("text", "value"), [("500ms", 0.5), ("30s", 30), ("1m30s", 90), ("1h", 3600), ("1d", 86400)])
def test_seconds(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "30", "s", "1.5s", "1x"])
def test_not_seconds(text):
    with pytest.raises(ValueError, match="is not a duration; write it like 30s"):
        seconds(text)


def test_the_reference_is_up_to_date():
    root = Path(__file__).resolve().parents[5]
    script = root / "scripts" / "gen_stack_reference.py"
    if not script.is_file():
        pytest.skip("the collection is installed without its scripts")
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
