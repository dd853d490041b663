"""Two indexes fewer: what is long dead is now met by looking at random places, so that a refresh or a revocation writes less."""

import sqlalchemy as sa
from alembic import op

revision = "s0002"
down_revision = "s0001"


def upgrade() -> None:
    """Drop the indexes that only cleaning had used, leave the ended out of the subjects' index, and leave room beside each row.

    A refresh on PostgreSQL then writes the row anew on its own page, and no index at all (a heap-only tuple).
    """
    # The sessions that somebody has ended are looked for by nobody: with many of them a login and a list cost no more.
    op.drop_index("stagedoor_sessions_subject", table_name="stagedoor_sessions")
    where = sa.text("revoked_at IS NULL")
    columns = ["subject", "created_at"]
    op.create_index("stagedoor_sessions_subject", "stagedoor_sessions", columns, sqlite_where=where, postgresql_where=where)
    op.drop_index("stagedoor_sessions_absolute_end", table_name="stagedoor_sessions")
    op.drop_index("stagedoor_sessions_revoked", table_name="stagedoor_sessions")
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE stagedoor_sessions SET (fillfactor = 80)")
