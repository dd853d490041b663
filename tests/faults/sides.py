"""Sides: two of a store, of which the first is lost: what it takes to fail over, for each kind and each setting of replication.

`firm` says what a setting promises: that nothing acknowledged is lost; `firm_revocations`, that at least no revoked session comes back.
Never knows a client, nor what is judged.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from faults.places import Place
from faults.power import Disk
from faults.steps import kill_all
from servers import postgres, redis

PATIENCE = 30.0


class Side(Protocol):
    """A store that fails over. `store` is the one to use now."""

    store: Any
    firm: bool
    firm_revocations: bool

    async def begin(self) -> None:
        """Both sides are there, and level."""

    async def level(self) -> None:
        """What is written is on both sides."""

    async def lose(self, rng: random.Random) -> None:
        """The first side is gone when this returns; what it answers on the way may count."""

    async def take_over(self) -> None:
        """The other one is the store now."""

    async def mend(self) -> None:
        """Another second side, where what is acknowledged waits for one; it takes what it takes."""

    async def close(self) -> None:
        """Nothing stays."""


class SQLite:
    """A power cut, and what the disk holds after it. "full" is the store's own setting; "normal" syncs at checkpoints only."""

    def __init__(self, folder: Path, form: str) -> None:
        folder.mkdir(parents=True)
        self.firm = self.firm_revocations = form != "normal"
        self.store: Any = None
        self.unsynced = 0
        self._relaxed = form in ("normal", "broken")
        self._folder = folder
        self._number = 0
        self._disk = Disk()
        self._disk.insert()

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._number}.db"

    async def begin(self) -> None:
        """As Side.begin."""
        if self.store is None:
            await self._open()
            await self.store.migrate()

    async def level(self) -> None:
        """All is on the disk: a checkpoint."""
        await asyncio.wrap_future(self.store.database.submit(_outside("PRAGMA wal_checkpoint(TRUNCATE)")))

    async def lose(self, rng: random.Random) -> None:
        """The power goes."""
        after = self._folder / f"{self._number + 1}.db"
        self.unsynced = self._disk.cut(rng, self._path, after)

    async def take_over(self) -> None:
        """The machine starts again, with what was found."""
        await self.store.close()
        self._number += 1
        await self._open()

    async def mend(self) -> None:
        """As Side.mend: there is none."""

    async def _open(self) -> None:
        self.store = Place("sqlite", f"sqlite:///{self._path}").store()
        if self._relaxed:
            await asyncio.wrap_future(self.store.database.submit(_outside("PRAGMA synchronous=NORMAL")))

    async def close(self) -> None:
        """As Side.close."""
        if self.store is not None:
            await self.store.close()
        self._disk.remove()


def _outside(statement: str) -> Callable[[Any], None]:
    """A job that steps out of its transaction for this statement."""

    def job(connection: Any) -> None:
        cursor = connection.connection.cursor()
        cursor.execute("COMMIT")
        cursor.execute(statement)
        cursor.fetchall()
        cursor.execute("BEGIN IMMEDIATE")

    return job


class Postgres:
    """Primary and standby; the primary dies by kill -9. The store knows both by one URL, and finds the one that takes writes.

    "async", "on" and "remote_apply" are for all commits; "revoke" is asynchronous but for revocations. Half of the times the standby was
    away for the last moments: what is answered then is on the primary alone, or is not answered.
    """

    def __init__(self, folder: Path, form: str) -> None:
        self.firm = form in ("on", "remote_apply", "broken")
        self.firm_revocations = form != "async"
        self.store: Any = None
        self._folder = folder
        self._number = 1
        self._synchronous = form not in ("async", "broken")
        level = {"async": "on", "broken": "on", "revoke": "local"}.get(form, form)
        self._more = {"revoke_commit": "remote_apply"} if form == "revoke" else {}
        self._first = postgres.Postgres(folder / "0", settings={"synchronous_commit": level})
        self._second: postgres.Postgres | None = None

    async def begin(self) -> None:
        """As Side.begin: a new standby, where the last one has become the primary."""
        await asyncio.to_thread(self._begin)
        old = self.store
        pair = (self._first, self._second)
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in pair if each is not None)
        url = f"postgresql://{postgres.USER}@{hosts}/sides?target_session_attrs=read-write"
        self.store = Place("postgres", url, server_clock=False).store(**self._more)
        if old is None:
            await self.store.migrate()
        else:
            await old.close()

    def _begin(self) -> None:
        if not self._first.alive:
            self._first.start()
            self._first.database("sides")
        if self._second is None:
            self._second = self._first.standby(self._folder / str(self._number), synchronous=self._synchronous)
            self._number += 1

    async def level(self) -> None:
        """As Side.level."""
        await asyncio.to_thread(self._level)

    def _level(self) -> None:
        until = time.monotonic() + PATIENCE
        (place,) = self._first.sql("SELECT pg_current_wal_lsn()")
        while not self._first.sql("SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= %s", place[0]):
            assert time.monotonic() < until, "the standby does not follow"
            time.sleep(0.01)

    async def lose(self, rng: random.Random) -> None:
        """As Side.lose."""
        assert self._second is not None
        if rng.random() < 0.5:
            await asyncio.to_thread(self._second.kill)
            await asyncio.sleep(rng.uniform(0.05, 0.25))
        await asyncio.to_thread(_kill, self._first)

    async def take_over(self) -> None:
        """As Side.take_over: the standby is promoted; the store finds it by itself."""
        await asyncio.to_thread(self._take_over)

    def _take_over(self) -> None:
        assert self._second is not None
        if not self._second.alive:
            self._second.start()
        self._second.promote()
        shutil.rmtree(self._first.data, ignore_errors=True)
        self._first, self._second = self._second, None

    async def mend(self) -> None:
        """As Side.mend: a promoted standby waits for none until it is given one."""

    async def close(self) -> None:
        """As Side.close."""
        if self.store is not None:
            await self.store.close()
        for each in (self._first, self._second):
            if each is not None:
                await asyncio.to_thread(each.kill)
                shutil.rmtree(each.data, ignore_errors=True)


