"""MemoryStore: sessions in this process, for tests and first steps; gone with it.

Never knows a rule of its own: it writes what the pure table says.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import islice

from stagedoor.session import (
    CLEANED_AT_ONCE,
    KEPT_DEAD,
    Answer,
    Outcome,
    Presented,
    Session,
    decide,
    written,
)


class MemoryDocuments:
    """What a Vault asks of a store, in a dict."""

    def __init__(self) -> None:
        self._documents: dict[str, tuple[int, bytes]] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> tuple[int, bytes] | None:
        """As Documents.read."""
        return self._documents.get(name)

    def write(self, name: str, content: bytes, *, expected: int) -> bool:
        """As Documents.write."""
        with self._lock:
            version, _ = self._documents.get(name, (0, b""))
            if version == expected:
                self._documents[name] = (expected + 1, content)
            return version == expected


class SyncMemoryStore:
    """Sessions in a dict, under one lock."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Session] = {}
        self._lock = threading.Lock()
        self.documents = MemoryDocuments()
        """For a Vault, in tests."""

    def migrate(self) -> None:
        """Nothing to do: here so that every store is opened alike."""

    def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open."""
        with self._lock:
            self._delete_dead(now, CLEANED_AT_ONCE)
            self._rows[session.id] = session
            live = sorted(self._live(session.subject, now), key=lambda row: row.created_at, reverse=True)
            over = [row.id for row in live if row.id != session.id][limit - 1 :]
            for session_id in over:
                self._rows[session_id] = replace(self._rows[session_id], revoked_at=now, reason="session_limit")
            return over

    def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""
        return self._rows.get(session_id)

    def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        with self._lock:
            row = self._rows.get(presented.session_id)
            outcome = decide(presented, row, now, proof_holds=None)
            if row is not None:
                row = self._rows[row.id] = written(outcome, presented, row, now)
            return Answer(outcome, row, now)

    def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""
        with self._lock:
            row = self._rows.get(presented.session_id)
            if row is None or decide(presented, row, now, proof_holds=True) is not outcome:
                return False
            self._rows[row.id] = written(outcome, presented, row, now)
            return True

    def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        with self._lock:
            row = self._rows.get(session_id)
            if row is None or row.revoked_at is not None or subject not in (None, row.subject):
                return False
            self._rows[session_id] = replace(row, revoked_at=now, reason=reason)
            return row.is_live(now)

    def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject."""
        with self._lock:
            found = [row for row in self._rows.values() if row.subject == subject and row.revoked_at is None]
            for row in found:
                self._rows[row.id] = replace(row, revoked_at=now, reason=reason)
            return [row.id for row in found if row.is_live(now)]

    def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        with self._lock:
            return sorted(self._live(subject, now), key=lambda row: row.created_at, reverse=True)

    def purge(self, *, now: float) -> int:
        """Delete all rows that have been dead for longer than a late retry may take; how many went. `now` in Unix seconds."""
        with self._lock:
            return self._delete_dead(now, len(self._rows))

    def _live(self, subject: str, now: float) -> list[Session]:
        return [row for row in self._rows.values() if row.subject == subject and row.is_live(now)]

    def _delete_dead(self, now: float, most: int) -> int:
        before = now - KEPT_DEAD
        dead = list(islice((row.id for row in self._rows.values() if _died_before(row, before)), most))
        for session_id in dead:
            del self._rows[session_id]
        return len(dead)


def _died_before(row: Session, moment: float) -> bool:
    ends = min(row.idle_ends_at, row.absolute_ends_at)
    return ends < moment or (row.revoked_at is not None and row.revoked_at < moment)


class MemoryStore:
    """SyncMemoryStore with await, for Issuer."""

    def __init__(self) -> None:
        self._sync = SyncMemoryStore()
        self.documents = self._sync.documents
        """As SyncMemoryStore.documents."""

    async def migrate(self) -> None:
        """Nothing to do: here so that every store is opened alike."""

    async def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open."""
        return self._sync.open(session, limit=limit, now=now)

    async def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""
        return self._sync.get(session_id)

    async def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        return self._sync.rotate(presented, now)

    async def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""
        return self._sync.settle(outcome, presented, now)

    async def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        return self._sync.revoke(session_id, reason, now, subject=subject)

    async def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject."""
        return self._sync.revoke_subject(subject, reason, now)

    async def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        return self._sync.sessions(subject, now)

    async def purge(self, *, now: float) -> int:
        """As SyncMemoryStore.purge."""
        return self._sync.purge(now=now)
