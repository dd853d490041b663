"""The tables, as SQLAlchemy sees them; the migrations make them.

Never knows a query.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Double, Identity, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

sessions = Table(
    "stagedoor_sessions",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("subject", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("claims", JSON, nullable=False),
    Column("device", Text),
    Column("generation", BigInteger, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("pepper_id", Integer, nullable=False),
    Column("seed", LargeBinary(32), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("rotated_at", Double),
    Column("attempt", LargeBinary(32)),
    Column("idle_ends_at", Double, nullable=False),
    Column("absolute_ends_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("reason", Text),
)
# A refresh changes no indexed column: its cost does not grow with the indexes.
_NOT_ENDED = sessions.c.revoked_at.is_(None)
Index("stagedoor_sessions_subject", sessions.c.subject, sessions.c.created_at, sqlite_where=_NOT_ENDED, postgresql_where=_NOT_ENDED)

counters = Table(
    "stagedoor_counters",
    metadata,
    Column("key", LargeBinary(32), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("ends_at", Double, nullable=False),
)
Index("stagedoor_counters_end", counters.c.ends_at)

documents = Table(
    "stagedoor_documents",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

revocations = Table(
    "stagedoor_revocations",
    metadata,
    # In no order that counts, but on SQLite; there it is never used again, as on PostgreSQL.
    Column("position", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("until", Double, nullable=False),
    Column("written", Double, nullable=False),
    Column("through", BigInteger, nullable=False),
    # What a reader tells the record by: on PostgreSQL the transaction that wrote it, on SQLite a number that no other one has.
    Column("mark", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
Index("stagedoor_revocations_until", revocations.c.until)
Index("stagedoor_revocations_mark", revocations.c.mark).ddl_if(dialect="postgresql")
FIRST = 0
"""The position of the row that is no record, of the kind "log": its `name` is the log's own, `through` how long access tokens may live.

It stands among the records so that whoever restores these restores it with them.
"""
