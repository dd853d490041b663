"""Revocations: the log of what was ended, for all who verify."""

import math
import secrets

import sqlalchemy as sa
from alembic import op

revision = "s0004"
down_revision = "s0003"


def upgrade() -> None:
    """Make its table, and the row that names it."""
    table = op.create_table(
        "stagedoor_revocations",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("written", sa.Double, nullable=False),
        sa.Column("through", sa.BigInteger, nullable=False),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("stagedoor_revocations_until", "stagedoor_revocations", ["until"])
    if op.get_context().dialect.name == "postgresql":
        op.create_index("stagedoor_revocations_mark", "stagedoor_revocations", ["mark"])
    name, mark = secrets.token_hex(8), secrets.randbits(62)
    row = {"position": 0, "kind": "log", "name": name, "until": math.inf, "written": 0.0, "through": 0, "mark": mark}
    op.bulk_insert(table, [row])
