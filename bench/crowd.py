"""Crowd: sessions that a benchmark needs many of, each known by its number, and put into a store in bulk.

Never knows what is measured.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import redis

from stagedoor import Peppers
from stagedoor.refresh_token import RefreshToken
from stagedoor.session import KEPT_DEAD, Presented, Session
from stagedoor.stores.redis.row import pack
from stagedoor.stores.sql.statements import NAMES

PEPPER = hashlib.sha256(b"the pepper of a benchmark").digest()
AUDIENCE = "https://api.example"
LIFE = 90 * 86_400.0
_AT_ONCE = 10_000


def peppers() -> Peppers:
    """What all tokens of a crowd are made under."""
    return Peppers(PEPPER)


def _drawn(label: bytes, number: int) -> bytes:
    return hashlib.sha256(label + number.to_bytes(8, "big")).digest()


def session(number: int) -> Session:
    """The session of this number, opened a minute ago by a user of its own."""
    now = float(int(time.time()) - 60)
    return Session(
        id=_drawn(b"id", number)[:16],
        subject=f"user-{number}",
        client_id=AUDIENCE,
        scope="orders:read",
        claims={"username": "ada"},
        device="bench/1.0",
        digest=hashlib.sha256(_drawn(b"secret", number)).digest(),
        pepper_id=1,
        seed=_drawn(b"seed", number),
        created_at=now,
        idle_ends_at=now + LIFE / 3,
        absolute_ends_at=now + LIFE,
    )


def tokens(known: Peppers, numbers: Iterable[int]) -> Iterator[str]:
    """The first refresh token of each of these sessions."""
    for number in numbers:
        yield known.write(
            pepper_id=1,
            session_id=_drawn(b"id", number)[:16],
            generation=0,
            secret=_drawn(b"secret", number),
            seed=_drawn(b"seed", number),
            now=0.0,
        )


def presented(known: Peppers, numbers: Iterable[int]) -> Iterator[Presented]:
    """What a store is asked at the first refresh of each: for the raw limit, which has no token to read."""
    for number in numbers:
        token = RefreshToken(1, _drawn(b"id", number)[:16], 0, _drawn(b"secret", number), b"")
        successor = hashlib.sha256(known.successor(token, 0.0)).digest()
        yield Presented(token.session_id, 0, token.digest, 1, successor, 1, None, 60.0, 30 * 86_400.0)


def _rows(numbers: Iterable[int]) -> Iterator[list[Any]]:
    for number in numbers:
        row = dict(zip(NAMES, _values(session(number)), strict=True))
        yield [json.dumps(row[name]) if name == "claims" else row[name] for name in NAMES]


def _values(made: Session) -> list[Any]:
    return [getattr(made, name) for name in NAMES]


def fill_sqlite(path: str, numbers: Iterable[int]) -> None:
    """Put these sessions into the file, whose tables are there."""
    marks = ", ".join("?" * len(NAMES))
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute("PRAGMA synchronous=OFF")  # of this connection alone: what is measured writes by its own
        with connection:
            connection.executemany(f"INSERT INTO stagedoor_sessions ({', '.join(NAMES)}) VALUES ({marks})", _rows(numbers))  # noqa: S608
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def fill_postgres(url: str, numbers: Iterable[int]) -> None:
    """Put these sessions into the database, whose tables are there."""
    into = f"COPY stagedoor_sessions ({', '.join(NAMES)}) FROM STDIN"
    with psycopg.connect(url) as connection, connection.cursor().copy(into) as copy:
        for row in _rows(numbers):
            copy.write_row(row)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE stagedoor_sessions")
        connection.execute("CHECKPOINT")


def fill_redis(url: str, numbers: Iterable[int]) -> None:
    """Put these sessions into Redis, each under its own key, and in the list of its subject."""
    stays = int((LIFE + KEPT_DEAD) * 1000)
    with redis.Redis.from_url(url) as client:
        for some in _batched(numbers):
            pipeline = client.pipeline(transaction=False)
            for number in some:
                made = session(number)
                pipeline.set(b"stagedoor:s:" + made.id, pack(made), px=stays)
                index = b"stagedoor:u:" + made.subject.encode()
                pipeline.zadd(index, {made.id: int(made.created_at * 1000)})
                pipeline.pexpire(index, stays)
            pipeline.execute()


def _batched(numbers: Iterable[int]) -> Iterator[tuple[int, ...]]:
    each = iter(numbers)
    while some := tuple(itertools.islice(each, _AT_ONCE)):
        yield some
