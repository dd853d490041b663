"""One planted fault of the rotation table a class; `found_by` names the tests of the contract that must find it."""

from dataclasses import replace

from broken_stores.base import Intact
from stagedoor.session import RECOVERABLE, Answer, Outcome

WALK = "test_store_and_table_agree_at_every_step"


class NoReplayed(Intact):
    """A lost reply is taken for reuse."""

    found_by = ("test_row_6_replayed", "test_sixteen_tasks_with_one_token", "test_staggered_tabs", WALK)

    def decide(self, presented, session, now, proof_holds):
        outcome = super().decide(presented, session, now, proof_holds)
        if outcome is Outcome.REPLAYED:
            return Outcome.BEHIND if proof_holds is None else Outcome.REUSED
        return outcome


class NoKept(Intact):
    """The current token always rotates."""

    found_by = ("test_row_5_kept", "test_row_6_after_the_successor_was_used", "test_staggered_tabs", WALK)

    def decide(self, presented, session, now, proof_holds):
        outcome = super().decide(presented, session, now, proof_holds)
        return Outcome.ROTATED if outcome is Outcome.KEPT else outcome


class NoRecovered(Intact):
    """What the store does not know any more is Unknown."""

    found_by = ("test_row_9_recovered", "test_row_9_goes_on")

    def decide(self, presented, session, now, proof_holds):
        outcome = super().decide(presented, session, now, proof_holds)
        return Outcome.UNKNOWN if outcome in (Outcome.AHEAD, Outcome.RECOVERED) else outcome


class NoAttempt(Intact):
    """An attempt id is never looked at: row 7 is missing."""

    found_by = ("test_row_7_the_same_attempt_after_the_window", "test_sixteen_tasks_with_a_late_retry")

    def decide(self, presented, session, now, proof_holds):
        return super().decide(replace(presented, attempt=None), session, now, proof_holds)


class AttemptOfNobody(Intact):
    """Two calls without an attempt id count as the same attempt."""

    found_by = ("test_row_7_needs_one_attempt_in_both", "test_row_6_replayed_does_not_stretch_the_window")

    def decide(self, presented, session, now, proof_holds):
        if session is not None and presented.attempt is None and session.attempt is None:
            presented, session = replace(presented, attempt=b"none"), replace(session, attempt=b"none")
        return super().decide(presented, session, now, proof_holds)


class AttemptForTheDigestAlone(Intact):
    """The attempt id replays whatever the current generation is."""

    found_by = ("test_row_8_the_generation_before_with_another_secret",)

    def decide(self, presented, session, now, proof_holds):
        outcome = super().decide(presented, session, now, proof_holds)
        if outcome in (Outcome.BEHIND, Outcome.REUSED) and presented.attempt is not None and presented.attempt == session.attempt:
            return Outcome.REPLAYED
        return outcome


class AttemptLeftBehind(Intact):
    """A rotation without an attempt id keeps the one before."""

    found_by = ("test_row_4_forgets_the_attempt_before",)

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, attempt=presented.attempt or session.attempt)


class AttemptOverwritten(Intact):
    """Kept and Replayed write down the attempt id of the last call."""

    found_by = ("test_row_7_after_a_kept_without_attempt",)

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, attempt=presented.attempt) if outcome in (Outcome.KEPT, Outcome.REPLAYED) else row


class LateReplayNotWritten(Intact):
    """Row 7 forgets to make the session young."""

    found_by = ("test_row_7_makes_the_session_young",)

    def written(self, outcome, presented, session, now):
        return session if outcome is Outcome.REPLAYED else super().written(outcome, presented, session, now)


class ReuseEndsAll(Intact):
    """Reuse ends every session of the subject."""

    found_by = ("test_row_8_ends_its_own_session_only", WALK)

    async def settle(self, outcome, presented, now):
        settled = await super().settle(outcome, presented, now)
        if settled and outcome is Outcome.REUSED:
            await self.revoke_subject(self.rows[presented.session_id].subject, "reuse", now)
        return settled


class ReuseWithoutProof(Intact):
    """Whoever shows an older generation ends the session, proof or not."""

    found_by = ("test_a_forged_token_of_another_generation", "test_a_store_writes_nothing_for_behind_and_ahead")

    async def rotate(self, presented, now):
        answer = await super().rotate(presented, now)
        if answer.outcome is Outcome.BEHIND:
            self.end(answer.session, "reuse", now)
        return answer


class ReuseNotWritten(Intact):
    """Reuse is answered, the session lives on."""

    found_by = ("test_row_8_reused", "test_refresh_against_reuse")

    def written(self, outcome, presented, session, now):
        return session if outcome is Outcome.REUSED else super().written(outcome, presented, session, now)


class RecoveryWithoutProof(Intact):
    """The store settles Ahead by itself, before anybody looked at the proof, and answers Kept."""

    found_by = (
        "test_a_forged_token_of_another_generation",
        "test_row_9_recovered",
        "test_a_store_writes_nothing_for_behind_and_ahead",
        WALK,
    )

    async def rotate(self, presented, now):
        answer = await super().rotate(presented, now)
        if answer.outcome is not Outcome.AHEAD:
            return answer
        await self.settle(Outcome.RECOVERED, presented, now)
        return Answer(Outcome.KEPT, self.rows[presented.session_id], now)


