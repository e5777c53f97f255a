from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import sqlite
from lab.postgres import Cluster, Container, Server

_NUMBERS = itertools.count(1)
#: The machine's own server, of Debian 12 mostly (15), and Debian 13's in a container (17).
SERVERS: dict[str, type[Server]] = {"own": Cluster, "pg17": Container}
#: What a server is sent and how it ends is tried with both; the rest does not hang on its version.
WITH_BOTH = ("test_cases", "test_kill", "test_load", "test_round_trip")
#: Of these the library that reads the source hangs together with what is sent; of the others not.
WITH_BOTH_LIBRARIES = ("test_cases",)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cluster" in metafunc.fixturenames:
        both = metafunc.module.__name__.rpartition(".")[2] in WITH_BOTH
        metafunc.parametrize("cluster", list(SERVERS) if both else ["own"], indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def wanted(item: pytest.Item) -> bool:
        said = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        twice = item.path.stem in WITH_BOTH_LIBRARIES
        return twice or (said.get("cluster"), said.get("library")) != ("pg17", sqlite.STDLIB)

    items[:] = [item for item in items if wanted(item)]


def begin(name: str) -> Server:
    # A power cut of the machine is not part of these tests, and every test makes a database. Statistics are made by
    # nobody but those who are told to.
    return SERVERS[name]({"fsync": "off", "autovacuum": "off"})


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Server]:
    # Not skipped without PostgreSQL: a migration that was not tried against a real server was not tested.
    made = begin(request.param)
    yield made
    made.remove()


@pytest.fixture
def dsn(cluster: Server) -> str:
    return cluster.database(f"case_{next(_NUMBERS)}")


@pytest.fixture(params=sqlite.LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return request.param
