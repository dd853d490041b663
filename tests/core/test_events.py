"""Events: what whoever listens is told of a session, to the last member; by Issuer and by SyncIssuer."""

from collections.abc import Callable
from typing import Any

import pytest

from stagedoor import Event, errors
from stagedoor.encoding import decode
from stagedoor.session import Presented
from stagedoor.testing.clock import FixedClock

from .issuers import AnyIssuer, build, settle
from .material import NOW


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture(params=["async", "sync"])
def make(request: pytest.FixtureRequest, clock: FixedClock, events: list[Event]) -> Callable[..., AnyIssuer]:
    def maker(**changes: Any) -> AnyIssuer:
        return build(request.param, clock, **{"events": events.append} | changes)

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
    """Each session of a subject that is ended is an event of its own, and so is the subject, were there no session at all."""
    pairs = [await settle(issuer.issue("user")) for _ in range(2)]
    assert await settle(issuer.revoke_subject("user")) == 2
    told = {event.session_id: event for event in events[2:-1]}
    assert told == {pair.session_id: Event("session_revoked", NOW, "user", pair.session_id, detail="revoked") for pair in pairs}
    pair = await settle(issuer.issue("user"))
    assert await settle(issuer.revoke_subject("user", reason="left")) == 1
    assert events[-2] == Event("session_revoked", NOW, "user", pair.session_id, detail="left")
    assert await settle(issuer.revoke_subject("nobody")) == 0
    assert [event for event in events if event.name == "subject_revoked"] == [
        Event("subject_revoked", NOW, "user", detail="revoked: 2 live"),
        Event("subject_revoked", NOW, "user", detail="left: 1 live"),
        Event("subject_revoked", NOW, "nobody", detail="revoked: 0 live"),
    ]


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
    with pytest.raises(errors.RefreshTokenUnknown) as caught:
        await settle(issuer.refresh("sdr_nonsense"))
    unknown = events.pop()
    assert (unknown.name, unknown.at, unknown.subject, unknown.session_id, unknown.alarm) == (
        "refresh_refused",
        NOW + 101,
        None,
        None,
        False,
    )
    assert unknown.detail == str(caught.value)
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


async def test_who_has_no_row(make: Callable[..., AnyIssuer], events: list[Event]):
    """A genuine token whose session no store knows is refused, named, and no alarm; at a logout too."""
    pair = await settle(make().issue("user"))
    issuer = make()
    for ask in (issuer.refresh, issuer.revoke):
        with pytest.raises(errors.RefreshTokenUnknown) as caught:
            await settle(ask(pair.refresh_token))
        assert caught.value.session_id == pair.session_id
        assert events[-1] == Event("refresh_token_unknown", NOW, None, pair.session_id, False, "generation 0")


async def crafted(issuer: AnyIssuer, pair: Any, generation: int, secret: bytes = b"another!" * 4, seed: bytes | None = None) -> str:
    """A token of this session, made by somebody who has the pepper and, where no seed is given, the row."""
    session = await settle(issuer.store.get(decode(pair.session_id)))
    return issuer.peppers.write(
        pepper_id=1, session_id=session.id, generation=generation, secret=secret, seed=seed or session.seed, now=NOW
    )


@pytest.mark.parametrize("generation", [0, 3])
async def test_who_has_the_pepper_alone(issuer: AnyIssuer, clock: FixedClock, events: list[Event], generation: int):
    """An older or a newer generation whose proof does not hold ends nothing, and is an alarm with the session's subject."""
    pair = await settle(issuer.issue("user"))
    clock.forward(100)
    await settle(issuer.refresh(pair.refresh_token))
    text = await crafted(issuer, pair, generation, seed=b"guessed!" * 4)
    for ask in (issuer.refresh, issuer.revoke):
        with pytest.raises(errors.RefreshTokenUnknown):
            await settle(ask(text))
        assert events[-1] == Event("refresh_token_unknown", NOW + 100, "user", pair.session_id, True, f"generation {generation}")


async def test_a_right_secret_with_a_wrong_proof(issuer: AnyIssuer, events: list[Event]):
    """It ends the session, with an alarm; the refusal names it."""
    pair = await settle(issuer.issue("user"))
    secret = issuer.peppers.parse(pair.refresh_token, NOW).secret
    with pytest.raises(errors.RefreshTokenUnknown) as caught:
        await settle(issuer.refresh(await crafted(issuer, pair, 0, secret, b"guessed!" * 4)))
    assert caught.value.session_id == pair.session_id
    assert events[-1] == Event("refresh_forged", NOW, "user", pair.session_id, True)
    assert (await settle(issuer.store.get(decode(pair.session_id)))).reason == "forged"


async def test_a_generation_that_the_store_lost(issuer: AnyIssuer, events: list[Event]):
    """A newer generation with a right proof brings it back, with an alarm."""
    pair = await settle(issuer.issue("user"))
    again = await settle(issuer.refresh(await crafted(issuer, pair, 2)))
    assert events[-1] == Event("refresh_recovered", NOW, "user", pair.session_id, True)
    assert again.session_id == pair.session_id


@pytest.mark.parametrize("checked", [False, True])
async def test_a_token_beside_the_lineage(make: Callable[..., AnyIssuer], clock: FixedClock, events: list[Event], checked: bool):
    """One generation behind, but not what the current one followed from: no late retry; nobody is asked about its subject."""
    asked: list[Any] = []
    issuer = make(subject_check=lambda session: asked.append(session)) if checked else make()
    pair = await settle(issuer.issue("user"))
    clock.forward(100)
    text = await crafted(issuer, pair, 0)
    await settle(issuer.store.rotate(presented(issuer, pair), clock.now))
    with pytest.raises(errors.RefreshTokenReused):
        await settle(issuer.refresh(text))
    assert events[-1] == Event("refresh_token_reused", NOW + 100, "user", pair.session_id, True, "stale_lineage")
    assert asked == []


def presented(issuer: AnyIssuer, pair: Any) -> Presented:
    token = issuer.peppers.parse(pair.refresh_token, NOW)
    return Presented(token.session_id, 0, token.digest, 1, b"successor" * 4, 1, None, 60, 3600)


async def test_the_session_limit_and_an_account_that_changed(make: Callable[..., AnyIssuer], events: list[Event]):
    """A session that makes room for another, and one whose account is not what it was: whose they were, and why."""
    issuer = make(session_limit=1)
    first, second = await settle(issuer.issue("user")), await settle(issuer.issue("user"))
    assert events[-2:] == [
        Event("session_revoked", NOW, "user", first.session_id, detail="session_limit"),
        Event("session_opened", NOW, "user", second.session_id),
    ]
    with pytest.raises(errors.BadCredentials):
        await settle(issuer.issue("other", confirm=lambda: False))
    changed = events[-1]
    assert changed == Event("session_revoked", NOW, "other", changed.session_id, detail="account_changed")
    assert (await settle(issuer.store.get(decode(changed.session_id)))).reason == "account_changed"


async def test_a_subject_that_is_refused(make: Callable[..., AnyIssuer], events: list[Event]):
    """The application's no ends the session, in the store too, and the refusal names it."""
    issuer = make(subject_check=lambda session: None)
    pair = await settle(issuer.issue("user"))
    with pytest.raises(errors.SessionRevoked) as caught:
        await settle(issuer.refresh(pair.refresh_token))
    assert caught.value.session_id == pair.session_id
    assert events[-1] == Event("session_revoked", NOW, "user", pair.session_id, detail="subject_refused")
    assert (await settle(issuer.store.get(decode(pair.session_id)))).reason == "subject_refused"
