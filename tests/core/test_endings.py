"""Endings: what is written, remembered and told when a key is revoked, and when everything is; by Issuer and by SyncIssuer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stagedoor import Event, errors, jws
from stagedoor.encoding import decode, encode
from stagedoor.revocation import MARGIN, Record, Revocations
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.testing.clock import FixedClock

from .issuers import AnyIssuer, build, settle, unlogged
from .material import NOW
from .own_clock import ISSUER, LIFE
from .scripted import Token

DAY = 86_400


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture(params=["async", "sync"])
def make(request: pytest.FixtureRequest, clock: FixedClock, events: list[Event]) -> Callable[..., AnyIssuer]:
    def maker(*, logged: bool = True, **changes: Any) -> AnyIssuer:
        if not logged:
            changes["store"] = unlogged(MemoryStore if request.param == "async" else SyncMemoryStore)()
        return build(request.param, clock, **{"events": events.append} | changes)

    return maker


def remembers(known: Revocations, now: float, **token: Any) -> bool:
    """Whether such an access token is refused."""
    try:
        known.check(Token(**({"session_id": "-", "issuer": ISSUER} | token)), now)
    except errors.TokenRevoked:
        return True
    return False


@pytest.mark.parametrize("logged", [True, False])
async def test_a_key(make: Callable[..., AnyIssuer], clock: FixedClock, events: list[Event], logged: bool):
    """It is retired, what it signed is refused for as long as that may live, others are told by the log, and somebody is alarmed."""
    issuer = make(logged=logged)
    pair = await settle(issuer.issue("user"))
    kid = jws.read_unverified(pair.access_token)[0]["kid"]
    issuer.revocations.add(Record.of_session(b"an ended session", LIFE, NOW), now=NOW)
    clock.forward(1)
    await settle(issuer.revoke_key(kid))
    record = Record.of_key(kid, LIFE, NOW + 1)
    assert record.until == NOW + 1 + LIFE + MARGIN
    if logged:
        assert issuer.store.log.read(None).records == [record]
    assert [remembers(issuer.revocations, now, key_id=kid) for now in (NOW + 1, record.until - 0.5, record.until)] == [True, True, False]
    assert not remembers(issuer.revocations, NOW + 1, key_id="another")
    assert events[1:] == [Event("key_revoked", NOW + 1, alarm=True, detail=kid)]
    with pytest.raises(errors.UnknownKey):
        issuer.verifier().verify(pair.access_token)
    following = await settle(issuer.issue("user"))
    assert issuer.verifier().verify(following.access_token).key_id != kid


async def test_a_key_that_is_not_there(make: Callable[..., AnyIssuer], events: list[Event]):
    """Nothing is written, nobody is told, and the key that is there goes on."""
    issuer = make()
    with pytest.raises(errors.NotFound):
        await settle(issuer.revoke_key("another"))
    assert (list(issuer.store.log.read(None).records), events, len(issuer.revocations)) == ([], [], 0)
    assert issuer.verifier().verify((await settle(issuer.issue("user"))).access_token)


@pytest.mark.parametrize("logged", [True, False])
async def test_everything(make: Callable[..., AnyIssuer], clock: FixedClock, events: list[Event], logged: bool):
    """What was issued is refused for as long as any session of it could live, and a minute more; others hear of it by the log."""
    issuer = make(logged=logged, refresh_absolute="60d")
    pair = await settle(issuer.issue("user"))
    issuer.revocations.add(Record.of_session(b"an ended session", LIFE, NOW), now=NOW)
    clock.forward(1)
    through = await settle(issuer.revoke_everything())
    record = Record.of_issuer(ISSUER, 60 * DAY + MARGIN, NOW + 1)
    assert through == record.through == issuer.revocations.through(ISSUER)
    if logged:
        assert issuer.store.log.read(None).records == [record]
    assert [remembers(issuer.revocations, now) for now in (NOW, record.until - 1, record.until)] == [True, True, False]
    assert not remembers(issuer.revocations, NOW, issuer="https://other.example")
    assert events[1:] == [Event("everything_revoked", NOW + 1, alarm=True, detail=f"issued until {through}")]
    with pytest.raises(errors.TokenRevoked):
        issuer.verifier().verify(pair.access_token)


async def test_a_session_from_before(make: Callable[..., AnyIssuer], clock: FixedClock, events: list[Event]):
    """Whoever refreshes it when everything was revoked is refused by its name, and its row is ended then."""
    issuer = make()
    pair = await settle(issuer.issue("user"))
    through = await settle(issuer.revoke_everything())
    clock.now = through + 1
    with pytest.raises(errors.SessionRevoked) as caught:
        await settle(issuer.refresh(pair.refresh_token))
    assert caught.value.session_id == pair.session_id
    assert events[-1] == Event("session_revoked", clock.now, "user", pair.session_id, detail="everything_revoked")
    row = await settle(issuer.store.get(decode(pair.session_id)))
    assert (row.revoked_at, row.reason) == (clock.now, "everything_revoked")
    assert remembers(issuer.revocations, clock.now, session_id=pair.session_id, issuer="")


async def test_a_session_of_the_last_second(make: Callable[..., AnyIssuer], clock: FixedClock):
    """One that was opened in the very last second that is revoked, by who had not heard of it yet, is not live either."""
    issuer = make()
    deaf = make(store=issuer.store, revocations=Revocations())
    through = await settle(issuer.revoke_everything())
    clock.now = through
    pair = await settle(deaf.issue("user"))
    clock.now = through + 1
    fresh = await settle(issuer.issue("user"))
    assert [encode(session.id) for session in await settle(issuer.sessions("user"))] == [fresh.session_id]
    with pytest.raises(errors.SessionRevoked):
        await settle(issuer.refresh(pair.refresh_token))


async def test_a_login_that_says_no_more_than_whose_it_is(make: Callable[..., AnyIssuer]):
    """Gets no scope."""
    issuer = make()
    pair = await settle(issuer.issue("user"))
    assert (pair.scope, issuer.verifier().verify(pair.access_token).scope) == (set(), set())
