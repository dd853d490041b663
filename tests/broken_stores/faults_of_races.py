"""Stores that do in two steps what is one; `found_by` names the tests of the contract that must find it."""

import asyncio
import time

from broken_stores.base import Intact, SyncIntact
from stagedoor.session import Answer


class SelectThenUpdate(Intact):
    """rotate reads, lets others go on, and writes what it made of the row that it read."""

    found_by = ("test_sixteen_tasks_with_one_token", "test_refresh_against_logout", "test_refresh_against_logout_everywhere")

    async def rotate(self, presented, now):
        row = self.rows.get(presented.session_id)
        outcome = self.decide(presented, row, now, None)
        await asyncio.sleep(0)
        if row is not None:
            row = self.rows[row.id] = self.written(outcome, presented, row, now)
        return Answer(outcome, row, now)


class SelectThenUpdateOnThreads(SyncIntact):
    """The same in a sync store: each half is locked, the whole is not."""

    found_by = ("test_sixteen_threads_with_one_token", "test_sixteen_tasks_with_one_token")

    def rotate(self, presented, now):
        with self.lock:
            row = self.rows.get(presented.session_id)
        outcome = self.store.decide(presented, row, now, None)
        time.sleep(0)
        if row is not None:
            with self.lock:
                row = self.rows[row.id] = self.store.written(outcome, presented, row, now)
        return Answer(outcome, row, now)


class SettleThenRead(Intact):
    """settle looks, lets others go on, and writes over what they wrote."""

    found_by = ("test_sixteen_tasks_with_a_lost_generation",)

    async def settle(self, outcome, presented, now):
        row = self.rows.get(presented.session_id)
        if row is None or self.decide(presented, row, now, True) is not outcome:
            return False
        await asyncio.sleep(0)
        self.rows[row.id] = self.written(outcome, presented, row, now)
        return True


class OpenThenCount(Intact):
    """The session limit is counted first and kept later."""

    found_by = ("test_logins_at_once_keep_the_limit",)

    async def open(self, session, *, limit, now):
        over = self.over(session, limit, now)
        await asyncio.sleep(0)
        await super().open(session, limit=10_000, now=now)
        for row in over:
            self.end(row, "session_limit", now)
        return [row.id for row in over]


class RevokeSubjectOneByOne(Intact):
    """Logging out everywhere passes over a row that moved on while it looked."""

    found_by = ("test_refresh_against_logout_everywhere",)

    async def revoke_subject(self, subject, reason, now):
        live = self.live(subject, now)
        for row in live:
            await asyncio.sleep(0)
            if self.rows[row.id] is row:
                self.end(row, reason, now)
        return [row.id for row in live]
