"""The servers that a fort has behind it, each with a durability setting, and what is theirs to be killed.

Never knows when. `form` is PostgreSQL's synchronous_commit, Redis's appendfsync, or "none" for a Redis without an append-only file.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from faults.places import Place
from faults.steps import kill_all
from servers import postgres, redis
from servers.process import Server

_rng = random.Random(3)


class Postgres:
    """One PostgreSQL. A kill is one of the postmaster and of all its children: a backend alone could still finish its commit."""

    may_lose = False

    def __init__(self, folder: Path, form: str) -> None:
        self._server = postgres.Postgres(folder, settings={"synchronous_commit": form})
        self._server.start()
        self.place = Place("postgres", self._server.database("fort"))
        self.may_lose = form == "off"

    def pids(self) -> list[int]:
        """As Server.pids of the fort."""
        return [self._server.pid]

    def kill(self) -> None:
        """All of it."""
        _kill(self._server)

    def start(self) -> None:
        """Start again, and recover."""
        self._server.start()

    def close(self) -> None:
        """Nothing stays."""
        self._server.kill()
        shutil.rmtree(self._server.data, ignore_errors=True)


class Redis:
    """One Redis. Of kill -9 alone: what was written to a file stays, synced or not; everysec may hold a write back while it syncs."""

    def __init__(self, folder: Path, form: str) -> None:
        self._server = redis.Redis(folder, settings=_settings(form))
        self._server.start()
        self.place = Place("redis", self._server.url)
        self.may_lose = form != "always"

    def pids(self) -> list[int]:
        """As Server.pids of the fort."""
        return [self._server.pid]

    def kill(self) -> None:
        """SIGKILL."""
        _kill(self._server)

    def start(self) -> None:
        """Start again, and load; it answers LOADING until it has."""
        self._server.start()

    def close(self) -> None:
        """Nothing stays."""
        self._server.stop()


class Cluster:
    """Three masters with a replica each; one master is killed at a time, and is back before the others take it for gone."""

    def __init__(self, folder: Path, form: str) -> None:
        self._cluster = redis.Cluster(folder, settings=_settings(form) | {"cluster-node-timeout": "30000"})
        self._cluster.start()
        self.place = Place("cluster", self._cluster.url)
        self.may_lose = form != "always"
        self._victim = self._cluster.nodes[0]
        self._chosen = False

    def pids(self) -> list[int]:
        """One of the masters of this moment."""
        self._victim = _rng.choice(self._cluster.masters_now())
        self._chosen = True
        return [self._victim.pid]

    def kill(self) -> None:
        """SIGKILL to the one that was chosen, or to another."""
        if not self._chosen:
            self.pids()
        self._chosen = False
        _kill(self._victim)

    def start(self) -> None:
        """Start it again, and wait until the cluster is well."""
        self._victim.start()
        self._cluster.wait()

    def close(self) -> None:
        """Nothing stays."""
        self._cluster.stop()


def _settings(form: str) -> dict[str, str]:
    return {"appendonly": "no"} if form == "none" else {"appendonly": "yes", "appendfsync": form}


def _kill(server: Server) -> None:
    if server.alive:
        kill_all(server.pid)
    server.kill()
