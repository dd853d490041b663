"""What can befall the way from a store, or a service, to who listens to it: a Side for each kind of feed, with the faults that it knows.

Never knows what a guard answers meanwhile.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

from faults.link import Link
from faults.namespace import Namespace, allowed
from faults.places import Place, migrate
from faults.service import Nursery, Settings, free_port

SLOW, TOO_SLOW = 0.15, 1.4
"""Seconds by which each answer comes late: far within the bound, and far beyond it."""


class Scene(Protocol):
    """What a fault is told of time, and asks for."""

    def begins(self) -> None:
        """The fault is there from now on."""

    def revoke(self) -> None:
        """Revoke the doomed token, at the other side, and go on when that is acknowledged."""

    def lasts(self) -> None:
        """Wait until it has lasted long enough."""

    def is_over(self) -> None:
        """All is well from now on."""

    def login(self) -> None:
        """Open the session of the doomed token, where the fault takes those that were before it."""


class Side(ABC):
    """`place`: where sessions are revoked. `faults`: the names of methods that are given a scene."""

    faults: tuple[str, ...] = ("down", "killed", "silent", "frozen", "slow", "too_slow", "pulled", "babbling", "replaced", "restored")
    place: Place
    link: Link

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()

    def listened(self, host: str = "127.0.0.1", port: int | None = None) -> Place:
        """The place as who listens to it sees it: through the link, or through this host and port."""
        port = self.link.port if port is None else port
        return replace(self.place, url=_moved(self.place.url, host, port))

    @contextmanager
    def around(self, fault: str) -> Iterator[tuple[Place, str | None]]:
        """The place to listen to while this fault is played, and the namespace to do so from, if any."""
        if fault != "pulled":
            yield self.listened(), None
            return
        with Namespace() as self._namespace:
            link = Link(self.port, self._namespace.host)
            try:
                yield self.listened(link.host, link.port), self._namespace.name
            finally:
                link.close()

    def faults_here(self) -> tuple[str, ...]:
        """Those that this machine lets us make."""
        return tuple(fault for fault in self.faults if fault != "pulled" or allowed())

    @property
    @abstractmethod
    def server(self) -> Any:
        """What is killed and frozen."""

    @property
    def port(self) -> int:
        """Of whom one listens to."""
        return int(self.server.port)

    def close(self) -> None:
        """Stop all."""
        self.stack.close()

    def down(self, scene: Scene) -> None:
        """The connection ends, and nobody is found there."""
        self.link.down()
        scene.begins()
        scene.revoke()
        scene.lasts()
        self.link.up()
        scene.is_over()

    def silent(self, scene: Scene) -> None:
        """The connection stays, and no byte passes."""
        self.link.hold()
        scene.begins()
        scene.revoke()
        scene.lasts()
        self.link.up()
        scene.is_over()

    def pulled(self, scene: Scene) -> None:
        """The wire to the namespace where the guard lives is out: packets are lost, and nobody says so."""
        self._namespace.pull()
        scene.begins()
        scene.revoke()
        scene.lasts()
        self._namespace.plug()
        scene.is_over()

    def slow(self, scene: Scene) -> None:
        """Each answer is late, within the bound."""
        self.link.slow(SLOW)
        scene.begins()
        scene.revoke()
        scene.lasts()
        self.link.up()
        scene.is_over()

    def too_slow(self, scene: Scene) -> None:
        """Each answer is later than the bound."""
        self.link.slow(TOO_SLOW)
        scene.begins()
        time.sleep(0.5)  # an answer is on its way by then that says nothing of it
        scene.revoke()
        scene.lasts()
        self.link.up()
        scene.is_over()

    def babbling(self, scene: Scene) -> None:
        """Something answers that is no server of this kind."""
        answers = cycle(self.nonsense())
        self.link.babble(lambda: next(answers))
        scene.begins()
        scene.revoke()
        scene.lasts()
        self.link.up()
        scene.is_over()

    def killed(self, scene: Scene) -> None:
        """Revoked while nobody hears of it, then kill -9; after a while it runs again."""
        self.link.down()
        scene.begins()
        scene.revoke()
        self.kill()
        self.link.up()
        scene.lasts()
        self.start()
        scene.is_over()

    def frozen(self, scene: Scene) -> None:
        """Revoked while no byte passes, then SIGSTOP; after a while it goes on."""
        self.link.hold()
        scene.begins()
        scene.revoke()
        stopped = self.processes()
        _signal(stopped, signal.SIGSTOP)
        self.link.up()
        scene.lasts()
        _signal(stopped, signal.SIGCONT)
        scene.is_over()

    def replaced(self, scene: Scene) -> None:
        """All is gone and begins anew; what was revoked before nobody can tell any more who has forgotten it."""
        scene.begins()
        self.replace()
        scene.login()
        scene.revoke()
        scene.is_over()

    def restored(self, scene: Scene) -> None:
        """The copy that was made before takes its place: in it fewer sessions are revoked than are known to be."""
        scene.begins()
        self.restore_copy()
        scene.revoke()
        scene.is_over()

    def kill(self) -> None:
        """kill -9."""
        self.server.kill()

    def start(self) -> None:
        """Start it again; it answers when this returns."""
        self.server.start()

    def processes(self) -> list[int]:
        """All that are to be frozen."""
        return [self.server.pid, *self.server.processes()]

    def nonsense(self) -> list[bytes]:
        """Answers that are none."""
        return [b"\x00" * 4096, os.urandom(512), b"HTTP/1.1 200 OK\r\n\r\n", b"-ERR\r\n", b"E\x00\x00\x00\x05\x00", b""]

    @abstractmethod
    def replace(self) -> None:
        """Everything is gone, and what is needed is made anew."""

    def keep_copy(self) -> None:
        """Keep one, for later."""
        self.server.stop()
        _copy(self.data, self.copy)
        self.server.start()

    def restore_copy(self) -> None:
        """It takes the place of what is there."""
        self.server.kill()
        _copy(self.copy, self.data)
        self.server.start()

    @property
    def data(self) -> Path:
        """What a copy is made of."""
        return Path(self.server.folder)

    @property
    def copy(self) -> Path:
        """Where the copy is."""
        return self.data.parent / f"{self.data.name}.copy"


class PostgresSide(Side):
    """PostgreSQL, heard of by LISTEN."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from servers.postgres import Postgres

        self._server = Postgres(folder / "postgres").start()
        self.stack.callback(self._server.stop)
        self.place = Place("postgres", self._server.database("feeds"))
        migrate(self.place)
        self.link = self._linked()

    def _linked(self) -> Link:
        link = Link(self._server.port)
        self.stack.callback(link.close)
        return link

    @property
    def server(self) -> Any:
        """As Side.server."""
        return self._server

    @property
    def data(self) -> Path:
        """As Side.data."""
        return Path(self._server.data)

    def replace(self) -> None:
        """As Side.replace."""
        self._server.sql("DROP SCHEMA public CASCADE", database="feeds")
        self._server.sql("CREATE SCHEMA public", database="feeds")
        migrate(self.place)


