"""SQLStore and SyncSQLStore: sessions in a relational database; the same words, with await and without.

Never knows a statement: tables, migrations and each database have a file of their own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Literal, TypeVar

try:
    from sqlalchemy import Connection, make_url
    from sqlalchemy.exc import SQLAlchemyError
except ModuleNotFoundError as missing:
    raise ImportError('SQLStore needs SQLAlchemy: pip install "stagedoor[sql]"') from missing

from stagedoor.session import Answer, Outcome, Presented, Session
from stagedoor.stores.sql import sessions as table
from stagedoor.stores.sql.database import Clock, Database
from stagedoor.stores.sql.documents import SQLDocuments
from stagedoor.stores.sql.log import SQLLog
from stagedoor.stores.sql.migrations import SESSIONS, migrate
from stagedoor.stores.sql.sqlite import SQLite

R = TypeVar("R")
Firmness = Literal["on", "remote_apply"]

__all__ = ["Database", "SQLStore", "SyncSQLStore"]


class _SQLStore:
    """What both are made of."""

    def __init__(
        self,
        url: str,
        *,
        connections: int = 10,
        server_clock: bool = True,
        statement_cache: bool = True,
        revoke_commit: Firmness | None = None,
    ) -> None:
        if not isinstance(url, str):
            raise TypeError("url is a text such as 'sqlite:///auth.db' or 'postgresql://user@host/database'")
        if type(connections) is not int or connections < 1:
            raise ValueError("connections is a number, at least 1")
        if revoke_commit not in (None, "on", "remote_apply"):  # less than the server's own would be a session that comes back
            raise ValueError('revoke_commit is "on" or "remote_apply"')
        self.database: Database
        match _driver(url):
            case "sqlite" | "sqlite+pysqlite":
                self.database = SQLite(url)
            case "postgresql" | "postgres" | "postgresql+psycopg":
                try:
                    from stagedoor.stores.sql.postgres import Postgres
                except ModuleNotFoundError as missing:
                    raise ImportError('PostgreSQL needs its driver: pip install "stagedoor[postgres]"') from missing
                self.database = Postgres(
                    url,
                    connections=connections,
                    server_clock=server_clock,
                    statement_cache=statement_cache,
                    revoke_commit=revoke_commit,
                )
            case _:
                raise ValueError("a URL such as 'sqlite:///auth.db' or 'postgresql://user@host/database'")
        self.documents = SQLDocuments(self.database)
        """For a Vault: keys and peppers that all workers share. Its calls block."""
        self.log = SQLLog(self.database)
        """What was ended, for all who verify. Its calls block."""


class SyncSQLStore(_SQLStore):
    """SQLStore without await, and with the same arguments."""

    def migrate(self) -> None:
        """As SQLStore.migrate."""
        self.database.run(lambda connection: migrate(connection, SESSIONS), patience=math.inf)

    def close(self) -> None:
        """As SQLStore.close."""
        self.database.close()

    def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open."""
        return self._at(now, lambda c, at: table.open_session(c, session, limit, now, at))

    def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""
        return self.database.follow(lambda: table.get(session_id))

    def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        clock = self.database.clock(now)
        return self.database.follow(lambda: table.rotate(presented, now, clock()))

    def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""
        return self._at(now, lambda c, at: table.settle(c, outcome, presented, at))

    def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        return self._at(now, lambda c, at: table.revoke(c, session_id, reason, subject, at))

    def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject."""
        return self._at(now, lambda c, at: table.revoke_subject(c, subject, reason, at))

    def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        return self._at(now, lambda c, at: table.live_sessions(c, subject, at))

    def purge(self, *, now: float) -> int:
        """As SQLStore.purge."""
        total, clock = 0, self.database.clock(now)
        after: bytes | None = b""
        while after is not None:
            after, gone = self.database.run(_purging(after, clock))
            total += gone
        return total

    def _at(self, now: float, work: Callable[[Connection, float | None], R]) -> R:
        clock = self.database.clock(now)
        return self.database.run(lambda connection: work(connection, clock()))


class SQLStore(_SQLStore):
    """Sessions in the database of this URL: "sqlite:///path/to/file.db" or "postgresql://user@host/database". ValueError for any other.

    Nothing is opened before the first call. `database` may be shared with an application's own tables. The rest is for PostgreSQL:
    `connections`: so many at most in each process; an async store takes up to four more for what is no refresh. `server_clock` False: the
    caller's clock counts, for tests. `statement_cache` False: nothing is prepared and nothing asked of the session, for a PgBouncer in
    transaction mode. `revoke_commit`: synchronous_commit for what ends a session ("on", "remote_apply"), where the server's is less.
    """

    async def migrate(self) -> None:
        """Bring the tables to this version's form; safe from many processes at once, and again. StoreError."""
        await asyncio.wrap_future(self.database.submit(lambda connection: migrate(connection, SESSIONS), patience=math.inf))

    async def close(self) -> None:
        """Finish what is under way and let go of the file, or of all connections."""
        await asyncio.to_thread(self.database.close)

    async def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open."""
        return await self._at(now, lambda c, at: table.open_session(c, session, limit, now, at))

    async def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""
        return await self.database.follow_async(lambda: table.get(session_id))

    async def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        clock = self.database.clock(now)
        return await self.database.follow_async(lambda: table.rotate(presented, now, clock()))

    async def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""
        return await self._at(now, lambda c, at: table.settle(c, outcome, presented, at))

    async def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        return await self._at(now, lambda c, at: table.revoke(c, session_id, reason, subject, at))

    async def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject."""
        return await self._at(now, lambda c, at: table.revoke_subject(c, subject, reason, at))

    async def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        return await self._at(now, lambda c, at: table.live_sessions(c, subject, at))

    async def purge(self, *, now: float) -> int:
        """Delete all rows that have been dead for longer than a late retry may take, a thousand looked at in a transaction; how many went.

        `now` in Unix seconds. StoreError. Nobody has to call this: each new session deletes a few.
        """
        total, clock = 0, self.database.clock(now)
        after: bytes | None = b""
        while after is not None:
            after, gone = await asyncio.wrap_future(self.database.submit(_purging(after, clock)))
            total += gone
        return total

    async def _at(self, now: float, work: Callable[[Connection, float | None], R]) -> R:
        clock = self.database.clock(now)
        return await asyncio.wrap_future(self.database.submit(lambda connection: work(connection, clock())))


def _purging(after: bytes, clock: Clock) -> Callable[[Connection], tuple[bytes | None, int]]:
    return lambda connection: table.purge(connection, after, clock())


def _driver(url: str) -> str:
    scheme = url.partition("://")[0]
    if scheme in ("postgresql", "postgres"):
        return scheme  # libpq reads what follows: several hosts, a socket's folder
    try:
        return make_url(url).drivername
    except SQLAlchemyError:
        return "none"
