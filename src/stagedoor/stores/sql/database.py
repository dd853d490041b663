"""Database: what the stores ask of one, the same on SQLite and PostgreSQL.

Never knows a driver, a table or a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, text

R = TypeVar("R")
Clock = Callable[[], float | None]
"""The moment to write, asked when a job's turn has come; None: let the database read its own clock."""

PATIENCE = 10.0
"""Seconds that anything is waited for: a place, a lock, an answer. Then StoreError."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement for the drivers themselves, prepared once a connection, without a layer between."""

    named: str
    """With `:name`, as sqlite3 has it."""
    pyformat: str
    """With `%(name)s`, as psycopg has it."""


Steps = Generator[tuple[Statement, Mapping[str, Any]], Sequence[Any] | None, R]
"""Single statements, one after another, each with a transaction of its own at the least: yields one, is sent its row (None: no row)."""


class Database(Protocol):
    """Runs what works on rows; jobs are functions of a SQLAlchemy connection in a transaction. Every method raises StoreError.

    A job may run twice, so it writes to nothing but the connection. It is rolled back if it raises; what it raises comes out.
    """

    def submit(self, work: Callable[[Connection], R], *, patience: float = PATIENCE) -> Future[R]:
        """Run this job on a thread of the database's own; each of its statements may take so many seconds."""

    def run(self, work: Callable[[Connection], R], *, patience: float = PATIENCE) -> R:
        """Run this job, and wait for it."""

    def follow(self, steps: Callable[[], Steps[R]]) -> R:
        """Take these steps by the shortest way there is, and wait for their end."""

    async def follow_async(self, steps: Callable[[], Steps[R]]) -> R:
        """The same; the event loop goes on meanwhile."""

    def look(self, statement: Statement, parameters: Mapping[str, Any], *, opens: bool = True) -> list[Sequence[Any]]:
        """All rows of one statement that writes nothing, on a connection that is there for this alone, one call after another.

        FeedClosed where all is closed, unless it `opens` anew.
        """

    @property
    def heard(self) -> int:
        """How often somebody has said that a record was written. Nobody says it everywhere."""

    def pause(self, heard: int, seconds: float) -> None:
        """Wait until more than this was heard, so many seconds at the longest; less where looking again is how one hears."""

    def wake(self) -> None:
        """End each pause under way, soon."""

    def clock(self, now: float) -> Clock:
        """The clock of a job that is asked for now, by the caller's clock (Unix seconds)."""

    def close(self) -> None:
        """Finish what is under way and let go of all connections. A later call opens them anew."""


def on_postgres(connection: Connection) -> bool:
    """Which of the two it is."""
    return connection.dialect.name == "postgresql"


def moment(connection: Connection, now: float | None) -> float:
    """This moment, or the one on the server's clock."""
    if now is None:
        return float(connection.execute(text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)")).scalar_one())
    return now


def fetch(connection: Connection, statement: Statement, parameters: Mapping[str, Any]) -> list[Sequence[Any]]:
    """All rows of one statement, inside a job's transaction."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement.pyformat if on_postgres(connection) else statement.named, parameters)
        return list(cursor.fetchall())
    finally:
        cursor.close()
