"""Real servers for tests: PostgreSQL, Redis, Redis Cluster and PgBouncer, private and on free ports.

Never knows what the tests store in them.
"""

from servers.pgbouncer import PgBouncer
from servers.postgres import Postgres
from servers.process import Server, free_port
from servers.redis import Cluster, Redis

__all__ = ["Cluster", "PgBouncer", "Postgres", "Redis", "Server", "free_port"]
