"""Postgres: one PostgreSQL server behind two pools, one for event loops and one for threads, by psycopg.

Never knows a table: it runs the steps and the work that are handed to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
from psycopg import errors
from psycopg.types.numeric import Int8
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError

from stagedoor.errors import StoreError
from stagedoor.stores.sql.connections import AsyncConnection, AsyncPool, SyncConnection, conninfo_of, is_stale
from stagedoor.stores.sql.database import PATIENCE, Clock, R, Statement, Steps
from stagedoor.stores.sql.postgres_reader import PostgresReader
from stagedoor.stores.sql.records import CHANNEL, REVOKE_COMMIT

_THREADS = 4
"""Jobs of an event loop that run at once: all that is no refresh."""
_WAITING = 2048
"""Jobs that may wait; more are refused at once, so that nobody waits for long without hearing of it."""
_TRIES = 3
_BROKEN = (psycopg.Error, SQLAlchemyError, OSError, UnicodeError)


class Postgres:
    """As Database. Connections are made when they are needed, and thrown away when anything went wrong on them.

    Steps run without a transaction around them: on the happy path one statement, prepared, one round trip. A step whose answer was lost
    is not tried again here: whether it was written is not known, and the client's own retry, which the rules are made for, tells.
    """

    def __init__(self, url: str, *, connections: int, server_clock: bool, statement_cache: bool, revoke_commit: str | None) -> None:
        self._conninfo = conninfo_of(url, own_session=statement_cache)
        self._connections = connections
        self._server_clock = server_clock
        self._prepare_threshold = 5 if statement_cache else None  # psycopg's own; steps are prepared at once
        self._revoke_commit = revoke_commit
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._pools: dict[asyncio.AbstractEventLoop, AsyncPool] = {}
        self._places = threading.BoundedSemaphore(_WAITING)
        self._reader = PostgresReader(self._connect, CHANNEL if statement_cache else None)
        self._knows_of_forks = False
        self._parents: list[object] = []

    def submit(self, work: Callable[[Connection], R], *, patience: float = PATIENCE) -> Future[R]:
        """As Database.submit."""
        if not self._places.acquire(blocking=False):
            refused: Future[R] = Future()
            refused.set_exception(StoreError("too much waits for PostgreSQL"))
            return refused
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="stagedoor-postgres")
            future = self._threads.submit(self._run_in_time, work, patience, time.monotonic() + PATIENCE)
        future.add_done_callback(lambda _: self._places.release())
        return future

    def _run_in_time(self, work: Callable[[Connection], R], patience: float, until: float) -> R:
        """A job whose turn comes too late is not done any more: who asked for it has been told, or has gone."""
        if time.monotonic() > until:
            raise StoreError(f"PostgreSQL was busy with others for {PATIENCE:g} s")
        return self.run(work, patience=patience)

    def run(self, work: Callable[[Connection], R], *, patience: float = PATIENCE) -> R:
        """As Database.run, on this thread; again where PostgreSQL chose this job to give way to another."""
        with _told():
            for _ in range(_TRIES - 1):
                with contextlib.suppress(errors.DeadlockDetected, errors.SerializationFailure):
                    return self._run_once(work, patience)
            return self._run_once(work, patience)

    def follow(self, steps: Callable[[], Steps[R]]) -> R:
        """As Database.follow."""
        with _told():
            pooled = self._open_engine().raw_connection()
            driver: Any = pooled.driver_connection
            try:
                return _take(driver, steps())
            except BaseException:
                pooled.invalidate()
                raise
            finally:
                pooled.close()

    async def follow_async(self, steps: Callable[[], Steps[R]]) -> R:
        """As Database.follow_async: on a connection of the running loop."""
        with _told():
            pool = self._pools.get(asyncio.get_running_loop()) or self._open_pool()
            connection = await pool.take()
            try:
                answer = await _take_async(connection, steps())
            except BaseException:
                pool.drop(connection)
                raise
            pool.keep(connection)
            return answer

    def look(self, statement: Statement, parameters: Mapping[str, Any], *, opens: bool = True) -> list[Sequence[Any]]:
        """As Database.look: in one round trip, and however busy the other connections are."""
        if not self._knows_of_forks:
            with self._lock:
                self._stay_in_this_process()
        with _told():
            return self._reader.look(statement, parameters, opens=opens)

    @property
    def heard(self) -> int:
        """As Database.heard."""
        return self._reader.heard

    def pause(self, heard: int, seconds: float) -> None:
        """As Database.pause."""
        self._reader.pause(heard, seconds)

    def wake(self) -> None:
        """As Database.wake."""
        self._reader.wake()

    def clock(self, now: float) -> Clock:
        """The server's clock, unless it is not to be asked."""
        return lambda: None if self._server_clock else now

    def close(self) -> None:
        """As Database.close."""
        with self._lock:
            engine, threads, pools = self._engine, self._threads, list(self._pools.values())
            self._engine = self._threads = None
            self._pools = {}
        if threads is not None:
            threads.shutdown()
        for pool in pools:
            pool.close()
        if engine is not None:
            engine.dispose()
        self._reader.close()

    def _run_once(self, work: Callable[[Connection], R], patience: float) -> R:
        with self._open_engine().execution_options(isolation_level="READ COMMITTED").connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.patience = patience
            try:
                with connection.begin():
                    return work(connection)
            except _BROKEN as error:
                connection.invalidate()
                raise (getattr(error, "orig", None) or error) from None
            finally:
                driver.patience = PATIENCE

    def _open_engine(self) -> Engine:
        engine = self._engine
        if engine is not None:
            return engine
        with self._lock:
            if self._engine is None:
                self._stay_in_this_process()
                self._reader.is_closed = False
                self._engine = self._make_engine()
            return self._engine

    def _make_engine(self) -> Engine:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=partial(self._connect, autocommit=False),
            isolation_level="AUTOCOMMIT",
            pool_size=self._connections,
            max_overflow=0,
            pool_timeout=PATIENCE,
            hide_parameters=True,
            use_native_hstore=False,
            execution_options={REVOKE_COMMIT: self._revoke_commit},
        )
        event.listen(engine, "checkout", _look_at)
        return engine

    def _connect(self, *, autocommit: bool = True) -> SyncConnection:
        return SyncConnection.connect(self._conninfo, autocommit=autocommit, prepare_threshold=self._prepare_threshold)

    def _open_pool(self) -> AsyncPool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is not None:
            return pool
        with self._lock:
            self._stay_in_this_process()
            for other in [other for other in self._pools if other.is_closed()]:
                self._pools.pop(other).close()
            self._reader.is_closed = False
            connect = partial(AsyncConnection.connect, self._conninfo, autocommit=True, prepare_threshold=self._prepare_threshold)
            return self._pools.setdefault(loop, AsyncPool(connect, self._connections))

    def _stay_in_this_process(self) -> None:
        """A connection that parent and child both speak on serves neither: a child begins with none, and leaves the parent's alone."""
        if self._knows_of_forks or not hasattr(os, "register_at_fork"):
            return
        self._knows_of_forks = True
        this = weakref.ref(self)  # hooks cannot be taken back: they must not keep a database alive

        def begin_anew() -> None:
            database = this()
            if database is not None:
                database._begin_anew()

        os.register_at_fork(after_in_child=begin_anew)

    def _begin_anew(self) -> None:
        self._parents += [
            self._engine,
            self._threads,
            self._reader.forget(),
            *self._pools.values(),
        ]  # kept: to close one would end the parent's session
        self._engine = self._threads = None
        self._pools = {}
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_WAITING)


