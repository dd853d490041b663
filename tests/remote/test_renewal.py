"""When keys are fetched, how long they are used, and what becomes of them when the issuer's server is away."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any

import pytest

from remote.material import FIRST, SECOND, code_of, of_unknown_kid, token, until, verifier
from remote.server import KeyServer, closes_at_once
from stagedoor.errors import BadSignature, KeySetUnavailable, MalformedToken, UnknownKey
from stagedoor.jwks import RemoteKeySet, SyncRemoteKeySet
from stagedoor.testing.clock import FixedClock

DAY = 24 * 3600


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(5000.0)


@pytest.fixture
def keys(server: KeyServer, clock: FixedClock) -> RemoteKeySet:
    return RemoteKeySet(server.url, timeout=30, clock=clock)


def logged(caplog: pytest.LogCaptureFixture, url: str) -> list[str]:
    """What was logged of the keys that are there: threads that other tests have left may log too."""
    told = [record.getMessage() for record in caplog.records if record.name == "stagedoor.keys"]
    return [message for message in told if url in message]


async def test_the_first_token_brings_the_keys(server: KeyServer, keys: RemoteKeySet) -> None:
    """Nothing is fetched at construction; the first token waits for one fetch and is accepted, the next ones need none."""
    assert server.count() == 0
    for _ in range(5):
        assert (await verifier(keys).verify_async(token())).subject == "ada"
    assert server.count() == 1


def test_find_answers_at_once_and_fetches_behind_its_back(server: KeyServer, keys: RemoteKeySet) -> None:
    """Plain `verify` without keys is a 503 at once, begins the fetch, and works when that has come."""
    with server.holding():
        with pytest.raises(KeySetUnavailable) as refused:
            verifier(keys).verify(token())
        assert keys._flight is not None  # it was not waited for
    assert (refused.value.status, refused.value.retry_after) == (503, 1)
    until(lambda: keys._known is not None)
    assert verifier(keys).verify(token()).subject == "ada"
    assert server.count() == 1


async def test_the_first_token_under_a_new_key_is_accepted(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """After the cool-down a token under a key that was published since brings one fetch, and no 401."""
    assert await code_of(verifier(keys).verify_async(token())) == "ok"
    server.publish(FIRST, SECOND)
    clock.forward(10)
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "ok"
    assert await code_of(verifier(keys).verify_async(token())) == "ok"
    assert server.count() == 2


async def test_a_key_that_vanished_is_gone_with_the_fetch(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """What the issuer takes out of its JWKS verifies nothing from the next fetch on, even if none is left."""
    await verifier(keys).verify_async(token())
    server.publish(SECOND)
    clock.forward(10)
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "ok"
    assert await code_of(verifier(keys).verify_async(token())) == "key_unknown"
    server.publish()
    clock.forward(10)
    assert await code_of(verifier(keys).verify_async(of_unknown_kid(1))) == "key_unknown"
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "key_unknown"


async def test_within_the_cool_down_nothing_is_fetched(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """Between two fetches lies the whole cool-down, for unknown keys and for none at all, and failed fetches count."""
    server.behaviour = closes_at_once
    asked = []
    for moment in (0, 5, 9, 10, 15, 19.9, 20):
        clock.now = 5000 + moment
        assert await code_of(verifier(keys).verify_async(token())) == "keys_unavailable"
        asked.append(server.count())
    assert asked == [1, 1, 1, 2, 2, 2, 3]


async def test_retry_after_is_the_rest_of_the_cool_down(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """Who gets a 503 is told when the next fetch may help."""
    server.behaviour = closes_at_once
    with pytest.raises(KeySetUnavailable):
        await verifier(keys).verify_async(token())
    clock.forward(3.5)
    with pytest.raises(KeySetUnavailable) as refused:
        await verifier(keys).verify_async(token())
    assert refused.value.retry_after == 7


async def test_towards_the_end_of_its_age_a_set_answers_while_it_is_renewed(
    server: KeyServer, keys: RemoteKeySet, clock: FixedClock
) -> None:
    """From four fifths of its age on the token is verified at once, and one fetch goes on in the background."""
    await verifier(keys).verify_async(token())
    clock.forward(239)
    verifier(keys).verify(token())
    assert server.count() == 1
    clock.forward(1)
    with server.holding():
        for _ in range(20):
            assert await code_of(verifier(keys).verify_async(token())) == "ok"
        assert keys._flight is not None  # it was not waited for
    until(lambda: keys._flight is None)
    assert server.count() == 2
    clock.forward(239)
    verifier(keys).verify(token())
    assert server.count() == 2


async def test_past_its_age_a_set_is_fetched_anew_first(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """A verifier that nobody has asked for long does not take a key that was retired meanwhile, not even once."""
    server.publish(FIRST, SECOND)
    await verifier(keys).verify_async(token())
    server.publish(SECOND)
    clock.forward(300)
    with server.holding(), pytest.raises(KeySetUnavailable):
        verifier(keys).verify(token())
    assert await code_of(verifier(keys).verify_async(token())) == "key_unknown"
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "ok"
    assert server.count() == 2


def test_past_its_age_without_an_event_loop(server: KeyServer, clock: FixedClock) -> None:
    """The same for SyncRemoteKeySet, which waits by itself."""
    keys = SyncRemoteKeySet(server.url, clock=clock)
    server.publish(FIRST, SECOND)
    verifier(keys).verify(token())
    server.publish(SECOND)
    clock.forward(300)
    with pytest.raises(UnknownKey):
        verifier(keys).verify(token())
    assert verifier(keys).verify(token(SECOND)).subject == "ada"


async def test_a_fetch_that_fails_is_waited_for_once(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """In an outage the first who comes after the end of the set waits for one attempt; the others have the last good set at once."""
    await verifier(keys).verify_async(token())
    server.behaviour = closes_at_once
    clock.forward(300)
    assert await code_of(verifier(keys).verify_async(token())) == "ok"
    server.behaviour = None
    with server.holding():
        for later, fetches in ((1, False), (10, True), (10, True)):
            clock.forward(later)
            assert verifier(keys).verify(token()).subject == "ada"
            assert (keys._flight is not None) is fetches  # and where one is under way it was not waited for
    until(lambda: keys._flight is None)


async def test_an_outage_leaves_known_keys_good_for_24_hours(
    server: KeyServer, keys: RemoteKeySet, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Known keys go on verifying while the server is away, with one attempt and one warning a cool-down; after 24 hours: 503."""
    sent = clock.now
    await verifier(keys).verify_async(token())
    server.behaviour = closes_at_once
    clock.now = sent + 301
    for turn in range(1, 4):
        for _ in range(10):
            assert (await verifier(keys).verify_async(token())).subject == "ada"
            until(lambda: keys._flight is None)
        assert server.count() == 1 + turn
        assert len(logged(caplog, server.url)) == turn
        clock.forward(10)
    clock.now = sent + DAY - 1
    assert await code_of(verifier(keys).verify_async(token())) == "ok"
    until(lambda: keys._flight is None)
    clock.now = sent + DAY + 10
    assert await code_of(verifier(keys).verify_async(token())) == "keys_unavailable"
    server.behaviour = None
    clock.forward(10)
    assert await code_of(verifier(keys).verify_async(token())) == "ok"


