# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values on their way back to SQLite, and the states of a move."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from ansible_collections.landfall.stack.plugins.filter.with_database import with_database
from ansible_collections.landfall.stack.plugins.module_utils.clients.volumes import host_path
from ansible_collections.landfall.stack.plugins.module_utils.migration import move_state
from ansible_collections.landfall.stack.plugins.module_utils.migration.going_back import Impossible, WayBack
from ansible_collections.landfall.stack.plugins.module_utils.migration.plan import Column
from ansible_collections.landfall.stack.plugins.module_utils.migration.problems import Stopped
from ansible_collections.landfall.stack.plugins.module_utils.migration.wire_sql import exact_encoder

DAY = 86_400_000_000
#: encoder, conversion, declared, a value that SQLite has, PostgreSQL's as canonical.Compared.target gives it
CASES = [
    ("int8", "", "INTEGER", 7, 7),
    ("text", "", "TEXT", "ä", "ä"),
    ("float8", "", "REAL", 0.1, 0.1),
    ("float8", "", "NUMERIC", 3, 3.0),
    ("bytea", "", "BLOB", b"\0\xff", b"\0\xff"),
    ("bool", "", "BOOLEAN", 1, 1),
    ("bool", "bool_words", "BOOLEAN", "true", 1),
    ("numeric", "", "DECIMAL", 12.5, "12.50"),
    ("uuid", "", "UUID", "0" * 8 + "-0000-0000-0000-" + "a" * 12, "0" * 8 + "-0000-0000-0000-" + "a" * 12),
    ("date", "", "DATE", "2000-01-03", 2),
    ("timestamp", "", "TIMESTAMP", "2000-01-02T00:00:00.250", DAY + 250_000),
    ("timestamptz", "", "TIMESTAMP", "2000-01-02T00:00:00+00:00", DAY),
    ("timestamptz", "", "TIMESTAMP", "2000-01-02T00:00:00.123456Z", DAY + 123_456),
    ("timestamptz", "unix_s", "INTEGER", 946_771_200, DAY),
    ("timestamptz", "unix_ms", "INTEGER", 946_771_200_001, DAY + 1000),
    ("json", "", "JSON", '{"b": 1, "a": 2}', '{"b": 1, "a": 2}'),
    ("jsonb", "", "JSON", '{"a": [1, {"c": 2.5}]}', '{"a": [1, {"c": 2.5}]}'),
    ("text", "empty_to_null", "TEXT", None, None),
]


def way(kind: str, conversion: str, declared: str, sample: Any = None) -> WayBack:
    types = {"int8": "bigint", "float8": "double precision", "bool": "boolean"}
    return WayBack(Column("c", "c", declared, types.get(kind, kind), kind, conversion), sample)


@pytest.mark.parametrize("kind, conversion, declared, here, there", CASES)
def test_a_value_goes_back_like_its_neighbours(
    kind: str, conversion: str, declared: str, here: Any, there: Any
) -> None:
    found = way(kind, conversion, declared, here).value(there)
    if kind != "jsonb" and kind != "numeric" and declared != "NUMERIC":
        assert (type(found), found) == (type(here), here)
    # Whatever was chosen becomes the same in PostgreSQL.
    column = way(kind, conversion, declared).column
    assert exact_encoder(column)(found) == exact_encoder(column)(here)


def test_what_has_no_way_back_is_said() -> None:
    with pytest.raises(Impossible, match=r"column c: no value of SQLite becomes 9223372036854775807"):
        way("timestamp", "", "TIMESTAMP").value((1 << 63) - 1)
    with pytest.raises(Impossible):
        way("bytea", "", "BLOB").value(3)


def test_another_value_is_not_the_same() -> None:
    one = way("timestamptz", "unix_s", "INTEGER")
    assert one.is_that(946_771_200, DAY) and not one.is_that(946_771_201, DAY)
    assert not one.is_that("no date", DAY)
    assert struct.pack("!q", DAY) == exact_encoder(one.column)(946_771_200)


def test_a_deployment_follows_the_data() -> None:
    state: dict[str, Any] = {"state": "none"}
    for name, serves in (
        ("loading", "sqlite"),
        ("following", "sqlite"),
        ("cut_over", "postgresql"),
        ("moved", "postgresql"),
        ("returning", "postgresql"),
        ("returned", "sqlite"),
    ):
        state = move_state.entered(state, name, 100.0, {})
        assert state["serves"] == serves and state["history"][-1] == [name, 100.0]
    stack = {"name": "shop", "secrets": [{"name": "K", "value": "v"}], "migration": {"dsn": "d", "variable": "DB"}}
    assert with_database(stack, {}) == with_database(stack, {"shop": "sqlite"}) == stack["secrets"]
    assert with_database(stack, {"shop": "postgresql"})[1] == {"name": "DB", "value": "d", "env": True}
    assert with_database({"name": "shop"}, {"shop": "postgresql"}) == []


def test_a_move_is_told_in_lines() -> None:
    progress = {"phase": "load", "rows": 1500, "rows_total": 3000, "rows_a_second": 500, "mb_a_second": 1.5, "eta_s": 3}
    state = {"state": "loading", "since": 90.0, "sources": ["/a.db"]}
    told = move_state.lines("shop", state, progress, 100.0)
    assert told[0].startswith("shop: loading, for 10 s") and "1,500 of 3,000 rows" in told[2] and "3 s left" in told[2]
    assert "phase=rollback" in move_state.lines("shop", {"state": "returned"}, {}, 0.0)[0]
    assert move_state.would("cut_over", "following") and not move_state.would("loaded", "moved")


def test_files_in_volumes() -> None:
    def run(argv: Any, cwd: str, env: Any) -> tuple[int, str, str]:
        if argv[2] == "ls":
            return 0, "shop_data\n", ""
        return (
            (0, '[{"Mountpoint": "/var/lib/docker/volumes/shop_data/_data"}]', "")
            if argv[3] == "shop_data"
            else (1, "", "")
        )

    assert host_path({"path": "/srv/a.db"}, "shop", run) == "/srv/a.db"
    inside = host_path({"volume": "data", "path": "/x/a.db"}, "shop", run)
    assert inside == "/var/lib/docker/volumes/shop_data/_data/x/a.db"
    for wrong in ({"volume": "data", "path": "../../../../etc/passwd"}, {"path": "a.db"}):
        with pytest.raises(Stopped):
            host_path(wrong, "shop", run)
    with pytest.raises(Stopped, match="no volume nope"):
        host_path(
            {"volume": "nope", "path": "a"},
            "shop",
            lambda argv, cwd, env: (0, "", "") if argv[2] == "ls" else (1, "", ""),
        )
