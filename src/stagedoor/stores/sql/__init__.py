"""SQLStore and SyncSQLStore: sessions in a relational database; the same words, with await and without.

Never knows a statement: tables, migrations and each database have a file of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection

from stagedoor.session import Answer, Outcome, Presented, Session
from stagedoor.stores.sql import sessions as table
from stagedoor.stores.sql.migrations import SESSIONS, migrate
from stagedoor.stores.sql.sqlite import Database

R = TypeVar("R")
_NOTICEABLE = 1.0

__all__ = ["Database", "SQLStore", "SyncSQLStore"]


class SyncSQLStore:
    """Sessions in the database of this URL, so far "sqlite:///path/to/file.db". ValueError for any other.

    Nothing is opened before the first call. `database` may be shared with an application's own tables.
    """

    def __init__(self, url: str) -> None:
        self.database = Database(url)

    def migrate(self) -> None:
        """Bring the tables to this version's form; safe from many processes at once, and again. StoreError."""
        self.database.submit(lambda connection: migrate(connection, SESSIONS)).result()

    def close(self) -> None:
        """Finish what is under way and let go of the file."""
        self.database.close()

    def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open."""
        return self._do(table.open_session, session, limit, now).result()

    def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""
        return self._do(table.get, session_id).result()

    def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        return _at(self.database, now, lambda c, moment: table.rotate(c, presented, moment)).result()

    def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""
        return _at(self.database, now, lambda c, moment: table.settle(c, outcome, presented, moment)).result()

    def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        return self._do(table.revoke, session_id, reason, now, subject).result()

    def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject."""
        return self._do(table.revoke_subject, subject, reason, now).result()

    def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        return self._do(table.live_sessions, subject, now).result()

    def _do(self, statement: Callable[..., R], *arguments: Any) -> Future[R]:
        return self.database.submit(lambda connection: statement(connection, *arguments))


class SQLStore:
    """SyncSQLStore with await: the event loop never waits for the disk."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)

    async def migrate(self) -> None:
        """As SyncSQLStore.migrate."""
        await asyncio.wrap_future(self.database.submit(lambda connection: migrate(connection, SESSIONS)))

    async def close(self) -> None:
        """As SyncSQLStore.close."""
        await asyncio.to_thread(self.database.close)

    async def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open."""
        return await self._do(table.open_session, session, limit, now)

    async def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""
        return await self._do(table.get, session_id)

    async def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        return await asyncio.wrap_future(_at(self.database, now, lambda c, moment: table.rotate(c, presented, moment)))

    async def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""
        return await asyncio.wrap_future(_at(self.database, now, lambda c, moment: table.settle(c, outcome, presented, moment)))

    async def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        return await self._do(table.revoke, session_id, reason, now, subject)

    async def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject."""
        return await self._do(table.revoke_subject, subject, reason, now)

    async def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        return await self._do(table.live_sessions, subject, now)

    def _do(self, statement: Callable[..., R], *arguments: Any) -> asyncio.Future[R]:
        return asyncio.wrap_future(self.database.submit(lambda connection: statement(connection, *arguments)))


def _at(database: Database, now: float, work: Callable[[Connection, float], R]) -> Future[R]:
    """Run work that writes its moment: where it had to wait for its turn, or for another process's lock, the moment is later than asked.

    Else a rotation would look older than it is, and an honest retry like a theft.
    """
    asked = time.monotonic()

    def run(connection: Connection) -> R:
        waited = time.monotonic() - asked
        return work(connection, now + waited if waited > _NOTICEABLE else now)

    return database.submit(run)
