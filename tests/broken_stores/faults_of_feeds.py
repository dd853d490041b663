"""What R12 and R13 must complain about: feeds and stores by which a revocation is heard too late, or never; each has one fault planted.

`source` of a verifier in these tests names one of the functions below, `wrap` of the issuer a class, `revocations` of a guard another one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from stagedoor.errors import RevocationsStale
from stagedoor.follower import uptime
from stagedoor.revocation import Concerned, Page, Revocations


class _Feed:
    """Another feed, passed on."""

    def __init__(self, place: Any) -> None:
        self.source = place.listened()
        self.feed = getattr(self.source, "log", self.source)

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        page: Page = self.feed.read(after, wait)
        return page

    def close(self) -> None:
        self.source.close()


class _DropsTheGap(_Feed):
    """After a failure it begins anew where the log is by then, as one that listens to notifications alone."""

    def __init__(self, place: Any) -> None:
        super().__init__(place)
        self.failed = False
        self.gap: set[str] = set()

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        try:
            page = super().read(after, wait)
        except Exception:
            self.failed = True
            raise
        records = list(page.records)
        if self.failed:
            self.failed = False
            self.gap |= {record.name for record in records}
        return page._replace(records=[record for record in records if record.name not in self.gap])


class _LaggingReplica(_Feed):
    """It answers at once, from a copy that is two seconds behind."""

    LAG = 2.0

    def __init__(self, place: Any) -> None:
        super().__init__(place)
        self.copied: deque[tuple[float, Page]] = deque()
        self.cursor: str | None = None

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        page = super().read(self.cursor, wait)
        self.cursor = page.cursor
        self.copied.append((uptime(), page._replace(records=list(page.records))))
        records = []
        while self.copied and self.copied[0][0] < uptime() - self.LAG:
            records += self.copied.popleft()[1].records
        return page._replace(records=records)


class _MissesSome(_Feed):
    """Every fifth record is not read: it was written before the one that was read first, and committed after it."""

    read_so_far = 0

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        page = super().read(after, wait)
        kept = []
        for record in page.records:
            self.read_so_far += 1
            if self.read_so_far % 5:
                kept.append(record)
        return page._replace(records=kept)


class _BelievesItsCursor(_Feed):
    """Once it has a cursor it passes over what a log says that was replaced: there is nothing after that cursor."""

    name: str | None = None

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        page = super().read(after, wait)
        self.name = self.name or page.cursor.partition(":")[0]
        return page if page.cursor.startswith(f"{self.name}:") else page._replace(records=())


drops_the_gap = _DropsTheGap
lagging_replica = _LaggingReplica
misses_some = _MissesSome
believes_its_cursor = _BelievesItsCursor


class AnswersFirst:
    """A store that says that a session is ended, and writes it a little later."""

    LATER = 1.5

    def __init__(self, store: Any) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def rotate(self, presented: Any, now: float) -> Any:  # an issuer looks whether it awaits
        return await self._store.rotate(presented, now)

    async def revoke(self, session_id: bytes, reason: str, now: float, **more: Any) -> bool:
        async def write() -> None:
            await asyncio.sleep(self.LATER)
            await self._store.revoke(session_id, reason, now, **more)

        task = asyncio.create_task(write())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        await asyncio.gather(*self._tasks)
        await self._store.close()


class FailsOpen(Revocations):
    """What is not known to be revoked passes, however old the knowledge is."""

    def check(self, token: Concerned, now: float) -> None:
        try:
            super().check(token, now)
        except RevocationsStale:
            time.sleep(0)
