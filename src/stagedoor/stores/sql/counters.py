"""SQLCounters: counts that end by themselves, one row and one upsert a key.

Never knows what is counted.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import case, func

from stagedoor.stores.sql.database import Database, moment, on_postgres
from stagedoor.stores.sql.tables import counters

_CLEANED_AT_ONCE = 16


class SQLCounters:
    """Counts in the store's database (its `migrate` makes the table): right for all processes that share it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, keys: list[bytes], amount: int, *, lifetime: float, now: float) -> list[int]:
        """Add to each count and return them; one that is new, or ended, starts at 0 and ends `lifetime` seconds later. Never below 0."""
        clock = self._database.clock(now)
        return await asyncio.wrap_future(self._database.submit(lambda connection: _add(connection, keys, amount, lifetime, clock())))

    async def get(self, key: bytes, *, now: float) -> int:
        """The count, 0 where there is none."""
        clock = self._database.clock(now)

        def count(connection: Connection) -> int:
            found = select(counters.c.count).where(counters.c.key == key, counters.c.ends_at > moment(connection, clock()))
            return connection.scalar(found) or 0

        return await asyncio.wrap_future(self._database.submit(count))


def _add(connection: Connection, keys: list[bytes], amount: int, lifetime: float, now: float | None) -> list[int]:
    at = moment(connection, now)
    # In one order, whoever counts: two that wait for each other's rows would never end.
    in_order = sorted(range(len(keys)), key=keys.__getitem__)
    counts = {number: _add_one(connection, keys[number], amount, lifetime, at) for number in in_order}
    ended = select(counters.c.key).where(counters.c.ends_at <= at, counters.c.key.not_in(keys)).limit(_CLEANED_AT_ONCE * len(keys))
    connection.execute(delete(counters).where(counters.c.key.in_(ended.with_for_update(skip_locked=True))))
    return [counts[number] for number in range(len(keys))]


def _add_one(connection: Connection, key: bytes, amount: int, lifetime: float, now: float) -> int:
    insert, greatest = (postgresql.insert, func.greatest) if on_postgres(connection) else (sqlite.insert, func.max)
    fresh = insert(counters).values(key=key, count=max(amount, 0), ends_at=now + lifetime)
    over = counters.c.ends_at <= now
    upsert = fresh.on_conflict_do_update(
        index_elements=[counters.c.key],
        set_={
            "count": case((over, max(amount, 0)), else_=greatest(counters.c.count + amount, 0)),
            "ends_at": case((over, now + lifetime), else_=counters.c.ends_at),
        },
    )
    return int(connection.execute(upsert.returning(counters.c.count)).scalar_one())
