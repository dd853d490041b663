"""Events: what whoever listens is told of a session, to the last member; by Issuer and by SyncIssuer."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from stagedoor import Event, Issuer, KeySet, Peppers, SyncIssuer, errors
from stagedoor.encoding import decode
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.testing.clock import FixedClock

from .material import NOW, SECRET, key

AnyIssuer = Issuer | SyncIssuer


async def settle(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture(params=["async", "sync"])
def make(request: pytest.FixtureRequest, clock: FixedClock, events: list[Event]) -> Callable[..., AnyIssuer]:
    def maker(**changes: Any) -> AnyIssuer:
        kind, store = (Issuer, MemoryStore) if request.param == "async" else (SyncIssuer, SyncMemoryStore)
        known = {
            "audience": "https://api.example",
            "store": store(),
            "keys": KeySet(key("ES256"), clock=clock),
            "peppers": Peppers(SECRET[:32], clock=clock),
            "events": events.append,
            "clock": clock,
        }
        return kind("https://auth.example", **(known | changes))

    return maker


@pytest.fixture
def issuer(make: Callable[..., AnyIssuer]) -> AnyIssuer:
    return make()


async def test_by_its_id(issuer: AnyIssuer, events: list[Event]):
    """A session ended by its id, as text or as bytes: for whom, and why; one that is not there is no event."""
    pair = await settle(issuer.issue("user"))
    await settle(issuer.revoke_session(pair.session_id, subject="user", reason="by its owner"))
    with pytest.raises(errors.NotFound):
        await settle(issuer.revoke_session(pair.session_id))
    other = await settle(issuer.issue("user"))
    await settle(issuer.revoke_session(decode(other.session_id)))
    assert events == [
        Event("session_opened", NOW, "user", pair.session_id),
        Event("session_revoked", NOW, "user", pair.session_id, detail="by its owner"),
        Event("session_opened", NOW, "user", other.session_id),
        Event("session_revoked", NOW, None, other.session_id, detail="revoked"),
    ]


async def test_of_a_subject(issuer: AnyIssuer, events: list[Event]):
    """Each session of a subject that is ended is an event of its own."""
    pairs = [await settle(issuer.issue("user")) for _ in range(2)]
    assert await settle(issuer.revoke_subject("user")) == 2
    told = {event.session_id: event for event in events[2:]}
    assert told == {pair.session_id: Event("session_revoked", NOW, "user", pair.session_id, detail="revoked") for pair in pairs}
    pair = await settle(issuer.issue("user"))
    assert await settle(issuer.revoke_subject("user", reason="left")) == 1
    assert events[-1] == Event("session_revoked", NOW, "user", pair.session_id, detail="left")


async def test_a_session_that_ended_elsewhere(make: Callable[..., AnyIssuer]):
    """Whoever is told that a session has ended already refuses its access tokens from then on."""
    issuer = make()
    for ask in (lambda pair: issuer.revoke_session(pair.session_id), lambda pair: issuer.refresh(pair.refresh_token)):
        pair = await settle(issuer.issue("user"))
        await settle(make(store=issuer.store).revoke_session(pair.session_id))
        assert issuer.verifier().verify(pair.access_token)
        with pytest.raises(errors.AuthError):
            await settle(ask(pair))
        with pytest.raises(errors.TokenRevoked):
            issuer.verifier().verify(pair.access_token)


async def test_a_row_that_cannot_be_read(issuer: AnyIssuer, events: list[Event]):
    """The refusal is told as an alarm."""
    pair = await settle(issuer.issue("user"))

    def unreadable(*_: Any) -> None:
        raise errors.SessionUnreadable(session_id=pair.session_id)

    issuer.store.get = unreadable  # type: ignore[method-assign]
    with pytest.raises(errors.SessionUnreadable):
        await settle(issuer.revoke(pair.refresh_token))
    assert events[-1] == Event("session_unreadable", NOW, session_id=pair.session_id, alarm=True)


async def test_the_life_of_a_session(issuer: AnyIssuer, clock: FixedClock, events: list[Event]):
    """Opened, refreshed, repeated, kept, logged out, and refused: one event each."""
    pair = await settle(issuer.issue("user"))
    clock.forward(100)
    following = await settle(issuer.refresh(pair.refresh_token))
    clock.forward(1)
    await settle(issuer.refresh(pair.refresh_token))
    await settle(issuer.refresh(following.refresh_token))
    await settle(issuer.revoke(pair.refresh_token))
    with pytest.raises(errors.SessionRevoked):
        await settle(issuer.refresh(following.refresh_token))
    with pytest.raises(errors.RefreshTokenUnknown):
        await settle(issuer.refresh("sdr_nonsense"))
    unknown = events.pop()
    assert (unknown.name, unknown.at, unknown.subject, unknown.session_id, unknown.alarm) == (
        "refresh_refused",
        NOW + 101,
        None,
        None,
        False,
    )
    assert unknown.detail
    assert events == [
        Event("session_opened", NOW, "user", pair.session_id),
        Event("refresh_rotated", NOW + 100, "user", pair.session_id),
        Event("refresh_replayed", NOW + 101, "user", pair.session_id),
        Event("refresh_kept", NOW + 101, "user", pair.session_id),
        Event("session_revoked", NOW + 101, "user", pair.session_id, detail="logout"),
        Event("session_revoked", NOW + 101, "user", pair.session_id, detail="generation 1"),
    ]


@pytest.mark.parametrize(("behind", "verdict"), [(1, "late_retry"), (2, "stale_lineage")])
async def test_reuse(issuer: AnyIssuer, clock: FixedClock, events: list[Event], behind: int, verdict: str):
    """An alarm that tells a client that came too late with its retry from somebody with an older token."""
    pair = await settle(issuer.issue("user"))
    following = pair
    for _ in range(behind):
        clock.forward(100)
        following = await settle(issuer.refresh(following.refresh_token))
    clock.forward(61)
    with pytest.raises(errors.RefreshTokenReused) as caught:
        await settle(issuer.refresh(pair.refresh_token))
    assert caught.value.session_id == pair.session_id
    assert events[-1] == Event("refresh_token_reused", clock.now, "user", pair.session_id, True, verdict)
    with pytest.raises(errors.TokenRevoked):
        issuer.verifier().verify(following.access_token)


async def test_expiry(make: Callable[..., AnyIssuer], clock: FixedClock, events: list[Event]):
    """A session past its end is a refusal without an alarm."""
    issuer = make(refresh_idle="1h")
    pair = await settle(issuer.issue("user"))
    clock.forward(3600)
    with pytest.raises(errors.RefreshTokenExpired) as caught:
        await settle(issuer.refresh(pair.refresh_token))
    assert caught.value.session_id == pair.session_id
    assert events[-1] == Event("refresh_token_expired", NOW + 3600, "user", pair.session_id, False, "generation 0")
