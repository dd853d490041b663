"""Sessions and counters: one row a session, one row a counter."""

import sqlalchemy as sa
from alembic import op

revision = "s0001"
down_revision = None


def upgrade() -> None:
    """Make the two tables and their indexes."""
    op.create_table(
        "stagedoor_sessions",
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("claims", sa.JSON, nullable=False),
        sa.Column("device", sa.Text),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("pepper_id", sa.Integer, nullable=False),
        sa.Column("seed", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("rotated_at", sa.Double),
        sa.Column("attempt", sa.LargeBinary(32)),
        sa.Column("idle_ends_at", sa.Double, nullable=False),
        sa.Column("absolute_ends_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double),
        sa.Column("reason", sa.Text),
    )
    op.create_index("stagedoor_sessions_subject", "stagedoor_sessions", ["subject", "created_at"])
    op.create_index("stagedoor_sessions_absolute_end", "stagedoor_sessions", ["absolute_ends_at"])
    op.create_index("stagedoor_sessions_revoked", "stagedoor_sessions", ["revoked_at"], sqlite_where=sa.text("revoked_at IS NOT NULL"))
    op.create_table(
        "stagedoor_counters",
        sa.Column("key", sa.LargeBinary(32), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
    )
    op.create_index("stagedoor_counters_end", "stagedoor_counters", ["ends_at"])
