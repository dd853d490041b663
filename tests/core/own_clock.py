"""A store and a log with a clock of their own, as PostgreSQL and Redis have one; and issuers and verifiers whose clocks are elsewhere.

Never knows what a test expects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stagedoor import KeySet, Peppers
from stagedoor.revocation import Page
from stagedoor.session import Answer, Outcome, Presented, Session
from stagedoor.stores.memory import MemoryLog, SyncMemoryStore

from .material import SECRET, key

ISSUER, AUDIENCE = "https://auth.example", "https://api.example"
LIFE = 900


class OwnClockLog(MemoryLog):
    """It says what time it is there, and others listen to it."""

    shared = True

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock = clock

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        """As Feed.read."""
        return super().read(after, wait)._replace(now=self.clock())

    def revoke_key(self, kid: str, now: float) -> Any:
        """As Log.revoke_key."""
        return super().revoke_key(kid, self.clock())

    def revoke_issuer(self, issuer: str, keep: float, now: float) -> Any:
        """As Log.revoke_issuer."""
        return super().revoke_issuer(issuer, keep, self.clock())

    def end_session(self, session_id: bytes, now: float) -> None:
        """As MemoryLog.end_session."""
        super().end_session(session_id, self.clock())


class OwnClockStore(SyncMemoryStore):
    """Whatever moment it is told, its own counts. `stalls` is called after each rotation, before it is answered."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock = clock
        self.log = OwnClockLog(clock)
        self.stalls: Callable[[], Any] = lambda: None

    def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open: what the issuer says of moments counts from its own."""
        off = self.clock() - now
        moved = replace(
            session,
            created_at=self.clock(),
            idle_ends_at=session.idle_ends_at + off,
            absolute_ends_at=session.absolute_ends_at + off,
        )
        return super().open(moved, limit=limit, now=self.clock())

    def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        answer = super().rotate(presented, self.clock())
        self.stalls()
        return answer

    def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""
        return super().settle(outcome, presented, self.clock())

    def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""
        return super().revoke(session_id, reason, self.clock(), subject=subject)

    def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject."""
        return super().revoke_subject(subject, reason, self.clock())

    def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
        return super().sessions(subject, self.clock())


def parts(clock: Callable[[], float]) -> dict[str, Any]:
    """What each issuer of one service has alike, at its own clock."""
    # Keys and peppers have a life cycle by the clock too, which is not what is tried here: they have been there for ever.
    return {
        "audience": AUDIENCE,
        "keys": KeySet(key("ES256"), clock=clock),
        "peppers": Peppers(SECRET[:32], clock=clock),
        "access": LIFE,
        "clock": clock,
    }
