from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup.config import S3Config
from ansible_collections.landfall.stack.plugins.module_utils.clients.store_local import LocalStore
from ansible_collections.landfall.stack.plugins.module_utils.clients.store_s3 import S3Store
from lab.postgres import Cluster
from lab.s3 import S3

from .fault_proxy import Proxy
from .ground import Ground, fill

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    made = Cluster({"fsync": "off"})
    yield made
    made.remove()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    made = S3()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def _proxy(s3: S3) -> Iterator[Proxy]:
    made = Proxy(s3.port)
    yield made
    made.close()


@pytest.fixture
def proxy(_proxy: Proxy) -> Iterator[Proxy]:
    _proxy.reset()
    yield _proxy
    _proxy.reset()


@pytest.fixture
def s3_config(s3: S3) -> S3Config:
    """A bucket of its own; its user may write, and another may delete."""
    return S3Config(
        bucket=s3.bucket(f"case-{next(_NUMBERS)}"),
        prefix="backups",
        endpoint=s3.url,
        path_style=True,
        access_key="writer-key",
        secret_key="writer-secret",
        delete_access_key="admin-key",
        delete_secret_key="admin-secret",
    )


@pytest.fixture
def through(s3_config: S3Config, proxy: Proxy) -> S3Store:
    """The same bucket, by way of the proxy."""
    return S3Store(replace(s3_config, endpoint=proxy.url))


@pytest.fixture(params=["s3", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path):
    if request.param == "local":
        (tmp_path / "store").mkdir()
        return LocalStore(str(tmp_path / "store"))
    return S3Store(request.getfixturevalue("s3_config"))


@pytest.fixture(scope="session")
def database(cluster: Cluster) -> str:
    """A database that tests only read."""
    fill(cluster, "jarvis")
    return "jarvis"


@pytest.fixture
def ground(tmp_path: Path, cluster: Cluster, s3_config: S3Config, database: str, proxy: Proxy) -> Ground:
    """Its store is reached by way of the proxy."""
    return Ground(tmp_path, cluster, replace(s3_config, endpoint=proxy.url), database)
