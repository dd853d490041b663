"""A store in memory whose rules can be replaced one by one; without a fault planted it keeps the contract."""

import threading
from dataclasses import replace
from itertools import islice

from stagedoor.session import CLEANED_AT_ONCE, KEPT_DEAD, Answer, Outcome, Presented, Session, decide, written


class Intact:
    """A dict of rows. Each method is one atomic step, because nothing in it awaits; each fault overrides one of them."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Session] = {}

    def decide(self, presented: Presented, session: Session | None, now: float, proof_holds: bool | None) -> Outcome:
        return decide(presented, session, now, proof_holds=proof_holds)

    def written(self, outcome: Outcome, presented: Presented, session: Session, now: float) -> Session:
        return written(outcome, presented, session, now)

    def live(self, subject: str, now: float) -> list[Session]:
        found = [row for row in self.rows.values() if row.subject == subject and row.is_live(now)]
        return sorted(found, key=lambda row: row.created_at, reverse=True)

    def over(self, session: Session, limit: int, now: float) -> list[Session]:
        return [row for row in self.live(session.subject, now) if row.id != session.id][limit - 1 :]

    def clean(self, now: float) -> None:
        dead = [row for row in self.rows.values() if ended_at(row) < now - KEPT_DEAD]
        for row in islice(dead, CLEANED_AT_ONCE):
            del self.rows[row.id]

    def end(self, session: Session, reason: str, now: float) -> None:
        self.rows[session.id] = replace(session, revoked_at=now, reason=reason)

    async def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        self.clean(now)
        self.rows[session.id] = session
        over = self.over(session, limit, now)
        for row in over:
            self.end(row, "session_limit", now)
        return [row.id for row in over]

    async def get(self, session_id: bytes) -> Session | None:
        return self.rows.get(session_id)

    async def rotate(self, presented: Presented, now: float) -> Answer:
        row = self.rows.get(presented.session_id)
        outcome = self.decide(presented, row, now, None)
        if row is not None:
            row = self.rows[row.id] = self.written(outcome, presented, row, now)
        return Answer(outcome, row, now)

    async def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        row = self.rows.get(presented.session_id)
        if row is None or self.decide(presented, row, now, True) is not outcome:
            return False
        self.rows[row.id] = self.written(outcome, presented, row, now)
        return True

    async def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        row = self.rows.get(session_id)
        if row is None or row.revoked_at is not None or subject not in (None, row.subject):
            return False
        self.end(row, reason, now)
        return row.is_live(now)

    async def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        found = [row for row in self.rows.values() if row.subject == subject and row.revoked_at is None]
        for row in found:
            self.end(row, reason, now)
        return [row.id for row in found if row.is_live(now)]

    async def sessions(self, subject: str, now: float) -> list[Session]:
        return self.live(subject, now)


class SyncIntact:
    """The same as far as threads need it: a dict of rows under a lock."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Session] = {}
        self.lock = threading.Lock()
        self.store = Intact()
        self.store.rows = self.rows

    def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        return self.run(self.store.open(session, limit=limit, now=now))

    def get(self, session_id: bytes) -> Session | None:
        return self.rows.get(session_id)

    def rotate(self, presented: Presented, now: float) -> Answer:
        return self.run(self.store.rotate(presented, now))

    def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        return self.run(self.store.settle(outcome, presented, now))

    def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        return self.run(self.store.revoke(session_id, reason, now, subject=subject))

    def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        return self.run(self.store.revoke_subject(subject, reason, now))

    def sessions(self, subject: str, now: float) -> list[Session]:
        return self.run(self.store.sessions(subject, now))

    def run(self, coroutine):
        with self.lock:
            try:
                coroutine.send(None)
            except StopIteration as stop:
                return stop.value
            raise AssertionError("it awaited")


def ended_at(row: Session) -> float:
    ends = min(row.idle_ends_at, row.absolute_ends_at)
    return ends if row.revoked_at is None else min(ends, row.revoked_at)
