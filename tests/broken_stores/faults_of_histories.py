"""Stores with one planted fault each that takes a history to come out: not the contract but the fault suite has to find them."""

import asyncio
from dataclasses import replace

from broken_stores.base import Intact
from stagedoor.session import Answer, Outcome


class Migrating(Intact):
    """Without a fault: the fault suite opens every store alike."""

    async def migrate(self):
        pass


class LateRetryUnderTheNewPepper(Migrating):
    """R1: a retry after the window is answered under the pepper of the day, not the row's: the successor comes in two spellings."""

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, pepper_id=presented.successor_pepper_id) if outcome is Outcome.REPLAYED and row != session else row


class LateRetryLosesTheEnd(Migrating):
    """R1: a retry after the window moves the idle end, past the absolute one."""

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, idle_ends_at=now + presented.idle) if outcome is Outcome.REPLAYED and row != session else row


class OldTokensForgottenAtRestart(Migrating):
    """R5: which generations were used stands in memory alone: after a restart an old token is a stranger and ends nothing."""

    def __init__(self):
        super().__init__()
        self.used = set()

    async def rotate(self, presented, now):
        answer = await super().rotate(presented, now)
        if answer.outcome is Outcome.ROTATED:
            self.used.add((presented.session_id, presented.generation))
        elif answer.outcome is Outcome.BEHIND and (presented.session_id, presented.generation) not in self.used:
            return replace(answer, outcome=Outcome.UNKNOWN)
        return answer


class ReuseEndsNothing(Migrating):
    """R5: a theft is told, and the thief goes on."""

    async def settle(self, outcome, presented, now):
        return True if outcome is Outcome.REUSED else await super().settle(outcome, presented, now)


class ReuseEndsEverything(Migrating):
    """R5: reuse of one session logs its owner out everywhere."""

    async def settle(self, outcome, presented, now):
        settled = await super().settle(outcome, presented, now)
        if settled and outcome is Outcome.REUSED:
            await self.revoke_subject(self.rows[presented.session_id].subject, "reuse", now)
        return settled


class RotateBringsBack(Migrating):
    """R7: rotate saves the whole row that it read, if the generation is still the same: a logout in between is undone."""

    async def rotate(self, presented, now):
        row = self.rows.get(presented.session_id)
        outcome = self.decide(presented, row, now, None)
        await asyncio.sleep(0)
        if row is not None and self.rows[row.id].generation == row.generation:
            row = self.rows[row.id] = self.written(outcome, presented, row, now)
        return Answer(outcome, row, now)


class LogoutEverywhereByAnOldList(Migrating):
    """R7: logging out everywhere ends the sessions of a list that is kept for a moment: a fresh login is passed over."""

    def __init__(self):
        super().__init__()
        self.listed = {}

    async def sessions(self, subject, now):
        return self.live(subject, now)

    async def open(self, session, *, limit, now):
        over = await super().open(session, limit=limit, now=now)
        self.listed.setdefault(session.subject, (now, self.live(session.subject, now)))
        return over

    async def revoke_subject(self, subject, reason, now):
        since, rows = self.listed.get(subject, (now, []))
        live = [row.id for row in rows if self.rows[row.id].is_live(now)] if now - since < 1 else [r.id for r in self.live(subject, now)]
        for id_ in live:
            self.end(self.rows[id_], reason, now)
        return live
