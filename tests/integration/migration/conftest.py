from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import sqlite
from lab.postgres import Cluster

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    # Not skipped without PostgreSQL: a migration that was not tried against a real server was not tested.
    made = Cluster()
    yield made
    made.remove()


@pytest.fixture
def dsn(cluster: Cluster) -> str:
    return cluster.database(f"case_{next(_NUMBERS)}")


@pytest.fixture(params=sqlite.LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return request.param
