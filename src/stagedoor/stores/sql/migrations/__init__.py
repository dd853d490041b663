"""Migrations: the schema's history under Alembic, run inside the caller's transaction.

Never knows which database it is; a history belongs to whoever owns its tables, and has a version table of its own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, func, select, text

_LOCK = int.from_bytes(b"stagedor")
_one_at_a_time = threading.Lock()  # Alembic's context is one for the whole process


@dataclass(frozen=True, slots=True)
class History:
    """Where the revisions of some tables lie, and the table that says which of them have run."""

    versions: Path
    version_table: str


SESSIONS = History(Path(__file__).parent / "versions", "stagedoor_schema")


def migrate(connection: Connection, history: History) -> None:
    """Run what has not run yet; of many processes one does the work, the others wait for it: SQLite's jobs hold the write lock anyway."""
    if not connection.in_transaction():
        connection.begin()  # the job's own, told to Alembic: else it would commit, and let the lock go, after each revision
    if connection.dialect.name == "postgresql":
        # However long whoever is first needs, and however long we do; but nobody queues behind us for long.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("version_locations", str(history.versions))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = history.version_table
    with _one_at_a_time:
        command.upgrade(config, "head")
