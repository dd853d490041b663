"""Place: where a store is, as a value that other processes can be given; and the servers that a run needs, started when first asked for.

Never knows a test.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from stagedoor.session import Store, SyncStore

# What a process of a test needs is imported once, in the server that they are all forked from.
get_context("forkserver").set_forkserver_preload(
    [
        "stagedoor.testing.race",
        "stagedoor.stores.sql",
        "stagedoor.stores.sql.postgres",
        "stagedoor.stores.redis",
        "stagedoor.endpoints.starlette",
    ]
)

KINDS = ("memory", "sqlite", "postgres", "redis", "cluster")
SHARED = KINDS[1:]
"""The stores that several processes can be on."""
FEEDS = ("postgres", "pgbouncer", "redis", "cluster", "sqlite", "http")
"""The ways to hear of revocations: of each of these stores by its own log, through PgBouncer by polling, of a service over HTTP."""


@dataclass(frozen=True)
class Place:
    """A store of this kind at this URL. `server_clock` False: it takes the moment that it is told."""

    kind: str
    url: str
    server_clock: bool = True
    feed_url: str = ""
    """Where others hear of its revocations by HTTP."""

    def store(self, **settings: Any) -> Store:
        """A store for async code; each call another one, with connections of its own."""
        return self._of("", settings)

    def sync_store(self, **settings: Any) -> SyncStore:
        """The same for sync code."""
        return self._of("Sync", settings)

    def listened(self) -> Any:
        """What revocations are heard of by: the feed of a service where there is one, else the store."""
        if self.feed_url:
            from faults.service import FEED_KEY
            from stagedoor.feeds.http import HTTPFeed

            return HTTPFeed(self.feed_url, key=FEED_KEY)
        return self.sync_store()

    def _of(self, prefix: str, settings: dict[str, Any]) -> Any:
        # Imported by need: a run on one store needs no other one's driver.
        if self.kind == "memory":
            from stagedoor.stores import memory

            return getattr(memory, f"{prefix}MemoryStore")()
        if self.kind in ("redis", "cluster"):
            from stagedoor.stores import redis

            return getattr(redis, f"{prefix}RedisStore")(self.url, server_clock=self.server_clock, **settings)
        from stagedoor.stores import sql

        if self.kind != "sqlite":
            settings = {"server_clock": self.server_clock} | settings
        if self.kind == "pgbouncer":
            settings = {"statement_cache": False} | settings
        return getattr(sql, f"{prefix}SQLStore")(self.url, **settings)


class Servers:
    """What a run needs, each started once, and ended with it. A test that kills servers starts its own instead."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stagedoor-faults-"))
        self.folder.chmod(0o755)  # a server that runs as somebody else has its own folder in it
        self._stack = ExitStack()
        self._started: dict[str, Any] = {}
        self._numbers = count()

    def place(self, kind: str, *, server_clock: bool = True, durable: bool = True) -> Place:
        """An empty store, not migrated yet. `durable` False: nothing is killed, and PostgreSQL need not wait for the disk."""
        number = next(self._numbers)
        if kind == "memory":
            return Place(kind, "")
        if kind == "sqlite":
            return Place(kind, f"sqlite:///{self.folder}/faults-{number}.db")
        if kind in ("postgres", "pgbouncer", "http"):
            server = self._server("postgres")
            url = server.database(f"faults_{number}")
            if not durable:
                server.sql(f"ALTER DATABASE faults_{number} SET synchronous_commit = off")
            return Place(kind, self._server(kind).url_of(f"faults_{number}") if kind == "pgbouncer" else url, server_clock)
        server = self._server(kind)
        if kind == "cluster":
            server.flush()
        else:
            server.call("FLUSHALL")
        return Place(kind, server.url, server_clock)

    def listened(self, place: Place) -> Place:
        """The place as others see it who verify only: of a service on it, where they hear of revocations over HTTP."""
        if place.kind != "http":
            return place
        from faults.feeds import feed_url, serving_at

        settings = serving_at(place)
        self.nursery().start(settings)
        return replace(place, feed_url=feed_url("127.0.0.1", settings.port))

    def nursery(self) -> Any:
        """Where service processes come from (`faults.service.Nursery`)."""
        if "nursery" not in self._started:
            from faults.service import Nursery

            self._started["nursery"] = self._stack.enter_context(Nursery())
        return self._started["nursery"]

    def _server(self, kind: str) -> Any:
        if kind not in self._started:
            from servers import pgbouncer, postgres, redis

            made: Any
            if kind == "pgbouncer":
                made = pgbouncer.PgBouncer(self.folder / kind, self._server("postgres"))
            else:
                # No node of the cluster is killed: one that stands still for a while is not to be taken for gone.
                more: Any = {"settings": {"cluster-node-timeout": "30000"}} if kind == "cluster" else {}
                kinds: Any = {"postgres": postgres.Postgres, "redis": redis.Redis, "cluster": redis.Cluster}
                made = kinds[kind](self.folder / kind, **more)
            self._started[kind] = made.start()
            self._stack.callback(made.stop)
        return self._started[kind]

    def close(self) -> None:
        """Stop them all; nothing stays on the disk."""
        self._stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def migrate(place: Place) -> None:
    """Make what the store at this place needs before its first session."""
    store: Any = place.sync_store()
    try:
        store.migrate()
    finally:
        if hasattr(store, "close"):
            store.close()
