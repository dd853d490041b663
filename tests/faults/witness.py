"""Witness: what a database server itself has counted of the work it was asked for.

Never knows what was asked, or by whom.
"""

from __future__ import annotations

import time
from typing import Any

from faults.places import Place

_NOT_OURS = {"info", "ping", "hello", "client", "auth", "command", "config", "cluster", "replconf", "psync", "script|load", "readonly"}
_STEADY = 0.3


def served(place: Place) -> int | None:
    """How much work the server has counted, its clients gone; None for SQLite, which counts nothing."""
    if place.kind == "postgres":
        return _postgres(place.url)
    if place.kind in ("redis", "cluster"):
        return _redis(place)
    return None


def _postgres(url: str) -> int:
    """Looks at the table of sessions and rows written there, since the beginning. A backend that ends has told all of its own."""
    import psycopg

    counted = "SELECT coalesce(seq_scan + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del, 0)"
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    with psycopg.connect(url, autocommit=True) as connection:
        until = time.monotonic() + 10
        while _number(connection, others) > 1 and time.monotonic() < until:
            time.sleep(0.02)  # they end a moment after their client has closed
        last = -1
        while (now := _number(connection, f"{counted} FROM pg_stat_user_tables WHERE relname = 'stagedoor_sessions'")) != last:
            last = now
            time.sleep(_STEADY)
        return now


def _number(connection: Any, statement: str) -> int:
    connection.execute("SELECT pg_stat_clear_snapshot()")
    return int(connection.execute(statement).fetchone()[0])


def _redis(place: Place) -> int:
    """Commands that a store could have sent."""
    import redis

    if place.kind == "redis":
        with redis.Redis.from_url(place.url) as client:
            infos: list[Any] = [client.info("commandstats")]
    else:
        with redis.RedisCluster.from_url(place.url.replace("redis+cluster://", "redis://")) as cluster:
            infos = list(cluster.info("commandstats", target_nodes=redis.RedisCluster.PRIMARIES).values())
    return sum(int(told["calls"]) for info in infos for name, told in info.items() if name.removeprefix("cmdstat_") not in _NOT_OURS)