async def test_the_24_hours_count_from_when_it_was_asked(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """A slow answer does not make a set younger: its age begins with the request."""
    v = verifier(keys)
    with server.holding():
        with pytest.raises(KeySetUnavailable):
            v.verify(token())
        until(lambda: server.count() == 1)
        clock.forward(100)  # while the request is on its way
    until(lambda: keys._known is not None)
    server.behaviour = closes_at_once
    clock.forward(DAY - 101)
    assert await code_of(v.verify_async(token())) == "ok"
    clock.forward(1)
    assert await code_of(v.verify_async(token())) == "keys_unavailable"


@pytest.mark.parametrize(
    ("headers", "fresh"),
    [
        ({}, 300),
        ({"Cache-Control": "public, max-age=60"}, 60),
        ({"Cache-Control": "MAX-AGE=60"}, 60),
        ({"Cache-Control": 'max-age="60"'}, 60),
        ({"Cache-Control": "max-age=60, max-age=90"}, 60),
        ({"Cache-Control": "max-age=60", "Age": "20"}, 40),
        ({"Cache-Control": "max-age=60", "Age": "nonsense"}, 60),
        ({"Cache-Control": "max-age=60", "Age": "100"}, 10),
        ({"Cache-Control": "max-age=1"}, 10),
        ({"Cache-Control": "max-age=0"}, 10),
        ({"Cache-Control": "no-store, max-age=600"}, 10),
        ({"Cache-Control": "max-age=600,no-cache"}, 10),
        ({"Cache-Control": "max-age=-5"}, 10),
        ({"Cache-Control": "max-age=soon"}, 10),
        ({"Cache-Control": "max-age=31536000"}, DAY),
        ({"Cache-Control": "max-age=99999999999999999999"}, 10),
        ({"Cache-Control": "must-revalidate"}, 300),
        ({"Cache-Control": "x-max-age=7"}, 300),
    ],
    ids=lambda value: str(value),
)
async def test_how_long_a_set_is_fresh(server: KeyServer, clock: FixedClock, headers: dict[str, str], fresh: int) -> None:
    """Cache-Control says it, between the cool-down and a day; `max_age` where it says nothing (RFC 9111)."""
    server.headers |= headers
    keys = RemoteKeySet(server.url, clock=clock)
    await verifier(keys).verify_async(token())
    assert keys._known is not None
    assert keys._known.fresh_until - clock.now == fresh


async def test_an_unchanged_set_is_not_sent_again(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """The ETag goes back in If-None-Match; a 304 renews what is known, and its age."""
    server.headers["ETag"] = '"one"'
    await verifier(keys).verify_async(token())
    for turn in range(1, 3):
        clock.forward(DAY - 1)
        assert await code_of(verifier(keys).verify_async(token())) == "ok"
        assert server.requests[turn][1]["if-none-match"] == '"one"'
    assert verifier(keys).verify(token()).subject == "ada"
    server.headers["ETag"] = '"two"'
    server.publish(SECOND)
    clock.forward(300)
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "ok"
    assert await code_of(verifier(keys).verify_async(token())) == "key_unknown"


async def test_304_to_nobody_who_asked_is_refused(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """A 304 where no ETag was sent brings no keys, and makes known ones no younger."""
    server.status = 304
    assert await code_of(verifier(keys).verify_async(token())) == "keys_unavailable"
    server.status = 200
    clock.forward(10)
    assert await code_of(verifier(keys).verify_async(token())) == "ok"
    server.status = 304
    clock.forward(DAY - 1)
    assert await code_of(verifier(keys).verify_async(token())) == "ok"
    clock.forward(10)
    assert await code_of(verifier(keys).verify_async(token())) == "keys_unavailable"


async def test_only_two_refusals_are_worth_a_fetch(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """A bad signature, a token without kid or garbage fetch nothing."""
    await verifier(keys).verify_async(token())
    clock.forward(100)
    good = token()
    nameless = "eyJhbGciOiJFZDI1NTE5In0." + good.split(".", 1)[1]
    codes = [await code_of(verifier(keys).verify_async(text)) for text in (good[:-4] + "AAAA", nameless, "garbage")]
    assert codes == ["signature_invalid", "key_unknown", "token_malformed"]
    assert [await keys.learn(error) for error in (BadSignature(), MalformedToken(), UnknownKey())] == [False] * 3
    assert server.count() == 1


def test_without_an_event_loop_find_waits(server: KeyServer, clock: FixedClock) -> None:
    """SyncRemoteKeySet: the first token and the first under a new key wait for one fetch; between cool-downs nobody does."""
    keys = SyncRemoteKeySet(server.url, clock=clock)
    v = verifier(keys)
    assert v.verify(token()).subject == "ada"
    server.publish(FIRST, SECOND)
    with pytest.raises(UnknownKey):
        v.verify(token(SECOND))
    clock.forward(10)
    assert v.verify(token(SECOND)).subject == "ada"
    assert server.count() == 2
    server.behaviour = closes_at_once
    clock.forward(300)
    assert v.verify(token()).subject == "ada"
    until(lambda: keys._flight is None)
    clock.forward(DAY)
    with pytest.raises(KeySetUnavailable):
        v.verify(token())
    assert server.count() == 4


class Hasty(RemoteKeySet):
    """Once it hurries its fetches have a second; who waits for one has a minute, should its thread stand still."""

    hurries = False

    @property
    def _timeout(self) -> int:
        return 1 if self.hurries and threading.current_thread().name == "stagedoor-keys" else 60

    @_timeout.setter
    def _timeout(self, said: int) -> None:
        """What was said at construction is not heard."""


async def test_names_that_are_not_resolved_hold_nobody_up(
    server: KeyServer, clock: FixedClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that hangs far beyond the time limit: known keys go on, and who waited is answered at the limit."""
    go_on, answered = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo
    url = server.url.replace("127.0.0.1", "localhost")
    keys = Hasty(url, clock=clock)
    assert await code_of(verifier(keys).verify_async(token())) == "ok"

    def hanging(*asked: Any, **more: Any) -> Any:
        go_on.wait(60)
        answered.set()
        return resolve(*asked, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    try:
        clock.forward(300)
        keys.hurries = True
        for _ in range(2):  # the first waits for the limit, and the second has what the first was left with
            assert await code_of(verifier(keys).verify_async(token())) == "ok"
            until(lambda: keys._flight is None)
            assert [message.partition(": ")[2] for message in logged(caplog, url)] == ["not done within 1 s; the last good set is kept"]
        clock.forward(10)
        keys.hurries = False
        assert await code_of(verifier(keys).verify_async(token())) == "ok"
        assert keys._flight is not None  # another one is under way, and was not waited for
        assert not answered.is_set()
    finally:
        go_on.set()


async def test_a_log_that_fails_ends_no_fetching(server: KeyServer, keys: RemoteKeySet, clock: FixedClock) -> None:
    """Where an application's logging raises, the next fetch is made all the same."""

    def broken(record: Any) -> bool:
        raise RuntimeError("an application's filter")

    log = logging.getLogger("stagedoor.keys")
    log.addFilter(broken)
    server.behaviour = closes_at_once
    try:
        assert await code_of(verifier(keys).verify_async(token())) == "keys_unavailable"
    finally:
        log.removeFilter(broken)
    server.behaviour = None
    clock.forward(10)
    assert await code_of(verifier(keys).verify_async(token())) == "ok"
