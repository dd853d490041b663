"""One planted fault in opening, listing, ending or cleaning a class; `found_by` names the tests that must find it."""

from dataclasses import replace

from broken_stores.base import Intact
from stagedoor.session import Outcome


class ReuseBeforeRevoked(Intact):
    """An old token of a logged-out session is told as reuse."""

    found_by = ("test_a_logged_out_token_replayed", "test_row_2_revoked")

    def decide(self, presented, session, now, proof_holds):
        outcome = super().decide(presented, session, now, proof_holds)
        if outcome is Outcome.REVOKED and session.generation > presented.generation:
            return Outcome.BEHIND if proof_holds is None else Outcome.REUSED
        return outcome


class RevokeDeletes(Intact):
    """Ending a session deletes its row: nobody can tell a late retry what happened."""

    found_by = ("test_a_logged_out_token_replayed", "test_a_dead_session_can_be_read")

    async def revoke(self, session_id, reason, now, *, subject=None):
        ended = await super().revoke(session_id, reason, now, subject=subject)
        if ended:
            del self.rows[session_id]
        return ended


class RevokeOfAnybody(Intact):
    """Whoever knows a session's id ends it."""

    found_by = ("test_revoking_needs_the_right_subject",)

    async def revoke(self, session_id, reason, now, *, subject=None):
        return await super().revoke(session_id, reason, now)


class RevokeAgain(Intact):
    """The last reason wins: a logout after reuse hides the theft."""

    found_by = ("test_revoking_counts_once", "test_logout_twice")

    async def revoke(self, session_id, reason, now, *, subject=None):
        row = self.rows.get(session_id)
        if row is None or subject not in (None, row.subject):
            return False
        self.end(row, reason, now)
        return True


class RevokeSaysYes(Intact):
    """revoke says that it ended what was not there or not live."""

    found_by = ("test_revoking_counts_once",)

    async def revoke(self, session_id, reason, now, *, subject=None):
        await super().revoke(session_id, reason, now, subject=subject)
        return True


class RevokeSubjectNamesTheDead(Intact):
    """The ids of sessions long dead are returned and published too."""

    found_by = ("test_revoking_a_subject",)

    async def revoke_subject(self, subject, reason, now):
        await super().revoke_subject(subject, reason, now)
        return [row.id for row in self.rows.values() if row.subject == subject]


class RevokeSubjectLosesOne(Intact):
    """One of the sessions that ended is not told: its access tokens live on."""

    found_by = ("test_revoking_a_subject", "test_logout_everywhere")

    async def revoke_subject(self, subject, reason, now):
        return (await super().revoke_subject(subject, reason, now))[1:]


class SessionsOfTheDead(Intact):
    """The list of a subject shows what has ended."""

    found_by = ("test_sessions_are_the_live_ones_the_latest_first",)

    async def sessions(self, subject, now):
        found = [row for row in self.rows.values() if row.subject == subject]
        return sorted(found, key=lambda row: row.created_at, reverse=True)


class SessionsOldestFirst(Intact):
    """The list of a subject is the wrong way round."""

    found_by = ("test_sessions_are_the_live_ones_the_latest_first",)

    async def sessions(self, subject, now):
        return self.live(subject, now)[::-1]


class LimitEndsTheLatest(Intact):
    """One session too many ends the latest one before it."""

    found_by = ("test_the_session_limit_ends_the_oldest",)

    def over(self, session, limit, now):
        others = [row for row in self.live(session.subject, now) if row.id != session.id]
        return others[: max(0, len(others) - limit + 1)]


class LimitEndsTheNewOne(Intact):
    """One session too many may be the one just opened."""

    found_by = ("test_the_session_limit_never_ends_the_new_one",)

    def over(self, session, limit, now):
        return self.live(session.subject, now)[limit:]


class LimitOfAll(Intact):
    """The limit counts the sessions of all subjects."""

    found_by = ("test_the_session_limit_ends_the_oldest",)

    def over(self, session, limit, now):
        live = [row for row in self.rows.values() if row.is_live(now) and row.id != session.id]
        return sorted(live, key=lambda row: row.created_at, reverse=True)[limit - 1 :]


class LimitCountsTheDead(Intact):
    """Sessions that have ended take places."""

    found_by = ("test_the_session_limit_counts_the_live_ones",)

    def over(self, session, limit, now):
        places = limit - sum(row.subject == session.subject and not row.is_live(now) for row in self.rows.values())
        return super().over(session, max(1, places), now)


class CleansTooEarly(Intact):
    """A row goes as soon as it is dead."""

    found_by = ("test_long_dead_rows_are_cleaned_away",)

    def clean(self, now):
        self.rows = {row.id: row for row in self.rows.values() if row.is_live(now)}


class NeverCleans(Intact):
    """Dead rows stay for ever."""

    found_by = ("test_long_dead_rows_are_cleaned_away",)

    def clean(self, now):
        pass


class ForgetsTheDevice(Intact):
    """A column is not read back."""

    found_by = ("test_a_session_reads_back_whole",)

    async def get(self, session_id):
        row = await super().get(session_id)
        return None if row is None else replace(row, device=None)
