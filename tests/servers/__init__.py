"""Real servers for tests: PostgreSQL, Redis, Redis Cluster, PgBouncer and SoftHSM, private and on free ports.

Never knows what the tests store in them.
"""

from servers.pgbouncer import PgBouncer
from servers.postgres import Postgres
from servers.process import Server, free_port
from servers.redis import SYNCED, Cluster, Redis
from servers.softhsm import SoftHSM

__all__ = ["SYNCED", "Cluster", "PgBouncer", "Postgres", "Redis", "Server", "SoftHSM", "free_port"]