class PgBouncerSide(PostgresSide):
    """PgBouncer in transaction mode before PostgreSQL: nobody can LISTEN there, so it is asked again and again."""

    faults = ("down", "killed", "silent", "frozen", "slow", "too_slow", "pulled", "behind_it_killed", "replaced")

    def _linked(self) -> Link:
        from servers.pgbouncer import PgBouncer

        self._bouncer = PgBouncer(self.folder / "pgbouncer", self._server).start()
        self.stack.callback(self._bouncer.stop)
        link = Link(self._bouncer.port)
        self.stack.callback(link.close)
        return link

    def listened(self, host: str = "127.0.0.1", port: int | None = None) -> Place:
        """As Side.listened."""
        return replace(super().listened(host, port), kind="pgbouncer")

    @property
    def server(self) -> Any:
        """As Side.server."""
        return self._bouncer

    def behind_it_killed(self, scene: Scene) -> None:
        """PostgreSQL is killed, PgBouncer is not."""
        self.link.down()
        scene.begins()
        scene.revoke()
        self._server.kill()
        self.link.up()
        scene.lasts()
        self._server.start()
        self._bouncer.wait_until(self._bouncer.answers, "answer")
        scene.is_over()


class RedisSide(Side):
    """Redis, with every write on its disk before it is answered: else a kill takes revocations with it, as its setting allows."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from servers.redis import Redis

        self._server = Redis(folder / "redis", settings={"appendfsync": "always"}).start()
        self.stack.callback(self._server.stop)
        self.place = Place("redis", self._server.url)
        migrate(self.place)
        self.link = Link(self._server.port)
        self.stack.callback(self.link.close)

    @property
    def server(self) -> Any:
        """As Side.server."""
        return self._server

    def replace(self) -> None:
        """As Side.replace."""
        self._server.call("FLUSHALL")
        migrate(self.place)


class ClusterSide(Side):
    """A Redis Cluster. Its nodes name their own ports, so there is no link: all of them at once are killed, frozen, emptied."""

    faults = ("killed", "frozen", "replaced")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from servers.redis import Cluster

        self._server = Cluster(folder / "cluster", settings={"appendfsync": "always"}).start()
        self.stack.callback(self._server.stop)
        self.place = Place("cluster", self._server.url)
        migrate(self.place)

    def listened(self, host: str = "127.0.0.1", port: int | None = None) -> Place:
        """The place itself."""
        return self.place

    @property
    def server(self) -> Any:
        """As Side.server."""
        return self._server

    def killed(self, scene: Scene) -> None:
        """Revoked, and at once kill -9 of all nodes; after a while they run again."""
        scene.begins()
        scene.revoke()
        self._server.kill()
        scene.lasts()
        self._server.start()
        scene.is_over()

    def frozen(self, scene: Scene) -> None:
        """Revoked, and at once SIGSTOP of all nodes; after a while they go on, and find each other again."""
        scene.begins()
        scene.revoke()
        stopped = [node.pid for node in self._server.nodes]
        _signal(stopped, signal.SIGSTOP)
        scene.lasts()
        _signal(stopped, signal.SIGCONT)
        self._server.wait()
        scene.is_over()

    def replace(self) -> None:
        """As Side.replace."""
        self._server.flush()
        migrate(self.place)


class SQLiteSide(Side):
    """SQLite: a file that is asked again and again. Nothing is between it and who listens."""

    faults = ("locked", "gone", "restored", "replaced")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "feeds.db"
        self.place = Place("sqlite", f"sqlite:///{self._path}")
        migrate(self.place)

    def listened(self, host: str = "127.0.0.1", port: int | None = None) -> Place:
        """The place itself."""
        return self.place

    @property
    def server(self) -> Any:
        """There is none."""
        raise NotImplementedError

    def locked(self, scene: Scene) -> None:
        """Revoked, and at once somebody locks the file and keeps it."""
        scene.begins()
        scene.revoke()
        with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            scene.lasts()
            connection.execute("ROLLBACK")
        scene.is_over()

    def gone(self, scene: Scene) -> None:
        """The folder is not there for a while, as where it lies on another machine's disk."""
        scene.begins()
        scene.revoke()
        away = self.folder.with_name(f"{self.folder.name}-away")
        self.folder.rename(away)
        scene.lasts()
        away.rename(self.folder)
        scene.is_over()

    def keep_copy(self) -> None:
        """As Side.keep_copy."""
        _written_over(self._path, self.copy)

    def restore_copy(self) -> None:
        """As Side.restore_copy, by SQLite's own backup: whoever has the file open sees it."""
        _written_over(self.copy, self._path)

    @property
    def data(self) -> Path:
        """As Side.data."""
        return self._path

    def replace(self) -> None:
        """As Side.replace."""
        other = self.folder / "other.db"
        migrate(Place("sqlite", f"sqlite:///{other}"))
        _written_over(other, self._path)


