"""Knows a PgBouncer in transaction mode before a PostgreSQL of ours.

Never knows what runs through it.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from servers import places
from servers.binaries import binary
from servers.postgres import USER, Postgres
from servers.process import Server

SETTINGS = {
    "pool_mode": "transaction",
    "default_pool_size": "20",
    "max_client_conn": "1000",
    "server_login_retry": "1",  # it waits 15 s otherwise before it asks a PostgreSQL again that was down
}


class PgBouncer(Server):
    """One PgBouncer. Each database of its PostgreSQL has the same name here."""

    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, postgres: Postgres, *, settings: Mapping[str, str] = {}, port: int | None = None) -> None:
        super().__init__(folder, port)
        self.postgres = postgres
        # Newer ones keep prepared statements apart by themselves; the tests are about those that do not.
        plain = {"max_prepared_statements": "0"} if binary("pgbouncer").version >= (1, 21) else {}
        self.settings = SETTINGS | plain | dict(settings)

    @property
    def url(self) -> str:
        return self.url_of(USER)

    def url_of(self, name: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def identity(self) -> dict[str, Any]:
        return places.identity()

    def command(self) -> list[str]:
        own = {"listen_addr": "127.0.0.1", "listen_port": str(self.port), "unix_socket_dir": "", "auth_type": "any", "admin_users": USER}
        lines = [f"{name} = {value}\n" for name, value in (own | self.settings).items()]
        databases = f"[databases]\n* = host=127.0.0.1 port={self.postgres.port} user={USER}\n[pgbouncer]\n"
        ini = places.home(self.folder) / "pgbouncer.ini"
        ini.write_text(databases + "".join(lines), encoding="utf-8")
        ini.chmod(0o644)
        return [str(binary("pgbouncer").path), str(ini)]

    def answers(self) -> bool:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10, prepare_threshold=None) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
