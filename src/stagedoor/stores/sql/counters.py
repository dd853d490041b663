"""SQLCounters: counts that end by themselves, one row and one upsert a key.

Never knows what is counted.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql import case, func

from stagedoor.stores.sql.sqlite import Database
from stagedoor.stores.sql.tables import counters

_CLEANED_AT_ONCE = 16


class SQLCounters:
    """Counts in the store's database (its `migrate` makes the table): right for all processes that share it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, keys: list[bytes], amount: int, *, lifetime: float, now: float) -> list[int]:
        """Add to each count and return them; one that is new, or ended, starts at 0 and ends `lifetime` seconds later. Never below 0."""
        return await asyncio.wrap_future(self._database.submit(lambda c: [_add(c, key, amount, lifetime, now) for key in keys]))

    async def get(self, key: bytes, *, now: float) -> int:
        """The count, 0 where there is none."""
        found = select(counters.c.count).where(counters.c.key == key, counters.c.ends_at > now)
        return await asyncio.wrap_future(self._database.submit(lambda connection: connection.scalar(found) or 0))


def _add(connection: Connection, key: bytes, amount: int, lifetime: float, now: float) -> int:
    ended = select(counters.c.key).where(counters.c.ends_at <= now, counters.c.key != key).limit(_CLEANED_AT_ONCE)
    connection.execute(delete(counters).where(counters.c.key.in_(ended)))
    fresh = insert(counters).values(key=key, count=max(amount, 0), ends_at=now + lifetime)
    over = counters.c.ends_at <= now
    upsert = fresh.on_conflict_do_update(
        index_elements=[counters.c.key],
        set_={
            "count": case((over, max(amount, 0)), else_=func.max(counters.c.count + amount, 0)),
            "ends_at": case((over, now + lifetime), else_=counters.c.ends_at),
        },
    )
    return int(connection.execute(upsert.returning(counters.c.count)).scalar_one())