class HTTPSide(PostgresSide):
    """A service on PostgreSQL, heard of over HTTP."""

    faults = (*Side.faults, "behind_it_killed")

    def _linked(self) -> Link:
        self._nursery = self.stack.enter_context(Nursery())
        self._settings = serving_at(self.place)
        self._port = self._settings.port
        self._pid = self._nursery.start(self._settings)
        link = Link(self._port)
        self.stack.callback(link.close)
        return link

    def listened(self, host: str = "127.0.0.1", port: int | None = None) -> Place:
        """As Side.listened."""
        return replace(self.place, kind="http", feed_url=feed_url(host, self.link.port if port is None else port))

    @property
    def port(self) -> int:
        """As Side.port: the service's, not its store's."""
        return self._port

    def kill(self) -> None:
        """As Side.kill: the service, not its store."""
        self._nursery.kill(self._pid)

    def start(self) -> None:
        """As Side.start."""
        self._pid = self._nursery.start(self._settings)

    def processes(self) -> list[int]:
        """As Side.processes."""
        return [self._pid]

    def behind_it_killed(self, scene: Scene) -> None:
        """The service's store is killed, the service is not."""
        self.link.down()
        scene.begins()
        scene.revoke()
        self._server.kill()
        self.link.up()
        scene.lasts()
        self._server.start()
        scene.is_over()

    def nonsense(self) -> list[bytes]:
        """As Side.nonsense: what is no HTTP, no JSON, no answer of a feed, or less than it says."""
        bodies = [
            b"",
            b"[]",
            b"{}",
            b"null",
            b"<html>",
            b'{"cursor":1}',
            b'{"cursor":"x:1","records":null}',
            b'{"cursor":"x:1","records":[]}',
        ]
        said = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        return [*(said % len(body) + body for body in bodies), said % 1000 + b"{", *super().nonsense()]


SIDES: dict[str, type[Side]] = {
    "postgres": PostgresSide,
    "pgbouncer": PgBouncerSide,
    "redis": RedisSide,
    "cluster": ClusterSide,
    "sqlite": SQLiteSide,
    "http": HTTPSide,
}


def feed_url(host: str, port: int) -> str:
    """Where a service of the suite tells what is revoked."""
    return f"http://{host}:{port}/auth/revocations"


def serving_at(place: Place) -> Settings:
    """A service at this place that tells others, on a port of its own."""
    return Settings(place, free_port(), feeds=True)


def _moved(url: str, host: str, port: int) -> str:
    scheme, _, rest = url.partition("://")
    name, at, address = rest.rpartition("@")
    _, slash, database = address.partition("/")
    return f"{scheme}://{name}{at}{host}:{port}{slash}{database}"


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def _copy(origin: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", f"{origin}/.", f"{target}/"], check=True) if target.exists() else subprocess.run(
        ["cp", "-a", str(origin), str(target)], check=True
    )


def _written_over(origin: Path, target: Path) -> None:
    with closing(sqlite3.connect(origin)) as source, closing(sqlite3.connect(target, timeout=10)) as into:
        source.backup(into)
