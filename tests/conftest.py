"""The servers that tests share: each is started when the first test asks for it, and stopped when the last one has ended.

Never knows what a test stores in them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from patience import PATIENCE, patient

if TYPE_CHECKING:  # a test that needs no server does not load their clients
    from servers import Cluster, PgBouncer, Postgres, Redis

HERE = Path(__file__).parent
_numbers = itertools.count()


ONCE = {
    *("attacks", "bench", "broken_stores", "feeds", "fuzz", "process"),
    *("test_cli_process.py", "test_keys_at_once.py", "test_log_postgres.py", "test_redis_log.py", "test_restarted.py"),
    *("test_revocations.py", "test_websockets.py"),
}
"""Folders and files whose tests ask more of servers, sockets, processes and time than of a Python."""
BETWEEN = {"pgbouncer", "redis_cluster", "own"}
"""Fixtures of what a server, tried on each Python, may have around it: a pooler, other nodes, a test that kills it."""
SERVED = {"browser", "endpoints", "guards", "interop", "process", "service"}
"""Folders of what stands on an application that is served: half of the time of what is enough once."""
ENDS = {"endpoints", "remote", "service", "signer"}
SERVERS = {"postgres", "redis_server"}
PATIENT = {"endpoints", "service", "signer", "stores"}
"""Folders whose tests look for no time limit of a follower or of a store, but where they set one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What kills servers, and what is long and asks nothing of a Python, is marked: one run of it is enough on a machine with several.

    What stands on frameworks, or needs a server, is too: the oldest and the newest Python try it.
    """
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        asks = _asked_by(item)
        if folder in SERVED:
            item.add_marker("served")
        if folder in ("faults", "servers"):
            item.add_marker("faults")
        elif folder in ONCE or item.path.name in ONCE or not BETWEEN.isdisjoint(asks):
            item.add_marker("once")
        elif folder in ENDS or not SERVERS.isdisjoint(asks):
            item.add_marker("ends")


def _asked_by(item: pytest.Item) -> set[str]:
    """The fixtures that a test uses; a parameter says which one it asks for by itself."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {*getattr(item, "fixturenames", ()), *("redis_cluster" for each in parameters if isinstance(each, str) and each == "cluster")}


@pytest.fixture(autouse=True)
def _patient(request: pytest.FixtureRequest) -> Iterator[None]:
    """What an issuer follows by default is as old as PATIENCE at most, read as often as ever; and a store gives up after it."""
    if request.path.relative_to(HERE).parts[0] not in PATIENT:
        yield
        return
    from stagedoor import parts
    from stagedoor.stores.redis import documents, link, records, sessions
    from stagedoor.stores.sql import sqlite

    with pytest.MonkeyPatch.context() as patch:  # one of its own: tests undo theirs
        followed = parts._followed
        patch.setattr(parts, "_followed", lambda store, clock: patient(followed(store, clock), bound=PATIENCE))
        patch.setattr(sqlite, "_NOTICEABLE", 60 * PATIENCE)
        patch.setattr(link, "_PATIENCE", PATIENCE)
        patch.setitem(link._OPTIONS, "socket_timeout", PATIENCE)
        for module in (documents, records, sessions):
            patch.setattr(module, "ACKNOWLEDGED_IN", 30_000)
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One PostgreSQL for the run. What a test does to a server (kill, standby) it does to one of its own."""
    from servers import Postgres

    # This one survives no power cut, and makes and drops a database for each test in a tenth of the time.
    with Postgres(tmp_path_factory.mktemp("postgres"), settings={"fsync": "off"}) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A new database for the test."""
    name = f"test_{next(_numbers)}"
    yield postgres.database(name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def pgbouncer(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    """One PgBouncer for the run, in transaction mode before `postgres`."""
    from servers import PgBouncer

    with PgBouncer(tmp_path_factory.mktemp("pgbouncer"), postgres) as server:
        yield server


@pytest.fixture
def pgbouncer_url(pgbouncer: PgBouncer, postgres_url: str) -> str:
    """The database of `postgres_url`, through PgBouncer."""
    return pgbouncer.url_of(postgres_url.rpartition("/")[2])


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """One Redis for the run."""
    from servers import Redis

    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """That Redis, emptied for the test."""
    redis_server.call("FLUSHALL")
    return redis_server.url


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One Redis Cluster for the run: three masters, three replicas."""
    from servers import Cluster

    # None of its nodes is given up that only stands still for a while.
    with Cluster(tmp_path_factory.mktemp("cluster"), settings={"cluster-node-timeout": "60000"}) as cluster:
        yield cluster


@pytest.fixture
def redis_cluster_url(redis_cluster: Cluster) -> str:
    """That Redis Cluster, emptied for the test."""
    redis_cluster.flush()
    return redis_cluster.url
