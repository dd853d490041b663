"""PostgresReader: a connection for looking alone, on which the server also says when somebody has written.

Never knows a table.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from stagedoor.revocation import FeedClosed
from stagedoor.stores.sql.connections import SyncConnection, is_stale
from stagedoor.stores.sql.database import Statement

_POLL = 0.2
"""Seconds between two looks where the server says nothing."""
_LONGEST = 1.0
"""Seconds without a look where it does: a connection may be dead, and nobody knows."""


class PostgresReader:
    """One connection, used by one thread at a time. It is thrown away when anything goes wrong on it. What psycopg raises comes out.

    `channel`: where to listen; None behind a PgBouncer, where what is said to a session is said to anybody.
    """

    def __init__(self, connect: Callable[[], SyncConnection], channel: str | None) -> None:
        self._connect = connect
        self._channel = channel
        self._lock = threading.Lock()
        self._connection: SyncConnection | None = None
        self.heard = 0
        """How often somebody has said that a record was written, or might have while nobody listened."""
        self.is_closed = False
        """Whether nobody opens it but who says so."""

    def look(self, statement: Statement, parameters: Mapping[str, Any], *, opens: bool) -> list[Sequence[Any]]:
        """As Database.look."""
        with self._lock:
            if self.is_closed and not opens:
                raise FeedClosed("the store is closed")
            self.is_closed = False
            self._take_in()
            try:
                return list(self._open().execute(statement.pyformat, parameters, prepare=True, binary=True).fetchall())
            except BaseException:
                self._drop()
                raise

    def pause(self, heard: int, seconds: float) -> None:
        """As Database.pause."""
        if self._channel is None:
            time.sleep(max(0.0, min(seconds, _POLL)))
            return
        until = time.monotonic() + min(seconds, _LONGEST)
        while self.heard == heard and not self.is_closed and (left := until - time.monotonic()) > 0:
            self._wait(left)
            with self._lock:
                self._take_in()

    def wake(self) -> None:
        """As Database.wake: whoever waits looks again, as if somebody had written."""
        self.heard += 1

    def close(self) -> None:
        """End the connection, once nobody looks any more."""
        with self._lock:
            self.is_closed = True
            self._drop()

    def forget(self) -> object:
        """In a child of a fork: the connection, which is the parent's and must be kept from being closed; this one begins anew."""
        connection, self._connection = self._connection, None
        self._lock = threading.Lock()
        return connection

    def __del__(self) -> None:
        self._drop()  # nobody can look any more, and nobody closed the store

    def _open(self) -> SyncConnection:
        if self._connection is None:
            connection = self._connect()
            connection.add_notify_handler(self._hear)
            self._connection = connection
            if self._channel is not None:
                connection.execute(f"LISTEN {self._channel}".encode())
        return self._connection

    def _wait(self, seconds: float) -> None:
        """Until the server says anything, or somebody else looks. The lock is not held: looking goes on meanwhile."""
        connection = self._connection
        try:
            socket = -1 if connection is None else connection.pgconn.socket
        except psycopg.Error:
            socket = -1
        if socket < 0:
            time.sleep(min(seconds, _POLL))
            return
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        poll.poll(max(1, int(min(seconds, _POLL) * 1000)))  # not for long: the connection may be another one by now

    def _take_in(self) -> None:
        """Count what was said while nobody looked, and find out whether the server has gone."""
        connection = self._connection
        if connection is None:
            return
        try:
            while is_stale(connection):
                connection.pgconn.consume_input()
                while connection.pgconn.notifies() is not None:
                    self.heard += 1
        except psycopg.Error:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self.heard += 1  # what was said to it is lost: whoever waits looks
            connection.pgconn.finish()

    def _hear(self, said: object) -> None:
        self.heard += 1
