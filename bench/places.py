"""Places: the three stores of a benchmark, each empty and its own, with sessions put in in bulk; and the raw limit of each.

The raw limit is what one statement of a rotation (SQLite, PostgreSQL) or one script (Redis) takes, on the same rows, by the same driver
with the same settings, prepared, and nothing else: no token is read or made. Never knows what Stagedoor costs.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import redis.asyncio

from bench import crowd
from bench.machine import on_core
from stagedoor.stores.redis import RedisStore
from stagedoor.stores.redis.link import _OPTIONS
from stagedoor.stores.redis.row import pack_presented
from stagedoor.stores.redis.script import Script
from stagedoor.stores.sql import SQLStore
from stagedoor.stores.sql import statements as say

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the servers are those of the tests
from servers import Postgres, Redis, free_port

__all__ = ["MAKERS", "Place", "free_port", "opened"]
CONNECTIONS = 10
"""SQLStore's own default."""
_TOGETHER = 64
"""Rotations that SQLStore commits at once at the most."""
_SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "synchronous_commit": "on"}


class Place(ABC):
    """One store. `durable` says what an answered rotation survives."""

    name: str
    durable: str
    url: str

    @abstractmethod
    def store(self) -> Any:
        """A store of Stagedoor, as it comes."""

    @abstractmethod
    def fill(self, numbers: Iterable[int]) -> None:
        """Put these sessions in."""

    @abstractmethod
    def empty(self) -> None:
        """Take all sessions out."""

    @abstractmethod
    async def raw(self, numbers: Sequence[int], clients: int) -> float:
        """Seconds that rotating these sessions takes, with so many at once."""

    @abstractmethod
    def size(self) -> int:
        """Bytes that it takes for all it has."""

    @property
    @abstractmethod
    def versions(self) -> dict[str, str]:
        """What it stands on."""


class SQLitePlace(Place):
    """A file. Group commit: as many rotations as there are clients, 64 at the most, share a commit."""

    name, durable = "SQLite", "WAL, synchronous=FULL"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bench.db"
        self.url = f"sqlite:///{self.path}"
        asyncio.run(_migrated(self.store()))

    def store(self) -> SQLStore:
        """As Place.store."""
        return SQLStore(self.url)

    def fill(self, numbers: Iterable[int]) -> None:
        """As Place.fill."""
        crowd.fill_sqlite(str(self.path), numbers)

    def empty(self) -> None:
        """As Place.empty."""
        with self._connected() as connection:
            connection.execute("DELETE FROM stagedoor_sessions")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def raw(self, numbers: Sequence[int], clients: int) -> float:
        """As Place.raw: tasks of an event loop before one writer thread, as whoever uses sqlite3 in a loop must have."""
        told = iter([say.parameters_of(each, time.time()) for each in crowd.presented(crowd.peppers(), numbers)])
        loop, jobs = asyncio.get_running_loop(), queue.SimpleQueue[list[tuple[Any, asyncio.Future[Any]]]]()
        gathered: list[tuple[Any, asyncio.Future[Any]]] = []

        def hand_over() -> None:
            jobs.put(gathered.copy())
            gathered.clear()

        async def one() -> None:
            for parameters in told:
                if not gathered:
                    loop.call_soon(hand_over)
                gathered.append((parameters, future := loop.create_future()))
                row = await future
                _must(row[_ROTATED_AT] == parameters["now"])

        with self._connected() as connection:
            connection.execute("PRAGMA synchronous=FULL")
            writer = threading.Thread(target=_write, args=(connection, jobs, loop))
            writer.start()
            began = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(clients)))
            seconds = time.perf_counter() - began
            jobs.put([])
            writer.join()
        return seconds

    async def raw_alone(self, numbers: Sequence[int], clients: int) -> float:
        """The same without an event loop: one thread that has all it is to write before it."""
        now, told = time.time(), [say.parameters_of(each, time.time()) for each in crowd.presented(crowd.peppers(), numbers)]
        together = min(clients, _TOGETHER)
        with self._connected() as connection:
            connection.execute("PRAGMA synchronous=FULL")
            began = time.perf_counter()
            for at in range(0, len(told), together):
                connection.execute("BEGIN IMMEDIATE")
                for parameters in told[at : at + together]:
                    (row,) = connection.execute(say.ROTATE.named, parameters).fetchall()
                    _must(row[_ROTATED_AT] == parameters["now"] >= now)
                connection.execute("COMMIT")
            return time.perf_counter() - began

    def size(self) -> int:
        """As Place.size."""
        with self._connected() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self.path.stat().st_size

    @property
    def versions(self) -> dict[str, str]:
        """As Place.versions."""
        return {"SQLite": sqlite3.sqlite_version}

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=30, check_same_thread=False)
        try:
            yield connection
        finally:
            connection.close()


def _write(connection: sqlite3.Connection, jobs: queue.SimpleQueue[list[Any]], loop: asyncio.AbstractEventLoop) -> None:
    """What comes together is committed together, 64 at the most, and told to the loop at once; the end is a list of none."""
    while together := jobs.get():
        for at in range(0, len(together), _TOGETHER):
            some = together[at : at + _TOGETHER]
            connection.execute("BEGIN IMMEDIATE")
            rows = [connection.execute(say.ROTATE.named, parameters).fetchall()[0] for parameters, _ in some]
            connection.execute("COMMIT")
            loop.call_soon_threadsafe(_tell, some, rows)


