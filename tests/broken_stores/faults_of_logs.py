"""Stores that write of what they end what is wrong, too late, or nothing; `found_by` names the tests of the contract that must find it."""

import asyncio
import time

from broken_stores.base_of_logs import IntactLog as IntactLog
from broken_stores.base_of_logs import ListLog, Logged
from stagedoor.revocation import Page, Record, cursor_in

EVERY_WAY = "test_every_way_to_end_a_session"


class ForgetsReuse(Logged):
    """A session that reuse ends goes on elsewhere."""

    found_by = (EVERY_WAY,)

    async def settle(self, outcome, presented, now):
        return await super(Logged, self).settle(outcome, presented, now)


class ForgetsTheLimit(Logged):
    """The session that the limit ends is in no record."""

    found_by = (EVERY_WAY,)

    def end(self, session, reason, now):
        super(Logged, self).end(session, reason, now)
        if reason != "session_limit":
            self.log.end_session(session.id, now)


class ForgetsAllButTheFirst(Logged):
    """Of all the sessions of a subject only one is written."""

    found_by = (EVERY_WAY,)

    async def revoke_subject(self, subject, reason, now):
        ended = await super(Logged, self).revoke_subject(subject, reason, now)
        for session_id in ended[1:]:
            self.log.records = {at: kept for at, kept in self.log.records.items() if kept != Record.of_session(session_id, 900, now)}
        return ended


class WritesWhatWasRefused(Logged):
    """Whoever names another's session has it refused everywhere, though it was not ended."""

    found_by = ("test_what_was_not_ended_is_not_in_it",)

    async def revoke(self, session_id, reason, now, *, subject=None):
        ended = await super().revoke(session_id, reason, now, subject=subject)
        if not ended:
            self.log.end_session(session_id, now)
        return ended


class AnswersFirst(Logged):
    """It says that a session is ended, and writes the record a little later."""

    found_by = (EVERY_WAY, "test_reading_on")

    def end(self, session, reason, now):
        super(Logged, self).end(session, reason, now)
        asyncio.get_running_loop().call_later(0.02, self.log.end_session, session.id, now)


class _Replica(ListLog):
    """It is read from a copy that is a twentieth of a second behind."""

    def __init__(self):
        super().__init__()
        self.written = {}

    def put(self, at, record):
        super().put(at, record)
        self.written[at] = time.monotonic()

    def read(self, after, wait=0.0):
        with self.changed:
            start = self.start(after)
            here = {at for at, moment in self.written.items() if moment < time.monotonic() - 0.05 and at in self.records}
            end = max(here, default=-1) + 1
            return Page(cursor_in(self.name, end), [self.records[at] for at in sorted(here) if at >= start], None, 0.0)


class ReadsAReplica(Logged):
    """What was acknowledged is not in what is read: the copy lags."""

    found_by = (EVERY_WAY, "test_reading_on", "test_a_key_and_everything_of_an_issuer", "test_a_cursor_that_belongs_elsewhere")
    log_of = _Replica


class _LateCommits(ListLog):
    """A position is given when a write begins; it can be read when it is done. The cursor is the last position that can be read."""

    def __init__(self):
        super().__init__()
        self.late = {}

    def write(self, record):
        with self.changed:
            if self.end % 4 == 1:  # it takes longer than those that begin after it: until one of them was read
                self.late[self.end] = record, time.monotonic()
            else:
                self.put(self.end, record)
            self.end += 1
            self.changed.notify_all()
        return record

    def read(self, after, wait=0.0):
        with self.changed:
            start = self.start(after)
            end = max(self.records, default=-1) + 1
            page = Page(cursor_in(self.name, max(start, end)), self.told(start), None, 0.0)
            for at, (record, since) in list(self.late.items()):
                if at < end or time.monotonic() > since + 0.2:
                    self.put(at, record)
                    del self.late[at]
        return page


class PositionsThatCommitOutOfOrder(Logged):
    """Who reads on passes over what has an earlier position and came later. Each write is waited for, as a commit is."""

    found_by = ("test_nothing_is_missed_while_many_write",)
    log_of = _LateCommits

    async def revoke(self, session_id, reason, now, *, subject=None):
        ended = await super().revoke(session_id, reason, now, subject=subject)
        while self.log.late:
            await asyncio.sleep(0.001)
        return ended


class _Believing(ListLog):
    """A cursor is a number, whatever log it is of; behind the end there is nothing."""

    def start(self, after):
        position = (after or "0").rpartition(":")[2]
        return int(position[:18]) if position.isdecimal() else 0


class BelievesCursors(Logged):
    """A log that was replaced, or restored from an older copy, has nothing to say to who has read further."""

    found_by = ("test_a_cursor_that_belongs_elsewhere",)
    log_of = _Believing


class _DropsWhatCame(ListLog):
    """Who has waited is told where the log is now, and not what came meanwhile."""

    def read(self, after, wait=0.0):
        with self.changed:
            start = self.start(after)
            if start == self.end and wait:
                self.wait(wait)
            return Page(cursor_in(self.name, self.end), [] if wait else self.told(start), None, 0.0)


class DropsWhatCameWhileOneWaited(Logged):
    """A gap at each time that somebody is woken."""

    found_by = ("test_who_waits_is_woken",)
    log_of = _DropsWhatCame


class _WrongClock(ListLog):
    """Its records' ends come from the clock of the machine that it runs on."""

    def moment(self, now):
        return time.time()


class EndsByAnotherClock(Logged):
    """Who checks by the store's clock forgets too early, or too late."""

    found_by = (
        "test_a_record_lives_as_long_as_what_it_ends",
        "test_before_any_issuer_has_told",
        "test_a_key_and_everything_of_an_issuer",
        "test_it_does_not_grow_for_ever",
    )
    log_of = _WrongClock


class _LastTold(ListLog):
    """The issuer that told last of a lifetime is believed, though another's tokens live longer."""

    def expect(self, life):
        self.life = life


class TakesTheLastLifetime(Logged):
    """Records end before the tokens of the other issuer do."""

    found_by = ("test_a_record_lives_as_long_as_what_it_ends",)
    log_of = _LastTold


class _Growing(ListLog):
    """Nothing is ever over."""

    def is_over(self, record, now):
        return False


class GrowsForEver(Logged):
    """Years of records are read by whoever starts."""

    found_by = ("test_it_does_not_grow_for_ever",)
    log_of = _Growing


class _OldestFirst(ListLog):
    """All that is older than an access token's life goes, whatever it is."""

    def is_over(self, record, now):
        return record.written + self.lives() < now


class ForgetsWhatLasts(Logged):
    """The cut of an issuer is to last as long as a session may, and goes with the sessions of its day."""

    found_by = ("test_it_does_not_grow_for_ever",)
    log_of = _OldestFirst
