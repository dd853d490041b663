"""Several issuers with fetched keys in one verifier: one that is away or slow is nobody else's trouble."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from remote.material import AUDIENCE, FIRST, ISSUER, SECOND, THIRD, code_of, of_unknown_kid, token, until
from remote.server import KeyServer, closes_at_once
from stagedoor import KeySet, Revocations, TrustedIssuer, Verifier, errors
from stagedoor.jwks import RemoteKeySet, SyncRemoteKeySet
from stagedoor.testing.clock import FixedClock

OTHER = "https://other.example"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(5000.0)


@pytest.fixture
def other() -> Iterator[KeyServer]:
    """The server of the other issuer, which publishes SECOND."""
    with KeyServer() as made:
        made.publish(SECOND)
        yield made


def both(keys: Any, others: Any, *more: TrustedIssuer) -> Verifier:
    entries = (TrustedIssuer(ISSUER, audience=AUDIENCE, keys=keys), TrustedIssuer(OTHER, audience=AUDIENCE, keys=others), *more)
    return Verifier.of(*entries, revocations=Revocations.until_expiry())


async def test_each_issuer_has_keys_of_its_own(server: KeyServer, other: KeyServer) -> None:
    """The first token of each issuer brings its keys, and a key of one signs nothing for the other."""
    verifier = both(RemoteKeySet(server.url), RemoteKeySet(other.url))
    assert (await verifier.verify_async(token(FIRST))).issuer == ISSUER
    assert (await verifier.verify_async(token(SECOND, iss=OTHER))).issuer == OTHER
    for stolen in (token(FIRST, iss=OTHER), token(SECOND)):
        with pytest.raises(errors.ClaimRejected) as refused:
            await verifier.verify_async(stolen)
        assert refused.value.claim == "iss"
    assert (server.count(), other.count()) == (1, 1)


async def test_an_issuer_that_is_away(server: KeyServer, other: KeyServer, clock: FixedClock) -> None:
    """While one issuer cannot be reached the other's tokens are good, its new keys are learned, and only what nobody knows is a 503."""
    server.behaviour = closes_at_once
    verifier = both(RemoteKeySet(server.url, clock=clock), RemoteKeySet(other.url, clock=clock))
    assert await code_of(verifier.verify_async(token(SECOND, iss=OTHER))) == "ok"
    other.publish(SECOND, THIRD)
    clock.forward(10)
    assert await code_of(verifier.verify_async(token(THIRD, iss=OTHER))) == "ok"
    assert await code_of(verifier.verify_async(token(FIRST))) == "keys_unavailable"
    server.behaviour = None
    clock.forward(10)
    assert await code_of(verifier.verify_async(token(FIRST))) == "ok"
    assert await code_of(verifier.verify_async(of_unknown_kid(1))) == "key_unknown"


async def test_a_flood_of_unknown_kids(server: KeyServer, other: KeyServer, clock: FixedClock) -> None:
    """However many names of keys are made up, each issuer is asked once a cool-down, and a token without a name asks nobody."""
    verifier = both(RemoteKeySet(server.url, clock=clock), RemoteKeySet(other.url, clock=clock))
    assert await code_of(verifier.verify_async(token(FIRST))) == "ok"
    clock.forward(10)
    for number in range(200):
        assert await code_of(verifier.verify_async(of_unknown_kid(number))) == "key_unknown"
    assert (server.count(), other.count()) == (2, 2)


def test_nobody_waits_for_anothers_keys(server: KeyServer, other: KeyServer, clock: FixedClock) -> None:
    """Without an event loop, too: keys that are known or static answer at once while those of an issuer listed before hang."""
    hanging, known = SyncRemoteKeySet(server.url, timeout=30, clock=clock), SyncRemoteKeySet(other.url, clock=clock)
    static = TrustedIssuer("https://static.example", audience=AUDIENCE, keys=KeySet(THIRD))
    known.find(SECOND.kid, 0)
    verifier = both(hanging, known, static)
    with server.holding():
        for text in (token(SECOND, iss=OTHER), token(THIRD, iss="https://static.example")):
            assert verifier.verify(text).subject == "ada"
        assert hanging._flight is not None  # a fetch is under way, and nobody has waited for its end
    until(lambda: hanging.knows(FIRST.kid))
    assert verifier.verify(token(FIRST)).issuer == ISSUER
