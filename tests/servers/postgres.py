"""Knows a PostgreSQL of our own: made, started, killed, restarted, copied to a standby, promoted.

Never knows a table.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from servers import places
from servers.binaries import Binary, binary
from servers.process import PATIENCE, Server

USER = "stagedoor"
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "32MB",
    "max_connections": "300",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "wal_keep_size": "256MB",  # a standby that was away for a while catches up
    "hot_standby": "on",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres(Server):
    """One PostgreSQL server. `settings` are those of postgresql.conf; everybody on this machine may log in as its superuser."""

    stop_signal = signal.SIGINT  # fast: does not wait for the clients
    end_signal = signal.SIGQUIT  # immediate, but it takes its children and its shared memory along

    def __init__(self, folder: Path, *, settings: Mapping[str, str] = {}, port: int | None = None) -> None:
        super().__init__(folder, port)
        self.settings = SETTINGS | dict(settings)

    @property
    def binary(self) -> Binary:
        return binary("postgres")

    @property
    def data(self) -> Path:
        """Its data folder."""
        return places.home(self.folder)

    @property
    def url(self) -> str:
        """Of the database that is there from the beginning."""
        return self.url_of(USER)

    def url_of(self, name: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def identity(self) -> dict[str, Any]:
        return places.identity()

    def command(self) -> list[str]:
        settings = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self.binary.path), "-D", str(self.data), "-p", str(self.port), *settings]

    def launch(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            # trust: it listens on the loopback only, and holds nothing but what tests made up
            self.run("initdb", "-D", str(self.data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        super().launch()

    def answers(self) -> bool:
        if not self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{USER}'", database="postgres"):
            self.sql(f"CREATE DATABASE {USER}", database="postgres")
        return True

    def run(self, program: str, *arguments: str) -> None:
        """A program of this PostgreSQL, as its user; it must succeed."""
        command = [str(self.binary.beside(program)), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C", "TZ": "UTC"}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd="/", env=environment, **self.identity()
        )
        assert done.returncode == 0, f"{program} failed:\n{done.stdout}{done.stderr}"

    def sql(self, statement: Any, *parameters: object, database: str = USER) -> list[tuple[Any, ...]]:
        """What a statement returns, run on a connection of its own and committed at once."""
        with psycopg.connect(self.url_of(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str) -> str:
        """A new, empty database; its URL."""
        # file_copy is quick to say and slow to do: it forces a checkpoint
        strategy = " STRATEGY wal_log" if self.binary.version >= (15,) else ""
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE template0{strategy}')
        return self.url_of(name)

    def drop(self, name: str) -> None:
        """Deletes a database, whoever is connected to it."""
        self.sql(f'DROP DATABASE "{name}" WITH (FORCE)')

    def standby(self, folder: Path, *, synchronous: bool) -> Postgres:
        """A streaming copy of this one, started. Synchronous: a commit here is answered when it is on the standby's disk, too."""
        copy = Postgres(folder, settings=self.settings)
        name = f"standby_{copy.port}"
        origin = f"host=127.0.0.1 port={self.port} user={USER} application_name={name}"
        # no replication slot: one that is left behind would keep the log for ever
        self.run("pg_basebackup", "-D", str(places.clear(folder)), "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", origin)
        with (copy.data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write("synchronous_standby_names = ''\n")  # ours is not its own: once promoted, it has no standby
        copy.start()
        state = "sync" if synchronous else "async"
        if synchronous:
            self.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
            self.sql("SELECT pg_reload_conf()")
        watched = "SELECT 1 FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming' AND sync_state = %s"
        copy.wait_until(lambda: self.sql(watched, name, state), f"become {state}")
        return copy

    def promote(self) -> None:
        """Makes a standby the primary; returns when it accepts writes."""
        assert self.sql("SELECT pg_promote(true, 60)") == [(True,)], self.tail
        self.wait_until(lambda: self.sql("SELECT pg_is_in_recovery()") == [(False,)], "accept writes")