def _look_at(connection: Any, record: object, pooled: object) -> None:
    if is_stale(connection):
        raise DisconnectionError("the server has ended this connection")  # the pool makes another


def _take(connection: SyncConnection, steps: Steps[R]) -> R:
    try:
        statement, parameters = next(steps)
        while True:
            cursor = connection.execute(statement.pyformat, _typed(parameters), prepare=True, binary=True)
            statement, parameters = steps.send(cursor.fetchone())
    except StopIteration as end:
        answer: R = end.value
        return answer


async def _take_async(connection: AsyncConnection, steps: Steps[R]) -> R:
    try:
        statement, parameters = next(steps)
        while True:
            cursor = await connection.execute(statement.pyformat, _typed(parameters), prepare=True, binary=True)
            statement, parameters = steps.send(await cursor.fetchone())
    except StopIteration as end:
        answer: R = end.value
        return answer


def _typed(parameters: Any) -> dict[str, Any]:
    """Numbers of one width: psycopg would make a small one a smallint, and prepare a statement of its own for each width."""
    return {name: Int8(value) if type(value) is int else value for name, value in parameters.items()}


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What the driver raises becomes StoreError."""
    try:
        yield
    except _BROKEN as error:
        cause = getattr(error, "orig", None) or error
        hint = ": run store.migrate(), or `stagedoor migrate`, first" if isinstance(cause, errors.UndefinedTable) else ""
        told = getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause).strip()  # without the statement
        raise StoreError(f"{type(cause).__name__}: {told}{hint}") from None
