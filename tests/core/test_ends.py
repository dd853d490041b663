"""Ends: how long an access token and what is known of a session live, when the store's clock is not the issuer's."""

from collections.abc import Callable
from typing import Any

import pytest

from patience import patient
from stagedoor import Grant, KeySet, Peppers, SyncIssuer, errors
from stagedoor.encoding import decode
from stagedoor.revocation import Record, Revocations
from stagedoor.session import Answer, Presented
from stagedoor.stores.memory import SyncMemoryStore
from stagedoor.testing.clock import FixedClock

from .material import NOW, SECRET, key


class Elsewhere(SyncMemoryStore):
    """A store whose clock is `ahead` seconds ahead of ours."""

    def __init__(self, ahead: float) -> None:
        super().__init__()
        self.ahead = ahead

    def rotate(self, presented: Presented, now: float) -> Answer:
        return super().rotate(presented, now + self.ahead)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def make(clock: FixedClock) -> Callable[..., SyncIssuer]:
    def maker(**changes: Any) -> SyncIssuer:
        known = {
            "audience": "https://api.example",
            "store": SyncMemoryStore(),
            "keys": KeySet(key("ES256"), clock=clock),
            "peppers": Peppers(SECRET[:32], clock=clock),
            "clock": clock,
        }
        return SyncIssuer("https://auth.example", **(known | changes))

    return maker


def test_a_session_ends_by_the_stores_clock(make: Callable[..., SyncIssuer], clock: FixedClock):
    """What is left of it is counted on the store's clock, and no access token outlives it."""
    issuer = make(store=Elsewhere(1000), access="1h", refresh_idle="1h", refresh_absolute="1h")
    pair = issuer.issue("user")
    assert (pair.expires_in, pair.refresh_expires_in) == (3600, 3600)
    clock.forward(100)
    pair = issuer.refresh(pair.refresh_token)
    assert (pair.expires_in, pair.refresh_expires_in) == (2500, 2500)


def asked(session: Any) -> Grant:
    return Grant()


def test_a_token_that_is_minted_before_the_rotation(make: Callable[..., SyncIssuer], clock: FixedClock):
    """It may end a retry window before the session, never after it; at a replay, whose session ends when it did, with it."""
    issuer = make(subject_check=asked, access="1h", refresh_idle="1h", refresh_absolute="2h")
    pair = issuer.issue("user")
    clock.forward(100)
    following = issuer.refresh(pair.refresh_token)
    assert (following.expires_in, following.refresh_expires_in) == (3540, 3600)
    clock.forward(30)
    kept, replayed = issuer.refresh(following.refresh_token), issuer.refresh(pair.refresh_token)
    assert (kept.expires_in, kept.refresh_expires_in) == (3540, 3570)
    assert (replayed.expires_in, replayed.refresh_expires_in) == (3570, 3570)


def test_over_by_our_clock_and_not_by_the_stores(make: Callable[..., SyncIssuer], clock: FixedClock):
    """Whether a session is over its store says: until it does, what it hands out lives as any other."""
    issuer = make(store=Elsewhere(-10), subject_check=asked, refresh_absolute="1h", refresh_idle="1h")
    pair = issuer.issue("user")
    clock.forward(3600)
    pair = issuer.refresh(pair.refresh_token)
    assert (pair.expires_in, pair.refresh_expires_in) == (900, 10)


def test_an_old_pepper_and_a_subject_check(make: Callable[..., SyncIssuer], clock: FixedClock):
    """A token under a pepper that is announced to end is asked about like any other, until the pepper has ended."""
    peppers = Peppers(SECRET[:32], clock=clock)
    issuer = make(peppers=peppers, subject_check=asked, refresh_absolute="90d")
    pair = issuer.issue("user")
    peppers.rotate(keep="90d")
    assert issuer.refresh(pair.refresh_token).session_id == pair.session_id


def test_how_long_an_ended_session_is_remembered(make: Callable[..., SyncIssuer]):
    """A minute longer than an access token lives, for clocks that differ; however many are remembered."""
    issuer = make()
    pair = issuer.issue("user")
    token = issuer.verifier().verify(pair.access_token)
    for n in range(1_023):
        issuer.revocations.add(Record("session", f"other {n}", NOW + 1, NOW), now=NOW)
    issuer.revoke(pair.refresh_token)
    with pytest.raises(errors.TokenRevoked):
        issuer.revocations.check(token, NOW + 900 + 59)
    issuer.revocations.check(token, NOW + 900 + 60)


def test_sessions_that_an_emergency_elsewhere_has_ended(make: Callable[..., SyncIssuer], clock: FixedClock):
    """An issuer that has heard of nothing yet asks before it lists: what another has cut off is no live session."""
    store = SyncMemoryStore()
    issuer, other, late = (make(store=store, revocations=patient(Revocations.following(store, clock=clock))) for _ in range(3))
    issuer.issue("user")
    assert len(issuer.sessions("user")) == 1
    through = other.revoke_everything()
    assert late.sessions("user") == []
    clock.forward(through + 1 - NOW)
    pair = late.issue("user")
    assert [session.id for session in late.sessions("user")] == [decode(pair.session_id)]
    for each in (issuer, other, late):
        each.revocations.close()


def test_the_row_of_a_session(make: Callable[..., SyncIssuer]):
    """What is written of a login that says no more than whose it is."""
    issuer = make()
    pair = issuer.issue("user")
    session = issuer.store.get(decode(pair.session_id))
    assert session is not None
    assert (session.subject, session.scope, dict(session.claims), session.device, session.client_id) == (
        "user",
        "",
        {},
        None,
        "https://api.example",
    )
    assert (len(session.id), len(session.seed), session.pepper_id, session.generation) == (16, 32, 1, 0)
    assert session.digest == issuer.peppers.parse(pair.refresh_token, NOW).digest
    assert (session.created_at, session.idle_ends_at, session.absolute_ends_at) == (NOW, NOW + 30 * 86400, NOW + 90 * 86400)


def test_the_settings_that_nobody_changed(make: Callable[..., SyncIssuer]):
    """The defaults are those of the reference: 15 minutes, 30 and 90 days, 60 seconds, 100 sessions."""
    issuer = make()
    settings = (issuer.access, issuer.refresh_idle, issuer.refresh_absolute, issuer.retry_window, issuer.session_limit)
    assert settings == (900, 30 * 86400, 90 * 86400, 60, 100)
