"""SQLiteReader: a connection that only looks into the file, beside the one that writes.

Never knows a table.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from stagedoor.revocation import FeedClosed
from stagedoor.stores.sql.database import PATIENCE, Statement

_POLL = 0.05
"""Seconds between two looks."""


class SQLiteReader:
    """Looks into one file, which may be another one the next time. What sqlite3 raises comes out."""

    def __init__(self, url: str) -> None:
        self._connection: sqlite3.Connection | None = None
        parsed = make_url(url)
        (self._name,), self._options = parsed.get_dialect()().create_connect_args(parsed)
        self._lock = threading.Lock()
        self._file: tuple[int, int] | None = None
        self.is_closed = False
        """Whether nobody opens it but who says so."""

    def look(self, statement: Statement, parameters: Mapping[str, Any], *, opens: bool) -> list[Sequence[Any]]:
        """As Database.look."""
        with self._lock:
            if self.is_closed and not opens:
                raise FeedClosed("the store is closed")
            self.is_closed = False
            try:
                return self._open().execute(statement.named, parameters).fetchall()
            except BaseException:
                self._close()
                raise

    def close(self) -> None:
        """Let go of the file, once nobody looks into it."""
        with self._lock:
            self.is_closed = True
            self._close()

    def hold(self) -> None:
        """Let go of it, and let nobody open it until `release`."""
        self._lock.acquire()
        self._close()

    def release(self) -> None:
        """The end of `hold`."""
        self._lock.release()

    def _open(self) -> sqlite3.Connection:
        file = self._found()
        if self._connection is not None and self._file == file:
            return self._connection
        self._close()  # a backup was put in its place
        options = dict(self._options) | {"isolation_level": None, "timeout": PATIENCE, "check_same_thread": False}
        self._connection, self._file = sqlite3.connect(self._name, **options), file
        self._connection.execute("PRAGMA query_only = ON")
        return self._connection

    def _found(self) -> tuple[int, int] | None:
        """Which file it is. One that is not there is not made: whoever looks has nothing to write."""
        if self._name.startswith("file:"):
            return None
        try:
            file = Path(self._name).stat()
        except FileNotFoundError:
            raise sqlite3.OperationalError("no such table: there is no such file") from None
        return file.st_dev, file.st_ino

    def __del__(self) -> None:
        self._close()  # nobody can look any more, and nobody closed the store

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def is_in_memory(url: str) -> bool:
    """Whether what one connection writes is nowhere but there."""
    parsed = make_url(url)
    return parsed.database in (None, "", ":memory:", "file::memory:") or parsed.query.get("mode") == "memory"


def pause(seconds: float) -> None:
    """Nobody says when something was written: whoever waits looks again soon."""
    time.sleep(max(0.0, min(seconds, _POLL)))