class RecoveryOfAnything(Intact):
    """However far ahead, it is taken for lost writes."""

    found_by = ("test_row_10_too_far_ahead",)

    def decide(self, presented, session, now, proof_holds):
        outcome = super().decide(presented, session, now, proof_holds)
        far = outcome is Outcome.UNKNOWN and session is not None and presented.generation > session.generation + RECOVERABLE
        return (Outcome.AHEAD if proof_holds is None else Outcome.RECOVERED) if far else outcome


class RecoveredWithTheOldPepper(Intact):
    """Recovered takes over the generation and the digest, not the pepper."""

    found_by = ("test_row_9_keeps_the_pepper_of_the_token",)

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, pepper_id=session.pepper_id) if outcome is Outcome.RECOVERED else row


class RecoveredNotYoung(Intact):
    """Recovered does not write when."""

    found_by = ("test_row_9_goes_on",)

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, rotated_at=session.rotated_at) if outcome is Outcome.RECOVERED else row


class SettleUnconditional(Intact):
    """settle trusts what rotate saw a moment ago."""

    found_by = ("test_settle_finds_the_session_revoked", "test_settle_finds_the_session_young_again")

    async def settle(self, outcome, presented, now):
        row = self.rows.get(presented.session_id)
        if row is None:
            return False
        self.rows[row.id] = self.written(outcome, presented, row, now)
        return True


class SettleByGenerationAlone(Intact):
    """settle restates the generations, and forgets that the session may be young by now."""

    found_by = ("test_settle_finds_the_session_young_again",)

    async def settle(self, outcome, presented, now):
        row = self.rows.get(presented.session_id)
        if outcome is Outcome.REUSED and row is not None and row.is_live(now) and row.generation > presented.generation:
            self.rows[row.id] = self.written(outcome, presented, row, now)
            return True
        return await super().settle(outcome, presented, now)


class KeptStretches(Intact):
    """Kept writes the moment: who refreshes once a minute never rotates."""

    found_by = ("test_row_5_kept_does_not_stretch_the_window", "test_row_5_kept")

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, rotated_at=now) if outcome is Outcome.KEPT else row


class ReplayedStretches(Intact):
    """Replayed writes the moment within the window too: a thief who replays once a minute is never found."""

    found_by = ("test_row_6_replayed_does_not_stretch_the_window", "test_row_6_replayed")

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, rotated_at=now) if outcome is Outcome.REPLAYED else row


class WindowReachedIsYoung(Intact):
    """The window is a moment too long."""

    found_by = ("test_row_4_the_window_is_reached", "test_row_6_replayed_does_not_stretch_the_window")

    def decide(self, presented, session, now, proof_holds):
        return super().decide(replace(presented, window=presented.window + 0.001), session, now, proof_holds)


class NewIsYoung(Intact):
    """A session that was just opened counts as just rotated: the first refresh does not rotate."""

    found_by = ("test_row_4_the_first_refresh",)

    def decide(self, presented, session, now, proof_holds):
        if session is not None and session.rotated_at is None:
            session = replace(session, rotated_at=session.created_at)
        return super().decide(presented, session, now, proof_holds)


class BackwardsIsOld(Intact):
    """A clock that jumped back makes a session old."""

    found_by = ("test_row_5_the_clock_jumped_back",)

    def decide(self, presented, session, now, proof_holds):
        if session is not None and session.rotated_at is not None and session.rotated_at > now:
            session = replace(session, rotated_at=None)
        return super().decide(presented, session, now, proof_holds)


class EndReachedIsLive(Intact):
    """A session lives one moment longer than it may."""

    found_by = ("test_row_3_the_idle_end_is_reached", "test_row_3_the_absolute_end")

    def decide(self, presented, session, now, proof_holds):
        if session is not None:
            ends = {"idle_ends_at": session.idle_ends_at + 0.001, "absolute_ends_at": session.absolute_ends_at + 0.001}
            session = replace(session, **ends)
        return super().decide(presented, session, now, proof_holds)


class IdlePastAbsolute(Intact):
    """Refreshing moves the idle end past the absolute one."""

    found_by = ("test_row_3_the_absolute_end",)

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, idle_ends_at=now + presented.idle) if outcome is Outcome.ROTATED else row


class AbsoluteExtended(Intact):
    """Refreshing moves the absolute end: a stolen session lives for ever."""

    found_by = ("test_row_3_the_absolute_end",)

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        ends_at = max(row.absolute_ends_at, now + presented.idle)
        return replace(row, absolute_ends_at=ends_at, idle_ends_at=ends_at) if outcome is Outcome.ROTATED else row


class IdleNotMoved(Intact):
    """Refreshing does not move the idle end: everybody is logged out after 30 days."""

    found_by = ("test_row_3_just_before_the_idle_end", "test_row_4_the_first_refresh")

    def written(self, outcome, presented, session, now):
        return replace(super().written(outcome, presented, session, now), idle_ends_at=session.idle_ends_at)


class PepperNotWritten(Intact):
    """Rotated keeps the pepper id of the login."""

    found_by = ("test_row_6_after_a_change_of_pepper",)

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, pepper_id=session.pepper_id) if outcome is Outcome.ROTATED else row


class ReplayUnderTheNewPepper(Intact):
    """Replayed writes the pepper of the day: the successor comes in two spellings."""

    found_by = ("test_row_6_after_a_change_of_pepper",)

    def written(self, outcome, presented, session, now):
        row = super().written(outcome, presented, session, now)
        return replace(row, pepper_id=presented.successor_pepper_id) if outcome is Outcome.REPLAYED else row
