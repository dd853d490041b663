"""Threaded: a sync store with await, each call on a thread, so that what runs at once really races.

Never knows a rule, and is no way to run a service: an async store does not need a thread a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from stagedoor.session import Answer, Outcome, Presented, Session, SyncStore

P = ParamSpec("P")
R = TypeVar("R")


class Threaded:
    """Store, over a SyncStore, for tests. `close` ends its threads and leaves the store alone."""

    def __init__(self, store: SyncStore, *, threads: int = 16) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="stagedoor-test")
        self.log = getattr(store, "log", None)
        """The store's own, which blocks."""

    def close(self) -> None:
        """End the threads, once what runs on them has ended."""
        self._threads.shutdown()

    async def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open."""
        return await self._on_thread(lambda: self._store.open(session, limit=limit, now=now))

    async def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""
        return await self._on_thread(self._store.get, session_id)

    async def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        return await self._on_thread(self._store.rotate, presented, now)

    async def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""
        return await self._on_thread(self._store.settle, outcome, presented, now)

    async def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        return await self._on_thread(lambda: self._store.revoke(session_id, reason, now, subject=subject))

    async def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject."""
        return await self._on_thread(self._store.revoke_subject, subject, reason, now)

    async def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        return await self._on_thread(self._store.sessions, subject, now)

    async def _on_thread(self, call: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(*arguments, **named))
