"""Revocations, issuers and stores with one planted fault each, which tests of the core must find.

`stands_for` is what such a test calls what is replaced; `found_by` names those of its functions that must fail.
"""

from core.own_clock import OwnClockStore
from stagedoor import Revocations, SyncIssuer
from stagedoor.errors import IssuingPaused, RevocationsStale
from stagedoor.revocation import Record


class _Follows(Revocations):
    """Hears by a feed that changes what another one says."""

    module, stands_for = "core.test_following", "Revocations"

    @classmethod
    def following(cls, source, **more):
        made = super().following(source, **more)
        feed = made._reading.feed
        made._reading.feed = cls.feed(feed)
        return made

    class feed:  # noqa: N801 - a part
        def __init__(self, feed):
            self.inner = feed

        def read(self, after, wait=0.0):
            return self.inner.read(after, wait)


class AgeOfTheAnswer(_Follows):
    """Age counts from when the answer came, not from when it was asked for."""

    found_by = ("test_age_counts_from_the_question_not_from_the_answer", "test_an_answer_that_is_older_than_the_bound_is_no_knowledge")

    class feed(_Follows.feed):  # noqa: N801
        def read(self, after, wait=0.0):
            return super().read(after, wait)._replace(age=0.0)


class DropsTheGap(_Follows):
    """After a failure it goes on from where the log is by then."""

    found_by = ("test_a_gap_is_read_after_it",)

    class feed(_Follows.feed):  # noqa: N801
        failed = False

        def read(self, after, wait=0.0):
            try:
                page = super().read(after, wait)
            except Exception:
                self.failed = True
                raise
            failed, self.failed = self.failed, False
            return page._replace(records=()) if failed else page


class BelievesItsCursor(_Follows):
    """A log of another name, or one that ends before the cursor, has nothing new."""

    found_by = ("test_a_log_that_was_replaced_is_read_whole", "test_a_log_that_was_restored_is_read_whole")

    class feed(_Follows.feed):  # noqa: N801
        furthest = ""

        def read(self, after, wait=0.0):
            page = super().read(after, wait)
            if after is not None and (page.cursor.partition(":")[0] != after.partition(":")[0] or page.cursor < self.furthest):
                return page._replace(records=())
            self.furthest = page.cursor
            return page


class BeginsAtTheEnd(_Follows):
    """Who starts hears of what comes from then on."""

    module = "core.test_cut"
    found_by = ("test_who_starts_anew_knows_what_was_revoked",)

    class feed(_Follows.feed):  # noqa: N801
        def read(self, after, wait=0.0):
            page = super().read(after, wait)
            return page if after is not None else page._replace(records=())


class FailsOpen(Revocations):
    """What is not known to be revoked passes, however old the knowledge is."""

    module, stands_for = "core.test_following", "Revocations"
    found_by = (
        "test_before_anything_was_heard_nothing_passes",
        "test_what_is_known_counts_for_its_bound_and_no_longer",
        "test_nobody_answers",
    )

    def check(self, token, now):
        try:
            super().check(token, now)
        except RevocationsStale:
            return


class NeverReadsAgain(Revocations):
    """When the wall clock has jumped it goes on from its cursor: what was forgotten meanwhile stays forgotten."""

    module, stands_for = "core.test_following", "Revocations"
    found_by = ("test_a_clock_that_jumps",)

    @classmethod
    def following(cls, source, *, clock, **more):
        made = super().following(source, clock=lambda: clock(), **more)
        reading = made._reading

        def read(wait):
            reading._drift = None if reading._drift is None else clock() - _up()
            return reading(wait)

        made._follower._read = read
        return made


def _up():
    from stagedoor import revocation

    return revocation.uptime()


class IgnoresClocksThatAreAhead(Revocations):
    """It does not see that its clock is ahead of the log's."""

    module, stands_for = "core.test_cut", "Revocations"
    found_by = (
        "test_clocks_an_hour_apart",
        "test_a_record_lives_as_long_as_tokens_of_who_is_ahead",
        "test_everything_is_revoked",
        "test_issuing_pauses_until_the_cut_has_passed",
    )

    @property
    def ahead(self):
        return 0.0

    @ahead.setter
    def ahead(self, seconds):
        pass


class SignsLate(SyncIssuer):
    """An access token takes its moments when it is signed: after a stall it outlives what was written of its session meanwhile."""

    module, stands_for = "core.test_cut", "SyncIssuer"
    found_by = ("test_a_refresh_that_stalls_between_write_and_signing",)

    def _access(self, key, session, allowed, now, ends_at):
        return super()._access(key, session, allowed, self._clock(), ends_at)


class IssuesDuringACut(SyncIssuer):
    """While everything is being revoked it goes on: what it issues then is refused for as long as it lives."""

    module, stands_for = "core.test_cut", "SyncIssuer"
    found_by = ("test_issuing_pauses_until_the_cut_has_passed", "test_who_starts_anew_knows_what_was_revoked")

    def _may_issue(self, now):
        try:
            return (yield from super()._may_issue(now))
        except IssuingPaused:
            return self.revocations.through(self.name)


class RefreshesFromBeforeACut(SyncIssuer):
    """A session that was opened before everything was revoked goes on after it."""

    module, stands_for = "core.test_cut", "SyncIssuer"
    found_by = (
        "test_everything_is_revoked",
        "test_an_issuer_that_does_not_know_yet_makes_nothing_that_counts",
        "test_who_starts_anew_knows_what_was_revoked",
    )

    def _may_issue(self, now):
        yield from super()._may_issue(now)
        return 0


class EndsByTheRevokersClock(OwnClockStore):
    """A record ends by the clock of who revoked, which is behind: it is over while the token still lives."""

    module, stands_for = "core.test_cut", "OwnClockStore"
    found_by = ("test_clocks_an_hour_apart",)

    def revoke(self, session_id, reason, now, *, subject=None):
        return self._by(now, lambda: super(EndsByTheRevokersClock, self).revoke(session_id, reason, now, subject=subject))

    def revoke_subject(self, subject, reason, now):
        return self._by(now, lambda: super(EndsByTheRevokersClock, self).revoke_subject(subject, reason, now))

    def _by(self, now, work):
        clock, self.log.clock = self.log.clock, lambda: now
        try:
            return work()
        finally:
            self.log.clock = clock


class CutsBySecond(OwnClockStore):
    """Logging out everywhere ends all of a subject that is opened until the end of that second: a new login too."""

    module, stands_for = "core.test_cut", "OwnClockStore"
    found_by = ("test_logout_everywhere_and_a_login_in_the_same_second",)

    def __init__(self, clock):
        super().__init__(clock)
        self.cut = {}

    def revoke_subject(self, subject, reason, now):
        self.cut[subject] = int(self.clock())
        return super().revoke_subject(subject, reason, now)

    def open(self, session, *, limit, now):
        ended = super().open(session, limit=limit, now=now)
        if self.cut.get(session.subject) == int(self.clock()):
            self.log._write(Record.of_session(session.id, 900, self.clock()))
        return ended


class AnswersFirst(OwnClockStore):
    """It says that sessions are ended, and writes that down when it is asked something else."""

    module, stands_for = "core.test_cut", "OwnClockStore"
    found_by = ("test_clocks_an_hour_apart", "test_logout_everywhere_and_a_login_in_the_same_second")

    def revoke(self, session_id, reason, now, *, subject=None):
        return True

    def revoke_subject(self, subject, reason, now):
        return [session.id for session in self.sessions(subject, now)]