def _tell(jobs: list[Any], rows: list[Any]) -> None:
    for (_, future), row in zip(jobs, rows, strict=True):
        future.set_result(row)


class PostgresPlace(Place):
    """A server of its own, by psycopg, with as many connections as SQLStore takes."""

    name, durable = "PostgreSQL", "synchronous_commit=on"

    def __init__(self, server: Any) -> None:
        self.server, self.url = server, server.url
        asyncio.run(_migrated(self.store()))

    def store(self) -> SQLStore:
        """As Place.store."""
        return SQLStore(self.url)

    def fill(self, numbers: Iterable[int]) -> None:
        """As Place.fill."""
        crowd.fill_postgres(self.url, numbers)

    def empty(self) -> None:
        """As Place.empty."""
        self.server.sql("TRUNCATE stagedoor_sessions")

    async def raw(self, numbers: Sequence[int], clients: int) -> float:
        """As Place.raw."""
        from stagedoor.stores.sql.postgres import _typed  # numbers of one width, so that one prepared statement serves them all

        told = iter([_typed(say.parameters_of(each, None)) for each in crowd.presented(crowd.peppers(), numbers)])

        async def one(connection: psycopg.AsyncConnection[Any]) -> None:
            for parameters in told:
                cursor = await connection.execute(say.ROTATE.pyformat, parameters, prepare=True, binary=True)
                row = await cursor.fetchone()
                _must(row is not None and row[_GENERATION] == 1)

        connections = [await psycopg.AsyncConnection.connect(self.url, autocommit=True) for _ in range(min(clients, CONNECTIONS))]
        try:
            began = time.perf_counter()
            await asyncio.gather(*(one(connection) for connection in connections))
            return time.perf_counter() - began
        finally:
            for connection in connections:
                await connection.close()

    def size(self) -> int:
        """As Place.size."""
        return int(self.server.sql("SELECT pg_total_relation_size('stagedoor_sessions')")[0][0])

    @property
    def versions(self) -> dict[str, str]:
        """As Place.versions."""
        return {"PostgreSQL": self.server.sql("SHOW server_version")[0][0].split()[0], "psycopg": psycopg.__version__}


class RedisPlace(Place):
    """A server of its own, by redis-py with hiredis."""

    name, durable = "Redis", "appendfsync everysec"

    def __init__(self, server: Any) -> None:
        self.server, self.url = server, server.url

    def store(self) -> RedisStore:
        """As Place.store."""
        return RedisStore(self.url)

    def fill(self, numbers: Iterable[int]) -> None:
        """As Place.fill."""
        crowd.fill_redis(self.url, numbers)
        self.server.settle()

    def empty(self) -> None:
        """As Place.empty."""
        self.server.call("FLUSHALL")

    async def raw(self, numbers: Sequence[int], clients: int) -> float:
        """As Place.raw."""
        script = Script("session")
        told = iter(
            [
                script.on(b"stagedoor:s:" + each.session_id, "rotate", b"", pack_presented(each), b"")
                for each in crowd.presented(crowd.peppers(), numbers)
            ]
        )
        pool = redis.asyncio.BlockingConnectionPool.from_url(self.url, timeout=5.0, **_OPTIONS)
        client = redis.asyncio.Redis.from_pool(pool)

        async def one() -> None:
            for command in told:
                _must((await client.execute_command(*command))[0] == b"rotated")

        try:
            await client.script_load(script.source)
            began = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(clients)))
            return time.perf_counter() - began
        finally:
            await client.aclose()

    def size(self) -> int:
        """As Place.size."""
        return int(self.server.info("memory")["used_memory"])

    @property
    def versions(self) -> dict[str, str]:
        """As Place.versions."""
        return {"Redis": self.server.info("server")["redis_version"], "redis-py": redis.__version__}


@contextmanager
def sqlite(folder: Path) -> Iterator[SQLitePlace]:
    """A new file."""
    yield SQLitePlace(folder)


@contextmanager
def postgres(folder: Path) -> Iterator[PostgresPlace]:
    """A new server, on the second core."""
    with on_core(1):
        server = Postgres(folder / "postgres", settings=_SETTINGS).start()
    with server:
        yield PostgresPlace(server)


@contextmanager
def redis_(folder: Path) -> Iterator[RedisPlace]:
    """A new server, on the second core."""
    with on_core(1):
        server = Redis(folder / "redis").start()
    with server:
        yield RedisPlace(server)


@contextmanager
def all_of(folder: Path) -> Iterator[list[Place]]:
    """All three."""
    with ExitStack() as stack:
        yield [stack.enter_context(make(folder)) for make in (sqlite, postgres, redis_)]


@asynccontextmanager
async def opened(store: Any) -> AsyncIterator[Any]:
    """A store that is closed afterwards."""
    await store.migrate()
    try:
        yield store
    finally:
        await store.close()


async def _migrated(store: Any) -> None:
    async with opened(store):
        pass


def _must(holds: bool) -> None:
    if not holds:
        raise AssertionError("not rotated")


_GENERATION, _ROTATED_AT = say.NAMES.index("generation"), say.NAMES.index("rotated_at")
MAKERS: dict[str, Callable[[Path], Any]] = {"SQLite": sqlite, "PostgreSQL": postgres, "Redis": redis_}
