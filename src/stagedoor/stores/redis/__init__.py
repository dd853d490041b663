"""RedisStore and SyncRedisStore: sessions in Redis or Redis Cluster; the same words, with await and without.

Never knows a command: scripts, steps and links have a file of their own each.
"""

from __future__ import annotations

from stagedoor.session import Answer, Outcome, Presented, Session
from stagedoor.stores.redis.documents import RedisDocuments
from stagedoor.stores.redis.link import Link, SyncLink
from stagedoor.stores.redis.log import RedisLog
from stagedoor.stores.redis.script import R, Steps
from stagedoor.stores.redis.sessions import Sessions

__all__ = ["RedisStore", "SyncRedisStore"]


class SyncRedisStore:
    """Sessions in the Redis of this URL: redis://, rediss:// and unix://, or redis+cluster:// and rediss+cluster:// for Redis Cluster.

    Options of redis-py may stand in the URL's query. Nothing is opened before the first call. `replicas`: how many must acknowledge a
    revocation, else StoreError (0: none is waited for). `allow_eviction`: use a Redis that may drop sessions when its memory runs short.
    `prefix` begins the name of every key. `server_clock`: the moment is the server's own; False takes the caller's, for tests. ValueError
    for a wrong URL, prefix or number of replicas, TypeError for what is no text or no number.
    """

    def __init__(
        self, url: str, *, replicas: int = 0, allow_eviction: bool = False, prefix: str = "stagedoor", server_clock: bool = True
    ) -> None:
        self._link = SyncLink(url)
        self._sessions = Sessions(prefix=prefix, server_clock=server_clock, allow_eviction=allow_eviction, replicas=replicas)
        self.documents = RedisDocuments(self._link, prefix=prefix, replicas=replicas)
        """For a Vault: keys and peppers that all workers share."""
        self.log = RedisLog(self._link, self._sessions.records)
        """What was ended, for Revocations."""

    def migrate(self) -> None:
        """Look whether this Redis keeps what it is given, and load the scripts. StoreError where it evicts, or is not there."""
        self._run(self._sessions.migrate())

    def close(self) -> None:
        """Close all connections. A later call opens new ones."""
        self._link.close()

    def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open."""
        return self._run(self._sessions.open(session, limit, now))

    def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""
        return self._run(self._sessions.get(session_id))

    def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        return self._run(self._sessions.rotate(presented, now))

    def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""
        return self._run(self._sessions.settle(outcome, presented, now))

    def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        return self._run(self._sessions.revoke(session_id, reason, now, subject))

    def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject, but not in one step: after a StoreError some may be ended, and a repeated call ends the others."""
        return self._run(self._sessions.revoke_subject(subject, reason, now))

    def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        return self._run(self._sessions.sessions(subject, now))

    def purge(self, *, now: float) -> int:
        """Take what is dead out of the lists of all subjects, by hand; how many entries went. Dead sessions themselves expire alone."""
        return self._run(self._sessions.purge(now))

    def _run(self, steps: Steps[R]) -> R:
        return self._link.run(steps, self._sessions.scripts)


class RedisStore:
    """SyncRedisStore with await."""

    def __init__(
        self, url: str, *, replicas: int = 0, allow_eviction: bool = False, prefix: str = "stagedoor", server_clock: bool = True
    ) -> None:
        self._link = Link(url)
        self._sessions = Sessions(prefix=prefix, server_clock=server_clock, allow_eviction=allow_eviction, replicas=replicas)
        self._blocking = SyncLink(url)
        self.documents = RedisDocuments(self._blocking, prefix=prefix, replicas=replicas)
        """As SyncRedisStore.documents; its calls block."""
        self.log = RedisLog(self._blocking, self._sessions.records)
        """As SyncRedisStore.log; its calls block."""

    async def migrate(self) -> None:
        """As SyncRedisStore.migrate."""
        await self._run(self._sessions.migrate())

    async def close(self) -> None:
        """Close the connections of this event loop. A later call opens new ones."""
        self._blocking.close()
        await self._link.close()

    async def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open."""
        return await self._run(self._sessions.open(session, limit, now))

    async def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""
        return await self._run(self._sessions.get(session_id))

    async def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        return await self._run(self._sessions.rotate(presented, now))

    async def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""
        return await self._run(self._sessions.settle(outcome, presented, now))

    async def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        return await self._run(self._sessions.revoke(session_id, reason, now, subject))

    async def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As SyncRedisStore.revoke_subject."""
        return await self._run(self._sessions.revoke_subject(subject, reason, now))

    async def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        return await self._run(self._sessions.sessions(subject, now))

    async def purge(self, *, now: float) -> int:
        """As SyncRedisStore.purge."""
        return await self._run(self._sessions.purge(now))

    async def _run(self, steps: Steps[R]) -> R:
        self._blocking.is_closed = False  # whoever follows the log may go on
        return await self._link.run(steps, self._sessions.scripts)
