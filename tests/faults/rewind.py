"""Rewind: puts a row back to an earlier state, as a store does that lost its last writes.

Never knows why. It reaches around the store to delete the row; the rest is Store.open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from sqlalchemy import create_engine, delete, event, make_url

from faults.places import Place
from stagedoor.session import Session, Store
from stagedoor.stores.sql.tables import sessions

_NO_LIMIT = 1_000_000


class Rewind:
    """For one store; `close` when done."""

    def __init__(self, place: Place, store: Store) -> None:
        self._store = store
        self._stack = contextlib.ExitStack()
        self._in_order: Callable[[Session], object] = _nothing
        if place.kind in ("sqlite", "postgres"):
            self._delete = self._from_table(place.url)
        elif place.kind in ("redis", "cluster"):
            self._delete, self._in_order = self._from_redis(place)
        else:
            held: Any = store
            self._delete = (held.rows if hasattr(held, "rows") else held._sync._rows).pop

    async def put(self, row: Session, now: float) -> None:
        """The row is as it was, at its place in the list of its subject's sessions."""
        self._delete(row.id)
        await self._store.open(row, limit=_NO_LIMIT, now=now)
        self._in_order(row)

    def close(self) -> None:
        """Let go of the connection."""
        self._stack.close()

    def _from_table(self, url: str) -> Callable[[bytes], object]:
        driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[make_url(url).get_backend_name()]
        engine = create_engine(make_url(url).set(drivername=driver), isolation_level="AUTOCOMMIT")
        if driver == "sqlite":
            # The row that is put in its place is written by the store itself: this half need not reach the disk.
            event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        self._stack.callback(engine.dispose)
        connection = self._stack.enter_context(engine.connect())
        return lambda id_: connection.execute(delete(sessions).where(sessions.c.id == id_))

    def _from_redis(self, place: Place) -> tuple[Callable[[bytes], object], Callable[[Session], object]]:
        import redis

        made: Any = redis.Redis if place.kind == "redis" else redis.RedisCluster
        client = self._stack.enter_context(made.from_url(place.url.replace("redis+cluster://", "redis://")))

        def in_order(row: Session) -> object:
            # A list that let it go meanwhile, because it had ended, takes it for the latest.
            return client.zadd(f"stagedoor:u:{row.subject}", {row.id: row.created_at * 1000})

        return lambda id_: client.delete(b"stagedoor:s:" + id_), in_order


def _nothing(row: Session) -> None:
    """What a table needs no hand for."""
