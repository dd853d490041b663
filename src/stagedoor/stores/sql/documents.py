"""SQLDocuments: a few small documents in the store's database, each written only over the version that its writer has seen.

Never knows what a document says: it comes sealed.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite

from stagedoor.stores.sql.database import Database, on_postgres
from stagedoor.stores.sql.migrations import SESSIONS, migrate
from stagedoor.stores.sql.tables import documents


class SQLDocuments:
    """What a Vault asks of a store. Every call blocks; the first write makes the tables where they are not there yet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._has_table = False

    def read(self, name: str) -> tuple[int, bytes] | None:
        """As Documents.read."""
        return self._database.run(lambda connection: self._read(connection, name))

    def write(self, name: str, content: bytes, *, expected: int) -> bool:
        """As Documents.write."""
        return self._database.run(lambda connection: self._write(connection, name, content, expected))

    def _read(self, connection: Connection, name: str) -> tuple[int, bytes] | None:
        if not self._is_ready(connection):
            return None
        found = connection.execute(select(documents.c.version, documents.c.content).where(documents.c.name == name)).one_or_none()
        return None if found is None else (found.version, bytes(found.content))

    def _write(self, connection: Connection, name: str, content: bytes, expected: int) -> bool:
        if not self._is_ready(connection):
            migrate(connection, SESSIONS)  # keys are opened before the application starts, and migrates
        if expected:
            seen = (documents.c.name == name) & (documents.c.version == expected)
            connection.execute(update(documents).where(seen).values(version=expected + 1, content=content))
        else:
            insert = postgresql.insert if on_postgres(connection) else sqlite.insert
            connection.execute(insert(documents).values(name=name, version=1, content=content).on_conflict_do_nothing())
        # Looked at, not counted: a job may run twice, and then it was the first run that wrote.
        return self._read(connection, name) == (expected + 1, content)

    def _is_ready(self, connection: Connection) -> bool:
        if not self._has_table:
            self._has_table = inspect(connection).has_table(documents.name)
        return self._has_table