class Redis:
    """Master and replica; the master dies by kill -9. "wait": the store waits for the replica with each revocation.

    Half of the times the replica is promoted first, while the master goes on answering for some moments: the two were cut apart.
    """

    def __init__(self, folder: Path, form: str) -> None:
        self.firm = form == "broken"
        self.firm_revocations = form != "async"
        self.store: Any = None
        self._folder = folder
        self._number = 1
        self._more = {"replicas": 1} if form == "wait" else {}
        self._first = redis.Redis(folder / "0")
        self._second: redis.Redis | None = None

    async def begin(self) -> None:
        """As Side.begin."""
        if self.store is None:
            await asyncio.to_thread(self._first.start)
            await self._open()
        await self.mend()

    async def mend(self) -> None:
        """As Side.mend: a new replica."""
        if self._second is None:
            self._second = await asyncio.to_thread(self._first.replica, self._folder / str(self._number))
            self._number += 1

    async def _open(self) -> None:
        old, self.store = self.store, Place("redis", self._first.url, server_clock=False).store(**self._more)
        await self.store.migrate()
        if old is not None:
            await old.close()

    async def level(self) -> None:
        """As Side.level."""
        assert self._second is not None
        await asyncio.to_thread(_follow, self._first, self._second)

    async def lose(self, rng: random.Random) -> None:
        """As Side.lose."""
        assert self._second is not None
        if rng.random() < 0.5:
            await asyncio.to_thread(self._second.promote)
            await asyncio.sleep(rng.uniform(0.02, 0.15))
        await asyncio.to_thread(self._first.kill)

    async def take_over(self) -> None:
        """As Side.take_over: whoever looks up the master (a sentinel, a name) hears of the other one."""
        assert self._second is not None
        await asyncio.to_thread(self._second.promote)
        self._first, self._second = self._second, None
        await self._open()

    async def close(self) -> None:
        """As Side.close."""
        if self.store is not None:
            await self.store.close()
        for each in (self._first, self._second):
            if each is not None:
                await asyncio.to_thread(each.stop)


class Cluster:
    """Three masters and their replicas; a master dies by kill -9, and the cluster fails over by itself. "wait" as with Redis.

    Half of the times its replica was away for the last moments.
    """

    def __init__(self, folder: Path, form: str) -> None:
        self.firm = form == "broken"
        self.firm_revocations = form != "async"
        self.store: Any = None
        self._more = {"replicas": 1} if form == "wait" else {}
        self._cluster = redis.Cluster(folder)
        self._lost: redis.Redis | None = None
        self._second: redis.Redis | None = None
        """The replica that was away for the last moments, as one in two is."""

    async def begin(self) -> None:
        """As Side.begin."""
        if self.store is None:
            await asyncio.to_thread(self._cluster.start)
            self.store = Place("cluster", self._cluster.url, server_clock=False).store(**self._more)
            await self.store.migrate()
        await self.mend()

    async def mend(self) -> None:
        """As Side.mend: the node that was lost comes back, as a replica."""
        if self._lost is not None:
            await asyncio.to_thread(self._back)

    def _back(self) -> None:
        assert self._lost is not None
        self._lost.start()
        self._lost.wait_until(lambda: self._lost is not None and self._lost.info("replication")["role"] == "slave", "follow")
        self._cluster.wait()
        self._lost = None

    async def level(self) -> None:
        """As Side.level."""
        await asyncio.to_thread(self._level)

    def _level(self) -> None:
        nodes = {node.port: node for node in self._cluster.nodes}
        for node in nodes.values():
            told = node.info("replication")
            if told["role"] == "slave":
                _follow(nodes[int(told["master_port"])], node)

    async def lose(self, rng: random.Random) -> None:
        """As Side.lose."""
        masters = await asyncio.to_thread(self._cluster.masters_now)
        self._lost = rng.choice(masters)
        if rng.random() < 0.5:
            self._second = await asyncio.to_thread(self._replica_of, self._lost)
            await asyncio.to_thread(self._second.kill)
            await asyncio.sleep(rng.uniform(0.02, 0.15))
        await asyncio.to_thread(self._lost.kill)

    def _replica_of(self, master: redis.Redis) -> redis.Redis:
        return next(node for node in self._cluster.nodes if node.info("replication").get("master_port") == master.port)

    async def take_over(self) -> None:
        """As Side.take_over: its replica is elected."""
        if self._second is not None:
            await asyncio.to_thread(self._second.start)
            self._second = None
        until = time.monotonic() + PATIENCE
        while len(await asyncio.to_thread(self._cluster.masters_now)) < self._cluster.masters:
            assert time.monotonic() < until, "no replica was elected"
            await asyncio.sleep(0.05)
        await asyncio.to_thread(self._cluster.wait)

    async def close(self) -> None:
        """As Side.close."""
        if self.store is not None:
            await self.store.close()
        await asyncio.to_thread(self._cluster.stop)


def _follow(master: redis.Redis, replica: redis.Redis) -> None:
    """Until the replica has all that the master has now."""
    place = master.info("replication")["master_repl_offset"]
    replica.wait_until(lambda: replica.info("replication").get("slave_repl_offset", -1) >= place, "follow its master")


def _kill(server: postgres.Postgres) -> None:
    kill_all(server.pid)
    server.kill()


SIDES: dict[str, Callable[[Path, str], Side]] = {"sqlite": SQLite, "postgres": Postgres, "redis": Redis, "cluster": Cluster}
