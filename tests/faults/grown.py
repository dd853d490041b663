"""Grown: a store that is filled with rows up to a size, in a folder where a later run finds them again.

Never knows what is measured on it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from faults import rows
from faults.places import Place, Servers, migrate
from servers.postgres import Postgres
from servers.redis import Redis
from stagedoor.stores.redis.row import pack, pack_moment
from stagedoor.stores.redis.sessions import Sessions
from stagedoor.stores.sql import statements as say

TOGETHER = 100_000
"""Rows of one transaction: what an interruption may cost."""
_TABLE, _INDEX = "stagedoor_sessions", "stagedoor_sessions_subject"


class Grown:
    """One store, and how many rows are in it."""

    place: Place

    def fill(self, wanted: int) -> float:
        """Add rows until there are so many; the seconds that it took."""
        began, there = time.monotonic(), self.rows()
        if there < wanted:
            self.begin()
            for first in range(there, wanted, TOGETHER):
                self.add(range(first, min(first + TOGETHER, wanted)))
        self.end()
        return time.monotonic() - began

    def begin(self) -> None:
        """Before many rows are added."""

    def end(self) -> None:
        """What a store needs once all are there. It may have been done before."""

    def rows(self) -> int:
        """How many there are: those of the numbers below."""
        raise NotImplementedError

    def add(self, numbers: range) -> None:
        """All of these, or none."""
        raise NotImplementedError

    def size(self) -> int:
        """Bytes, indexes included."""
        raise NotImplementedError

    def plan(self, parameters: dict[str, Any]) -> tuple[str, bool]:
        """How the store finds the row of a refresh, in its own words, and whether that is one look-up in an index."""
        raise NotImplementedError

    def close(self) -> None:
        """End what was started for it alone."""


class InSQLite(Grown):
    """A file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "grown.db"
        self.place = Place("sqlite", f"sqlite:///{self._path}")
        migrate(self.place)

    def _connect(self) -> Any:
        return closing(sqlite3.connect(self._path, isolation_level=None))

    def rows(self) -> int:
        with self._connect() as connection:
            return int(connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {_TABLE}").fetchone()[0])

    def begin(self) -> None:
        with self._connect() as connection:
            connection.execute(f"DROP INDEX IF EXISTS {_INDEX}")

    def add(self, numbers: range) -> None:
        marks = ", ".join("?" for _ in say.NAMES)
        with self._connect() as connection:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("PRAGMA cache_size=-500000")
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT INTO {_TABLE} ({', '.join(say.NAMES)}) VALUES ({marks})", map(rows.values, numbers))
            connection.execute("COMMIT")

    def end(self) -> None:
        with self._connect() as connection:
            connection.execute("PRAGMA cache_size=-500000")
            connection.execute(f"CREATE INDEX IF NOT EXISTS {_INDEX} ON {_TABLE} (subject, created_at)")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def size(self) -> int:
        return self._path.stat().st_size

    def plan(self, parameters: dict[str, Any]) -> tuple[str, bool]:
        with self._connect() as connection:
            lines = [line[3] for line in connection.execute(f"EXPLAIN QUERY PLAN {say.ROTATE.named}", parameters)]
        return "; ".join(lines), lines == [f"SEARCH {_TABLE} USING INDEX sqlite_autoindex_{_TABLE}_1 (id=?)"]


class InPostgres(Grown):
    """A database. `server` ends with it."""

    def __init__(self, place: Place, server: Postgres | None = None) -> None:
        self._server, self.place = server, place
        migrate(place)

    def _sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.place.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> int:
        return int(self._sql(f"SELECT count(*) FROM {_TABLE}")[0][0])

    def begin(self) -> None:
        # One by one in random order they would take several times as long.
        self._sql(f"DROP INDEX IF EXISTS {_INDEX}")
        self._sql(f"ALTER TABLE {_TABLE} DROP CONSTRAINT IF EXISTS {_TABLE}_pkey")

    def add(self, numbers: range) -> None:
        into = f"COPY {_TABLE} ({', '.join(say.NAMES)}) FROM STDIN"
        with psycopg.connect(self.place.url) as connection, connection.cursor() as cursor, cursor.copy(into) as copy:
            for lines in _lines(numbers):
                copy.write(lines)

    def end(self) -> None:
        if not self._sql(f"SELECT 1 FROM pg_constraint WHERE conname = '{_TABLE}_pkey'"):
            self._sql(f"ALTER TABLE {_TABLE} ADD PRIMARY KEY (id)")
        self._sql(f"CREATE INDEX IF NOT EXISTS {_INDEX} ON {_TABLE} (subject, created_at)")
        self._sql(f"VACUUM ANALYZE {_TABLE}")
        self._sql("CHECKPOINT")

    def size(self) -> int:
        return int(self._sql(f"SELECT pg_total_relation_size('{_TABLE}')")[0][0])

    def plan(self, parameters: dict[str, Any]) -> tuple[str, bool]:
        with psycopg.connect(self.place.url) as connection:
            lines = [str(line[0]) for line in connection.execute(f"EXPLAIN (COSTS OFF) {say.ROTATE.pyformat}", parameters)]
        scans = [line.strip(" ->") for line in lines if " Scan" in line and _TABLE in line]
        return "; ".join(scans), scans == [f"Index Scan using {_TABLE}_pkey on {_TABLE}"]

    def hot(self) -> tuple[int, int]:
        """Updates so far, and those that wrote no index."""
        time.sleep(1.2)  # a backend tells its counts at most once a second
        updated, hot = self._sql(f"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '{_TABLE}'")[0]
        return int(updated), int(hot)

    def close(self) -> None:
        if self._server is not None:
            self._server.stop()


def _lines(numbers: range) -> Iterator[str]:
    """Rows as PostgreSQL reads them in COPY, many at once."""
    for first in range(numbers.start, numbers.stop, 500):
        yield "".join([_line(number) for number in range(first, min(first + 500, numbers.stop))])


def _line(number: int) -> str:
    told = [r"\N" if value is None else r"\\x" + value.hex() if isinstance(value, bytes) else str(value) for value in rows.values(number)]
    return "\t".join(told) + "\n"


class InRedis(Grown):
    """A server of its own: a small store beside a large one in the same server would be no small one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._server = Redis(folder)
        self._server.start()
        self.place = Place("redis", self._server.url)

    def rows(self) -> int:
        with self._server.client() as client:
            return int(client.get("grown") or 0)

    def add(self, numbers: range) -> None:
        # The store's own scripts on the store's own keys, in one pipeline.
        own = Sessions(prefix="stagedoor", server_clock=True, allow_eviction=False, replicas=0)
        with self._server.client(decode_responses=False) as client:
            for script in own.scripts:
                client.script_load(script)
            for first in range(numbers.start, numbers.stop, 1_000):
                pipeline = client.pipeline(transaction=False)
                moment = pack_moment(time.time())
                for session in map(rows.session, range(first, min(first + 1_000, numbers.stop))):
                    lasts = int((session.absolute_ends_at - time.time()) * 1000)
                    pipeline.execute_command(*own._subject.on(own._index(session.subject), "enter", moment, session.id, lasts))
                    pipeline.execute_command(*own._session.on(own._key(session.id), "open", moment, pack(session), moment))
                pipeline.set("grown", min(first + 1_000, numbers.stop))
                pipeline.execute()

    def end(self) -> None:
        self._server.settle()

    def size(self) -> int:
        return int(self._server.info("memory")["used_memory"])

    def plan(self, parameters: dict[str, Any]) -> tuple[str, bool]:
        """Redis has no plan: what it ran for the last refreshes stands in its statistics; see `commands`."""
        return "one script on one key", True

    def commands(self) -> dict[str, int]:
        """How often each command ran."""
        return {name.removeprefix("cmdstat_"): int(told["calls"]) for name, told in self._server.info("commandstats").items()}

    def close(self) -> None:
        self._server.stop()


def pair(kind: str, folder: Path, servers: Servers, *, stays: bool) -> tuple[Grown, Grown]:
    """A large store and a small one, alike but for that. The large one is in `folder`, and `stays` there for later runs."""
    beside = servers.folder / f"{folder.name}-small"
    if kind == "sqlite":
        return InSQLite(folder), InSQLite(beside)
    if kind == "redis":
        return InRedis(folder), InRedis(beside)
    if not stays:
        return InPostgres(servers.place(kind)), InPostgres(servers.place(kind))
    server = Postgres(folder, settings={"shared_buffers": "512MB", "max_wal_size": "4GB", "maintenance_work_mem": "512MB"}).start()
    server.sql("DROP DATABASE IF EXISTS small")
    return InPostgres(Place(kind, server.url), server), InPostgres(Place(kind, server.database("small")))
