"""Migrations: the schema's history under Alembic, run inside the caller's transaction.

Never knows which database it is; a history belongs to whoever owns its tables, and has a version table of its own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

_one_at_a_time = threading.Lock()  # Alembic's context is one for the whole process


@dataclass(frozen=True, slots=True)
class History:
    """Where the revisions of some tables lie, and the table that says which of them have run."""

    versions: Path
    version_table: str


SESSIONS = History(Path(__file__).parent / "versions", "stagedoor_schema")


def migrate(connection: Connection, history: History) -> None:
    """Run what has not run yet. The caller holds the write lock, so that of many processes one does the work."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("version_locations", str(history.versions))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = history.version_table
    with _one_at_a_time:
        command.upgrade(config, "head")
