# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tables of a database are meant by their names."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup.manifest import Item
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError
from ansible_collections.landfall.stack.plugins.module_utils.backup.postgres import table_key
from ansible_collections.landfall.stack.plugins.module_utils.backup.restore import find_tables

TABLES = (("public", "orders"), ("shop", "orders"), ("shop", "Or der"), ("shop", "a.b"), ("x", "people"))
ITEM = Item("db", "postgres", "", "db", (), 1, (), 0.1, (), {"rows": {table_key(*one): 1 for one in TABLES}})


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["people"], [("x", "people")]),
        (["Or der", "x.people"], [("shop", "Or der"), ("x", "people")]),
        (["shop.orders"], [("shop", "orders")]),
        (["a.b", "shop.a.b"], [("shop", "a.b")]),
    ],
)
def test_found(names, found):
    assert list(find_tables(ITEM, names)) == found


@pytest.mark.parametrize(
    ("name", "said"), [("orders", "public.orders, shop.orders; say which"), ("order", "it has: public.orders, ")]
)
def test_refused(name, said):
    with pytest.raises(BackupError, match=said):
        find_tables(ITEM, [name])
