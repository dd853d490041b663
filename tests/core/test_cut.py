"""What is revoked stays revoked: with clocks an hour apart, while a refresh stalls, and when everything is cut."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from stagedoor import SyncIssuer, Verifier, errors
from stagedoor.revocation import AHEAD, MARGIN, Revocations

from .own_clock import AUDIENCE, ISSUER, LIFE, OwnClockStore, parts
from .scripted import Moment, moments

HOUR = 3600.0
OFF = (-HOUR, 0.0, HOUR)


class World:
    """One store, and who is on it, each by a clock that is so many seconds off."""

    def __init__(self, moment: Moment, stack: ExitStack) -> None:
        self.moment = moment
        self.stack = stack
        self.store = OwnClockStore(self.clock())

    def clock(self, off: float = 0.0) -> Callable[[], float]:
        return lambda: self.moment.wall + off

    def revocations(self, off: float = 0.0) -> Revocations:
        made = Revocations.following(self.store, clock=self.clock(off))
        made._follower._watch.start = lambda: None  # each who asks hears; nobody reads between two steps of the clock
        self.stack.callback(made.close)
        return made

    def issuer(self, off: float = 0.0, **more: Any) -> SyncIssuer:
        made = {"revocations": self.revocations(off)} | parts(self.clock(off)) | more
        return SyncIssuer(ISSUER, store=self.store, **made)

    def verifier(self, off: float = 0.0) -> Any:
        """One that has heard of all so far."""
        keys = parts(self.clock(off))["keys"]
        return Verifier(ISSUER, audience=AUDIENCE, keys=keys, revocations=self.revocations(off), clock=self.clock(off))

    def accepts(self, verifier: Any, token: str) -> bool:
        try:
            verifier.revocations.hear()
            verifier.verify(token)
        except errors.TokenError:
            return False
        return True


@contextmanager
def world() -> Iterator[World]:
    """Time stands still in it until it is moved."""
    with moments() as moment, ExitStack() as stack:
        yield World(moment, stack)


@pytest.mark.parametrize(("minter", "revoker", "verifier"), list(itertools.product(OFF, repeat=3)))
def test_clocks_an_hour_apart(minter: float, revoker: float, verifier: float):
    """Whoever is an hour ahead or behind: a token of a session that was ended is never accepted again, as long as it might live."""
    with world() as here:
        issuing, revoking, verifying = here.issuer(minter), here.issuer(revoker), here.verifier(verifier)
        pair = issuing.issue("ada")
        here.moment.passes(5)
        revoking.revoke_session(pair.session_id)
        for _ in range(75):
            assert not here.accepts(verifying, pair.access_token)
            here.moment.passes(120)


@pytest.mark.parametrize("off", OFF)
def test_a_record_lives_as_long_as_tokens_of_who_is_ahead(off: float):
    """An issuer whose clock is ahead of the log's has records kept for so much longer: its tokens live until their end by other clocks."""
    with world() as here:
        here.issuer(off).issue("ada")
        here.store.revoke_subject("ada", "revoked", 0.0)
        (record,) = here.store.log.read(None).records
        assert record.until - record.written == LIFE + max(0.0, off) + MARGIN


def test_logout_everywhere_and_a_login_in_the_same_second():
    """What was opened before is refused; what was opened after it, in the same second, is not, and may refresh."""
    with world() as here:
        issuer, verifier = here.issuer(), here.verifier()
        before = [issuer.issue("ada") for _ in range(3)]
        assert issuer.revoke_subject("ada") == 3
        after = issuer.issue("ada")
        assert [here.accepts(verifier, pair.access_token) for pair in [*before, after]] == [False, False, False, True]
        assert here.accepts(verifier, issuer.refresh(after.refresh_token).access_token)
        for pair in before:
            with pytest.raises(errors.SessionRevoked):
                issuer.refresh(pair.refresh_token)


