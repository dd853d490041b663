"""A key that another worker retires: what is issued here in the moments after that is good, and what is issued there is good here."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stagedoor import KeySet, Peppers, Revocations, SyncIssuer, Verifier, errors, jws
from stagedoor.keys import Key
from stagedoor.revocation import MARGIN, Record
from stagedoor.stores.memory import MemoryDocuments, SyncMemoryStore
from stagedoor.testing.clock import FixedClock
from stagedoor.vault import MasterKey, Vault

from .issuers import AnyIssuer, build, settle
from .material import NOW, SECRET, key
from .own_clock import AUDIENCE, ISSUER, LIFE
from .seen import token

DRIVERS = ["async", "sync"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself, and a machine that stands still for seconds is no store that hangs."""
    monkeypatch.setattr("stagedoor.watch.Watch.start", lambda _: None)
    monkeypatch.setattr("stagedoor.ring._PATIENCE", 60.0)


class Counted(MemoryDocuments):
    """Documents that count their reads, and may give no answer."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.meanwhile: Callable[[], Any] = lambda: None

    def read(self, *arguments: Any) -> Any:
        """As MemoryDocuments.read."""
        self.reads += 1
        self.meanwhile()
        return super().read(*arguments)


@dataclass
class Workers:
    """Two that share their keys; neither looks by itself."""

    ours: KeySet
    theirs: KeySet
    documents: Counted

    def retire(self) -> str:
        """Theirs retires the key that signs."""
        kid = self.theirs.signing(NOW).kid
        self.theirs.retire(kid)
        self.documents.reads = 0
        return kid


@pytest.fixture
def workers() -> Workers:
    documents = Counted()
    ours, theirs = (KeySet.open(Vault(documents, MasterKey(SECRET[:32])), clock=FixedClock(NOW)) for _ in range(2))
    documents.reads = 0
    return Workers(ours, theirs, documents)


@contextmanager
def hanging(documents: Counted) -> Iterator[None]:
    """Nobody gets an answer before this is over, or two seconds."""
    over = threading.Event()
    documents.meanwhile = lambda: over.wait(2.0)
    yield
    documents.meanwhile = lambda: None
    over.set()


def hear(issuer: AnyIssuer, kid: str) -> None:
    """The revocation, as it is followed."""
    issuer.revocations.add(Record.of_key(kid, LIFE, NOW), now=NOW)


def by(pair: Any) -> str:
    return str(jws.read_unverified(pair.access_token)[0]["kid"])


@pytest.mark.parametrize("driver", DRIVERS)
async def test_what_is_issued_once_it_is_heard_is_good(driver: str, workers: Workers):
    """Whoever logs in or refreshes where it was heard, and not yet read, gets a token of the key that signs now."""
    issuer = build(driver, FixedClock(NOW), keys=workers.ours)
    first = await settle(issuer.issue("user"))
    kid = workers.retire()
    assert by(first) == kid
    assert by(await settle(issuer.refresh(first.refresh_token))) == kid
    assert workers.documents.reads == 0
    hear(issuer, kid)
    looks = issuer.verifier()
    pairs = [await settle(call) for call in (issuer.refresh(first.refresh_token), issuer.issue("user"))]
    assert [by(pair) for pair in pairs] == [workers.theirs.signing(NOW).kid] * 2 != [kid] * 2
    assert [looks.verify(pair.access_token).subject for pair in pairs] == ["user"] * 2
    assert workers.documents.reads == 1


async def test_many_who_are_under_way_when_it_is_heard(workers: Workers):
    """They share a look at the keys, which takes none of the threads that others wait for."""
    issuer = build("async", FixedClock(NOW), keys=workers.ours)
    pairs = [await settle(issuer.issue(f"user-{number}")) for number in range(300)]
    hear(issuer, workers.retire())
    threads: set[str] = set()

    def slowly() -> None:
        threads.add(threading.current_thread().name)
        time.sleep(0.01)

    workers.documents.meanwhile = slowly
    found = await asyncio.gather(*(issuer.refresh(pair.refresh_token) for pair in pairs))
    assert {by(each) for each in found} == {workers.theirs.signing(NOW).kid}
    assert workers.documents.reads < 20
    assert threads == {"stagedoor-ring"}


async def test_threads_that_are_under_way_when_it_is_heard(workers: Workers):
    """Without an event loop they share it too."""
    issuer = build("sync", FixedClock(NOW), keys=workers.ours)
    pairs = [issuer.issue(f"user-{number}") for number in range(64)]
    hear(issuer, workers.retire())
    workers.documents.meanwhile = lambda: time.sleep(0.01)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda pair: issuer.refresh(pair.refresh_token), pairs))
    assert {by(each) for each in found} == {workers.theirs.signing(NOW).kid}
    assert workers.documents.reads < 20


@pytest.mark.parametrize("driver", DRIVERS)
async def test_one_that_begins_to_sign_meanwhile(driver: str, workers: Workers):
    """A key that starts while the keys are read signs, and none that is about to end."""
    clock = FixedClock(NOW + 1)
    workers.theirs.rotate(keep="1h", announce=1)
    workers.theirs._clock.forward(1)
    workers.ours.reload()
    issuer = build(driver, clock, keys=workers.ours)
    first = await settle(issuer.issue("user"))
    workers.theirs._clock.forward(1)
    workers.theirs.retire(by(first))
    hear(issuer, by(first))
    workers.documents.meanwhile = lambda: clock.forward(1)
    assert by(await settle(issuer.refresh(first.refresh_token))) == workers.theirs.signing(NOW + 2).kid


@pytest.mark.parametrize("driver", DRIVERS)
async def test_where_no_other_key_comes(driver: str):
    """Nothing is issued that would be refused everywhere: 503, nothing is rotated or opened, and it goes on when the revocation is over."""
    clock = FixedClock(NOW)
    issuer = build(driver, clock)
    first = await settle(issuer.issue("user"))
    before = await settle(issuer.sessions("user"))
    hear(issuer, by(first))
    for call in (issuer.refresh, issuer.issue):
        with pytest.raises(errors.IssuingPaused, match=by(first)) as caught:
            await settle(call(first.refresh_token))
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
    assert await settle(issuer.sessions("user")) == before
    assert await settle(issuer.sessions(first.refresh_token)) == []
    clock.forward(LIFE + MARGIN)
    assert await settle(issuer.refresh(first.refresh_token))


@pytest.mark.parametrize("driver", DRIVERS)
async def test_where_the_keys_cannot_be_read(driver: str, workers: Workers):
    """503, and nothing was rotated."""
    issuer = build(driver, FixedClock(NOW), keys=workers.ours)
    first = await settle(issuer.issue("user"))
    hear(issuer, workers.retire())

    def fails() -> None:
        raise errors.StoreError("no answer")

    workers.documents.meanwhile = fails
    with pytest.raises(errors.StoreError):
        await settle(issuer.refresh(first.refresh_token))
    assert [row.generation for row in await settle(issuer.sessions("user"))] == [0]
    workers.documents.meanwhile = lambda: None
    assert by(await settle(issuer.refresh(first.refresh_token))) == workers.theirs.signing(NOW).kid


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_file_that_cannot_be_read(driver: str, is_there: bool, tmp_path: Path):
    """Where the file of the keys is broken, or not there, nothing is issued either, and it goes on once it is mended."""
    clock = FixedClock(NOW)
    keys = KeySet.open(tmp_path / "keys.json", clock=clock)
    issuer = build(driver, clock, keys=keys)
    first = await settle(issuer.issue("user"))
    theirs = KeySet.open(tmp_path / "keys.json", clock=clock)
    theirs.retire(by(first))
    written = (tmp_path / "keys.json").read_bytes()
    (tmp_path / "keys.json").unlink()
    if is_there:
        (tmp_path / "keys.json").write_bytes(b"[")
        (tmp_path / "keys.json").chmod(0o600)
    hear(issuer, by(first))
    with pytest.raises(errors.IssuingPaused):
        await settle(issuer.refresh(first.refresh_token))
    (tmp_path / "keys.json").write_bytes(written)
    (tmp_path / "keys.json").chmod(0o600)
    assert by(await settle(issuer.refresh(first.refresh_token))) == theirs.signing(NOW).kid


def verifier(keys: KeySet) -> Verifier[Any]:
    return Verifier(ISSUER, audience=AUDIENCE, keys=keys, revocations=Revocations(), clock=FixedClock(NOW))


def theirs_of(workers: Workers) -> str:
    """An access token that the other worker signs now."""
    issuer = SyncIssuer(
        ISSUER, audience=AUDIENCE, store=SyncMemoryStore(), keys=workers.theirs, peppers=Peppers(SECRET[:32]), clock=FixedClock(NOW)
    )
    return issuer.issue("user").access_token


async def test_a_token_of_the_new_key(workers: Workers, monkeypatch: pytest.MonkeyPatch):
    """Where it can be awaited, who has not heard of a new key looks, at once, before he refuses its token; else it is refused."""
    slept: list[float] = []
    monkeypatch.setattr("stagedoor.ring.time.sleep", slept.append)
    workers.retire()
    text = theirs_of(workers)
    looks = verifier(workers.ours)
    threads: list[str] = []
    workers.documents.meanwhile = lambda: threads.append(threading.current_thread().name)
    with pytest.raises(errors.UnknownKey):
        looks.verify(text)
    assert workers.documents.reads == 0
    assert (await looks.verify_async(text)).subject == "user"
    assert looks.verify(text)
    assert threads == ["stagedoor-ring"]
    assert slept == [0.0]


async def test_many_who_come_with_it_at_once(workers: Workers):
    """They share a look, and every one of them is let in."""
    workers.retire()
    text = theirs_of(workers)
    looks = verifier(workers.ours)
    found = await asyncio.gather(*(looks.verify_async(text) for _ in range(300)))
    assert {each.subject for each in found} == {"user"}
    assert workers.documents.reads < 20


async def test_who_makes_up_key_names(workers: Workers):
    """He is refused, and has the place read ten times a second at the most; who comes meanwhile with the new key is let in."""
    looks = verifier(workers.ours)

    async def floods(number: int) -> int:
        made_up = token(Key.from_secret(SECRET, kid=f"made up {number}"))
        refused = 0
        while not refused or time.monotonic() < until:
            with pytest.raises(errors.UnknownKey):
                await looks.verify_async(made_up)
            refused += 1
        return refused

    began = time.monotonic()
    until = began + 1.0
    flood = asyncio.gather(*(floods(number) for number in range(50)))
    await asyncio.sleep(0.3)
    workers.retire()
    assert (await looks.verify_async(theirs_of(workers))).subject == "user"
    assert sum(await flood) >= 50
    assert workers.documents.reads <= (time.monotonic() - began) / 0.1 + 1


async def test_a_finder_of_the_users_own(workers: Workers):
    """One that has no way to learn is asked once, and its refusal stands."""

    class Finder:
        def find(self, id_: object, now: float) -> Key | None:
            return workers.ours.find(id_, now)

    workers.retire()
    looks = Verifier(ISSUER, audience=AUDIENCE, keys=Finder(), revocations=Revocations(), clock=FixedClock(NOW))
    with pytest.raises(errors.UnknownKey):
        await looks.verify_async(theirs_of(workers))
    assert workers.documents.reads == 0


async def test_where_nothing_can_be_learned(workers: Workers):
    """Keys of one process alone, a token that names no key and another refusal teach nothing, and nothing is read."""
    assert not await KeySet(key("ES256")).learn(errors.UnknownKey(kid="x"))
    for error in (errors.UnknownKey(), errors.BadSignature(), errors.KeySetUnavailable("x")):
        assert not await workers.ours.learn(error)
    assert workers.documents.reads == 0


@pytest.mark.parametrize("trouble", [errors.StoreError("no answer"), OSError(), ValueError(), RuntimeError()], ids=repr)
async def test_where_no_answer_comes(workers: Workers, trouble: Exception):
    """Whether the key is a good one cannot be said: 503. Tokens of keys that are known are as good as before."""
    known = theirs_of(workers)
    workers.retire()

    def fails() -> None:
        raise trouble

    workers.documents.meanwhile = fails
    looks = verifier(workers.ours)
    with pytest.raises(errors.KeySetUnavailable) as caught:
        await looks.verify_async(theirs_of(workers))
    assert caught.value.status == 503
    assert (await looks.verify_async(known)).subject == "user"


async def test_a_store_that_hangs(workers: Workers, monkeypatch: pytest.MonkeyPatch):
    """Nobody waits for long: 503; and when it answers again the key is found."""
    monkeypatch.setattr("stagedoor.ring._PATIENCE", 0.05)
    workers.retire()
    text, looks = theirs_of(workers), verifier(workers.ours)
    with hanging(workers.documents), pytest.raises(errors.KeySetUnavailable, match="TimeoutError"):
        await looks.verify_async(text)
    monkeypatch.setattr("stagedoor.ring._PATIENCE", 60.0)
    assert (await looks.verify_async(text)).subject == "user"


async def test_after_close(workers: Workers):
    """Whose keys are looked after no more reads nothing more, so that the store can be closed; until they are watched again."""
    workers.retire()
    text, looks = theirs_of(workers), verifier(workers.ours)
    workers.ours.close()
    with pytest.raises(errors.UnknownKey):
        await looks.verify_async(text)
    workers.ours.read_anew()
    assert workers.documents.reads == 0
    workers.ours.watch()
    assert (await looks.verify_async(text)).subject == "user"


async def test_what_is_closed_while_it_waits(workers: Workers, monkeypatch: pytest.MonkeyPatch):
    """Nothing is read after `close`, though it was asked for before."""
    workers.retire()
    text, looks = theirs_of(workers), verifier(workers.ours)
    workers.ours.read_anew()
    workers.documents.reads = 0
    monkeypatch.setattr("stagedoor.ring.time.sleep", lambda _: workers.ours.close())
    waiting = [looks.verify_async(token(Key.from_secret(SECRET, kid="made up"))) for _ in range(2)]
    assert all(isinstance(each, errors.UnknownKey) for each in await asyncio.gather(*waiting, return_exceptions=True))
    assert workers.documents.reads == 0
    assert looks.verify(text)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_keys_that_hang(driver: str, workers: Workers, monkeypatch: pytest.MonkeyPatch):
    """Whoever issues waits for them no longer than whoever verifies: 503."""
    monkeypatch.setattr("stagedoor.ring._PATIENCE", 0.05)
    issuer = build(driver, FixedClock(NOW), keys=workers.ours)
    hear(issuer, workers.retire())
    with hanging(workers.documents), pytest.raises(errors.IssuingPaused):
        await settle(issuer.issue("user"))


async def test_a_key_that_is_gone(workers: Workers):
    """What the retired key signed is refused as before, by who has read that it is gone."""
    text = theirs_of(workers)
    workers.retire()
    workers.ours.reload()
    looks = verifier(workers.ours)
    for _ in range(2):
        with pytest.raises(errors.UnknownKey):
            await looks.verify_async(text)


def test_nobody_is_kept_alive():
    """A set of keys that nobody has any more is let go, though it can be asked to look."""
    keys = KeySet(key("ES256"))
    gone = weakref.ref(keys)
    del keys
    assert gone() is None
