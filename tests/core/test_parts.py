"""Parts: what an issuer is made of, whom it listens to, and what it tells the log of how long its tokens live."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from patience import patient
from stagedoor import SyncIssuer, errors
from stagedoor.revocation import MARGIN
from stagedoor.stores.memory import MemoryLog, SyncMemoryStore
from stagedoor.testing.clock import FixedClock

from .issuers import build, unlogged
from .material import NOW
from .own_clock import AUDIENCE, ISSUER, LIFE, OwnClockStore


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def make(clock: FixedClock) -> Callable[..., SyncIssuer]:
    def maker(name: Any = ISSUER, **changes: Any) -> SyncIssuer:
        return build("sync", clock, name, **changes)

    return maker


@pytest.mark.parametrize("changes", [{"name": 1}, {"name": [ISSUER]}, {"audience": None}, {"audience": [AUDIENCE]}])
def test_one_name_and_one_audience(make: Callable[..., SyncIssuer], changes: dict[str, Any]):
    """Each is a text: of several audiences a client would have to be told which of them its token is for."""
    with pytest.raises(TypeError):
        make(**changes)


@pytest.mark.parametrize("store", [None, object(), "sqlite:///auth.db", SyncMemoryStore])
def test_what_is_no_store(make: Callable[..., SyncIssuer], store: Any):
    """Neither its address is one, nor its class."""
    with pytest.raises(TypeError):
        make(store=store)


class OthersLog(MemoryLog):
    """Of a store that says nothing of who else writes there, as somebody else's may."""

    def __getattribute__(self, name: str) -> Any:
        if name == "shared":
            raise AttributeError(name)
        return super().__getattribute__(name)


class OthersStore(SyncMemoryStore):
    """Has such a log."""

    def __init__(self) -> None:
        super().__init__()
        self.log = OthersLog()


def test_a_store_of_others_too_is_followed(make: Callable[..., SyncIssuer]):
    """Unless its log says that nobody else writes there: what they end is heard of."""
    store = OthersStore()
    issuer = make(store=store)
    patient(issuer.revocations)
    pair = issuer.issue("user")
    store.log.end_session(issuer.peppers.parse(pair.refresh_token, NOW).session_id, NOW)
    assert issuer.revocations.follows(store.log)
    issuer.revocations.hear()
    with pytest.raises(errors.TokenRevoked):
        issuer.verifier().verify(pair.access_token)
    issuer.revocations.close()


@pytest.mark.parametrize("kind", [SyncMemoryStore, unlogged(SyncMemoryStore)])
def test_a_store_of_one_process_is_asked(make: Callable[..., SyncIssuer], kind: type[SyncMemoryStore]):
    """Nothing is followed, so that nothing is ever too old; who checks strictly asks the store itself."""
    issuer = make(store=kind())
    assert (issuer.revocations.bound, issuer.revocations.is_fresh) == (0.0, True)
    token = issuer.verifier().verify(issuer.issue("user").access_token)
    asyncio.run(issuer.revocations.check_strictly(token, NOW))
    stranger = make(store=kind()).verifier().verify(make().issue("user").access_token)
    with pytest.raises(errors.TokenRevoked):
        asyncio.run(issuer.revocations.check_strictly(stranger, NOW))


def test_a_store_is_followed_by_the_issuers_own_clock(make: Callable[..., SyncIssuer], clock: FixedClock):
    """By which it is known how far that is ahead of the log's."""
    issuer = make(store=OwnClockStore(lambda: clock.now - 100))
    patient(issuer.revocations)
    issuer.issue("user")
    assert issuer.revocations.ahead == pytest.approx(100, abs=1)
    issuer.revocations.close()


def test_the_log_is_told_how_long_tokens_live(make: Callable[..., SyncIssuer]):
    """Once, not at each login, nor whenever clocks drift by less than the margin that each record has."""
    told: list[float] = []

    class Log(MemoryLog):
        def expect(self, life: float) -> None:
            told.append(life)

    store = SyncMemoryStore()
    store.log = Log()
    issuer = make(store=store, access=LIFE)
    for ahead in (0.0, 0.0, 10.0, MARGIN - 1, MARGIN, 0.0, 2 * MARGIN + 1, 2 * MARGIN):
        issuer.revocations.ahead = ahead
        issuer.issue("user")
    assert told == [LIFE, LIFE + MARGIN, LIFE + 2 * MARGIN]


def test_ids_of_access_tokens(make: Callable[..., SyncIssuer]):
    """Each has its own, of 16 random bytes."""
    issuer = make()
    ids = {issuer.verifier().verify(issuer.issue("user").access_token).id for _ in range(20)}
    assert {len(id_) for id_ in ids} == {22}
    assert len(ids) == 20
