"""Restores onto a server that is not what the backed-up one was: it lacks an extension, or sorts text otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lab.postgres import Container, binaries

from .ground import Ground


@pytest.fixture
def extension() -> Iterator[Path]:
    """The control file of an extension that only this test has."""
    where = Path("/usr/share/postgresql", binaries().parent.name, "extension")
    control, script = where / "landfall_gone.control", where / "landfall_gone--1.0.sql"
    script.write_text("CREATE FUNCTION gone() RETURNS int LANGUAGE sql AS 'SELECT 1';\n")
    control.write_text("default_version = '1.0'\n")
    yield control
    script.unlink()
    control.unlink(missing_ok=True)


def fresh(ground: Ground, cluster, name: str, options: str = "") -> None:
    cluster.database(name, options)
    ground.database = name
    ground.sql("CREATE TABLE word (id int PRIMARY KEY, text text)")
    ground.sql("INSERT INTO word SELECT n, md5(n::text) FROM generate_series(1, 500) n")
    ground.sources = [ground.postgres_source()]
    ground.configure(project=False)


def databases(ground: Ground) -> list[str]:
    return sorted(name for (name,) in ground.sql("SELECT datname FROM pg_database"))


def test_an_extension_that_the_server_lacks(ground: Ground, cluster, extension: Path):
    fresh(ground, cluster, "extended")
    ground.sql("CREATE EXTENSION landfall_gone")
    ground.good("run")
    there = databases(ground)
    extension.unlink()
    for words in (["--as", "extended_copy"], ["--in-place"]):
        done = ground.do("restore", "--item", "postgres-db-extended", *words)
        assert done.rc == 1 and "lacks extensions that it uses: landfall_gone" in done.err, done.said
    # Nothing of either is left, and what is there is untouched.
    assert databases(ground) == there and ground.sql("SELECT count(*) FROM word") == [(500,)]


ICU = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C'"


def test_text_that_was_sorted_by_another_version(ground: Ground, cluster):
    """From Debian 12's ICU to Debian 13's, by the client in the newer one's image."""
    fresh(ground, cluster, "sorted", ICU)
    ground.good("run")
    was = ground.sql("SELECT datcollversion FROM pg_database WHERE datname = 'sorted'", "postgres")[0][0]
    newer = Container()
    try:
        with psycopg.connect(newer.dsn(), autocommit=True) as link:
            link.execute('CREATE ROLE "app owner"')
        there = {"host": "127.0.0.1", "port": newer.port, "image": newer.IMAGE}
        ground.sources = [{**ground.sources[0], **there}]
        ground.configure()
        said = ground.good("restore", "--item", "postgres-db-sorted", "--as", "sorted_copy")
        assert f"sorted by version {was} of its collation" in said
        with psycopg.connect(newer.dsn("sorted_copy")) as link:
            assert link.execute("SELECT count(*) FROM word").fetchone() == (500,)
            (now,) = link.execute("SELECT datcollversion FROM pg_database WHERE datname = 'sorted_copy'").fetchone()
        assert now != was
        # And a set of it, by the client in the image.
        ground.sources = [{**ground.sources[0], "databases": ["sorted_copy"]}]
        ground.configure()
        ground.good("run")
        (kept,) = [item for item in ground.sets()[-1]["items"] if item["kind"] == "postgres"]
        assert kept["name"] == "postgres-db-sorted_copy"
    finally:
        newer.remove()