@pytest.mark.parametrize("ended", ["session", "subject", "everything"])
def test_a_refresh_that_stalls_between_write_and_signing(ended: str):
    """Its session is ended while it stalls, for longer than a record's margin: the token that comes is refused to its last moment."""
    with world() as here:
        issuer, other, verifier = here.issuer(), here.issuer(), here.verifier()
        pair = issuer.issue("ada")

        def stall() -> None:
            here.store.stalls = lambda: None
            {
                "session": lambda: other.revoke_session(pair.session_id),
                "subject": lambda: other.revoke_subject("ada"),
                "everything": other.revoke_everything,
            }[ended]()
            here.moment.passes(10 * MARGIN)

        here.store.stalls = stall
        token = issuer.refresh(pair.refresh_token).access_token
        for _ in range(2 * LIFE // 30):
            assert not here.accepts(verifier, token)
            here.moment.passes(30)


@pytest.mark.parametrize("off", OFF)
def test_everything_is_revoked(off: float):
    """Tokens and sessions from before are refused, wherever; what is opened when the cut has passed is accepted."""
    with world() as here:
        issuer, other, verifiers = here.issuer(off), here.issuer(), [here.verifier(), here.verifier(off)]
        pairs = [issuer.issue("ada"), other.issue("eve")]
        through = other.revoke_everything()
        assert through == int(here.moment.wall) + 1 + AHEAD
        issuer.revocations.hear()
        for pair in pairs:
            assert not any(here.accepts(verifier, pair.access_token) for verifier in verifiers)
            with pytest.raises((errors.SessionRevoked, errors.IssuingPaused)):
                issuer.refresh(pair.refresh_token)
        here.moment.passes(through + 1 - here.moment.wall - min(0.0, off))
        with pytest.raises(errors.SessionRevoked):
            issuer.refresh(pairs[1].refresh_token)
        assert other.sessions("ada") == []
        fresh = issuer.issue("ada")
        assert here.accepts(here.verifier(off), fresh.access_token)
        assert here.accepts(here.verifier(off), issuer.refresh(fresh.refresh_token).access_token)
        for pair in pairs:
            assert not any(here.accepts(verifier, pair.access_token) for verifier in verifiers)


@pytest.mark.parametrize("off", OFF)
def test_issuing_pauses_until_the_cut_has_passed(off: float):
    """By the log's clock; an issuer that is behind it pauses for so much longer: it could not make a token that counts."""
    with world() as here:
        issuer = here.issuer(off)
        issuer.issue("ada")
        through = here.issuer().revoke_everything()
        issuer.revocations.hear()
        until = through + 1 - min(0.0, off)
        while here.moment.wall < until:
            with pytest.raises(errors.IssuingPaused) as paused:
                issuer.issue("ada")
            left = until - here.moment.wall
            assert left <= paused.value.retry_after <= left + 1
            here.moment.passes(min(left, max(1.0, left / 2)))
        assert here.accepts(here.verifier(off), issuer.issue("ada").access_token)


def test_an_issuer_that_does_not_know_yet_makes_nothing_that_counts():
    """One that has not heard yet goes on, for less than its bound: what it issues then is of before the cut."""
    with world() as here:
        issuer, verifier = here.issuer(), here.verifier()
        issuer.issue("ada")
        issuer.revocations.close()
        here.issuer().revoke_everything()
        here.moment.passes(0.9)
        late = issuer.issue("ada")
        assert not here.accepts(verifier, late.access_token)
        here.moment.passes(60)
        with pytest.raises(errors.SessionRevoked):
            issuer.refresh(late.refresh_token)


def test_an_issuer_hears_before_the_cut_has_passed():
    """One that may hear of it later than that would issue tokens that count as issued after it: it is not made."""
    with world() as here:
        for bound, taken in ((AHEAD, True), (AHEAD + 0.1, False), ("1m", False)):
            late = Revocations.following(here.store, bound=bound, clock=here.clock())
            if taken:
                SyncIssuer(ISSUER, store=here.store, revocations=late, **parts(here.clock()))
                continue
            with pytest.raises(ValueError, match="bound of 5 seconds"):
                SyncIssuer(ISSUER, store=here.store, revocations=late, **parts(here.clock()))


@pytest.mark.parametrize("part", [0.0, 0.999])
def test_the_longest_bound_of_an_issuer(part: float):
    """What it issues in the last moment in which it need not know is of before the cut, whatever part of a second that was written in."""
    with world() as here:
        late = Revocations.following(here.store, bound=AHEAD, clock=here.clock())
        here.stack.callback(late.close)
        issuer, verifier = here.issuer(revocations=late), here.verifier()
        here.moment.passes(part)
        issuer.issue("ada")
        late.close()
        here.issuer().revoke_everything()
        here.moment.passes(AHEAD - 0.001)
        assert late.is_fresh
        pair = issuer.issue("ada")
        assert not here.accepts(verifier, pair.access_token)
        here.moment.passes(60)
        with pytest.raises(errors.SessionRevoked):
            issuer.refresh(pair.refresh_token)


def test_who_starts_anew_knows_what_was_revoked():
    """Other issuers and verifiers on the same store, as after a restart: a session, a key and everything stay revoked."""
    with world() as here:
        issuer = here.issuer()
        pair = issuer.issue("ada")
        issuer.revoke(pair.refresh_token)
        assert not here.accepts(here.verifier(), pair.access_token)
        other = issuer.issue("eve")
        here.store.log.revoke_key(issuer.keys.signing(0.0).kid, 0.0)
        assert not here.accepts(here.verifier(), other.access_token)
        through = here.issuer().revoke_everything()
        with pytest.raises(errors.IssuingPaused, match="everything was revoked"):
            here.issuer().issue("ada")
        here.moment.passes(through + 1 - here.moment.wall + 30 * 86_400 - 60)
        with pytest.raises(errors.SessionRevoked):
            here.issuer(refresh_idle="60d").refresh(other.refresh_token)
