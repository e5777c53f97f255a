# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines, addresses and comparisons of PostgreSQL's backups."""

from __future__ import annotations

import json

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup import metrics, postgres
from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import BackupError


def test_an_address_becomes_variables_and_its_password_stays_out_of_the_command_line():
    env = postgres.env_of_url("postgresql://u%40x:p%2Fw@db.example.com:6432/shop?sslmode=require&connect_timeout=9")
    assert env == {
        "PGHOST": "db.example.com", "PGPORT": "6432", "PGUSER": "u@x", "PGPASSWORD": "p/w", "PGDATABASE": "shop",
        "PGSSLMODE": "require", "PGCONNECT_TIMEOUT": "9",
    }  # fmt: skip
    for access in (postgres.in_image("postgres:17", env), postgres.on_host(env, "postgres", "/bin")):
        command = access.command("pg_dump", PGDATABASE="shop")
        assert "p/w" not in " ".join(command.argv) and command.env["PGPASSWORD"] == "p/w"
    argv = postgres.in_image("postgres:17", env).command("pg_dump").argv
    assert "PGPASSWORD" in argv and "-t" not in argv


@pytest.mark.parametrize("url", ["mysql://x", "postgresql://h:port/x", "postgresql://h/x?what=1"])
def test_addresses_that_are_refused_are_not_repeated(url):
    with pytest.raises(BackupError) as caught:
        postgres.env_of_url(url.replace("//", "//user:secret@"))
    assert "secret" not in str(caught.value)


def test_zstd_within_where_the_client_has_it():
    assert "--compress=zstd:1" in postgres.dump_args("s", 1, 16)
    assert "--compress=0" in postgres.dump_args("s", 1, 15)
    assert "--lock-wait-timeout=1500" in postgres.dump_args("s", 1.5, 15)
    assert not any("row-security" in word for word in postgres.dump_args("s", 1, 17))


def test_counts():
    key = postgres.table_key("public", "a.b")
    assert postgres.compare_counts({key: 3}, {key: 3}) == []
    assert postgres.compare_counts({key: 3}, {key: 2}) == ["table public.a.b has 2 rows, the backup had 3"]
    assert postgres.compare_counts({key: 3}, {}) == ["table public.a.b is missing"]


def test_quoting():
    assert postgres.ident('a"b') == '"a""b"'
    assert postgres.literal("it's") == "'it''s'"
    assert postgres.literal("a\\'b").strip() == "E'a\\\\''b'"


def test_settings_and_privileges():
    said = [{"role": None, "config": ["work_mem=7MB", "search_path=shop, public"]}, {"role": "r", "config": ["x.y=1"]}]
    assert postgres.settings_sql("d", said) == [
        "ALTER DATABASE \"d\" SET work_mem = '7MB';",
        'ALTER DATABASE "d" SET search_path = shop, public;',
        'ALTER ROLE "r" IN DATABASE "d" SET x.y = \'1\';',
    ]
    assert postgres.acl_sql("d", None) == []
    assert postgres.acl_sql("d", ["=Tc/o", '"a b"=CTc/o', "n=/o"]) == [
        'REVOKE ALL ON DATABASE "d" FROM PUBLIC;',
        'GRANT TEMPORARY, CONNECT ON DATABASE "d" TO PUBLIC;',
        'GRANT CREATE, TEMPORARY, CONNECT ON DATABASE "d" TO "a b";',
    ]


def test_missing_roles():
    text = "\n".join(
        [
            "CREATE ROLE app;", "ALTER ROLE app WITH LOGIN PASSWORD 'x';", 'CREATE ROLE "a b";', "CREATE ROLE there;",
            "ALTER ROLE there WITH SUPERUSER;", "GRANT app TO \"a b\" GRANTED BY postgres;", "GRANT app TO there;",
        ]
    )  # fmt: skip
    made, statements = postgres.missing_role_sql(text, ["there", "postgres"])
    assert made == ["app", "a b"]
    assert statements == [
        "CREATE ROLE app;", "ALTER ROLE app WITH LOGIN PASSWORD 'x';", 'CREATE ROLE "a b";', 'GRANT app TO "a b";',
    ]  # fmt: skip


def test_a_database_is_made_with_its_locale():
    facts = {
        "database": {
            "encoding": "UTF8",
            "datcollate": "C",
            "datctype": "C",
            "datlocprovider": "i",
            "daticulocale": "de",
        }
    }
    assert "ICU_LOCALE 'de'" in postgres.create_sql("n", facts, 15)
    assert postgres.collation_warning({"database": {"datcollversion": "2.31"}}, "2.36")
    assert not postgres.collation_warning({"database": {"datcollversion": "2.36"}}, "2.36")
    assert not postgres.collation_warning({"database": {}}, "2.36")


def test_what_monitoring_sees():
    state = metrics.State("app", run_at=900.0, run_good=True, verified_id="x", verified_at=1000.0, max_age=3600.0)
    assert metrics.problems(state, 2000.0) == []
    assert "hours old" in metrics.problems(state, 9000.0)[0]
    # The clock went back, or was a year ahead when the set was taken.
    assert "future" in metrics.problems(state, 1000.0 - 7200)[0]
    failed = state.ran(run_good=False, problem="line one\nline two")
    assert metrics.problems(failed, 2000.0) == ["the last backup failed: line one"]
    assert "none verified" in metrics.line(metrics.State("app"), 0)
    assert 'landfall_backup_last_run_success{stack="app"} 0' in metrics.textfile(failed)
    assert metrics.state_from_json(failed.to_json(), "app") == failed
    assert metrics.state_from_json("broken", "app") == metrics.State("app")


def test_a_listing_is_that_of_the_snapshot():
    listing = "; comment\n201; 0 16 TABLE DATA shop Or der app owner\n202; 0 17 TABLE DATA public a postgres\n"
    assert postgres.listing_fault(listing, [["shop", "Or der"], ["public", "a"]]) == ""
    assert "public.b" in postgres.listing_fault(listing, [["public", "a"], ["public", "b"]])
    assert json.loads(postgres.table_key("a", "b")) == ["a", "b"]
