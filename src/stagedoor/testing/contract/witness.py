"""Witness: a store that hands every call on, and holds the answer and the row against the pure table.

Never knows what comes next: it is for calls one after another; races run on the bare store.
"""

from __future__ import annotations

from dataclasses import replace

from stagedoor.session import Answer, Outcome, Presented, Session, Store, decide, written


class Witness:
    """The store under test, watched: AssertionError at the first word or row that the table does not give."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[str] = []
        """Which methods were called, in order."""
        self.outcomes: list[Outcome] = []
        """What `rotate` answered, in order."""

    async def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open; the row reads back as it was given."""
        self.calls.append("open")
        ended = await self._store.open(session, limit=limit, now=now)
        assert await self._store.get(session.id) == session
        return ended

    async def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""
        self.calls.append("get")
        return await self._store.get(session_id)

    async def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate; the outcome is what `decide` says, the row what is `written` for it."""
        self.calls.append("rotate")
        before = await self._store.get(presented.session_id)
        answer = await self._store.rotate(presented, now)
        after = await self._store.get(presented.session_id)
        self.outcomes.append(answer.outcome)
        outcome = decide(presented, before, now, proof_holds=None)
        row = None if before is None else written(outcome, presented, before, now)
        assert answer.outcome is outcome
        assert answer.now == now
        assert answer.session == row, "the answer carries the row as it is afterwards"
        assert after == row, "the row is what the table writes"
        return answer

    async def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle; it writes exactly where the table, with the proof holding, still gives this outcome."""
        self.calls.append("settle")
        before = await self._store.get(presented.session_id)
        settled = await self._store.settle(outcome, presented, now)
        after = await self._store.get(presented.session_id)
        stands = before is not None and decide(presented, before, now, proof_holds=True) is outcome
        assert settled is stands
        assert after == (written(outcome, presented, before, now) if before is not None and stands else before)
        return settled

    async def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke; the first one counts, and a foreign subject changes nothing."""
        self.calls.append("revoke")
        before = await self._store.get(session_id)
        ended = await self._store.revoke(session_id, reason, now, subject=subject)
        after = await self._store.get(session_id)
        marks = before is not None and before.revoked_at is None and subject in (None, before.subject)
        assert ended is (marks and before is not None and before.is_live(now))
        assert after == (replace(before, revoked_at=now, reason=reason) if before is not None and marks else before)
        return ended

    async def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject; the ids are those that were live."""
        self.calls.append("revoke_subject")
        live = {session.id for session in await self._store.sessions(subject, now)}
        ended = await self._store.revoke_subject(subject, reason, now)
        assert sorted(ended) == sorted(live)
        assert await self._store.sessions(subject, now) == []
        return ended

    async def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions; every row is live, of this subject, and what `get` gives."""
        self.calls.append("sessions")
        found = await self._store.sessions(subject, now)
        assert all(session.subject == subject and session.is_live(now) for session in found)
        assert [await self._store.get(session.id) for session in found] == found
        return found
