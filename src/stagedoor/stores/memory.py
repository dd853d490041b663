"""MemoryStore: sessions in this process, for tests and first steps; gone with it.

Never knows a rule of its own: it writes what the pure table says.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from itertools import islice

from stagedoor.revocation import EXPECTED, Page, Record, cursor_in, position_in
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


class MemoryLog:
    """What was ended, in a list."""

    shared = False
    """Whether other processes write here too: then an issuer must listen."""

    def __init__(self) -> None:
        self._name = secrets.token_hex(8)
        self._records: dict[int, Record] = {}  # by position, in order
        self._end = 0
        self._life: float | None = None
        self._changed = threading.Condition()

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        """As Feed.read."""
        with self._changed:
            position = self._position(after)
            if position == self._end:
                self._changed.wait(wait)
            records = [record for at, record in self._records.items() if at >= position]
            return Page(cursor_in(self._name, self._end), records, None, 0.0)

    def wake(self) -> None:
        """As Feed.wake."""
        with self._changed:
            self._changed.notify_all()

    def expect(self, life: float) -> None:
        """As Log.expect."""
        self._life = max(life, self._life or 0.0)

    def revoke_key(self, kid: str, now: float) -> Record:
        """As Log.revoke_key."""
        return self._write(Record.of_key(kid, self._life or EXPECTED, now))

    def revoke_issuer(self, issuer: str, keep: float, now: float) -> Record:
        """As Log.revoke_issuer."""
        return self._write(Record.of_issuer(issuer, keep, now))

    def end_session(self, session_id: bytes, now: float) -> None:
        """Write that a session was ended."""
        self._write(Record.of_session(session_id, self._life or EXPECTED, now))

    def _write(self, record: Record) -> Record:
        with self._changed:
            for at in [at for at, known in islice(self._records.items(), CLEANED_AT_ONCE) if known.until <= record.written]:
                del self._records[at]
            self._records[self._end] = record
            self._end += 1
            self._changed.notify_all()
        return record

    def _position(self, cursor: str | None) -> int:
        position = position_in(self._name, cursor) or "0"
        return int(position) if position.isdecimal() and int(position) <= self._end else 0


class SyncMemoryStore:
    """Sessions in a dict, under one lock."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Session] = {}
        self._lock = threading.Lock()
        self.documents = MemoryDocuments()
        """For a Vault, in tests."""
        self.log = MemoryLog()
        """What was ended, for feeds."""

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
                self._end(self._rows[session_id], "session_limit", now)
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
            if outcome is Outcome.REUSED:
                self.log.end_session(row.id, now)
            return True

    def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        with self._lock:
            row = self._rows.get(session_id)
            if row is None or row.revoked_at is not None or subject not in (None, row.subject):
                return False
            self._end(row, reason, now)
            return row.is_live(now)

    def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject."""
        with self._lock:
            found = [row for row in self._rows.values() if row.subject == subject and row.revoked_at is None]
            for row in found:
                self._end(row, reason, now)
            return [row.id for row in found if row.is_live(now)]

    def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        with self._lock:
            return sorted(self._live(subject, now), key=lambda row: row.created_at, reverse=True)

    def purge(self, *, now: float) -> int:
        """Delete all rows that have been dead for longer than a late retry may take; how many went. `now` in Unix seconds."""
        with self._lock:
            return self._delete_dead(now, len(self._rows))

    def _end(self, row: Session, reason: str, now: float) -> None:
        self._rows[row.id] = replace(row, revoked_at=now, reason=reason)
        self.log.end_session(row.id, now)

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
        self.log = self._sync.log
        """As SyncMemoryStore.log."""

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
