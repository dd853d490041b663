"""Connections: psycopg's, that wait for no answer for ever; and the few of them that an event loop shares.

Never knows a statement.
"""

from __future__ import annotations

import asyncio
import re
import select
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from psycopg import conninfo

from stagedoor.errors import StoreError
from stagedoor.stores.sql.database import PATIENCE

_WAITING = 2048
"""Tasks that may wait for a connection; more are refused at once."""
_DEFAULTS = {
    "application_name": "stagedoor",
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "tcp_user_timeout": str(int(PATIENCE * 1000)),
    "target_session_attrs": "read-write",  # never a standby: neither for writing nor for looking
}
_OPTIONS = "-c statement_timeout=8s -c lock_timeout=5s -c default_transaction_isolation=read\\ committed"
"""Where the session is ours. The server gives up before we do, and says what it waited for."""


def conninfo_of(url: str, *, own_session: bool) -> str:
    """What libpq is told: the URL, and a bound to every wait where the URL names none. ValueError for what is no URL of PostgreSQL."""
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        told = {name: value for name, value in conninfo.conninfo_to_dict(plain).items() if value is not None}
    except psycopg.ProgrammingError as error:
        option = re.search('invalid URI query parameter: "[a-z_]+"', str(error))  # of all else libpq would quote the URL
        raise ValueError(f"{option[0]} in the URL of PostgreSQL" if option else _NO_URL) from None
    # A password with a slash or an @ in it that is not encoded: libpq would take it apart, and quote a part of it when it fails.
    if not re.fullmatch("[0-9,]*", str(told.get("port", ""))) or "@" in f"{told.get('host', '')}{told.get('dbname', '')}":
        raise ValueError(_NO_URL)
    if own_session:
        told["options"] = f"{_OPTIONS} {told.get('options', '')}".strip()
    return conninfo.make_conninfo("", **(_DEFAULTS | told | {"client_encoding": "utf8"}))


_NO_URL = "not a URL of PostgreSQL, such as 'postgresql://user@host/database'; what is no letter or digit in a password is encoded with %"


class SyncConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that gives up when no answer comes."""

    patience: float = PATIENCE
    """Seconds that one statement may take."""

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """As psycopg's."""
        return super().wait(_in_time(gen, self), *arguments, **options)


class AsyncConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """The same for event loops."""

    patience: float = PATIENCE

    async def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """As psycopg's."""
        return await super().wait(_in_time(gen, self), *arguments, **options)


def _in_time(gen: Any, connection: SyncConnection | AsyncConnection) -> Any:
    """What psycopg does on a connection, up to a moment: a server that stands still, or a standby that is waited for, ends no session.

    psycopg comes back here ten times a second with nothing ready.
    """
    until = time.monotonic() + connection.patience
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > until:
                connection.pgconn.finish()
                raise psycopg.OperationalError(f"no answer in {connection.patience:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


def is_stale(connection: SyncConnection | AsyncConnection) -> bool:
    """Whether the server has said anything while nobody asked: good-bye, above all. Found out without asking it."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


class AsyncPool:
    """Connections of one event loop: at most so many, made when they are needed, the last used first."""

    def __init__(self, connect: Callable[[], Awaitable[AsyncConnection]], size: int) -> None:
        self._connect = connect
        self._idle: list[AsyncConnection] = []
        self._places = asyncio.Semaphore(size)
        self._waiting = 0
        self._closed = False

    async def take(self) -> AsyncConnection:
        """A good connection, which is given back to `keep`, or to `drop` where anything went wrong on it. StoreError where none is free."""
        await self._wait_for_a_place()
        try:
            return await self._good()
        except BaseException:
            self._places.release()
            raise

    def keep(self, connection: AsyncConnection) -> None:
        """Whoever comes next may have it."""
        self._idle.append(connection)
        self._places.release()
        if self._closed:
            self.close()

    def drop(self, connection: AsyncConnection) -> None:
        """It is not used again."""
        connection.pgconn.finish()
        self._places.release()

    def close(self) -> None:
        """Close the idle connections now, the others when they come back."""
        self._closed = True
        while self._idle:
            connection = self._idle.pop()
            connection.pgconn.finish()

    async def _good(self) -> AsyncConnection:
        while self._idle:
            connection = self._idle.pop()
            if not is_stale(connection):
                return connection
            connection.pgconn.finish()
        return await self._connect()

    async def _wait_for_a_place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        if self._waiting >= _WAITING:
            raise StoreError("too much waits for PostgreSQL")
        self._waiting += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await self._places.acquire()
        except TimeoutError:
            raise StoreError(f"no connection to PostgreSQL was free in {PATIENCE:g} s") from None
        finally:
            self._waiting -= 1
